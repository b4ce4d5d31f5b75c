"""The state machine finds what is wrong with a storage without being told where to look."""

from __future__ import annotations

import pytest
from hypothesis import Phase, settings

from broken_storages import BROKEN
from segmentflow_core import Tracker
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    MACHINE_SETTINGS,
    FixedClock,
    a_journey,
    a_request,
    run_storage_machine,
)
from segmentflow_core.testing.machine import StorageMachine
from segmentflow_memory import MemoryStorage

# What one run tries the next one tries too, and a failure is not made shorter.
REPEATABLE = settings(
    MACHINE_SETTINGS, max_examples=300, phases=[Phase.generate], derandomize=True, database=None
)
FOUND = (
    "KeyAndEffectsInTwoTransactions",
    "MicrosecondsLost",
    "RefusedRequestKeepsItsKey",
    "ReplayOfAnotherEvent",
    "StaleJourneys",
)


def trackers(storage, clock):
    def new_tracker(over=storage, **options):
        return Tracker(over, **{"fingerprint_key": FINGERPRINT_SECRET, "clock": clock, **options})

    return new_tracker


def run(storage):
    clock = FixedClock()
    run_storage_machine(storage, trackers(storage, clock), clock, REPEATABLE)


def test_a_storage_that_keeps_its_promises_agrees_with_the_model():
    run(MemoryStorage())


@pytest.mark.parametrize(
    "kind", [k for k in BROKEN if k.__name__ in FOUND], ids=lambda k: k.__name__
)
def test_a_planted_mistake_disagrees_with_the_model(kind):
    with pytest.raises((AssertionError, KeyError)):
        run(kind())


LISTENING = {
    name: a_journey(name, reentry={"policy": "every_event"}) for name in ("one", "two", "other")
}
# Each call that the machine may make.
CALLS = {
    "track": lambda machine, crash: machine.track("a", [(a_request(), "other")], crash),
    "repeat": lambda machine, crash: machine.repeat(0, crash),
    "publish": lambda machine, crash: machine.publish("a", LISTENING["other"], crash),
    "purge": lambda machine, crash: machine.purge(crash),
    "claim": lambda machine, crash: machine.claim("a", 3, crash),
    "complete": lambda machine, crash: machine.complete(0, crash),
    "release": lambda machine, crash: machine.release(0, failed=True, crash=crash),
    "extend": lambda machine, crash: machine.extend(0, crash),
    "revive": lambda machine, crash: machine.revive(0, crash),
}


@pytest.mark.parametrize("crash", [(0, False), (0, True), None], ids=["before", "after", "never"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_that_crashed_is_expected_to_have_changed_nothing(call, crash):
    storage, clock = MemoryStorage(), FixedClock()
    machine = StorageMachine(storage, trackers(storage, clock), clock)
    machine.begin([LISTENING["one"], LISTENING["two"]])
    machine.track("a", [(a_request(), "key")], None)
    machine.claim("a", 1, None)
    call(machine, crash)
    machine.look("a")
    machine.teardown()

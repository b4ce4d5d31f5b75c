"""The state machine finds what is wrong with a storage without being told where to look."""

from __future__ import annotations

import itertools
from datetime import UTC, datetime
from types import SimpleNamespace

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
    "ErasedKeysAreFree",
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


# A mistake ends the search; the rarest is met once in some hundred examples.
PATIENT = settings(REPEATABLE, max_examples=1500)


def run(storage, how=REPEATABLE):
    clock = FixedClock()
    run_storage_machine(storage, trackers(storage, clock), clock, how)


def test_a_storage_that_keeps_its_promises_agrees_with_the_model():
    run(MemoryStorage())


@pytest.mark.parametrize(
    "kind", [k for k in BROKEN if k.__name__ in FOUND], ids=lambda k: k.__name__
)
def test_a_planted_mistake_disagrees_with_the_model(kind):
    with pytest.raises((AssertionError, KeyError)):
        run(kind(), PATIENT)


def test_a_failure_is_made_shorter_for_a_bounded_time_and_stays_one(monkeypatch):
    """With no time at all, the first failure is shown as it was found."""
    ticking = SimpleNamespace(monotonic=itertools.count().__next__)
    monkeypatch.setattr("segmentflow_core.testing.machine.time", ticking)
    shrinking = settings(REPEATABLE, phases=[Phase.generate, Phase.shrink])
    (kind,) = (k for k in BROKEN if k.__name__ == "ReplayOfAnotherEvent")

    def shown(how, seconds):
        storage, clock = kind(), FixedClock()
        with pytest.raises(AssertionError) as failure:
            run_storage_machine(storage, trackers(storage, clock), clock, how, shrinking=seconds)
        notes = "\n".join(failure.value.__notes__).splitlines()
        return [line for line in notes if line.startswith("state.")]

    found = shown(REPEATABLE, 0)
    assert found
    assert shown(shrinking, 0) == found
    assert shown(shrinking, 100) != found


def test_a_failure_shows_its_values(pytester):
    pytester.makepyfile(
        """
        import pytest
        from hypothesis import Phase, settings
        from segmentflow_core import Tracker
        from segmentflow_core.testing import (
            FINGERPRINT_SECRET, MACHINE_SETTINGS, FixedClock, run_storage_machine,
        )
        from broken_storages.altered import Broken

        class Deaf(Broken):
            def idempotency_purge(self, call, *arguments):
                return call(*arguments) + 17

        def test_it():
            storage, clock = Deaf(), FixedClock()
            options = {"fingerprint_key": FINGERPRINT_SECRET, "clock": clock}
            new_tracker = lambda over=storage, **more: Tracker(over, **{**options, **more})
            generating = settings(MACHINE_SETTINGS, phases=[Phase.generate], database=None)
            run_storage_machine(storage, new_tracker, clock, generating)
        """
    )
    result = pytester.runpytest("-p", "no:cacheprovider")
    result.assert_outcomes(failed=1)
    result.stdout.fnmatch_lines(["*assert * == *", "*state.purge(*"])


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
    "withdraw": lambda machine, crash: machine.withdraw(0, crash),
    "suppress": lambda machine, crash: machine.suppress(0, 0, False, crash),
    "unsuppress": lambda machine, crash: machine.suppress(0, 1, True, crash),
    "erase": lambda machine, crash: machine.erase(0, 0, True, crash),
    "merge": lambda machine, crash: machine.merge((0, 1), (0, 1), crash),
}


class Without(MemoryStorage):
    """A storage that lacks what it may lack."""

    def __init__(self):
        super().__init__()
        del self._transaction.finding, self._transaction.people, self._transaction.cancelling


def test_a_storage_that_lacks_what_it_may_lack_is_asked_for_none_of_it():
    storage, clock = Without(), FixedClock()
    run_storage_machine(
        storage, trackers(storage, clock), clock, settings(REPEATABLE, max_examples=20)
    )


def test_people_are_named_by_their_ids_where_nobody_is_found_by_anything_else():
    storage, clock = MemoryStorage(), FixedClock()
    del storage._transaction.finding
    machine = StorageMachine(storage, trackers(storage, clock), clock)
    machine.track("a", [(a_request(), "key")], None)
    for word in range(3):
        machine.suppress(0, word, bool(word % 2), None)
    machine.merge((0, 0), (1, 2), None)
    for _ in range(2):
        machine.erase(0, 1, False, None)
    machine.suppress(0, 0, False, None)
    machine.merge((0, 0), (1, 2), None)
    machine.look("a")
    machine.teardown()


def test_what_later_events_cancel_is_expected():
    """What waits is withdrawn, what is held is marked, what comes late is skipped."""
    storage, clock = MemoryStorage(), FixedClock()
    machine = StorageMachine(storage, trackers(storage, clock), clock)
    cart = {"cancelOn": [{"event": "other", "same": ["/event/orderId"]}]}
    twice = {"policy": "at_most", "times": 2, "within": "PT1H"}
    always = {"policy": "every_event"}
    machine.begin([a_journey("one", reentry=always, **cart), a_journey("two", reentry=twice)])
    paid = a_request(event="other", data={"orderId": 1})
    machine.track("a", [(a_request(data={"orderId": 1}), "k")], None)
    machine.claim("a", 1, None)
    machine.track("a", [(a_request(data={"orderId": 2}), "K")], None)
    machine.track("a", [(paid, "l"), (paid, "m")], None)
    machine.track("a", [(a_request(event="other", data={"orderId": 2}), "n")], None)
    late = a_request(data={"orderId": 1}, occurredAt=datetime(2020, 1, 1, tzinfo=UTC))
    machine.track("a", [(late, "o")], None)
    machine.release(0, failed=True, crash=None)
    machine.claim("a", 3, None)
    for choice in range(3):
        machine.withdraw(choice, None)
    machine.look("a")
    machine.teardown()


def test_of_entries_at_a_limit_a_merge_withdraws_none():
    storage, clock = MemoryStorage(), FixedClock()
    machine = StorageMachine(storage, trackers(storage, clock), clock)
    twice = {"policy": "at_most", "times": 2, "within": "PT1H"}
    machine.begin([a_journey("one", reentry=twice), a_journey("two", reentry={"policy": "once"})])
    other = a_request(profile={"email": "other@example.com"})
    machine.track("a", [(a_request(), "key"), (other, "of another one")], None)
    machine.merge((0, 1), (0, 1), None)
    machine.look("a")
    machine.teardown()


@pytest.mark.parametrize("crash", [(0, False), (0, True), None], ids=["before", "after", "never"])
@pytest.mark.parametrize("call", CALLS.values(), ids=CALLS)
def test_a_call_that_crashed_is_expected_to_have_changed_nothing(call, crash):
    storage, clock = MemoryStorage(), FixedClock()
    machine = StorageMachine(storage, trackers(storage, clock), clock)
    machine.begin([LISTENING["one"], LISTENING["two"]])
    other = a_request(profile={"email": "other@example.com"})
    machine.track("a", [(a_request(), "key"), (other, "of another one")], None)
    machine.claim("a", 1, None)
    call(machine, crash)
    machine.look("a")
    machine.teardown()

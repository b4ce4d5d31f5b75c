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
    run_storage_machine,
)
from segmentflow_memory import MemoryStorage

# What one run tries the next one tries too, and a failure is not made shorter.
REPEATABLE = settings(
    MACHINE_SETTINGS, max_examples=100, phases=[Phase.generate], derandomize=True, database=None
)
FOUND = (
    "KeyAndEffectsInTwoTransactions",
    "MicrosecondsLost",
    "RefusedRequestKeepsItsKey",
    "ReplayOfAnotherEvent",
    "StaleJourneys",
)


def run(storage):
    clock = FixedClock()

    def new_tracker(over=storage, **options):
        return Tracker(over, **{"fingerprint_key": FINGERPRINT_SECRET, "clock": clock, **options})

    run_storage_machine(storage, new_tracker, clock, REPEATABLE)


def test_a_storage_that_keeps_its_promises_agrees_with_the_model():
    run(MemoryStorage())


@pytest.mark.parametrize(
    "kind", [k for k in BROKEN if k.__name__ in FOUND], ids=lambda k: k.__name__
)
def test_a_planted_mistake_disagrees_with_the_model(kind):
    with pytest.raises((AssertionError, KeyError)):
        run(kind())

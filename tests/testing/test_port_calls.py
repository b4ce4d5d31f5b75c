"""Faults and taps go by the calls of one run: work that runs again counts anew."""

from __future__ import annotations

import pytest

from optimistic_storages import OptimisticStorage
from segmentflow_core import Tracker
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    FaultyStorage,
    InjectedFault,
    TappedStorage,
    a_request,
)


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


@pytest.mark.parametrize("reads_first", [False, True])
def test_a_fault_stays_armed_until_it_is_raised(reads_first):
    storage = OptimisticStorage(reads_first=reads_first)
    faulty = FaultyStorage(storage, 1)
    with pytest.raises(InjectedFault):
        a_tracker(faulty).track(a_request(), "key")
    assert (faulty.calls, a_tracker(storage).records.events()) == (2, [])


@pytest.mark.parametrize("reads_first", [False, True])
def test_calls_of_one_transaction_after_another_are_counted_on(reads_first):
    faulty = FaultyStorage(OptimisticStorage(reads_first=reads_first), 3)
    tracker = a_tracker(faulty)
    tracker.track(a_request(), "first")
    assert faulty.calls == 2
    with pytest.raises(InjectedFault):
        tracker.track(a_request(), "second")
    assert faulty.calls == 4


def test_a_tap_hears_the_calls_of_each_run():
    heard = []
    tracker = a_tracker(TappedStorage(OptimisticStorage(reads_first=True), heard.append))
    tracker.track(a_request(), "first")
    tracker.track(a_request(), "second")
    assert heard == [1, 2, 1, 2, 3, 4, 3, 4]

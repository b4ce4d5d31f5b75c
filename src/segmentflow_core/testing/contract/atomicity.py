"""All or nothing, as tests of a storage adapter: a failure at every call.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segmentflow_core.testing.builders import (
    FixedClock,
    a_journey,
    a_request,
)
from segmentflow_core.testing.contract.reading import EVERY_POLICY, everything
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault, InjectedInterrupt

__all__ = ["AtomicityContract"]


class AtomicityContract:
    """A failed call leaves nothing, one test for each way to fail."""

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_an_exception_at_any_call_leaves_nothing_and_the_retry_succeeds(
        self, storage: Any, new_tracker: Callable[..., Any], after: bool
    ) -> None:
        tracker = new_tracker()
        tracker.journeys.publish(EVERY_POLICY)
        order = a_request(data={"orderId": "A"}, profile={"email": "a@example.com"})
        tracker.track(order, "earlier")
        before = everything(tracker)
        calls = [
            (a_request(data={"orderId": "B"}, profile={"email": "a@example.com"}), "one"),
            (a_request(data={"orderId": "C"}, profile={"email": "c@example.com"}), "two"),
            (a_request(profile={"externalId": "unknown"}), "refused"),
        ]
        fail_at = 0
        while True:
            faulty = FaultyStorage(storage, fail_at, after=after)
            try:
                results = new_tracker(faulty).track_many(calls)
            except InjectedFault:
                assert everything(tracker) == before
                fail_at += 1
                continue
            break
        assert fail_at == faulty.calls >= 2
        assert [getattr(result, "replayed", None) for result in results] == [False, False, None]
        assert len(tracker.records.events()) == 3

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_a_failed_publication_changes_no_journey(
        self, storage: Any, new_tracker: Callable[..., Any], after: bool
    ) -> None:
        tracker = new_tracker()
        tracker.journeys.publish({"journeys": [a_journey()]})
        before = everything(tracker)
        faulty = new_tracker(FaultyStorage(storage, 1, after=after))
        with pytest.raises(InjectedFault):
            faulty.journeys.publish({"journeys": [a_journey(status="paused"), a_journey("new")]})
        assert everything(tracker) == before
        assert tracker.track(a_request(), "key").enrolled_journeys == 1

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_an_interrupt_at_any_call_leaves_nothing_and_the_retry_succeeds(
        self, storage: Any, new_tracker: Callable[..., Any], after: bool
    ) -> None:
        """An interrupt and a cancellation are not `Exception`s."""
        tracker = new_tracker()
        tracker.journeys.publish(EVERY_POLICY)
        tracker.track(a_request(), "earlier")
        before = everything(tracker)
        for fail_at in range(3):
            faulty = FaultyStorage(storage, fail_at, after=after, fault=InjectedInterrupt)
            with pytest.raises(InjectedInterrupt):
                new_tracker(faulty).track(a_request(), "key")
            assert everything(tracker) == before
        assert not tracker.track(a_request(), "key").replayed

    def test_an_entry_of_a_call_that_failed_counts_for_no_later_event(
        self, storage: Any, new_tracker: Callable[..., Any]
    ) -> None:
        """Neither where an event is tracked, nor where it is explained among those before it."""
        listens = {
            "event": "order.created",
            "where": {"path": "/event/paid", "op": "eq", "value": True},
        }
        policies = [
            {"policy": "once"},
            {"policy": "once_per_key", "key": "/event/orderId"},
            {"policy": "cooldown", "duration": "P1D"},
        ]
        tracker = new_tracker()
        tracker.track(a_request("profile.created"), "0")
        tracker.journeys.publish(
            [a_journey(each["policy"], trigger=listens, reentry=each) for each in policies]
        )
        paid = a_request(data={"orderId": "A", "paid": True})
        with pytest.raises(InjectedFault):
            new_tracker(FaultyStorage(storage, 2, after=True)).track(paid, "1")
        # It has the number that the failed event would have had.
        assert tracker.track(a_request(data={"paid": False}), "2").enrolled_journeys == 0
        receipt = tracker.track(paid, "3")
        assert receipt.enrolled_journeys == len(policies)
        explained = tracker.records.explain(receipt.event_id)
        assert [journey.reason for journey in explained.journeys] == [None] * len(policies)

    def test_a_purge_that_fails_removes_nothing(
        self, storage: Any, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker()
        tracker.track_many([(a_request(), f"key {number}") for number in range(3)])
        clock.advance(days=30)
        with pytest.raises(InjectedFault):
            new_tracker(FaultyStorage(storage, 0, after=True)).records.purge_keys()
        assert tracker.records.purge_keys() == 3

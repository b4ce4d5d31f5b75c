"""The numbers of events and the versions of Profiles, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses. What callers at once do to numbers is in
`races`.

See docs/reference/rules/storage.md.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from segmentflow_core.errors import SegmentflowError
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.contract.reading import typed
from segmentflow_core.testing.contract.records import FallingIds
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault

__all__ = ["NumberContract"]

_HER = {"email": "her@example.com"}
_HIM = {"email": "him@example.com"}


class NumberContract:
    """Each event has its place in its Profile's history, one test for each way to lose it."""

    def test_events_of_a_profile_are_numbered_from_one(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """A retry and a refusal take no number, nor does an event of anybody else."""
        sent: list[tuple[Any, int]] = []
        for number in range(1, 4):
            sent.append((tracker.track(a_request(profile=_HER), f"{number}"), number))
            assert tracker.track(a_request(profile=_HER), f"{number}").replayed
            with pytest.raises(SegmentflowError):
                tracker.track(a_request(profile=_HIM), f"{number}")
            clock.advance(hours=-1)
        sent.append((tracker.track(a_request(profile=_HIM), "4"), 1))
        tracker.track(a_request(profile=_HER), "1", organization_id="other")
        sent.append((tracker.track(a_request(profile=_HER), "5"), 4))
        for receipt, number in sent:
            assert tracker.records.event(receipt.event_id).number == number
        assert sorted(e.number for e in tracker.records.events()) == [1, 1, 2, 3, 4]
        assert tracker.records.profile(sent[-1][0].profile_id).number == 4
        (other,) = tracker.records.events(organization_id="other")
        assert other.number == 1

    def test_events_of_a_batch_are_numbered_in_its_order(self, tracker: Any) -> None:
        tracker.track(a_request(profile=_HER), "earlier")
        batch = [(a_request(profile=who), f"{n}") for n, who in enumerate([_HER, _HIM] * 3)]
        unknown = (a_request(profile={"externalId": "unknown"}), "unknown")
        receipts = tracker.track_many([*batch[:3], unknown, *batch[3:], batch[0]])
        numbers = [
            tracker.records.event(receipt.event_id).number
            for receipt in receipts
            if not isinstance(receipt, SegmentflowError)
        ]
        assert numbers == [2, 1, 3, 2, 4, 3, 2]

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_a_crash_takes_no_number_and_gives_none_back(
        self, storage: Any, new_tracker: Callable[..., Any], after: bool
    ) -> None:
        tracker = new_tracker()
        for number in range(4):
            tracker.track(a_request(profile=_HER), f"{number}")
            for fail_at in range(2):
                faulty = new_tracker(FaultyStorage(storage, fail_at, after=after))
                with pytest.raises(InjectedFault):
                    faulty.track(a_request(profile=_HER), "crash")
        assert [event.number for event in tracker.records.events()] == [4, 3, 2, 1]

    def test_an_entry_has_the_number_of_the_event_that_caused_it(self, tracker: Any) -> None:
        tracker.journeys.publish([a_journey()])
        for number in range(3):
            tracker.track(a_request(profile=_HER), f"{number}")
        for entry in tracker.enrollments.list():
            event = tracker.records.event(entry.event_id)
            assert entry.event_number == event.number
        (claimed, *_) = tracker.enrollments.claim()
        assert claimed.enrollment.event_number == claimed.event.number == 1

    def test_explaining_goes_by_numbers_whatever_the_ids(
        self, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker(ids=FallingIds())
        tracker.journeys.publish([a_journey(reentry={"policy": "once"})])
        since = clock.now()
        receipts: list[Any] = []
        for number in range(3):
            receipts.append(tracker.track(a_request(profile=_HER), f"{number}"))
            clock.advance(hours=2)
        explained = [tracker.records.explain(receipt.event_id) for receipt in receipts]
        assert [journey.reason for each in explained for journey in each.journeys] == [
            None,
            "already_enrolled",
            "already_enrolled",
        ]
        hourly = a_journey("hourly", reentry={"policy": "cooldown", "duration": "PT1H"})
        rehearsal = tracker.journeys.rehearse([hourly], since=since)
        assert [journey.entered for journey in rehearsal.journeys] == [3]

    def test_a_profile_has_a_new_version_only_where_it_changed(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        steps: list[tuple[dict[str, Any], int]] = [
            ({**_HER, "properties": {"plan": "Free"}}, 1),
            (_HER, 1),
            ({**_HER, "properties": {"plan": "Free"}}, 1),
            ({**_HER, "properties": {"plan": "Pro", "n": 1}}, 2),
            ({**_HER, "externalId": "X"}, 3),
            ({**_HER, "properties": {"n": 1.0}}, 4),
            ({**_HER, "properties": {"nothing": None}}, 4),
            ({**_HER, "properties": {"plan": "Free"}}, 5),
            ({"email": "new@example.com", "externalId": "X"}, 6),
        ]
        states: dict[str, tuple[int, Any]] = {}
        for number, (profile, version) in enumerate(steps):
            receipt = tracker.track(a_request(profile=profile), f"{number}")
            clock.advance(seconds=1)
            event = tracker.records.event(receipt.event_id)
            stored = tracker.records.profile(receipt.profile_id)
            assert (event.profile_version, stored.version) == (version, version)
            assert typed(event.profile) == typed(stored.state())
            states[event.event_id] = (version, typed(event.profile))
        for event in tracker.records.events():
            assert (event.profile_version, typed(event.profile)) == states[event.event_id]

    def test_each_event_of_a_batch_keeps_the_profile_as_it_left_it(self, tracker: Any) -> None:
        plans = ["Free", "Free", "Pro", "Max"]
        calls = [
            (a_request(profile={**who, "properties": {"plan": plan}}), f"{who['email']} {number}")
            for number, plan in enumerate(plans)
            for who in (_HER, _HIM)
        ]
        receipts = tracker.track_many(calls)
        for (request, _), receipt in zip(calls, receipts, strict=True):
            assert tracker.records.event(receipt.event_id).profile == request["profile"]
        versions = [e.profile_version for e in tracker.records.events() if e.number > 2]
        assert sorted(versions) == [2, 2, 3, 3]

    def test_a_new_version_keeps_the_times_of_what_did_not_change(self, tracker: Any) -> None:
        """Nor are they lost where they move alone, without another version."""

        def send(key: str, day: int, **properties: Any) -> str:
            profile = {**_HER, "properties": properties}
            request = a_request(profile=profile, occurredAt=f"2026-05-{day:02}T00:00Z")
            return str(tracker.track(request, key).profile_id)

        profile_id = send("1", 10, plan="Pro", city="Oslo")
        send("2", 20, plan="Pro")
        send("3", 12, city="Rome")
        send("4", 15, plan="Late")
        send("5", 11, city="Late")
        stored = tracker.records.profile(profile_id)
        assert (stored.properties, stored.version) == ({"plan": "Pro", "city": "Rome"}, 2)

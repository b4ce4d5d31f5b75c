"""What is stored and how it comes back, as tests of a storage adapter: JSON, times, ids, pages.

A part of `StorageContract`, whose fixtures it uses.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable
from copy import deepcopy
from datetime import timedelta
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings

from segmentflow_core.ports import parse_instant
from segmentflow_core.testing.builders import (
    FixedClock,
    a_journey,
    a_request,
)
from segmentflow_core.testing.contract.reading import EVERY_POLICY, typed
from segmentflow_core.testing.strategies import json_objects

__all__ = ["FallingIds", "RecordContract"]


# Every example uses another Profile and another key.
_numbers = itertools.count()


class RecordContract:
    """What is read is what was stored, one test for each kind of data."""

    @settings(
        max_examples=60,
        deadline=None,
        suppress_health_check=[
            HealthCheck.function_scoped_fixture,
            HealthCheck.differing_executors,  # every adapter's class inherits this test
            HealthCheck.too_slow,
        ],
    )
    @given(data=json_objects(), properties=json_objects())
    def test_every_json_value_comes_back_as_it_was(
        self, tracker: Any, data: dict[str, Any], properties: dict[str, Any]
    ) -> None:
        number = next(_numbers)
        profile = {"email": f"p{number}@example.com", "properties": properties}
        receipt = tracker.track(a_request(data=data, profile=profile), f"key {number}")
        assert typed(tracker.records.event(receipt.event_id).data) == typed(data)
        kept = {name: value for name, value in properties.items() if value is not None}
        assert typed(tracker.records.profile(receipt.profile_id).properties) == typed(kept)

    def test_times_are_kept_to_the_microsecond(self, tracker: Any, clock: FixedClock) -> None:
        receipt = tracker.track(a_request(occurredAt="2026-05-31T14:00:00.123457+02:00"), "key")
        event = tracker.records.event(receipt.event_id)
        assert event.occurred_at.isoformat() == "2026-05-31T12:00:00.123457+00:00"
        assert event.received_at == clock.now()

    def test_what_is_read_is_a_copy(self, tracker: Any, clock: FixedClock) -> None:
        """Of every read that gives JSON; a store that hands out what it holds is changed by it."""
        profile = {"email": "a@example.com", "properties": {"plan": ["Pro"]}}
        tracker.journeys.publish({"journeys": [a_journey()]})
        receipt = tracker.track(a_request(profile=profile, data={"items": [1]}), "key")

        def read() -> list[Any]:
            events = [tracker.records.event(receipt.event_id), *tracker.records.events()]
            (claimed,) = tracker.enrollments.claim(lease=timedelta(seconds=1))
            clock.advance(seconds=1)
            events.append(claimed.event)
            held = [value for event in events for value in (event.data, event.profile)]
            return [*held, tracker.records.profile(receipt.profile_id).properties]

        as_it_is = deepcopy(read())
        for value in read():
            holder = value.get("properties", value)
            holder["added"] = True
            for inner in holder.values():
                if isinstance(inner, list):
                    inner.append(2)
        assert read() == as_it_is

    def test_events_are_listed_newest_first_and_page_by_page(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        sent: list[str] = []
        for number in range(5):
            sent.append(tracker.track(a_request(), str(number)).event_id)
            clock.advance(seconds=1)
        first = [event.event_id for event in tracker.records.events(limit=3)]
        rest = [event.event_id for event in tracker.records.events(limit=3, before=first[-1])]
        assert first + rest == sent[::-1]

    @pytest.mark.parametrize(
        "number",
        [2**64 - 1, -(2**63), 2**53 + 1, 5e-324, 1.7976931348623157e308, 1.0, 1e22, 0.1, True],
        ids=repr,
    )
    def test_numbers_at_the_limits_come_back_exactly(self, tracker: Any, number: Any) -> None:
        receipt = tracker.track(a_request(data={"n": number}), "key")
        assert typed(tracker.records.event(receipt.event_id).data) == typed({"n": number})

    def test_deep_and_large_data_comes_back_whole(self, tracker: Any) -> None:
        deep: Any = "\u00e9" * 60_000
        for _ in range(60):
            deep = [deep]
        receipt = tracker.track(a_request(data={"deep": deep}), "key")
        assert tracker.records.event(receipt.event_id).data == {"deep": deep}

    def test_names_are_kept_as_they_are(self, tracker: Any) -> None:
        data = {"": 1, "a/b": 2, "m~n": 3, "A": 4, "a": 5, "\u00e9": 6, "e\u0301": 7, "$id": 8}
        receipt = tracker.track(a_request(data=data), "key")
        assert tracker.records.event(receipt.event_id).data == data

    @pytest.mark.parametrize(
        "moment",
        [
            "0001-01-01T00:00:00.000000Z",
            "1969-12-31T23:59:59.999999Z",
            "9999-12-31T23:59:59.999999Z",
        ],
    )
    def test_every_time_of_the_calendar_is_kept(self, tracker: Any, moment: str) -> None:
        receipt = tracker.track(a_request(occurredAt=moment), "key")
        assert tracker.records.event(receipt.event_id).occurred_at == parse_instant(moment)

    def test_an_event_keeps_the_profile_as_it_left_it(self, tracker: Any) -> None:
        first = {"email": "a@example.com", "properties": {"plan": "Free"}}
        receipt = tracker.track(a_request(profile=first), "1")
        moved = {"email": "a@example.com", "externalId": "X", "properties": {"plan": "Pro"}}
        tracker.track(a_request(profile=moved), "2")
        assert tracker.records.event(receipt.event_id).profile == first

    def test_what_was_not_given_is_not_there(self, tracker: Any, clock: FixedClock) -> None:
        event = tracker.records.event(tracker.track(a_request(), "key").event_id)
        assert (event.reference_id, event.data, event.outcomes) == (None, {}, ())
        assert event.occurred_at == event.received_at == clock.now()
        assert tracker.records.profile(event.profile_id).external_id is None

    def test_events_are_listed_by_id_whatever_order_they_were_written_in(
        self, new_tracker: Callable[..., Any]
    ) -> None:
        tracker = new_tracker(ids=FallingIds())
        written = [tracker.track(a_request(), str(n)).event_id for n in range(4)]
        assert written == sorted(written, reverse=True)
        assert [event.event_id for event in tracker.records.events()] == written
        page = tracker.records.events(limit=2, before=written[0])
        assert [event.event_id for event in page] == written[1:3]

    def test_enrollments_are_listed_by_id_whatever_order_they_were_written_in(
        self, new_tracker: Callable[..., Any]
    ) -> None:
        tracker = new_tracker(ids=FallingIds())
        tracker.journeys.publish(EVERY_POLICY)
        tracker.track(a_request(data={"orderId": "A"}), "1")
        tracker.track(a_request(data={"orderId": "B"}), "2")
        listed = [entry.enrollment_id for entry in tracker.enrollments.list()]
        assert listed == sorted(listed, reverse=True)
        assert len(listed) == 5
        pages = [
            tracker.enrollments.list(limit=2, before=before) for before in (None, *listed[1::2])
        ]
        assert [entry.enrollment_id for page in pages for entry in page] == listed
        orders = tracker.enrollments.list(journey_id="per-order", limit=1, before=listed[0])
        assert [entry.journey_id for entry in orders] == ["per-order"]


class FallingIds:
    """Ids that sort in the reverse of the order they were made in."""

    def __init__(self) -> None:
        self._count = 2**40

    def new_id(self) -> str:
        self._count -= 1
        return f"019bf964-302b-7000-8000-{self._count:012x}"

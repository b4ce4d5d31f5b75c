"""Removing at the ports: page by page, and what stays, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/retention.md.
"""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pytest
from attrs import evolve

from segmentflow_core.ports import EventPlace
from segmentflow_core.testing.builders import FixedClock, a_request
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.contract.doors import Doors, batch_of
from segmentflow_core.testing.contract.earlier_entries import completed, entries_of
from segmentflow_core.testing.facts import facts_of

__all__ = ["RemovalContract"]

_LATER: Final = datetime(2030, 1, 1, tzinfo=UTC)
_MOMENT: Final = timedelta(microseconds=1)
_WHOSE: Final = "default"


class RemovalContract:
    """What one call removes, and where the next one goes on, one test each."""

    @needs("retention")
    @pytest.mark.parametrize("limit", [1, 2, 3, 5, 9, 10])
    def test_more_events_of_one_instant_than_a_page_holds_are_each_looked_at_once(
        self, doors: Doors, limit: int
    ) -> None:
        """By receipt and then by id; some of them are held, at a page's end as well."""
        begin = facts_of(0)["received_at"]
        # Two instants, of which the earlier one has the higher ids.
        times = [begin + int(number < 4) * _MOMENT for number in range(9)]
        batches = [
            batch_of(facts_of(number, received_at=moment, entered_at=moment))
            for number, moment in enumerate(times)
        ]
        doors.write(_WHOSE, *batches[::-1])
        done = [entry.enrollment_id for entry in entries_of(batches[::2])]
        doors.become(_WHOSE, done, completed)
        events = sorted((batch.event.received_at, batch.event.event_id) for batch in batches)
        held = {batch.event.event_id for batch in batches[1::2]}
        place: EventPlace | None = None
        for start in range(0, len(events) + 1, limit):
            page = [event_id for _, event_id in events[start : start + limit]]
            answer = doors.ask("retention", "remove_events", _WHOSE, _LATER, limit, place)
            stay = len(held.intersection(page))
            assert (answer.removed, answer.held) == (len(page) - stay, stay)
            place = answer.place
            full = len(page) == limit
            assert place == (EventPlace(*events[start + limit - 1]) if full else None)
        left = doors.ask("events", "list", _WHOSE, 99)
        assert {event.event_id for event in left} == held

    @needs("retention")
    def test_a_call_removes_no_more_enrollments_than_its_limit(self, doors: Doors) -> None:
        batches = [batch_of(facts_of(number)) for number in range(5)]
        doors.write(_WHOSE, *batches)
        doors.become(_WHOSE, [entry.enrollment_id for entry in entries_of(batches)], completed)
        for limit, count, left in ((1, 1, 4), (3, 3, 1), (2, 1, 0), (1, 0, 0)):
            answer = doors.ask("retention", "remove_enrollments", _WHOSE, _LATER, limit)
            assert answer.removed == count
            assert len([*doors.ask("enrollments", "list", _WHOSE, 99)]) == left

    @needs("retention")
    def test_a_key_stays_taken_when_its_event_goes_whether_or_not_it_expires(
        self, doors: Doors
    ) -> None:
        batches = {
            expires_at: batch_of(facts_of(number, expires_at=expires_at, paths={"/data": "1"}))
            for number, expires_at in enumerate((None, _LATER, _LATER + _MOMENT))
        }
        for batch in batches.values():
            doors.write(_WHOSE, batch)
        entries = entries_of(batches.values())
        doors.become(_WHOSE, [entry.enrollment_id for entry in entries], completed)
        answer = doors.ask("retention", "remove_events", _WHOSE, _LATER, 9, None)
        assert answer.removed == len(batches)
        keys = [batch.claim.key_digest for batch in batches.values()]
        expected = {b.claim.key_digest: evolve(b.claim, paths={}) for b in batches.values()}
        assert exact(doors.known(_WHOSE, keys).taken) == exact(expected)

    @needs("people")
    def test_the_key_of_a_person_who_was_erased_is_free_once_it_has_expired(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """For whoever takes it, purged or not."""
        names = ("taken again", "purged")
        first = [tracker.track(a_request(), name) for name in names]
        tracker.people.erase(first[0].profile_id)
        clock.advance(days=30, microseconds=-1)
        other = a_request(profile={"email": "other@example.com"})
        assert [tracker.track(other, name) for name in names] == first
        clock.advance(microseconds=1)
        again = tracker.track(other, names[0])
        assert not again.replayed
        assert again.event_id not in {receipt.event_id for receipt in first}
        assert tracker.records.purge_keys() == 1
        assert not tracker.track(other, names[1]).replayed

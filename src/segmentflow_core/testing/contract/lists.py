"""Lists and batches of many, as tests of a storage adapter: filters, pages and order.

A part of `StorageContract`, whose fixtures it uses. More than a thousand of each, since engines
bound how many values a statement or a command may name; and ids that disagree with the clock,
since clocks are set back and machines have several.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from itertools import product
from typing import Any, Final

import pytest

from segmentflow_core import EnrollmentStatus
from segmentflow_core.ports import PriorEntries, Probe
from segmentflow_core.testing import specimens
from segmentflow_core.testing.builders import FixedClock, a_request
from segmentflow_core.testing.contract.comparing import check_same, exact
from segmentflow_core.testing.contract.doors import Batch, Doors, batch_of
from segmentflow_core.testing.contract.entries import enrol
from segmentflow_core.testing.facts import facts_of

__all__ = ["ListContract"]

_MANY: Final = 1_100
_MOMENT: Final = datetime(2026, 6, 1, tzinfo=UTC)
_JOURNEYS: Final = ("a", "b", "c")
_STATUSES: Final = (None, *EnrollmentStatus)


class ListContract:
    """What is listed, in which order, and how much of it, one test for each list."""

    def test_enrollments_are_listed_by_both_filters_at_once_page_by_page(
        self, doors: Doors, tracker: Any
    ) -> None:
        """Every Journey with every status, and in between what has neither or none."""
        entered = _many_entries(doors)
        _give_statuses(tracker.enrollments, entered)
        listed = tracker.enrollments.list(limit=10_000)
        ids = [entry.enrollment_id for entry in listed]
        check_same(ids, sorted(entered, reverse=True))
        assert len({(entry.journey_id, entry.status) for entry in listed}) == 12
        for journey_id, status in product((*_JOURNEYS, None, "d"), _STATUSES):
            expected = [
                exact(entry)
                for entry in listed
                if journey_id in (None, entry.journey_id) and status in (None, entry.status)
            ]
            by: dict[str, Any] = {"journey_id": journey_id, "status": status}
            small = journey_id == "b" and status is EnrollmentStatus.CLAIMED
            for limit in (7,) if small else (100, 1_000):
                pages = _pages(tracker.enrollments.list, "enrollment_id", limit, by)
                check_same([exact(entry) for entry in pages], expected)

    def test_events_are_listed_page_by_page_whatever_their_times(
        self, doors: Doors, tracker: Any
    ) -> None:
        _many_entries(doors)
        listed = tracker.records.events(limit=10_000)
        assert len(listed) == _MANY
        ids = [event.event_id for event in listed]
        check_same(ids, sorted(ids, reverse=True))
        for limit in (99, 100, 1_000, 1_099, 1_100, 1_101):
            pages = _pages(tracker.records.events, "event_id", limit, {})
            check_same([event.event_id for event in pages], ids)

    def test_a_page_starts_below_its_cursor_whether_or_not_that_is_an_id(
        self, doors: Doors, tracker: Any
    ) -> None:
        """The id of something else, of another Organization's, or of nothing at all."""
        batches = [batch_of(facts_of(number)) for number in range(4)]
        doors.write("default", *batches[1:3])
        doors.write("other", *batches)
        entries = [batch.enrollment for batch in batches if batch.enrollment is not None]
        for read, name, rows in (
            (tracker.records.events, "event_id", [batch.event for batch in batches]),
            (tracker.enrollments.list, "enrollment_id", entries),
        ):
            ids: list[str] = sorted(getattr(row, name) for row in rows)
            below: list[str] = []
            for before in (specimens.IDS[0], *ids, specimens.IDS[-1]):
                found = [getattr(row, name) for row in read(before=before)]
                below += [each for each in (ids[1], ids[2]) if each < before]
                assert found == sorted({*below}, reverse=True)
                assert [getattr(row, name) for row in read(before=before, limit=1)] == found[:1]

    def test_a_thousand_enrollments_are_claimed_and_finished_by_one_call_each(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        identifiers = enrol(tracker, _MANY)
        enrollments = tracker.enrollments
        claimed = enrollments.claim(limit=_MANY)
        check_same([c.enrollment.enrollment_id for c in claimed], identifiers)
        leases = [c.lease for c in claimed]
        extended = enrollments.extend_many(leases[::-1], by=timedelta(hours=1))
        check_same([item.enrollment_id for item in extended], identifiers[::-1])
        dead = enrollments.release_many(leases[1:], max_attempts=1)
        assert {item.status for item in dead} == {EnrollmentStatus.DEAD}
        revived = enrollments.revive_many(identifiers[1:])
        check_same([item.enrollment_id for item in revived], identifiers[1:])
        clock.advance(microseconds=1)
        again = enrollments.claim(limit=_MANY)
        assert len(again) == _MANY - 1
        done = enrollments.complete_many([*leases[:1], *(c.lease for c in again)])
        assert {item.status for item in done} == {EnrollmentStatus.COMPLETED}
        completed = enrollments.list(limit=_MANY, status=EnrollmentStatus.COMPLETED)
        check_same([item.enrollment_id for item in completed], identifiers[::-1])

    def test_a_claim_takes_no_more_than_its_limit(self, tracker: Any) -> None:
        identifiers = enrol(tracker, 250)
        taken: list[str] = []
        for limit in (1, 100, 101, 1_000):
            claimed = tracker.enrollments.claim(limit=limit)
            assert len(claimed) == min(limit, 250 - len(taken))
            taken += [c.enrollment.enrollment_id for c in claimed]
        check_same(taken, identifiers)

    def test_a_thousand_of_everything_are_loaded_by_one_call(self, doors: Doors) -> None:
        """Keys, emails, external ids, events, Journeys and probes."""
        batches = [batch_of(facts_of(number, entry_key="")) for number in range(_MANY)]
        doors.write("default", *batches)
        doors.check("default", batches, one_by_one=False)
        probes = {
            Probe(batch.journey.journey_id, batch.profile.profile_id, key): PriorEntries(
                batch.event.received_at, key_taken=key is not None
            )
            for batch in batches
            for key in (None, "")
        }
        check_same(doors.ask("tracking", "prior_entries", "default", [*probes]), probes)

    def test_a_thousand_keys_are_purged_by_one_call_or_by_several(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        tracker.track_many([(a_request(), f"{number}") for number in range(_MANY)])
        clock.advance(days=30)
        purged = [tracker.records.purge_keys(limit=limit) for limit in (101, 1, 10_000, 1)]
        assert purged == [101, 1, _MANY - 102, 0]

    @pytest.mark.parametrize("count", [2, 101, _MANY])
    def test_journeys_on_one_event_are_all_matched_and_told_in_order(
        self, tracker: Any, count: int
    ) -> None:
        names = [f"{'zyx'[number % 3]} {number}" for number in range(count)]
        documents = [
            {"id": name, "status": "active", "trigger": {"event": "order.created"}}
            for name in names
        ]
        tracker.journeys.publish(documents)
        receipt = tracker.track(a_request(), "key")
        assert (receipt.matched_journeys, receipt.enrolled_journeys) == (count, count)
        event = tracker.records.event(receipt.event_id)
        check_same([outcome.journey_id for outcome in event.outcomes], sorted(names))
        check_same([each.journey_id for each in tracker.journeys.list()], sorted(names))
        again = tracker.track(a_request(), "key")
        assert (again, again.replayed) == (receipt, True)


def _many_entries(doors: Doors) -> list[str]:
    """Write events whose times fall as their ids rise; return their Enrollments' ids."""
    facts = [
        facts_of(number, journey_version=1)
        | {"journey_id": _JOURNEYS[number % 3], "trigger": "order.created"}
        | dict.fromkeys(
            ("occurred_at", "received_at", "entered_at", "available_at"),
            _MOMENT - timedelta(seconds=(number * 7919) % _MANY),
        )
        for number in range(_MANY)
    ]
    batches: Sequence[Batch] = [batch_of(each) for each in facts]
    doors.write("default", *batches)
    return [batch.enrollment.enrollment_id for batch in batches if batch.enrollment is not None]


def _give_statuses(enrollments: Any, entered: list[str]) -> None:
    """Complete some, let some die and leave some claimed, of every Journey."""
    leases = [c.lease for c in enrollments.claim(limit=_MANY)]
    check_same(sorted(lease.enrollment_id for lease in leases), sorted(entered))
    by_status = [leases[number::4] for number in range(4)]
    enrollments.complete_many(by_status[0])
    enrollments.release_many(by_status[1], max_attempts=1)
    enrollments.release_many(by_status[2])


def _pages(read: Any, name: str, limit: int, by: dict[str, Any]) -> list[Any]:
    """Read a list page by page until it ends."""
    found: list[Any] = []
    page = read(limit=limit, **by)
    while page:
        ids = [getattr(row, name) for row in page]
        # Each page is below the one before, so the loop ends whatever the storage answers.
        assert len(ids) <= limit
        assert len(found) % limit == 0, "A page that is not full is the last one."
        assert not found or ids[0] < getattr(found[-1], name)
        check_same(ids, sorted(ids, reverse=True))
        found += page
        page = read(limit=limit, before=ids[-1], **by)
    return found

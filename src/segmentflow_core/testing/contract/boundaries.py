"""Boundaries in time, as tests of a storage adapter: just before, at, and just after.

A part of `StorageContract`, whose fixtures it uses. Each is tried at instants where a store
that keeps times in fewer digits, as a double or as text of changing length, is off by one.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from itertools import pairwise, permutations
from typing import Any, Final

import pytest

from segmentflow_core.ports import PriorEntries, Probe
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.doors import Doors, batch_of
from segmentflow_core.testing.contract.entries import claimed_ids, enrol
from segmentflow_core.testing.facts import Facts, facts_of

__all__ = ["BoundaryContract"]

_STEP: Final = timedelta(microseconds=1)
_HOUR: Final = timedelta(hours=1)
_ENDS: Final = (
    datetime(2026, 6, 1, 12, 0, 0, tzinfo=UTC),
    datetime(2026, 6, 1, 12, 0, 0, 123_000, UTC),
    datetime(2026, 6, 1, 12, 0, 0, 123_457, UTC),
    datetime(2001, 9, 9, 1, 46, 40, tzinfo=UTC),
    datetime(1970, 1, 1, tzinfo=UTC),
    datetime(1000, 1, 1, tzinfo=UTC),
    datetime(9000, 1, 1, tzinfo=UTC),
)
"""Whole seconds, whole milliseconds and others; where counts have a digit more, or no sign."""

_AROUND: Final = (-_STEP, timedelta(), _STEP)
_at_every_end: Final = pytest.mark.parametrize("end", _ENDS, ids=datetime.isoformat)


class BoundaryContract:
    """What begins or ends at an instant, one test for each thing that does."""

    @_at_every_end
    def test_a_key_is_taken_until_it_expires_and_no_longer(
        self, new_tracker: Callable[..., Any], end: datetime
    ) -> None:
        clock = FixedClock(end - _HOUR)
        tracker = new_tracker(clock=clock, key_lifetime=_HOUR)
        for number in range(3):
            tracker.track(a_request(), f"{number}")
        replayed: list[bool] = []
        for number, offset in enumerate(_AROUND):
            _set(clock, end + offset)
            replayed.append(tracker.track(a_request(), f"{number}").replayed)
        assert replayed == [True, False, False]

    @_at_every_end
    def test_keys_are_purged_from_the_instant_at_which_they_expire(
        self, new_tracker: Callable[..., Any], end: datetime
    ) -> None:
        clock = FixedClock(end - _HOUR)
        tracker = new_tracker(clock=clock, key_lifetime=_HOUR)
        for offset in _AROUND:
            _set(clock, end - _HOUR + offset)
            tracker.track(a_request(), f"{offset}")
        purged: list[int] = []
        for offset in (-2 * _STEP, timedelta(), timedelta(), _STEP, _HOUR):
            _set(clock, end + offset)
            purged.append(tracker.records.purge_keys())
        assert purged == [0, 2, 0, 1, 0]

    @_at_every_end
    def test_a_lease_holds_until_it_ends_and_no_longer(
        self, new_tracker: Callable[..., Any], end: datetime
    ) -> None:
        """The one that ends first is handed over first."""
        clock = FixedClock(end - _HOUR)
        tracker = new_tracker(clock=clock)
        enrol(tracker, 3)
        held = [
            claimed_ids(tracker.enrollments.claim(limit=1, lease=_HOUR + offset))
            for offset in reversed(_AROUND)
        ]
        handed_over: list[list[str]] = []
        for offset in (-2 * _STEP, -_STEP, timedelta(), _STEP):
            _set(clock, end + offset)
            handed_over.append(claimed_ids(tracker.enrollments.claim()))
        assert handed_over == [[], *reversed(held)]

    @_at_every_end
    def test_an_extended_lease_holds_until_its_new_end(
        self, new_tracker: Callable[..., Any], end: datetime
    ) -> None:
        clock = FixedClock(end - _HOUR)
        tracker = new_tracker(clock=clock)
        enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim(lease=_STEP)
        tracker.enrollments.extend(claimed.lease, by=_HOUR)
        assert _taken_around(tracker, clock, end) == [0, 1]

    @needs("pausing")
    @_at_every_end
    def test_what_an_archiving_withdrew_is_overdue_from_the_instant_at_which_its_lease_ends(
        self, new_tracker: Callable[..., Any], doors: Doors, end: datetime
    ) -> None:
        tracker = new_tracker(clock=FixedClock(end - _HOUR))
        (identifier,) = enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim(lease=_HOUR)
        tracker.journeys.archive(claimed.enrollment.journey_id)
        for offset, overdue in zip(_AROUND, ([], [identifier], [identifier]), strict=True):
            found = doors.ask("pausing", "overdue", "default", end + offset, 9)
            assert [entry.enrollment_id for entry in found] == overdue

    @_at_every_end
    def test_what_was_given_back_is_available_from_the_instant_that_was_said(
        self, new_tracker: Callable[..., Any], end: datetime
    ) -> None:
        clock = FixedClock(end - _HOUR)
        tracker = new_tracker(clock=clock)
        enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim(lease=_STEP)
        tracker.enrollments.release(claimed.lease, delay=_HOUR)
        assert _taken_around(tracker, clock, end) == [0, 1]

    @_at_every_end
    def test_an_entry_is_available_from_the_instant_at_which_it_was_made(
        self, new_tracker: Callable[..., Any], end: datetime
    ) -> None:
        """For a worker whose clock is behind, it is not yet."""
        clock = FixedClock(end)
        tracker = new_tracker(clock=clock)
        enrol(tracker, 1)
        assert _taken_around(tracker, clock, end) == [0, 1]

    @_at_every_end
    def test_what_is_revived_is_available_from_then_on(
        self, new_tracker: Callable[..., Any], end: datetime
    ) -> None:
        clock = FixedClock(end)
        tracker = new_tracker(clock=clock)
        (identifier,) = enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim(max_attempts=1)
        tracker.enrollments.release(claimed.lease, max_attempts=1)
        tracker.enrollments.revive(identifier)
        assert _taken_around(tracker, clock, end) == [0, 1]

    @_at_every_end
    def test_what_is_available_longest_comes_first_by_a_microsecond(
        self, doors: Doors, new_tracker: Callable[..., Any], end: datetime
    ) -> None:
        """Then the lower id; and its id does not come before its instant."""
        offsets = (_STEP, _STEP, timedelta(), timedelta(), -_STEP, -999 * _STEP, -_HOUR)
        batches = [
            batch_of(facts_of(number, available_at=end + offset))
            for number, offset in enumerate(offsets)
        ]
        doors.write("default", *batches)
        tracker = new_tracker(clock=FixedClock(end + _HOUR))
        taken = [claimed_ids(tracker.enrollments.claim(limit=1)) for _ in batches]
        entries = [batch.enrollment for batch in batches if batch.enrollment is not None]
        by_instant = sorted(entries, key=lambda entry: (entry.available_at, entry.enrollment_id))
        assert taken == [[entry.enrollment_id] for entry in by_instant]

    @_at_every_end
    def test_a_cooldown_ends_at_its_instant(
        self, new_tracker: Callable[..., Any], end: datetime
    ) -> None:
        clock = FixedClock(end - _HOUR)
        tracker = new_tracker(clock=clock)
        tracker.journeys.publish([a_journey(reentry={"policy": "cooldown", "duration": "PT1H"})])
        enrolled: list[int] = []
        for number, offset in enumerate((-_HOUR, -_STEP, timedelta(), _HOUR - _STEP, _HOUR)):
            _set(clock, end + offset)
            enrolled.append(tracker.track(a_request(), f"{number}").enrolled_journeys)
        assert enrolled == [1, 0, 1, 0, 1]

    @_at_every_end
    def test_the_latest_of_entries_a_microsecond_apart_is_told(
        self, doors: Doors, end: datetime
    ) -> None:
        """In whatever order they were written, and of those before an event of each number."""
        probes: dict[Probe, PriorEntries] = {}
        for number, offsets in enumerate(permutations(_AROUND)):
            facts = facts_of(number)
            batches = [
                batch_of({**facts, **_later(number, place), "entered_at": end + offset})
                for place, offset in enumerate(offsets)
            ]
            doors.write("default", batches[0])
            for before, after in pairwise(batches):
                doors.rewrite("default", [before], [after], enters=True)
            pair = (facts["journey_id"], facts["profile_id"])
            for earlier in (1, 2, 3, 4, None):
                counted = offsets if earlier is None else offsets[: earlier - 1]
                latest = max((end + offset for offset in counted), default=None)
                probes[Probe(*pair, None, earlier)] = PriorEntries(latest)
        assert doors.ask("tracking", "prior_entries", "default", [*probes]) == probes

    @_at_every_end
    def test_a_property_is_overwritten_by_what_occurred_at_the_same_instant_or_later(
        self, new_tracker: Callable[..., Any], end: datetime
    ) -> None:
        tracker = new_tracker(clock=FixedClock(end + _HOUR))
        plans: list[Any] = []
        for number, offset in enumerate((timedelta(), -_STEP, timedelta(), _STEP, timedelta())):
            who = {"email": "a@example.com", "properties": {"n": number}}
            moment = (end + offset).isoformat()
            receipt = tracker.track(a_request(profile=who, occurredAt=moment), f"{number}")
            plans.append(tracker.records.profile(receipt.profile_id).properties["n"])
        assert plans == [0, 0, 2, 3, 3]


def _later(number: int, place: int) -> Facts:
    """Return the facts that another event of a Profile does not share with its first one."""
    fresh = facts_of(100 * (number + 1) + place)
    names = ("event_id", "enrollment_id", "key_digest")
    return {**{name: fresh[name] for name in names}, "number": place + 1}


def _set(clock: FixedClock, moment: datetime) -> None:
    clock.advance(microseconds=(moment - clock.now()) // _STEP)


def _taken_around(tracker: Any, clock: FixedClock, end: datetime) -> list[int]:
    """Say how many a claim just before an instant takes, and how many one at it."""
    taken: list[int] = []
    for offset in (-_STEP, timedelta()):
        _set(clock, end + offset)
        taken.append(len(tracker.enrollments.claim()))
    return taken

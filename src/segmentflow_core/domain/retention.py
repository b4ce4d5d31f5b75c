"""What retention removes, and what it leaves: values, and the rules over them.

Knows events and Enrollments. Must never know how a store finds the old ones.

See docs/reference/rules/retention.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta

from attrs import evolve, frozen

from segmentflow_core.domain.event import Enrollment, UserEvent
from segmentflow_core.domain.hand_over import FINISHED_STATUSES

__all__ = [
    "EventPlace",
    "GoneEvents",
    "RemovedEnrollments",
    "RemovedEvents",
    "finished_at",
    "gone_events",
    "joined",
    "longer_ago_than",
]


@frozen
class EventPlace:
    """A place among an Organization's events, which are looked at by receipt and then by id.

    Attributes:
        received_at: of the event that was looked at last.
        event_id: its id.
    """

    received_at: datetime
    event_id: str


@frozen
class RemovedEvents:
    """What became of the next of the old events.

    Attributes:
        removed: how many went.
        held: how many stay, since an Enrollment that is not finished refers to them.
        place: where to go on; None where none was left to be looked at.
    """

    removed: int
    held: int
    place: EventPlace | None


@frozen
class RemovedEnrollments:
    """What became of the next of the finished Enrollments.

    Attributes:
        removed: how many went.
        entries: how many of these left an entry that re-entry needs.
    """

    removed: int
    entries: int


@frozen
class GoneEvents:
    """What is left of the events of one name that retention removed of one Profile.

    Attributes:
        profile_id: whose events they were, as recorded.
        event: their name.
        count: how many went.
        last_occurred_at: the latest time that any of them occurred at.
        highest_number: the highest number that any of them had.
    """

    profile_id: str
    event: str
    count: int
    last_occurred_at: datetime
    highest_number: int


def longer_ago_than(length: timedelta | None, now: datetime) -> datetime | None:
    """Return the instant that what is longer ago than `length` came before; None for no length."""
    if length is None:
        return None
    try:
        return now - length
    except OverflowError:  # before the first year there is nothing
        return datetime.min.replace(tzinfo=UTC)


def finished_at(enrollment: Enrollment) -> datetime | None:
    """Return when an Enrollment was completed or withdrawn; None of one that is not finished."""
    if enrollment.status not in FINISHED_STATUSES:
        return None
    return enrollment.completed_at or enrollment.withdrawn_at


def gone_events(removed: Iterable[UserEvent]) -> list[GoneEvents]:
    """Return what events leave that go together, sorted by Profile and name."""
    left: dict[tuple[str, str], GoneEvents] = {}
    for event in removed:
        one = GoneEvents(event.profile_id, event.event, 1, event.occurred_at, event.number)
        of = (event.profile_id, event.event)
        known = left.get(of)
        left[of] = one if known is None else joined(known, one)
    return [left[of] for of in sorted(left)]


def joined(one: GoneEvents, other: GoneEvents) -> GoneEvents:
    """Return what two removals of events of one name and Profile leave together."""
    return evolve(
        one,
        count=one.count + other.count,
        last_occurred_at=max(one.last_occurred_at, other.last_occurred_at),
        highest_number=max(one.highest_number, other.highest_number),
    )

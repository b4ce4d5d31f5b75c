"""How often Journeys matched, enrolled and skipped in a period, and what became of the entries.

Knows events and Enrollments that were read. Must never know how they are read, nor what time it
is.

See docs/reference/rules/journey-stats.md.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from datetime import UTC, date, datetime

from attrs import define, field, frozen

from segmentflow_core.domain.event import (
    SKIP_REASONS,
    Enrollment,
    EnrollmentStatus,
    SkipReason,
    UserEvent,
)
from segmentflow_core.domain.journey import Journey, JourneyStatus

__all__ = ["JourneyCounts", "JourneyDay", "JourneyStats", "JourneyTally"]


@frozen
class JourneyDay:
    """What became of the events of one day that a Journey matched.

    Attributes:
        day: the day in UTC.
        enrolled: how many of its events enrolled their Profile.
        skipped: how many did not, by the reason, in the order the rules are applied.
    """

    day: date
    enrolled: int
    skipped: Mapping[SkipReason, int]


@frozen
class JourneyCounts:
    """What became of the events that one Journey matched.

    Attributes:
        journey_id: the Journey.
        name: its name today.
        status: its status today.
        matched: how many events of the period it matched.
        enrolled: how many of them enrolled their Profile.
        skipped: how many did not, by the reason, in the order the rules are applied.
        enrollments: how many Enrollments entered in the period, by each status, as it is today.
        waiting: how many Enrollments, of any period, are pending, or claimed with a lease that
            has run out.
        oldest_waiting: since when the one of these may be handed over that waits the longest;
            None where none may be yet.
        days: the same for each day of the period on which it matched anything, in order.
    """

    journey_id: str
    name: str
    status: JourneyStatus
    matched: int
    enrolled: int
    skipped: Mapping[SkipReason, int]
    enrollments: Mapping[EnrollmentStatus, int]
    waiting: int
    oldest_waiting: datetime | None
    days: tuple[JourneyDay, ...] = ()


@frozen
class JourneyStats:
    """The counts of Journeys over a period of receipt.

    Attributes:
        since: where the period starts that the counts are of.
        until: where it ends, itself excluded.
        cut: whether it starts later than what was asked for, because only so many records are
            looked at.
        events: how many events were received in the period.
        waiting_cut: whether more Enrollments wait than were looked at: there are at least as
            many as each `JourneyCounts.waiting` says, and an older one may be among the others.
        at: when it was counted.
        journeys: one for each Journey that was asked about, sorted by Journey id.
    """

    since: datetime
    until: datetime
    cut: bool
    events: int
    waiting_cut: bool
    at: datetime
    journeys: tuple[JourneyCounts, ...]


@define
class JourneyTally:
    """Counts what is read, one record after another.

    Args:
        now: what may be handed over by then has to wait.
    """

    now: datetime
    _outcomes: dict[str, dict[date, Counter[SkipReason | None]]] = field(factory=dict, init=False)
    _entries: list[tuple[str, EnrollmentStatus, datetime]] = field(factory=list, init=False)
    _waiting: Counter[str] = field(factory=Counter, init=False)
    _oldest: dict[str, datetime] = field(factory=dict, init=False)

    def add_event(self, event: UserEvent) -> None:
        """Count the outcomes of an event of the period."""
        day = event.received_at.astimezone(UTC).date()
        for each in event.outcomes:
            days = self._outcomes.setdefault(each.journey_id, {})
            days.setdefault(day, Counter())[each.reason] += 1

    def add_entry(self, entry: Enrollment) -> None:
        """Keep an Enrollment that may have entered in the period."""
        self._entries.append((entry.journey_id, entry.status, entry.entered_at))

    def add_waiting(self, enrollment: Enrollment) -> None:
        """Count an Enrollment that is pending, or claimed with a lease that has run out.

        One of an archived Journey waits no more.
        """
        if enrollment.archived_at is not None:
            return
        whose, since = enrollment.journey_id, enrollment.waits_until
        due = since <= self.now
        if due or enrollment.status is EnrollmentStatus.PENDING:
            self._waiting[whose] += 1
        if due:
            self._oldest[whose] = min(self._oldest.get(whose, since), since)

    def counts(
        self, journeys: Sequence[Journey], since: datetime, until: datetime
    ) -> tuple[JourneyCounts, ...]:
        """Return the counts of these Journeys; of the Enrollments, those of the period."""
        entered = Counter(
            (whose, status) for whose, status, at in self._entries if since <= at < until
        )
        return tuple(self._of(journey, entered) for journey in journeys)

    def _of(
        self, journey: Journey, entered: Counter[tuple[str, EnrollmentStatus]]
    ) -> JourneyCounts:
        whose, definition = journey.journey_id, journey.definition
        days = self._outcomes.get(whose, {})
        total = sum(days.values(), Counter[SkipReason | None]())
        skipped = _skipped(total)
        return JourneyCounts(
            whose,
            definition.name,
            definition.status,
            total[None] + sum(skipped.values()),
            total[None],
            skipped,
            {status: entered[whose, status] for status in EnrollmentStatus},
            self._waiting[whose],
            self._oldest.get(whose),
            tuple(JourneyDay(day, days[day][None], _skipped(days[day])) for day in sorted(days)),
        )


def _skipped(counts: Counter[SkipReason | None]) -> dict[SkipReason, int]:
    return {reason: counts[reason] for reason in SKIP_REASONS if counts[reason]}

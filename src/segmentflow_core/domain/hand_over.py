"""Handing Enrollments over to workers: the outbox and its rules, as pure functions.

Knows statuses, leases, attempts and the token by which a late finisher is refused. Must
never know what a worker does with an Enrollment, nor how a store keeps the queue.

A worker holds the lease from its claim until it releases the Enrollment or another worker
claims it. The lease may run out in between: then others may claim the Enrollment, and
until one does, the holder can still finish.

A Journey that is not active has its queue stand still. What waits in one that is archived is
withdrawn, whatever its row still says, see `archived`.

See docs/reference/rules/hand-over.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from datetime import datetime
from itertools import islice
from typing import Any, Final, TypeAlias
from zlib import crc32

from attrs import evolve, frozen

from segmentflow_core.domain.event import Enrollment, EnrollmentStatus, UserEvent

__all__ = [
    "AVAILABLE_STATUSES",
    "ENROLLMENT_STATUSES",
    "FINISHED_STATUSES",
    "MAX_FAILURE",
    "ClaimTerms",
    "ClaimedEnrollment",
    "EnrollmentChange",
    "Found",
    "Lease",
    "ReleaseTerms",
    "archived",
    "cancelled",
    "completed",
    "deal",
    "extended",
    "failure_text",
    "followed",
    "handed_over",
    "released",
    "revived",
    "withdrawn",
]

ENROLLMENT_STATUSES: Final[dict[EnrollmentStatus, str]] = {
    EnrollmentStatus.PENDING: "Waits for a worker, from `available_at` on.",
    EnrollmentStatus.CLAIMED: "A worker has it; available to others once its lease has run out.",
    EnrollmentStatus.COMPLETED: "A worker completed it, once and for all.",
    EnrollmentStatus.DEAD: "Its attempts are used up; handed over again only when revived.",
    EnrollmentStatus.WITHDRAWN: "It was withdrawn before a worker completed it, once and for all.",
}
"""Every status an Enrollment can have, with its explanation."""

AVAILABLE_STATUSES: Final = frozenset({EnrollmentStatus.PENDING, EnrollmentStatus.CLAIMED})
"""The statuses that are handed over from `available_at` on; a lease moves that to its end."""

FINISHED_STATUSES: Final = frozenset({EnrollmentStatus.COMPLETED, EnrollmentStatus.WITHDRAWN})
"""The statuses that nothing changes any more. An Enrollment with another one keeps its event."""

MAX_FAILURE: Final = 1_000
"""How many characters of a failure are kept."""

_UNSTORABLE: Final = re.compile("[\0\ud800-\udfff]")


@frozen
class Lease:
    """What a worker shows to finish an Enrollment it has claimed.

    Attributes:
        organization_id: whose Enrollment it is.
        enrollment_id: the Enrollment.
        token: the token of the claim that handed it over.
    """

    organization_id: str
    enrollment_id: str
    token: str


@frozen
class ClaimTerms:
    """What a worker asks for, and what its claim writes.

    Attributes:
        organization_id: the Organization to take from; None for all.
        journey_id: the Journey to take from; None for all.
        limit: how many Enrollments at most.
        now: when it asks.
        lease_until: when its lease on each of them runs out.
        token: new for each claim.
        max_attempts: an Enrollment handed over this often already becomes dead instead.
    """

    organization_id: str | None
    journey_id: str | None
    limit: int
    now: datetime
    lease_until: datetime
    token: str
    max_attempts: int

    @property
    def turn(self) -> int:
        """Return a number that, modulo the number of Organizations, says which is first.

        It differs from claim to claim, so no Organization is always the last, even when each
        claim takes few Enrollments.
        """
        return crc32(self.token.encode())


@frozen
class ReleaseTerms:
    """What a worker says when it gives Enrollments back.

    Attributes:
        now: when it gives them back.
        available_at: they are not handed over before this instant.
        max_attempts: a failed attempt that is the last one allowed makes an Enrollment dead.
        failed: whether the attempt counts.
        error: the failure in words, at most 1,000 characters; None leaves the earlier ones.
    """

    now: datetime
    available_at: datetime
    max_attempts: int
    failed: bool
    error: str | None = None


@frozen
class ClaimedEnrollment:
    """An Enrollment as handed over to a worker, with what its work needs.

    Attributes:
        organization_id: whose it is.
        enrollment: as the claim wrote it, with attempts, lease and token.
        event: the UserEvent that caused it, redacted.
    """

    organization_id: str
    enrollment: Enrollment
    event: UserEvent

    @property
    def lease(self) -> Lease:
        """Return the lease that completes, extends or releases it."""
        token = self.enrollment.token
        assert token is not None
        return Lease(self.organization_id, self.enrollment.enrollment_id, token)

    @property
    def state(self) -> Mapping[str, Any]:
        """Return the state document that templates read: ``/event/…`` and ``/profile/…``."""
        return {"event": self.event.data, "profile": self.event.profile}


Found: TypeAlias = tuple[str, Enrollment]
"""An Enrollment as it is stored, behind the id of its Organization."""


@frozen
class EnrollmentChange:
    """What one call of the hand-over makes of one Enrollment.

    Attributes:
        organization_id: whose it is.
        before: as it was found.
        after: as it is to be stored; of `before`, only what the hand-over decides is changed.
    """

    organization_id: str
    before: Enrollment
    after: Enrollment


def deal(waiting: Iterable[Found], terms: ClaimTerms) -> list[EnrollmentChange]:
    """Decide what a claim takes of what waits, and what becomes of it.

    Within an Organization, what has been available longest comes first, then the lower id. Of
    several Organizations each gives its first, then each its second, and so on; they take turns in
    a circle sorted by id, from number `terms.turn` modulo how many have something available.

    Args:
        waiting: of active Journeys, in any order. What the claim may not have is passed over. At
            least the first `terms.limit` of each Organization that are available, or just what is
            dealt.
        terms: what is asked for.
    """
    queues: dict[str, list[Enrollment]] = {}
    for organization_id, enrollment in waiting:
        if _may_take(organization_id, enrollment, terms):
            queues.setdefault(organization_id, []).append(enrollment)
    if not queues:
        return []
    names = sorted(queues)
    first = terms.turn % len(names)
    circle = [(name, sorted(queues[name], key=_place)) for name in names[first:] + names[:first]]
    longest = max(map(len, queues.values()))
    rounds = (
        (organization_id, queue[rank])
        for rank in range(longest)
        for organization_id, queue in circle
        if rank < len(queue)
    )
    return [
        EnrollmentChange(organization_id, enrollment, handed_over(enrollment, terms))
        for organization_id, enrollment in islice(rounds, terms.limit)
    ]


def _may_take(organization_id: str, enrollment: Enrollment, terms: ClaimTerms) -> bool:
    return (
        enrollment.status in AVAILABLE_STATUSES
        and enrollment.archived_at is None
        and terms.organization_id in (None, organization_id)
        and terms.journey_id in (None, enrollment.journey_id)
        and enrollment.waits_until <= terms.now
    )


def _place(enrollment: Enrollment) -> tuple[datetime, str]:
    return enrollment.waits_until, enrollment.enrollment_id


def handed_over(enrollment: Enrollment, terms: ClaimTerms) -> Enrollment:
    """Return an available Enrollment as claimed, or as dead where its attempts are used up.

    A dead one keeps its lease: its last holder may have done the work and still complete it. One
    that an event cancelled while a worker held it is withdrawn: nobody holds it any more.
    """
    if enrollment.cancelled_by is not None:
        return _ended(enrollment, terms.now)
    if enrollment.attempts >= terms.max_attempts:
        return evolve(enrollment, status=EnrollmentStatus.DEAD)
    return evolve(
        enrollment,
        status=EnrollmentStatus.CLAIMED,
        available_at=terms.lease_until,
        attempts=enrollment.attempts + 1,
        lease_until=terms.lease_until,
        token=terms.token,
    )


def completed(enrollment: Enrollment, token: str, now: datetime) -> Enrollment | None:
    """Return the Enrollment as completed, or None where `token` does not hold it.

    A second completion with the same token changes nothing.
    """
    if enrollment.token != token:
        return None
    if enrollment.status is EnrollmentStatus.COMPLETED:
        return enrollment
    if enrollment.lease_until is None:
        return None
    return evolve(
        enrollment,
        status=EnrollmentStatus.COMPLETED,
        lease_until=None,
        completed_at=now,
        last_failure=None,
        cancellers=None,
        archived_at=None,
    )


def failure_text(error: str) -> str | None:
    """Return what is kept of a failure in words: None where it has none.

    A failure may say anything, and giving the Enrollment back matters more. So what is longer
    is cut, and U+FFFD replaces what not every store can hold: U+0000 and lone surrogates.
    """
    return _UNSTORABLE.sub("\ufffd", error[:MAX_FAILURE]) or None


def released(
    enrollment: Enrollment,
    token: str,
    available_at: datetime,
    max_attempts: int,
    *,
    failed: bool,
    error: str | None = None,
    now: datetime | None = None,
) -> Enrollment | None:
    """Return the Enrollment as given back, or None where `token` does not hold it.

    A failure keeps the attempt counted; when no attempt is left, the Enrollment is dead.
    Without a failure the attempt is not counted. A second release with the same token
    changes nothing. Without an `error`, the words of an earlier failure stay. One that an event
    cancelled meanwhile is withdrawn, at `now`; by default when it would be available. What else is
    given back to a Journey that was archived meanwhile is withdrawn, as `archived` says.
    """
    if enrollment.token != token or enrollment.status is EnrollmentStatus.COMPLETED:
        return None
    if enrollment.lease_until is None:
        return enrollment
    is_cancelled = enrollment.cancelled_by is not None
    status = EnrollmentStatus.PENDING
    if is_cancelled:
        status = EnrollmentStatus.WITHDRAWN
    elif failed and enrollment.attempts >= max_attempts:
        status = EnrollmentStatus.DEAD
    given_back = evolve(
        enrollment,
        status=status,
        available_at=available_at,
        attempts=enrollment.attempts - (not failed),
        lease_until=None,
        last_failure=enrollment.last_failure if error is None else error,
        withdrawn_at=(now or available_at) if is_cancelled else None,
        cancellers=None if is_cancelled else enrollment.cancellers,
        archived_at=None if is_cancelled else enrollment.archived_at,
    )
    return _left_waiting(given_back)


def extended(enrollment: Enrollment, token: str, lease_until: datetime) -> Enrollment | None:
    """Return the Enrollment with its lease ending later, or None where `token` does not hold it."""
    if enrollment.token != token or enrollment.lease_until is None:
        return None
    return evolve(
        enrollment,
        status=EnrollmentStatus.CLAIMED,
        available_at=lease_until,
        lease_until=lease_until,
    )


def revived(enrollment: Enrollment, now: datetime) -> Enrollment | None:
    """Return a dead Enrollment as pending, with no attempt counted; None if it is not dead.

    One whose Journey was archived after it entered stays dead: it would be withdrawn.
    """
    if enrollment.status is not EnrollmentStatus.DEAD or enrollment.archived_at is not None:
        return None
    return evolve(
        enrollment,
        status=EnrollmentStatus.PENDING,
        available_at=now,
        attempts=0,
        lease_until=None,
        token=None,
        last_failure=None,
    )


def withdrawn(enrollment: Enrollment, now: datetime) -> Enrollment | None:
    """Return an Enrollment that is not finished as withdrawn; None if it is.

    Whoever holds a lease on it has lost it.
    """
    if enrollment.status in FINISHED_STATUSES:
        return None
    return _ended(enrollment, now)


def _ended(enrollment: Enrollment, now: datetime) -> Enrollment:
    return evolve(
        enrollment,
        status=EnrollmentStatus.WITHDRAWN,
        lease_until=None,
        token=None,
        withdrawn_at=now,
        cancellers=None,
        archived_at=None,
    )


def cancelled(
    enrollment: Enrollment, event_id: str, now: datetime, leases_at: datetime | None = None
) -> Enrollment | None:
    """Return an Enrollment as an event that cancels it leaves it; None where nothing changes.

    It is withdrawn, unless a worker's lease on it has not run out: then it is marked. The event
    that cancelled it first is the one that it keeps.

    Args:
        enrollment: as it is stored.
        event_id: the event.
        now: when that was received.
        leases_at: the same instant by the clock that leases go by, if that is another one.
    """
    if enrollment.status in FINISHED_STATUSES:
        return None
    marked = enrollment
    if enrollment.cancelled_by is None:
        marked = evolve(enrollment, cancelled_by=event_id)
    # A dead one was found without a live lease, maybe by a clock that is ahead of this one.
    is_dead = enrollment.status is EnrollmentStatus.DEAD
    if is_dead or enrollment.lease_until is None or enrollment.lease_until <= (leases_at or now):
        return _ended(marked, now)
    return None if marked is enrollment else marked


def archived(enrollment: Enrollment, era: int, archived_at: datetime | None) -> Enrollment:
    """Return a stored Enrollment as its Journey leaves it, which is how everybody reads it.

    Where the Journey was archived after it entered, a pending one is withdrawn since then. One
    that a worker holds stays with the worker, and a dead one stays dead: `archived_at` tells what
    becomes of either once it is given back.

    Args:
        enrollment: as its row says.
        era: of its Journey as it stands.
        archived_at: of its Journey as it stands.
    """
    if enrollment.era >= era or enrollment.status in FINISHED_STATUSES:
        return enrollment
    return _left_waiting(evolve(enrollment, archived_at=archived_at))


def _left_waiting(enrollment: Enrollment) -> Enrollment:
    """Return an Enrollment that waits as withdrawn, where the archiving of its Journey did it.

    It keeps its token, so that its holder may give it back twice.
    """
    at = enrollment.archived_at
    if at is None or enrollment.status is not EnrollmentStatus.PENDING:
        return enrollment
    return evolve(
        enrollment,
        status=EnrollmentStatus.WITHDRAWN,
        withdrawn_at=at,
        cancellers=None,
        archived_at=None,
    )


def followed(enrollment: Enrollment) -> Enrollment:
    """Return an Enrollment that its Journey's archiving left without a worker, to be stored.

    It waits, and `archived` shows it as withdrawn; or whoever held it let the lease run out.
    """
    if enrollment.archived_at is None:
        return enrollment
    return _left_waiting(evolve(enrollment, status=EnrollmentStatus.PENDING, lease_until=None))

"""Handing Enrollments over: claim, complete, release, extend, revive.

Knows who is refused and why. `domain.hand_over` says what each call does to an Enrollment.
The store guarantees atomicity under concurrent callers.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from segmentflow_core.colour import settle
from segmentflow_core.domain.audit import AuditAction
from segmentflow_core.domain.event import Enrollment, EnrollmentStatus
from segmentflow_core.domain.hand_over import (
    ClaimedEnrollment,
    ClaimTerms,
    EnrollmentChange,
    Lease,
    ReleaseTerms,
    withdrawn,
)
from segmentflow_core.domain.identifier import is_id
from segmentflow_core.errors import LeaseLost, NotFound, SegmentflowError
from segmentflow_core.ports import Transaction
from segmentflow_core.usecases.audit import Actor, keep_record
from segmentflow_core.usecases.stepwise import hand_over_of

__all__ = [
    "claim_enrollments",
    "complete_enrollments",
    "extend_enrollments",
    "release_enrollments",
    "revive_enrollments",
    "withdraw_enrollments",
]


async def claim_enrollments(transaction: Transaction, terms: ClaimTerms) -> list[ClaimedEnrollment]:
    """Claim available Enrollments, sorted by id.

    Those without attempts left become dead, those that were cancelled meanwhile are withdrawn.
    """
    hand_over = hand_over_of(transaction)
    while True:
        taken = await settle(hand_over.claim(terms))
        claimed = [c for c in taken if c.enrollment.status is EnrollmentStatus.CLAIMED]
        # An empty answer says that nothing is available, not that the first ones have ended.
        if claimed or len(taken) < terms.limit:
            return sorted(claimed, key=lambda c: c.enrollment.enrollment_id)


async def complete_enrollments(
    transaction: Transaction, leases: Sequence[Lease], now: datetime
) -> list[Enrollment | SegmentflowError]:
    """Complete what the leases hold; one Enrollment or refusal per lease, in order."""
    done = await settle(hand_over_of(transaction).complete(_ordered(leases), now))
    return await _answers(transaction, leases, done)


async def release_enrollments(
    transaction: Transaction,
    leases: Sequence[Lease],
    terms: ReleaseTerms,
) -> list[Enrollment | SegmentflowError]:
    """Give back what the leases hold; one Enrollment or refusal per lease, in order."""
    done = await settle(hand_over_of(transaction).release(_ordered(leases), terms))
    return await _answers(transaction, leases, done)


async def extend_enrollments(
    transaction: Transaction, leases: Sequence[Lease], lease_until: datetime
) -> list[Enrollment | SegmentflowError]:
    """Let the leases end later; one Enrollment or refusal per lease, in order."""
    done = await settle(hand_over_of(transaction).extend(_ordered(leases), lease_until))
    return await _answers(transaction, leases, done)


async def revive_enrollments(
    transaction: Transaction, organization_id: str, enrollment_ids: Sequence[str], now: datetime
) -> list[Enrollment | SegmentflowError]:
    """Make dead Enrollments available again; others do not change."""
    ids = sorted(set(filter(is_id, enrollment_ids)))
    done = await settle(hand_over_of(transaction).revive(organization_id, ids, now))
    answers: list[Enrollment | SegmentflowError] = []
    for enrollment_id in enrollment_ids:
        enrollment = done.get(enrollment_id)
        if enrollment is None and is_id(enrollment_id):
            enrollment = await settle(transaction.enrollments.get(organization_id, enrollment_id))
        answers.append(NotFound() if enrollment is None else enrollment)
    return answers


async def withdraw_enrollments(
    transaction: Transaction, organization_id: str, enrollment_ids: Sequence[str], actor: Actor
) -> list[Enrollment | SegmentflowError]:
    """Withdraw Enrollments that are not finished, by hand, and keep a record of it."""
    named = [(organization_id, each) for each in sorted(set(filter(is_id, enrollment_ids)))]
    locked = await settle(transaction.hand_over.lock(named)) if named else ()
    stored = {enrollment.enrollment_id: enrollment for _, enrollment in locked}
    changes: list[EnrollmentChange] = []
    for enrollment_id in sorted(stored):
        before = stored[enrollment_id]
        after = withdrawn(before, actor.now)
        if after is not None:
            changes.append(EnrollmentChange(organization_id, before, after))
            stored[enrollment_id] = after
    if changes:
        await settle(transaction.hand_over.save(changes))
        await keep_record(
            transaction,
            organization_id,
            actor,
            AuditAction.ENROLLMENTS_WITHDRAWN,
            *(change.after.enrollment_id for change in changes),
            withdrawn=len(changes),
        )
    return [stored.get(enrollment_id) or NotFound() for enrollment_id in enrollment_ids]


def _ordered(leases: Sequence[Lease]) -> list[Lease]:
    """Return each lease once, in the one order in which every transaction locks them."""
    possible = {lease for lease in leases if is_id(lease.enrollment_id) and is_id(lease.token)}
    return sorted(possible, key=lambda lease: (lease.organization_id, lease.enrollment_id))


async def _answers(
    transaction: Transaction, leases: Sequence[Lease], done: Mapping[Lease, Enrollment]
) -> list[Enrollment | SegmentflowError]:
    answers: list[Enrollment | SegmentflowError] = []
    for lease in leases:
        enrollment = done.get(lease)
        answers.append(await _refusal(transaction, lease) if enrollment is None else enrollment)
    return answers


async def _refusal(transaction: Transaction, lease: Lease) -> SegmentflowError:
    if not is_id(lease.enrollment_id):
        return NotFound()
    found = await settle(transaction.enrollments.get(lease.organization_id, lease.enrollment_id))
    return NotFound() if found is None else LeaseLost()

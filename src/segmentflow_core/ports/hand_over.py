"""What handing Enrollments over to workers needs of a store."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.event import Enrollment
from segmentflow_core.domain.hand_over import (
    AVAILABLE_STATUSES,
    FINISHED_STATUSES,
    ClaimedEnrollment,
    ClaimTerms,
    EnrollmentChange,
    Found,
    Lease,
    ReleaseTerms,
    archived,
    completed,
    deal,
    extended,
    handed_over,
    released,
    revived,
)

__all__ = [
    "AVAILABLE_STATUSES",
    "FINISHED_STATUSES",
    "ClaimTerms",
    "ClaimedEnrollment",
    "EnrollmentChange",
    "Found",
    "HandOverRepository",
    "Lease",
    "QuickHandOverRepository",
    "ReleaseTerms",
    "archived",
    "completed",
    "deal",
    "extended",
    "handed_over",
    "released",
    "revived",
]


class HandOverRepository(Protocol):
    """Enrollments as an outbox: what the core needs to hand them over by its own rules.

    An Enrollment is available when its status is one of `AVAILABLE_STATUSES` and its
    `waits_until` is not after now; a claim moves that to the end of the lease, so one ordered
    index of the available ones answers every claim. A call of the core's is one transaction:
    it locks or asks what waits, decides, and saves. Which Enrollments a claim takes, `deal` says.

    No two transactions may act on one Enrollment at once: what waits is passed over where
    another transaction is changing it, and `lock` waits for it.

    A store may have each call as a method of its own as well, see `QuickHandOverRepository`.
    """

    def waiting(self, terms: ClaimTerms, /) -> MaybeAwaitable[Iterable[Found]]:
        """Return what waits for a worker, in any order, locked until the transaction ends.

        At least the first `terms.limit` available ones of each Organization, by `waits_until`,
        then by id; of one Organization or Journey alone, where `terms` names it. More are
        passed over, so a small store may return every Enrollment it has. One that knows how to
        deal may return just what it would deal.
        """
        ...

    def lock(self, named: Sequence[tuple[str, str]], /) -> MaybeAwaitable[Iterable[Found]]:
        """Return those of the Enrollments that there are, in any order.

        They are locked, in the order given, until the transaction ends; what is returned is what
        is stored after any wait.

        Args:
            named: pairs of Organization and Enrollment id, sorted, each once.
        """
        ...

    def save(self, changes: Sequence[EnrollmentChange], /) -> MaybeAwaitable[None]:
        """Store Enrollments that this transaction has locked, each once.

        Args:
            changes: sorted by Organization and Enrollment id.
        """
        ...


class QuickHandOverRepository(Protocol):
    """What a `HandOverRepository` may have as well: each call by itself, all five or none.

    What each makes of an Enrollment is a pure function: `handed_over`, `completed`,
    `released`, `extended`, `revived`.
    """

    def claim(self, terms: ClaimTerms, /) -> MaybeAwaitable[Sequence[ClaimedEnrollment]]:
        """Hand over what `deal` says, and return it in any order.

        Those whose attempts are used up are returned as well, dead, and those that an event
        cancelled while a worker held them, withdrawn; they count towards the limit.

        Args:
            terms: what is asked for, and what the claim marks.
        """
        ...

    def complete(
        self, leases: Sequence[Lease], now: datetime, /
    ) -> MaybeAwaitable[Mapping[Lease, Enrollment]]:
        """Complete what the leases hold; return what was completed.

        Args:
            leases: of whatever Organizations, sorted by Organization and Enrollment id, each
                once; so below.
            now: when they are completed.

        Returns:
            The Enrollments as completed, by lease. A lease that holds nothing has none.
        """
        ...

    def release(
        self,
        leases: Sequence[Lease],
        terms: ReleaseTerms,
        /,
    ) -> MaybeAwaitable[Mapping[Lease, Enrollment]]:
        """Give back what the leases hold, as failed or not; return what was given back.

        Args:
            leases: of whatever Organizations.
            terms: what becomes of them. One that an event cancelled meanwhile is withdrawn.
        """
        ...

    def extend(
        self, leases: Sequence[Lease], lease_until: datetime, /
    ) -> MaybeAwaitable[Mapping[Lease, Enrollment]]:
        """Extend the leases whose token holds; return their Enrollments.

        Args:
            leases: of whatever Organizations.
            lease_until: their new end.
        """
        ...

    def revive(
        self, organization_id: str, enrollment_ids: Sequence[str], now: datetime, /
    ) -> MaybeAwaitable[Mapping[str, Enrollment]]:
        """Make dead Enrollments available from now on; return those, by id.

        Args:
            organization_id: whose Enrollments.
            enrollment_ids: sorted, each once.
            now: from when on they are available.
        """
        ...

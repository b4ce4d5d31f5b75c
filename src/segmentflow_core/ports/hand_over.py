"""What handing Enrollments over to workers needs of a store."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.event import Enrollment
from segmentflow_core.domain.hand_over import (
    AVAILABLE_STATUSES,
    ClaimedEnrollment,
    ClaimTerms,
    Lease,
    completed,
    extended,
    handed_over,
    released,
    revived,
)

__all__ = [
    "AVAILABLE_STATUSES",
    "ClaimTerms",
    "ClaimedEnrollment",
    "HandOverRepository",
    "Lease",
    "completed",
    "extended",
    "handed_over",
    "released",
    "revived",
]


class HandOverRepository(Protocol):
    """Enrollments as an outbox: one exchange for each call, whatever the batch's size.

    An Enrollment is available when its status is one of `AVAILABLE_STATUSES` and its
    `available_at` is not after now; a claim moves `available_at` to the end of the lease,
    so one ordered index of the available ones answers every claim. What each call does to
    an Enrollment is a pure function of the same name here: `handed_over`, `completed`,
    `released`, `extended`, `revived`. A store may call it, or say the same in one statement.

    No two transactions may act on one Enrollment at once: a claim passes over what another
    transaction is changing, the other calls wait for it.
    """

    def claim(self, terms: ClaimTerms) -> MaybeAwaitable[Sequence[ClaimedEnrollment]]:
        """Hand over at most `limit` available Enrollments, and return them in any order.

        Where an Organization or a Journey is given, only those of that one. Within an
        Organization, what has been available longest comes first, then the lower id. Of
        several Organizations each gives its first, then each its second, and so on; they
        take turns in a circle sorted by id, starting with number `turn` modulo how many
        have something available.

        Those whose attempts are used up are returned as well, dead; they count towards
        the limit.

        Args:
            terms: what is asked for, and what the claim marks.
        """
        ...

    def complete(
        self, leases: Sequence[Lease], now: datetime
    ) -> MaybeAwaitable[Mapping[Lease, Enrollment]]:
        """Complete what the leases hold, each given once; return what was completed.

        Ordered by Organization and Enrollment id, here and below.

        Args:
            leases: of whatever Organizations.
            now: when they are completed.

        Returns:
            The Enrollments as completed, by lease. A lease that holds nothing has none.
        """
        ...

    def release(
        self, leases: Sequence[Lease], available_at: datetime, max_attempts: int, failed: bool
    ) -> MaybeAwaitable[Mapping[Lease, Enrollment]]:
        """Give back what the leases hold, as failed or not; return what was given back.

        Args:
            leases: of whatever Organizations.
            available_at: not handed over before this instant.
            max_attempts: a failed attempt that is the last one allowed makes it dead.
            failed: whether the attempt counts.
        """
        ...

    def extend(
        self, leases: Sequence[Lease], lease_until: datetime
    ) -> MaybeAwaitable[Mapping[Lease, Enrollment]]:
        """Extend the leases whose token holds; return their Enrollments.

        Args:
            leases: of whatever Organizations.
            lease_until: their new end.
        """
        ...

    def revive(
        self, organization_id: str, enrollment_ids: Sequence[str], now: datetime
    ) -> MaybeAwaitable[Mapping[str, Enrollment]]:
        """Make dead Enrollments available from now on; return those, by id.

        Args:
            organization_id: whose Enrollments.
            enrollment_ids: sorted, each once.
            now: from when on they are available.
        """
        ...

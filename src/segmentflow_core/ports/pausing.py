"""What pausing, activating and archiving Journeys needs of a store.

An adapter can do without: tracking, reading and the hand-over are a complete one. Its
transactions then have no `pausing`, Journeys are stopped by publishing alone, and what waits in
one that is not active is handed over all the same.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.event import Enrollment
from segmentflow_core.domain.hand_over import archived

__all__ = ["PausesJourneys", "PausingRepository", "archived"]


class PausingRepository(Protocol):
    """Journeys whose queues stand still, and the rows that an archiving has yet to reach.

    A store whose transactions have this keeps two promises in its other ports, however many
    Enrollments wait:

    - A claim hands over what waits in a Journey that is active as it stands, and entered in the
      era that it has now. It reads no more of the others than that they are not to be read.
    - Whatever port returns or filters Enrollments, it takes each as `archived` gives it of its
      Journey as it stands. Where a call waits for a lock, that is what is stored after the wait.

    `JourneyRepository.publish` writes `Journey.era` and `Journey.archived_at` with the status. It
    runs the work again where a concurrent transaction archived the Journey first.
    """

    def overdue(
        self, organization_id: str, now: datetime, limit: int, /
    ) -> MaybeAwaitable[Iterable[Enrollment]]:
        """Return Enrollments that are withdrawn and whose rows do not say so yet, in any order.

        They entered in an earlier era of their Journey. Their rows say that they are pending, or
        claimed under a lease that has run out. They are locked until the transaction ends; what
        another transaction has locked is passed over, where the engine can.

        Args:
            organization_id: whose Enrollments.
            now: a lease that ends then or earlier has run out.
            limit: at most so many.
        """
        ...


class PausesJourneys(Protocol):
    """A transaction of an adapter that pauses Journeys."""

    @property
    def pausing(self) -> PausingRepository:
        """Journeys whose queues stand still."""
        ...

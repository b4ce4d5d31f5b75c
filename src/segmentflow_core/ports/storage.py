"""A store as a whole: transactions of either colour, and what a transaction offers."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol, TypeVar

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.ports.hand_over import HandOverRepository
from segmentflow_core.ports.records import (
    EnrollmentRepository,
    EventRepository,
    JourneyRepository,
    ProfileRepository,
)
from segmentflow_core.ports.tracking import IdempotencyRepository, TrackingRepository

__all__ = ["AsyncStorage", "Storage", "TellsCommits", "TellsTime", "Transaction"]

T = TypeVar("T")


class Transaction(Protocol):
    """One transaction: everything done through it happens, or nothing does."""

    @property
    def tracking(self) -> TrackingRepository:
        """Load and write of tracked batches."""
        ...

    @property
    def idempotency(self) -> IdempotencyRepository:
        """Keys that were taken."""
        ...

    @property
    def profiles(self) -> ProfileRepository:
        """Profiles."""
        ...

    @property
    def events(self) -> EventRepository:
        """Events."""
        ...

    @property
    def journeys(self) -> JourneyRepository:
        """Journeys."""
        ...

    @property
    def enrollments(self) -> EnrollmentRepository:
        """Enrollments."""
        ...

    @property
    def hand_over(self) -> HandOverRepository:
        """Enrollments on their way to workers."""
        ...


class TellsTime(Protocol):
    """A transaction of a store that many machines share, and that has a clock of its own."""

    def now(self) -> MaybeAwaitable[datetime]:
        """Return the store's current instant, aware, in UTC.

        A hand-over asks first, in its own transaction, where the host gave no clock: leases
        begin and end by one clock then, and a worker with a fast one takes nobody's work.
        """
        ...


class TellsCommits(Protocol):
    """A storage within a host's own transaction, which is committed later, or never."""

    def after_commit(self, tell: Callable[[], object], /) -> None:
        """Call `tell` once what was last run is committed; never where it is rolled back.

        A tracker tells its observers so. Must raise nothing that `tell` raises.
        """
        ...


class Storage(Protocol):
    """A synchronous store."""

    def run(self, work: Callable[[Transaction], T], *, reads_only: bool = False) -> T:
        """Run `work` in a transaction, commit, and return what it returned.

        An exception from `work` rolls back and comes through. On a serialization failure
        or a lost race the whole work runs again, a bounded number of times; so `work` may
        run more than once, but takes effect once.

        Args:
            work: what to do with the transaction.
            reads_only: that `work` writes and locks nothing, so that it need not wait for
                those who do. A storage may make nothing of it.

        Raises:
            StorageUnavailable: the store cannot be reached, or stayed too busy.
            IdempotencyInProgress: a concurrent call that has taken a key did not finish in time.
        """
        ...


class AsyncStorage(Protocol):
    """An asynchronous store; as `Storage`, awaited."""

    async def run(
        self, work: Callable[[Transaction], Awaitable[T]], *, reads_only: bool = False
    ) -> T:
        """Run `work` in a transaction, commit, and return what it returned; as `Storage.run`.

        A call that is cancelled anywhere leaves nothing, or, where its commit had begun,
        everything.
        """
        ...

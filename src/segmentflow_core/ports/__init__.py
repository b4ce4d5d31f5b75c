"""What the core needs from outside, as Protocols, and the values that cross them.

One set of protocols serves both colours: a synchronous adapter writes these methods
with `def`, an asynchronous one with `async def`, under the same names; neither inherits
from anything. Must never know how any of it is done.

Every method may raise `StorageUnavailable` when the store cannot be reached and
`IdempotencyInProgress` when a concurrent holder of a key did not finish within the
adapter's bound. A driver's own errors never come through.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from typing import Protocol, TypeAlias, TypeVar

from segmentflow_core.domain.canonical import encode_json
from segmentflow_core.domain.event import (
    Enrollment,
    EnrollmentStatus,
    Outcome,
    Receipt,
    SkipReason,
    UserEvent,
)
from segmentflow_core.domain.fingerprint import Fingerprint
from segmentflow_core.domain.hand_over import (
    AVAILABLE_STATUSES,
    ClaimedEnrollment,
    HandOver,
    Lease,
    completed,
    extended,
    handed_over,
    released,
    revived,
)
from segmentflow_core.domain.identifier import is_id
from segmentflow_core.domain.instant import (
    format_instant,
    from_microseconds,
    parse_instant,
    to_microseconds,
)
from segmentflow_core.domain.journey import (
    Journey,
    JourneyDefinition,
    JourneyStatus,
    PriorEntries,
    journey_definition,
    journey_document,
)
from segmentflow_core.domain.profile import Profile, PropertyTime
from segmentflow_core.domain.tracking import Changes, Claim, HeldClaim, Intent, Known, Probe

__all__ = [
    "AVAILABLE_STATUSES",
    "AsyncStorage",
    "Changes",
    "Claim",
    "ClaimedEnrollment",
    "Clock",
    "Enrollment",
    "EnrollmentRepository",
    "EnrollmentStatus",
    "EventRepository",
    "Fingerprint",
    "HandOver",
    "HandOverRepository",
    "HeldClaim",
    "IdFactory",
    "IdempotencyRepository",
    "Intent",
    "Journey",
    "JourneyDefinition",
    "JourneyRepository",
    "JourneyStatus",
    "Known",
    "Lease",
    "MaybeAwaitable",
    "Outcome",
    "PriorEntries",
    "Probe",
    "Profile",
    "ProfileRepository",
    "PropertyTime",
    "Receipt",
    "SkipReason",
    "Storage",
    "TrackingRepository",
    "Transaction",
    "UserEvent",
    "completed",
    "encode_json",
    "extended",
    "format_instant",
    "from_microseconds",
    "handed_over",
    "is_id",
    "journey_definition",
    "journey_document",
    "parse_instant",
    "released",
    "revived",
    "to_microseconds",
]

T = TypeVar("T")
MaybeAwaitable: TypeAlias = T | Awaitable[T]


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC, to the microsecond."""
        ...


class IdFactory(Protocol):
    """Makes ids."""

    def new_id(self) -> str:
        """Return a fresh UUIDv7 (RFC 9562, section 5.7) in its lowercase text form."""
        ...


class TrackingRepository(Protocol):
    """The two exchanges a tracked batch costs, and a third where re-entry is limited.

    They are batch-shaped so that an adapter can send what does not depend on each other
    together, whatever the batch's size.
    """

    def load(self, organization_id: str, intent: Intent) -> MaybeAwaitable[Known]:
        """Take the batch's keys, then read what the decision needs.

        The claims come first, in the order given, which is sorted by key. One statement
        takes a key that is new or expired, and waits for a concurrent holder of it. A key
        held by a committed, unexpired claim is not taken: it is returned in `held` with
        that claim and the receipt of its event.

        Profiles are locked until the transaction ends, in the order of their ids; a
        concurrent batch about one of them waits here. Journeys are read, not locked.

        An intent without claims only looks: nothing is taken and no Profile is locked, and
        the Profiles and Journeys it asks for are returned as they stand.

        Args:
            organization_id: whose everything is.
            intent: what to take and what to look for.

        Raises:
            IdempotencyInProgress: a concurrent holder did not finish in time.
        """
        ...

    def prior_entries(
        self, organization_id: str, probes: Sequence[Probe]
    ) -> MaybeAwaitable[Mapping[Probe, PriorEntries]]:
        """Answer every probe about earlier entries, of whatever version.

        `last_entered_at` is of the Profile's latest entry into the Journey with any key;
        `key_taken` tells of an entry with the probe's own key, where it has one. A probe
        with `before` is answered from the entries alone whose event's id is below it: what
        was known when that event came.

        Args:
            organization_id: whose entries.
            probes: each once.

        Returns:
            An answer for each probe.
        """
        ...

    def write(self, organization_id: str, changes: Changes) -> MaybeAwaitable[None]:
        """Write a decided batch: all of it within this transaction.

        Order: release keys, write reclaimed ones, update changed Profiles, create new
        ones, then events and Enrollments. Where a unique rule shows that a concurrent
        transaction was first (email, external id, entry key), nothing may be kept: the
        adapter rolls back and runs the work again. An entry without an entry key that a
        probe was asked for is one of a cooldown, which no unique rule stands for: where
        transactions read from snapshots, a concurrent one about the same Profile must run
        again as well.

        Args:
            organization_id: whose everything is.
            changes: what to write.
        """
        ...


class IdempotencyRepository(Protocol):
    """The claims of idempotency keys."""

    def purge(self, now: datetime, limit: int) -> MaybeAwaitable[int]:
        """Remove at most `limit` claims that expired at or before `now`; return how many.

        Of every Organization; in no order. An expired claim is free with or without this.
        """
        ...


class ProfileRepository(Protocol):
    """The Profiles of an Organization."""

    def get(self, organization_id: str, profile_id: str) -> MaybeAwaitable[Profile | None]:
        """Return a Profile, or None where this Organization has none of that id."""
        ...


class EventRepository(Protocol):
    """The recorded events of an Organization."""

    def get(self, organization_id: str, event_id: str) -> MaybeAwaitable[UserEvent | None]:
        """Return an event, or None where this Organization has none of that id."""
        ...

    def list(
        self, organization_id: str, limit: int, before: str | None = None
    ) -> MaybeAwaitable[Sequence[UserEvent]]:
        """Return at most `limit` events, newest first by id; only ids below `before`."""
        ...


class JourneyRepository(Protocol):
    """The published Journeys of an Organization."""

    def list(self, organization_id: str) -> MaybeAwaitable[Sequence[Journey]]:
        """Return the current version of every Journey, by id, whatever its status."""
        ...

    def get(
        self, organization_id: str, journey_id: str, version: int | None = None
    ) -> MaybeAwaitable[Journey | None]:
        """Return one version of a Journey, the current one by default, or None.

        An older version is returned with the Journey's current status.
        """
        ...

    def publish(self, organization_id: str, journeys: Sequence[Journey]) -> MaybeAwaitable[None]:
        """Make each Journey's version and status the current ones.

        A version that is stored already is left as it is. Where a concurrent transaction
        published the same version first, the adapter runs the work again.
        """
        ...


class EnrollmentRepository(Protocol):
    """The Enrollments of an Organization."""

    def get(self, organization_id: str, enrollment_id: str) -> MaybeAwaitable[Enrollment | None]:
        """Return an Enrollment, or None where this Organization has none of that id."""
        ...

    def list(
        self,
        organization_id: str,
        limit: int,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
    ) -> MaybeAwaitable[Sequence[Enrollment]]:
        """Return at most `limit` Enrollments, newest first by id; only ids below `before`.

        Where a Journey or a status is given, only those of that Journey or status.
        """
        ...


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

    def claim(self, hand_over: HandOver) -> MaybeAwaitable[Sequence[ClaimedEnrollment]]:
        """Hand over at most `limit` available Enrollments, and return them in any order.

        Where an Organization or a Journey is given, only those of that one. Within an
        Organization, what has been available longest comes first, then the lower id. Of
        several Organizations each gives its first, then each its second, and so on; they
        take turns in a circle sorted by id, starting with number `turn` modulo how many
        have something available.

        Those whose attempts are used up are returned as well, dead; they count towards
        the limit.

        Args:
            hand_over: what is asked for, and what the claim marks.
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
        """Move the end of the leases that hold; return what they hold.

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


class Transaction(Protocol):
    """One transaction: everything done through it happens, or nothing does."""

    @property
    def tracking(self) -> TrackingRepository:
        """Load and write of tracked batches."""
        ...

    @property
    def idempotency(self) -> IdempotencyRepository:
        """Claims."""
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


class Storage(Protocol):
    """A synchronous store."""

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction, commit, and return what it returned.

        An exception from `work` rolls back and comes through. On a serialization failure
        or a lost race the whole work runs again, a bounded number of times; so `work` may
        run more than once, but takes effect once.

        Args:
            work: what to do with the transaction.

        Raises:
            StorageUnavailable: the store cannot be reached, or stayed too busy.
            IdempotencyInProgress: a concurrent holder of a key did not finish in time.
        """
        ...


class AsyncStorage(Protocol):
    """An asynchronous store; as `Storage`, awaited."""

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction, commit, and return what it returned; as `Storage.run`.

        A call that is cancelled anywhere leaves nothing, or, where its commit had begun,
        everything.
        """
        ...

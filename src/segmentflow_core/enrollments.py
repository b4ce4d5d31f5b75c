"""The facade of Enrollments: read them, and hand them over to workers. Needs no secret."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from datetime import datetime, timedelta
from typing import Any, TypeAlias, TypeVar, cast

from segmentflow_core.arguments import (
    DEFAULT_LEASE,
    DEFAULT_MAX_ATTEMPTS,
    DEFAULT_ORGANIZATION,
    NO_DELAY,
    check_actor,
    check_before,
    check_delay,
    check_filter_id,
    check_id,
    check_journey_id,
    check_lease,
    check_leases,
    check_limit,
    check_max_attempts,
    check_organization,
    check_status,
    checked_clock,
    checked_failure,
    checked_ids,
    found,
    only,
)
from segmentflow_core.calls import StorageCalls
from segmentflow_core.colour import drive, settle
from segmentflow_core.domain.backlog import Backlog
from segmentflow_core.domain.event import Enrollment, EnrollmentStatus
from segmentflow_core.domain.finding import EnrollmentFilter
from segmentflow_core.domain.hand_over import (
    ClaimedEnrollment,
    ClaimTerms,
    Lease,
    ReleaseTerms,
)
from segmentflow_core.errors import ConfigurationError, SegmentflowError
from segmentflow_core.ports import (
    AsyncStorage,
    Clock,
    IdFactory,
    Storage,
    TellsTime,
    Transaction,
)
from segmentflow_core.system import SystemClock
from segmentflow_core.usecases.audit import Actor
from segmentflow_core.usecases.backlog import count_backlogs
from segmentflow_core.usecases.finding import list_enrollments
from segmentflow_core.usecases.hand_over import (
    claim_enrollments,
    complete_enrollments,
    extend_enrollments,
    release_enrollments,
    revive_enrollments,
    withdraw_enrollments,
)

__all__ = ["AsyncEnrollments", "Enrollments"]

T = TypeVar("T")

# Under other names, since within the facades `list` is a method.
Claimed: TypeAlias = list[ClaimedEnrollment]
Finished: TypeAlias = list[Enrollment | SegmentflowError]
"""One Enrollment in its new state, or a refusal, for each lease or id, in order."""


class _EnrollmentCalls(StorageCalls):
    """What both colours do."""

    def __init__(
        self,
        storage: Storage | AsyncStorage,
        clock: Clock | None,
        ids: IdFactory | None,
        face: str,
        *,
        asynchronous: bool,
    ) -> None:
        super().__init__(storage, face, asynchronous=asynchronous)
        self._clock = None if clock is None else checked_clock(clock)
        self._ids = checked_ids(ids)

    async def page(
        self, wanted: EnrollmentFilter, limit: int, before: str | None, organization_id: str
    ) -> Sequence[Enrollment]:
        check_filter_id("profile_id", wanted.profile_id)
        check_filter_id("event_id", wanted.event_id)
        check_journey_id(wanted.journey_id)
        check_status(wanted.status)
        check_limit(limit)
        check_before(before)
        return await self.read(
            organization_id, lambda t: list_enrollments(t, organization_id, wanted, limit, before)
        )

    async def get(self, enrollment_id: str, organization_id: str) -> Enrollment:
        check_id(enrollment_id)
        of = organization_id
        return found(await self.read(of, lambda t: t.enrollments.get(of, enrollment_id)))

    async def backlog(
        self, journey_ids: Sequence[str] | None, at_most: int, organization_id: str
    ) -> Sequence[Backlog]:
        check_organization(organization_id)
        if isinstance(journey_ids, str):
            raise ConfigurationError("journey_ids must be a list of Journey ids.")
        for journey_id in journey_ids or ():
            check_journey_id(journey_id)
        check_limit(at_most)
        named = None if journey_ids is None else frozenset(journey_ids)

        async def count(transaction: Transaction) -> Sequence[Backlog]:
            now = await self._now(transaction)
            return await count_backlogs(transaction, organization_id, named, now, at_most)

        return await self.run(count, reads_only=True)

    async def claim(
        self,
        limit: int,
        lease: timedelta,
        max_attempts: int,
        journey_id: str | None,
        organization_id: str | None,
    ) -> Claimed:
        if organization_id is not None:
            check_organization(organization_id)
        check_journey_id(journey_id)
        check_limit(limit)
        check_lease(lease)
        check_max_attempts(max_attempts)
        token = self._ids.new_id()
        return await self._run_at(
            lambda t, now: claim_enrollments(
                t,
                ClaimTerms(
                    organization_id, journey_id, limit, now, now + lease, token, max_attempts
                ),
            )
        )

    async def complete(self, leases: Sequence[Lease]) -> Finished:
        check_leases(leases)
        return await self._run_at(lambda t, now: complete_enrollments(t, leases, now))

    async def release(
        self,
        leases: Sequence[Lease],
        delay: timedelta,
        failed: bool,
        error: str | None,
        max_attempts: int,
    ) -> Finished:
        check_leases(leases)
        check_delay(delay)
        check_max_attempts(max_attempts)
        words = checked_failure(error, failed=failed)
        return await self._run_at(
            lambda t, now: release_enrollments(
                t, leases, ReleaseTerms(now, now + delay, max_attempts, failed, words)
            )
        )

    async def extend(self, leases: Sequence[Lease], by: timedelta) -> Finished:
        check_leases(leases)
        check_lease(by)
        return await self._run_at(lambda t, now: extend_enrollments(t, leases, now + by))

    async def revive(self, enrollment_ids: Sequence[str], organization_id: str) -> Finished:
        check_organization(organization_id)
        return await self._run_at(
            lambda t, now: revive_enrollments(t, organization_id, enrollment_ids, now)
        )

    async def withdraw(
        self, enrollment_ids: Sequence[str], organization_id: str, by: str | None
    ) -> Finished:
        check_organization(organization_id)
        check_actor(by)
        audit_id = self._ids.new_id()
        return await self._run_at(
            lambda t, now: withdraw_enrollments(
                t, organization_id, enrollment_ids, Actor(by, now, audit_id)
            )
        )

    async def _run_at(self, work: Callable[[Transaction, datetime], Coroutine[Any, Any, T]]) -> T:
        """Run a use case that needs to know when it happens.

        It happens once, whatever else is run again: a claim whose answer was lost is known
        again by the end of its lease.
        """
        moment = None if self._clock is None else self._clock.now()

        async def timed(transaction: Transaction) -> T:
            nonlocal moment
            if moment is None:
                moment = await _moment_of(transaction)
            return await work(transaction, moment)

        return await self.run(timed)

    async def _now(self, transaction: Transaction) -> datetime:
        """Return the instant of this clock; without one, the store's."""
        return await _moment_of(transaction) if self._clock is None else self._clock.now()


async def _moment_of(transaction: Transaction) -> datetime:
    """Return the store's instant; the machine's where the store has no clock of its own."""
    if hasattr(transaction, "now"):
        return await settle(cast("TellsTime", transaction).now())
    return SystemClock().now()


class Enrollments:
    """Reads Enrollments and hands them over to workers, over a synchronous storage.

    Safe to share between threads where the storage is.

    Args:
        storage: where they are kept.
        clock: tells the time; default the store's own where it has one, as PostgreSQL, else
            the machine's.
        ids: makes ids; default UUIDv7.

    Raises:
        ConfigurationError: the storage is asynchronous.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock | None = None, ids: IdFactory | None = None
    ) -> None:
        self._calls = _EnrollmentCalls(storage, clock, ids, "Enrollments", asynchronous=False)

    def list(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
        profile_id: str | None = None,
        event_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[Enrollment]:
        """Return Enrollments, newest first by id, a page at a time.

        Args:
            limit: how many at most, 1 to 100,000.
            before: only ids below this one: the last of the page before.
            journey_id: only of this Journey.
            status: only of this status.
            profile_id: only of this Profile; it takes a storage that finds.
            event_id: only those that this event caused; it takes a storage that finds.
            organization_id: whose Enrollments.

        Raises:
            ConfigurationError: an argument breaks its rule, or the storage does not find.
        """
        wanted = EnrollmentFilter(profile_id, event_id, journey_id, status)
        return drive(self._calls.page(wanted, limit, before, organization_id))

    def get(self, enrollment_id: str, *, organization_id: str = DEFAULT_ORGANIZATION) -> Enrollment:
        """Return one Enrollment.

        Raises:
            NotFound: this Organization has no such Enrollment.
        """
        return drive(self._calls.get(enrollment_id, organization_id))

    def backlog(
        self,
        *,
        journey_ids: Sequence[str] | None = None,
        at_most: int = 10_000,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[Backlog]:
        """Say how many Enrollments of each active Journey wait for a worker now, and how long.

        Read from the front of each queue, without a lock. It takes a storage that finds.

        Args:
            journey_ids: only of these Journeys; default each of them.
            at_most: how many of a Journey to count, 1 to 100,000. Where more wait, the result
                says so. How long the first has waited is exact all the same.
            organization_id: whose Journeys.

        Returns:
            One for each active Journey that was asked about, sorted by its id.

        Raises:
            ConfigurationError: an argument breaks its rule, or the storage does not find.
        """
        return drive(self._calls.backlog(journey_ids, at_most, organization_id))

    def claim(
        self,
        *,
        limit: int = 100,
        lease: timedelta = DEFAULT_LEASE,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        journey_id: str | None = None,
        organization_id: str | None = DEFAULT_ORGANIZATION,
    ) -> Claimed:
        """Hand available Enrollments over to a worker, which then completes or releases each.

        Nobody else is handed one of them until its lease runs out. What has been available
        longest comes first; Organizations take turns. An empty answer says that nothing is
        available now.

        Args:
            limit: how many at most.
            lease: how long the worker may take before they are available again.
            max_attempts: one handed over this often already becomes dead instead.
            journey_id: only of this Journey.
            organization_id: whose Enrollments; None takes those of every Organization.

        Returns:
            What was claimed, by id, each with its lease and the state its work needs.

        Raises:
            ConfigurationError: an argument breaks its rule.
        """
        return drive(self._calls.claim(limit, lease, max_attempts, journey_id, organization_id))

    def complete(self, lease: Lease) -> Enrollment:
        """Complete an Enrollment that was claimed; with the same lease again, change nothing.

        A lease that has run out still completes, until another worker claims.

        Raises:
            LeaseLost: it was given back, or handed over to another worker.
            NotFound: there is no such Enrollment.
        """
        return only(drive(self._calls.complete([lease])))

    def complete_many(self, leases: Sequence[Lease]) -> Finished:
        """Complete a batch in one transaction; one Enrollment or error per lease, in order."""
        return drive(self._calls.complete(leases))

    def release(
        self,
        lease: Lease,
        *,
        delay: timedelta = NO_DELAY,
        failed: bool = True,
        error: str | None = None,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> Enrollment:
        """Give an Enrollment back, to be available again after `delay`.

        Args:
            lease: of the claim.
            delay: how long nobody shall be handed it.
            failed: whether the attempt counts; a worker that only shuts down says False.
            error: the failure in words, kept as `last_failure`: 1,000 characters, what is longer
                is cut, and what not every store can hold is replaced. Without it, the words of
                an earlier failure stay.
            max_attempts: a failed attempt that is the last one allowed makes it dead.

        Raises:
            ConfigurationError: an argument breaks its rule: an `error` where nothing failed.
            LeaseLost: it was completed, or handed over to another worker.
            NotFound: there is no such Enrollment.
        """
        return only(drive(self._calls.release([lease], delay, failed, error, max_attempts)))

    def release_many(
        self,
        leases: Sequence[Lease],
        *,
        delay: timedelta = NO_DELAY,
        failed: bool = True,
        error: str | None = None,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> Finished:
        """Give a batch back in one transaction; one Enrollment or error per lease, in order."""
        return drive(self._calls.release(leases, delay, failed, error, max_attempts))

    def extend(self, lease: Lease, *, by: timedelta = DEFAULT_LEASE) -> Enrollment:
        """Let a lease run out `by` from now, for work that takes longer.

        Raises:
            LeaseLost: it was finished, or handed over to another worker: stop working on it.
            NotFound: there is no such Enrollment.
        """
        return only(drive(self._calls.extend([lease], by)))

    def extend_many(self, leases: Sequence[Lease], *, by: timedelta = DEFAULT_LEASE) -> Finished:
        """Extend a batch in one transaction; one Enrollment or error per lease, in order."""
        return drive(self._calls.extend(leases, by))

    def revive(
        self, enrollment_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Enrollment:
        """Make a dead Enrollment available, with no attempts counted; do not change others.

        Raises:
            NotFound: this Organization has no such Enrollment.
        """
        return only(drive(self._calls.revive([enrollment_id], organization_id)))

    def revive_many(
        self, enrollment_ids: Sequence[str], *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Finished:
        """Revive a batch in one transaction; one Enrollment or error per id, in order."""
        return drive(self._calls.revive(enrollment_ids, organization_id))

    def withdraw(
        self,
        enrollment_id: str,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        by: str | None = None,
    ) -> Enrollment:
        """Withdraw an Enrollment by hand, once and for all; a finished one does not change.

        A worker that holds it has lost it. It still counts as an entry. That it was withdrawn is
        kept on record.

        Args:
            enrollment_id: the Enrollment.
            organization_id: whose Enrollment.
            by: who withdraws it, for the record.

        Raises:
            ConfigurationError: an argument breaks its rule.
            NotFound: there is no such Enrollment.
        """
        return only(drive(self._calls.withdraw([enrollment_id], organization_id, by)))

    def withdraw_many(
        self,
        enrollment_ids: Sequence[str],
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        by: str | None = None,
    ) -> Finished:
        """Withdraw a batch in one transaction; one Enrollment or error per id, in order."""
        return drive(self._calls.withdraw(enrollment_ids, organization_id, by))


class AsyncEnrollments:
    """As `Enrollments`, over an asynchronous storage; every call is awaited."""

    def __init__(
        self, storage: AsyncStorage, *, clock: Clock | None = None, ids: IdFactory | None = None
    ) -> None:
        self._calls = _EnrollmentCalls(storage, clock, ids, "AsyncEnrollments", asynchronous=True)

    async def list(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
        profile_id: str | None = None,
        event_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[Enrollment]:
        """Return Enrollments, newest first; as `Enrollments.list`."""
        wanted = EnrollmentFilter(profile_id, event_id, journey_id, status)
        return await self._calls.page(wanted, limit, before, organization_id)

    async def get(
        self, enrollment_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Enrollment:
        """Return one Enrollment; as `Enrollments.get`."""
        return await self._calls.get(enrollment_id, organization_id)

    async def backlog(
        self,
        *,
        journey_ids: Sequence[str] | None = None,
        at_most: int = 10_000,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[Backlog]:
        """Say what waits for a worker; as `Enrollments.backlog`."""
        return await self._calls.backlog(journey_ids, at_most, organization_id)

    async def claim(
        self,
        *,
        limit: int = 100,
        lease: timedelta = DEFAULT_LEASE,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        journey_id: str | None = None,
        organization_id: str | None = DEFAULT_ORGANIZATION,
    ) -> Claimed:
        """Hand available Enrollments over to a worker; as `Enrollments.claim`."""
        return await self._calls.claim(limit, lease, max_attempts, journey_id, organization_id)

    async def complete(self, lease: Lease) -> Enrollment:
        """Complete an Enrollment that was claimed; as `Enrollments.complete`."""
        return only(await self._calls.complete([lease]))

    async def complete_many(self, leases: Sequence[Lease]) -> Finished:
        """Complete a batch in one transaction; as `Enrollments.complete_many`."""
        return await self._calls.complete(leases)

    async def release(
        self,
        lease: Lease,
        *,
        delay: timedelta = NO_DELAY,
        failed: bool = True,
        error: str | None = None,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> Enrollment:
        """Give an Enrollment back; as `Enrollments.release`."""
        return only(await self._calls.release([lease], delay, failed, error, max_attempts))

    async def release_many(
        self,
        leases: Sequence[Lease],
        *,
        delay: timedelta = NO_DELAY,
        failed: bool = True,
        error: str | None = None,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> Finished:
        """Give a batch back in one transaction; as `Enrollments.release_many`."""
        return await self._calls.release(leases, delay, failed, error, max_attempts)

    async def extend(self, lease: Lease, *, by: timedelta = DEFAULT_LEASE) -> Enrollment:
        """Let a lease run out `by` from now; as `Enrollments.extend`."""
        return only(await self._calls.extend([lease], by))

    async def extend_many(
        self, leases: Sequence[Lease], *, by: timedelta = DEFAULT_LEASE
    ) -> Finished:
        """Extend a batch in one transaction; as `Enrollments.extend_many`."""
        return await self._calls.extend(leases, by)

    async def revive(
        self, enrollment_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Enrollment:
        """Make a dead Enrollment available again; as `Enrollments.revive`."""
        return only(await self._calls.revive([enrollment_id], organization_id))

    async def revive_many(
        self, enrollment_ids: Sequence[str], *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Finished:
        """Revive a batch in one transaction; as `Enrollments.revive_many`."""
        return await self._calls.revive(enrollment_ids, organization_id)

    async def withdraw(
        self,
        enrollment_id: str,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        by: str | None = None,
    ) -> Enrollment:
        """Withdraw an Enrollment by hand; as `Enrollments.withdraw`."""
        return only(await self._calls.withdraw([enrollment_id], organization_id, by))

    async def withdraw_many(
        self,
        enrollment_ids: Sequence[str],
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        by: str | None = None,
    ) -> Finished:
        """Withdraw a batch in one transaction; as `Enrollments.withdraw_many`."""
        return await self._calls.withdraw(enrollment_ids, organization_id, by)

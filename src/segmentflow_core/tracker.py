"""The facade: `Tracker` and `AsyncTracker`, the same calls in two colours.

Knows how to run a use case over a storage, and supplies the real clock and ids. The
rules are elsewhere.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any, Final, TypeAlias, TypeVar, cast

from segmentflow_core.colour import drive, settle
from segmentflow_core.domain.admission import text_fault
from segmentflow_core.domain.event import Enrollment, EnrollmentStatus, Receipt, UserEvent
from segmentflow_core.domain.explanation import ExplainedEvent
from segmentflow_core.domain.fingerprint import FingerprintKeys, FingerprintKeySource
from segmentflow_core.domain.hand_over import ClaimedEnrollment, HandOver, Lease
from segmentflow_core.domain.identifier import is_id
from segmentflow_core.domain.journey import (
    Journey,
    JourneyDefinition,
    journey_definitions,
    journey_document,
)
from segmentflow_core.domain.organization import check_organization as _check_organization
from segmentflow_core.domain.profile import Profile
from segmentflow_core.domain.replay import Replay
from segmentflow_core.domain.request import DEFAULT_LIMITS, Limits
from segmentflow_core.errors import ConfigurationError, NotFound, SegmentflowError
from segmentflow_core.ports import (
    AsyncStorage,
    Clock,
    IdFactory,
    MaybeAwaitable,
    Storage,
    Transaction,
)
from segmentflow_core.ports.observation import Observer
from segmentflow_core.usecases.explain import (
    Asked,
    drafts,
    explain_request,
    explain_stored,
    listens,
    prepare_dry_run,
)
from segmentflow_core.usecases.hand_over import (
    claim_enrollments,
    complete_enrollments,
    extend_enrollments,
    release_enrollments,
    revive_enrollments,
)
from segmentflow_core.usecases.journeys import PublishedJourney, publish_journeys
from segmentflow_core.usecases.observation import Observation
from segmentflow_core.usecases.replay import Replaying
from segmentflow_core.usecases.track import AnyRequest, Settings, prepare, track

__all__ = [
    "DEFAULT_KEY_LIFETIME",
    "DEFAULT_LEASE",
    "DEFAULT_MAX_ATTEMPTS",
    "DEFAULT_ORGANIZATION",
    "AsyncTracker",
    "SystemClock",
    "Tracker",
    "Uuid7Factory",
]

T = TypeVar("T")

DEFAULT_ORGANIZATION: Final = "default"
DEFAULT_KEY_LIFETIME: Final = timedelta(days=30)
DEFAULT_LEASE: Final = timedelta(minutes=5)
DEFAULT_MAX_ATTEMPTS: Final = 10
_MAX_VERSION: Final = 2**31 - 1
_MAX_LIMIT: Final = 100_000
_MAX_ATTEMPTS: Final = 1_000_000
_MAX_WAIT: Final = timedelta(days=366)
_NO_DELAY: Final = timedelta()

OnProgress: TypeAlias = Callable[[int, "int | None"], object]
"""Told how many events are done, and of how many; None while they are still being counted."""


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        return datetime.now(UTC)


class Uuid7Factory:
    """UUIDv7 (RFC 9562, section 5.7): ordered within a process, unguessable between them.

    Within one millisecond the random part counts up (section 6.2, method 2), so ids sort
    in the order they were made even then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = 0
        self._random = 0

    def new_id(self) -> str:
        """Return a fresh id."""
        millisecond = time.time_ns() // 1_000_000
        entropy = int.from_bytes(os.urandom(10))
        with self._lock:
            if millisecond > self._millisecond:
                self._millisecond = millisecond
                # The top bit stays clear: room to count.
                self._random = entropy & ((1 << 73) - 1)
            else:
                self._random += 1 + (entropy & 0xFFFFFFFF)
            millisecond, random = self._millisecond, self._random
        return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - the quickest way to format it
            millisecond >> 16,
            millisecond & 0xFFFF,
            random >> 62 & 0xFFF,
            0x8000 | (random >> 48 & 0x3FFF),
            random & 0xFFFFFFFFFFFF,
        )


class _Core:
    """What both colours share: the settings, and each call as work over a transaction."""

    def __init__(
        self,
        *,
        fingerprint_key: FingerprintKeySource,
        clock: Clock | None,
        ids: IdFactory | None,
        limits: Limits,
        key_lifetime: timedelta | None,
        create_without_email: bool,
        observers: Sequence[Observer],
    ) -> None:
        if key_lifetime is not None and key_lifetime <= timedelta():
            raise ConfigurationError("key_lifetime must be longer than nothing, or None.")
        self.settings = Settings(
            FingerprintKeys.of(fingerprint_key), limits, key_lifetime, create_without_email
        )
        self.clock = clock or SystemClock()
        self.ids = ids or Uuid7Factory()
        self._observers = tuple(observers)

    def observation(self, organization_id: str, calls: int) -> Observation | None:
        """Return what gathers for the observers; None where there are none."""
        observers = self._observers
        return Observation(observers, organization_id, calls) if observers else None

    def track(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        organization_id: str,
        match_journeys: bool,
        observation: Observation | None,
    ) -> Callable[[Transaction], Coroutine[Any, Any, list[Receipt | SegmentflowError]]]:
        _check_organization(organization_id)
        settings, ids = self.settings, self.ids
        prepared = prepare(calls, settings, self.clock, ids, match_journeys=match_journeys)
        if not prepared.items:
            refused = [prepared.refused[index] for index in range(len(calls))]
            raise _NothingToTrack(refused)

        async def work(transaction: Transaction) -> list[Receipt | SegmentflowError]:
            return await track(
                transaction, organization_id, prepared, settings, ids, observation=observation
            )

        return work

    def publish(
        self, journeys: object, organization_id: str, dry_run: bool
    ) -> Callable[[Transaction], Coroutine[Any, Any, list[PublishedJourney]]]:
        _check_organization(organization_id)
        definitions = _definitions(journeys)
        now = self.clock.now()

        async def work(transaction: Transaction) -> list[PublishedJourney]:
            return await publish_journeys(
                transaction, organization_id, definitions, now, dry_run=dry_run
            )

        return work

    def claim(
        self,
        organization_id: str | None,
        journey_id: str | None,
        limit: int,
        lease: timedelta,
        max_attempts: int,
    ) -> Callable[[Transaction], Coroutine[Any, Any, list[ClaimedEnrollment]]]:
        if organization_id is not None:
            _check_organization(organization_id)
        _check_journey(journey_id)
        _check_limit(limit)
        _check_lease(lease)
        _check_max_attempts(max_attempts)
        now = self.clock.now()
        token = self.ids.new_id()
        hand_over = HandOver(
            organization_id, journey_id, limit, now, now + lease, token, max_attempts
        )

        async def work(transaction: Transaction) -> list[ClaimedEnrollment]:
            return await claim_enrollments(transaction, hand_over)

        return work

    def complete(self, leases: Sequence[Lease]) -> _Finishing:
        _check_leases(leases)
        now = self.clock.now()

        async def work(transaction: Transaction) -> list[Enrollment | SegmentflowError]:
            return await complete_enrollments(transaction, leases, now)

        return work

    def release(
        self, leases: Sequence[Lease], delay: timedelta, failed: bool, max_attempts: int
    ) -> _Finishing:
        _check_leases(leases)
        _check_delay(delay)
        _check_max_attempts(max_attempts)
        available_at = self.clock.now() + delay

        async def work(transaction: Transaction) -> list[Enrollment | SegmentflowError]:
            return await release_enrollments(
                transaction, leases, available_at, max_attempts, failed=failed
            )

        return work

    def extend(self, leases: Sequence[Lease], lease: timedelta) -> _Finishing:
        _check_leases(leases)
        _check_lease(lease)
        lease_until = self.clock.now() + lease

        async def work(transaction: Transaction) -> list[Enrollment | SegmentflowError]:
            return await extend_enrollments(transaction, leases, lease_until)

        return work

    def revive(self, enrollment_ids: Sequence[str], organization_id: str) -> _Finishing:
        _check_organization(organization_id)
        now = self.clock.now()

        async def work(transaction: Transaction) -> list[Enrollment | SegmentflowError]:
            return await revive_enrollments(transaction, organization_id, enrollment_ids, now)

        return work

    def explain(
        self,
        request: AnyRequest | None,
        event_id: str | None,
        journeys: object,
        journey_id: str | None,
        organization_id: str,
    ) -> Callable[[Transaction], Coroutine[Any, Any, ExplainedEvent]]:
        _check_organization(organization_id)
        now = self.clock.now()
        _check_journey(journey_id)
        given = None if journeys is None else drafts(_definitions(journeys), now)
        asked = Asked(given, journey_id)
        if (request is None) == (event_id is None):
            raise ConfigurationError("explain takes a request or an event_id, and not both.")
        settings, new_id = self.settings, self.ids.new_id
        if request is None:
            _check_id(event_id)
            assert event_id is not None

            async def stored(transaction: Transaction) -> ExplainedEvent:
                return await explain_stored(transaction, organization_id, event_id, asked)

            return stored
        prepared = prepare_dry_run(request, settings, self.clock, self.ids)

        async def dry_run(transaction: Transaction) -> ExplainedEvent:
            return await explain_request(
                transaction,
                organization_id,
                prepared,
                asked,
                settings=settings,
                new_id=new_id,
            )

        return dry_run

    def replay(
        self,
        journeys: object,
        since: datetime,
        until: datetime | None,
        organization_id: str,
    ) -> Replaying:
        _check_organization(organization_id)
        for name, moment in (("since", since), ("until", until)):
            if moment is not None and moment.utcoffset() is None:
                raise ConfigurationError(f"{name} must be an aware datetime.")
        given = drafts(_definitions(journeys), self.clock.now())
        return Replaying(organization_id, tuple(filter(listens, given)), since, until)


_Finishing: TypeAlias = Callable[
    [Transaction], Coroutine[Any, Any, list[Enrollment | SegmentflowError]]
]
"""Work on Enrollments that answers each with its new state or a refusal."""


def _definitions(journeys: object) -> Sequence[JourneyDefinition]:
    """Take definitions as they are, by way of their JSON, so that both are held to the rules."""
    if isinstance(journeys, (list, tuple)):
        given = cast("Sequence[object]", journeys)
        documents = [
            journey_document(item) if isinstance(item, JourneyDefinition) else item
            for item in given
        ]
        return journey_definitions({"journeys": documents})
    return journey_definitions(journeys)


class _NothingToTrack(Exception):
    """Every call of a batch was refused before the store was touched."""

    def __init__(self, refused: list[SegmentflowError]) -> None:
        super().__init__()
        self.refused = refused


def _reading(
    read: Callable[[Transaction], MaybeAwaitable[T]],
) -> Callable[[Transaction], Coroutine[Any, Any, T]]:
    async def work(transaction: Transaction) -> T:
        return await settle(read(transaction))

    return work


def _check_limit(limit: object) -> None:
    if not isinstance(limit, int) or not 1 <= limit <= _MAX_LIMIT:
        raise ConfigurationError(f"limit must be an integer from 1 to {_MAX_LIMIT}.")


def _check_lease(lease: object) -> None:
    if not isinstance(lease, timedelta) or not timedelta() < lease <= _MAX_WAIT:
        raise ConfigurationError("lease must be a timedelta, longer than nothing, up to 366 days.")


def _check_delay(delay: object) -> None:
    if not isinstance(delay, timedelta) or not timedelta() <= delay <= _MAX_WAIT:
        raise ConfigurationError("delay must be a timedelta of nothing to 366 days.")


def _check_max_attempts(max_attempts: object) -> None:
    if not isinstance(max_attempts, int) or not 1 <= max_attempts <= _MAX_ATTEMPTS:
        raise ConfigurationError(f"max_attempts must be an integer from 1 to {_MAX_ATTEMPTS}.")


def _check_leases(leases: Sequence[Lease]) -> None:
    for lease in leases:
        _check_organization(lease.organization_id)


def _one(results: list[T | SegmentflowError]) -> T:
    result = results[0]
    if isinstance(result, SegmentflowError):
        raise result
    return result


def _check_id(identifier: object) -> None:
    """Refuse what cannot be an id before any store is asked."""
    if not is_id(identifier):
        raise NotFound


def _check_journey_version(journey_id: object, version: int | None) -> None:
    """Refuse what can be no Journey's id or version before any store is asked."""
    if not isinstance(journey_id, str) or text_fault(journey_id) is not None:
        raise NotFound
    if version is not None and not 0 < version <= _MAX_VERSION:
        raise NotFound


def _check_journey(journey_id: object) -> None:
    if journey_id is not None and (
        not isinstance(journey_id, str) or text_fault(journey_id) is not None
    ):
        raise ConfigurationError("journey_id must be a string without U+0000 or a lone surrogate.")


def _check_before(before: object) -> None:
    if before is not None and not is_id(before):
        raise ConfigurationError("before must be an id, as a page's last item has it.")


def _found(value: T | None) -> T:
    if value is None:
        raise NotFound
    return value


class Tracker:
    """Records business events durably and exactly once, over a synchronous storage.

    Safe to share between threads where the storage is.

    Args:
        storage: where everything is kept.
        fingerprint_key: a secret of at least 32 bytes, or `FingerprintKeys` to rotate.
        clock: tells the time; default the machine's.
        ids: makes ids; default UUIDv7.
        limits: how much JSON one request may hold.
        key_lifetime: how long an idempotency key is remembered; None is for ever.
        create_without_email: whether a new external id alone creates a Profile.
        observers: are told of what was tracked, after it is committed.

    Raises:
        ConfigurationError: an argument breaks its rule.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        fingerprint_key: FingerprintKeySource,
        clock: Clock | None = None,
        ids: IdFactory | None = None,
        limits: Limits = DEFAULT_LIMITS,
        key_lifetime: timedelta | None = DEFAULT_KEY_LIFETIME,
        create_without_email: bool = False,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._core = _Core(
            fingerprint_key=fingerprint_key,
            clock=clock,
            ids=ids,
            limits=limits,
            key_lifetime=key_lifetime,
            create_without_email=create_without_email,
            observers=observers,
        )
        self._storage = storage

    @property
    def limits(self) -> Limits:
        """Return how much JSON one request may hold."""
        return self._core.settings.limits

    def track(
        self,
        request: AnyRequest,
        idempotency_key: str | None,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        match_journeys: bool = True,
    ) -> Receipt:
        """Record one event, or return the receipt of the call this one repeats.

        Args:
            request: a `TrackRequest`, a mapping with the wire's names, or a parsed document.
            idempotency_key: 1 to 255 printable ASCII characters, the same for every retry.
            organization_id: whose event it is.
            match_journeys: False records history that must not start automations.

        Returns:
            The receipt; `replayed` says that an earlier call recorded the event.

        Raises:
            InvalidRequest: with every violation; as `IdempotencyKeyRequired` where the key is
                what is missing.
            PayloadTooLarge: it holds more than `limits` allow.
            IdempotencyKeyReuse: the key was used for another request; the paths that differ.
            IdempotencyInProgress: a concurrent call with the key did not finish in time.
            IdentityConflict: the email and the external id are not of one Profile.
            ProfileEmailRequired: there is an external id alone, and nobody has it.
            FingerprintKeyUnknown: the key was first used under a fingerprint key that is not
                configured.
            StorageUnavailable: the store cannot be reached, or stayed too busy.
        """
        return _one(
            self.track_many(
                [(request, idempotency_key)],
                organization_id=organization_id,
                match_journeys=match_journeys,
            )
        )

    def track_many(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        match_journeys: bool = True,
    ) -> list[Receipt | SegmentflowError]:
        """Record a batch in one transaction; one receipt or error per call, in order.

        A refused call does not hinder the others. Two calls with one key are one event.

        Args:
            calls: pairs of request and idempotency key.
            organization_id: whose events they are.
            match_journeys: False records history that must not start automations.

        Raises:
            IdempotencyInProgress: a concurrent call with one of the keys did not finish in
                time; nothing of the batch is recorded.
            StorageUnavailable: the store cannot be reached, or stayed too busy. Where only its
                answer to the commit was lost, the batch is recorded, and its keys tell.
        """
        observation = self._core.observation(organization_id, len(calls))
        results: list[Receipt | SegmentflowError]
        try:
            work = self._core.track(calls, organization_id, match_journeys, observation)
            results = self._run(work)
        except _NothingToTrack as nothing:
            results = [*nothing.refused]
        except Exception as error:
            if observation is not None:
                observation.failed(error)
            raise
        if observation is not None:
            observation.ended(results)
        return results

    def publish_journeys(
        self,
        journeys: object,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        dry_run: bool = False,
    ) -> list[PublishedJourney]:
        """Publish Journeys: a file's document, ``{"journeys": [...]}``, or a list of definitions.

        Args:
            journeys: what to publish; Journeys not in it stay as they are.
            organization_id: whose Journeys they are.
            dry_run: only say what would change.

        Returns:
            One for each definition, in order, with what publishing did, or would do, to it.

        Raises:
            InvalidJourney: with every fault of every Journey; nothing is published.
        """
        return self._run(self._core.publish(journeys, organization_id, dry_run))

    def journeys(self, *, organization_id: str = DEFAULT_ORGANIZATION) -> Sequence[Journey]:
        """Return every Journey in its current version, by id."""
        return self._read(organization_id, lambda t: t.journeys.list(organization_id))

    def journey(
        self,
        journey_id: str,
        version: int | None = None,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Journey:
        """Return one Journey, in its current version or the one asked for.

        Raises:
            NotFound: this Organization has no such Journey or version.
        """
        _check_journey_version(journey_id, version)
        return _found(
            self._read(
                organization_id, lambda t: t.journeys.get(organization_id, journey_id, version)
            )
        )

    def event(self, event_id: str, *, organization_id: str = DEFAULT_ORGANIZATION) -> UserEvent:
        """Return one event.

        Raises:
            NotFound: this Organization has no such event.
        """
        _check_id(event_id)
        return _found(
            self._read(organization_id, lambda t: t.events.get(organization_id, event_id))
        )

    def events(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[UserEvent]:
        """Return events, newest first by id, a page at a time.

        Args:
            limit: how many at most, 1 to 100,000.
            before: only ids below this one: the last of the page before.
            organization_id: whose events.

        Raises:
            ConfigurationError: an argument breaks its rule.
        """
        _check_limit(limit)
        _check_before(before)
        return self._read(organization_id, lambda t: t.events.list(organization_id, limit, before))

    def profile(self, profile_id: str, *, organization_id: str = DEFAULT_ORGANIZATION) -> Profile:
        """Return one Profile.

        Raises:
            NotFound: this Organization has no such Profile.
        """
        _check_id(profile_id)
        return _found(
            self._read(organization_id, lambda t: t.profiles.get(organization_id, profile_id))
        )

    def enrollments(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[Enrollment]:
        """Return Enrollments, newest first by id, a page at a time.

        Args:
            limit: how many at most, 1 to 100,000.
            before: only ids below this one: the last of the page before.
            journey_id: only of this Journey.
            status: only of this status.
            organization_id: whose Enrollments.

        Raises:
            ConfigurationError: an argument breaks its rule.
        """
        _check_limit(limit)
        _check_before(before)
        _check_journey(journey_id)
        return self._read(
            organization_id,
            lambda t: t.enrollments.list(organization_id, limit, before, journey_id, status),
        )

    def enrollment(
        self, enrollment_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Enrollment:
        """Return one Enrollment.

        Raises:
            NotFound: this Organization has no such Enrollment.
        """
        _check_id(enrollment_id)
        return _found(
            self._read(organization_id, lambda t: t.enrollments.get(organization_id, enrollment_id))
        )

    def claim_enrollments(
        self,
        *,
        limit: int = 100,
        lease: timedelta = DEFAULT_LEASE,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        journey_id: str | None = None,
        organization_id: str | None = DEFAULT_ORGANIZATION,
    ) -> list[ClaimedEnrollment]:
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
        return self._run(self._core.claim(organization_id, journey_id, limit, lease, max_attempts))

    def complete_enrollment(self, lease: Lease) -> Enrollment:
        """Complete an Enrollment that was claimed; with the same lease again, change nothing.

        A lease that has run out still completes, until another worker claims.

        Raises:
            LeaseLost: it was given back, or handed over to another worker.
            NotFound: there is no such Enrollment.
        """
        return _one(self.complete_enrollments([lease]))

    def complete_enrollments(self, leases: Sequence[Lease]) -> list[Enrollment | SegmentflowError]:
        """Complete a batch in one transaction; one Enrollment or error per lease, in order."""
        return self._run(self._core.complete(leases))

    def release_enrollment(
        self,
        lease: Lease,
        *,
        delay: timedelta = _NO_DELAY,
        failed: bool = True,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> Enrollment:
        """Give an Enrollment back, to be available again after `delay`.

        Args:
            lease: of the claim.
            delay: how long nobody shall be handed it.
            failed: whether the attempt counts; a worker that only shuts down says False.
            max_attempts: a failed attempt that is the last one allowed makes it dead.

        Raises:
            LeaseLost: it was completed, or handed over to another worker.
            NotFound: there is no such Enrollment.
        """
        return _one(
            self.release_enrollments([lease], delay=delay, failed=failed, max_attempts=max_attempts)
        )

    def release_enrollments(
        self,
        leases: Sequence[Lease],
        *,
        delay: timedelta = _NO_DELAY,
        failed: bool = True,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> list[Enrollment | SegmentflowError]:
        """Give a batch back in one transaction; one Enrollment or error per lease, in order."""
        return self._run(self._core.release(leases, delay, failed, max_attempts))

    def extend_enrollment(self, lease: Lease, *, by: timedelta = DEFAULT_LEASE) -> Enrollment:
        """Let a lease run out `by` from now, for work that takes longer.

        Raises:
            LeaseLost: it was finished, or handed over to another worker: stop working on it.
            NotFound: there is no such Enrollment.
        """
        return _one(self.extend_enrollments([lease], by=by))

    def extend_enrollments(
        self, leases: Sequence[Lease], *, by: timedelta = DEFAULT_LEASE
    ) -> list[Enrollment | SegmentflowError]:
        """Extend a batch in one transaction; one Enrollment or error per lease, in order."""
        return self._run(self._core.extend(leases, by))

    def revive_enrollment(
        self, enrollment_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Enrollment:
        """Make a dead Enrollment available again, all attempts before it; leave others be.

        Raises:
            NotFound: this Organization has no such Enrollment.
        """
        return _one(self.revive_enrollments([enrollment_id], organization_id=organization_id))

    def revive_enrollments(
        self, enrollment_ids: Sequence[str], *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> list[Enrollment | SegmentflowError]:
        """Revive a batch in one transaction; one Enrollment or error per id, in order."""
        return self._run(self._core.revive(enrollment_ids, organization_id))

    def explain(
        self,
        request: AnyRequest | None = None,
        *,
        event_id: str | None = None,
        journeys: object = None,
        journey_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> ExplainedEvent:
        """Say what every Journey that listens makes of one event, and why; write nothing.

        Args:
            request: one not yet sent, explained as it would be decided now; its own
                redaction applies first.
            event_id: a stored event instead, explained as it was received.
            journeys: drafts to explain it against, as `publish_journeys` takes them; paused
                and archived ones do not listen. Default: those that are published.
            journey_id: only this Journey, and whether it listens at all.
            organization_id: whose event it is.

        Raises:
            NotFound: this Organization has no such event, or there is no such Journey.
            InvalidJourney: the drafts break a rule.
            SegmentflowError: tracking the request would be refused, and this is the refusal.
            ConfigurationError: neither or both of request and event_id are given.
        """
        return self._run(
            self._core.explain(request, event_id, journeys, journey_id, organization_id)
        )

    def replay(
        self,
        journeys: object,
        *,
        since: datetime,
        until: datetime | None = None,
        on_progress: OnProgress | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Replay:
        """Count who would have entered drafts with the stored events of a period; write nothing.

        Entries of the replay count for re-entry, and so do those the store has from before
        the period. Reads page by page, a transaction each.

        Args:
            journeys: the drafts, as `publish_journeys` takes them; paused and archived ones
                are left out.
            since: an aware datetime; events received then or later.
            until: and before this one; None for no end.
            on_progress: told after every page how many events are done, of how many.
            organization_id: whose events they are.

        Raises:
            InvalidJourney: the drafts break a rule.
            ConfigurationError: an instant is not aware.
        """
        replaying = self._core.replay(journeys, since, until, organization_id)
        for read in replaying.reads():
            replaying.fold(self._run(read))
            if on_progress is not None:
                on_progress(replaying.done, replaying.total)
        return replaying.result()

    def purge(self, *, limit: int = 1000) -> int:
        """Remove at most `limit` expired idempotency keys; return how many. Repeat until 0."""
        _check_limit(limit)
        now = self._core.clock.now()
        return self._run(_reading(lambda t: t.idempotency.purge(now, limit)))

    def _run(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T:
        return self._storage.run(lambda transaction: drive(work(transaction)))

    def _read(self, organization_id: str, read: Callable[[Transaction], MaybeAwaitable[T]]) -> T:
        _check_organization(organization_id)
        return self._run(_reading(read))


class AsyncTracker:
    """As `Tracker`, over an asynchronous storage; every call is awaited."""

    def __init__(
        self,
        storage: AsyncStorage,
        *,
        fingerprint_key: FingerprintKeySource,
        clock: Clock | None = None,
        ids: IdFactory | None = None,
        limits: Limits = DEFAULT_LIMITS,
        key_lifetime: timedelta | None = DEFAULT_KEY_LIFETIME,
        create_without_email: bool = False,
        observers: Sequence[Observer] = (),
    ) -> None:
        self._core = _Core(
            fingerprint_key=fingerprint_key,
            clock=clock,
            ids=ids,
            limits=limits,
            key_lifetime=key_lifetime,
            create_without_email=create_without_email,
            observers=observers,
        )
        self._storage = storage

    @property
    def limits(self) -> Limits:
        """Return how much JSON one request may hold."""
        return self._core.settings.limits

    async def track(
        self,
        request: AnyRequest,
        idempotency_key: str | None,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        match_journeys: bool = True,
    ) -> Receipt:
        """Record one event; as `Tracker.track`."""
        return _one(
            await self.track_many(
                [(request, idempotency_key)],
                organization_id=organization_id,
                match_journeys=match_journeys,
            )
        )

    async def track_many(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        match_journeys: bool = True,
    ) -> list[Receipt | SegmentflowError]:
        """Record a batch in one transaction; as `Tracker.track_many`."""
        observation = self._core.observation(organization_id, len(calls))
        results: list[Receipt | SegmentflowError]
        try:
            work = self._core.track(calls, organization_id, match_journeys, observation)
            results = await self._run(work)
        except _NothingToTrack as nothing:
            results = [*nothing.refused]
        except Exception as error:
            if observation is not None:
                observation.failed(error)
            raise
        if observation is not None:
            observation.ended(results)
        return results

    async def publish_journeys(
        self,
        journeys: object,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        dry_run: bool = False,
    ) -> list[PublishedJourney]:
        """Publish Journeys; as `Tracker.publish_journeys`."""
        return await self._run(self._core.publish(journeys, organization_id, dry_run))

    async def journeys(self, *, organization_id: str = DEFAULT_ORGANIZATION) -> Sequence[Journey]:
        """Return every Journey; as `Tracker.journeys`."""
        return await self._read(organization_id, lambda t: t.journeys.list(organization_id))

    async def journey(
        self,
        journey_id: str,
        version: int | None = None,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Journey:
        """Return one Journey; as `Tracker.journey`."""
        _check_journey_version(journey_id, version)
        return _found(
            await self._read(
                organization_id, lambda t: t.journeys.get(organization_id, journey_id, version)
            )
        )

    async def event(
        self, event_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> UserEvent:
        """Return one event; as `Tracker.event`."""
        _check_id(event_id)
        return _found(
            await self._read(organization_id, lambda t: t.events.get(organization_id, event_id))
        )

    async def events(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[UserEvent]:
        """Return events, newest first; as `Tracker.events`."""
        _check_limit(limit)
        _check_before(before)
        return await self._read(
            organization_id, lambda t: t.events.list(organization_id, limit, before)
        )

    async def profile(
        self, profile_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Profile:
        """Return one Profile; as `Tracker.profile`."""
        _check_id(profile_id)
        return _found(
            await self._read(organization_id, lambda t: t.profiles.get(organization_id, profile_id))
        )

    async def enrollments(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[Enrollment]:
        """Return Enrollments, newest first; as `Tracker.enrollments`."""
        _check_limit(limit)
        _check_before(before)
        _check_journey(journey_id)
        return await self._read(
            organization_id,
            lambda t: t.enrollments.list(organization_id, limit, before, journey_id, status),
        )

    async def enrollment(
        self, enrollment_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Enrollment:
        """Return one Enrollment; as `Tracker.enrollment`."""
        _check_id(enrollment_id)
        return _found(
            await self._read(
                organization_id, lambda t: t.enrollments.get(organization_id, enrollment_id)
            )
        )

    async def claim_enrollments(
        self,
        *,
        limit: int = 100,
        lease: timedelta = DEFAULT_LEASE,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
        journey_id: str | None = None,
        organization_id: str | None = DEFAULT_ORGANIZATION,
    ) -> list[ClaimedEnrollment]:
        """Hand available Enrollments over to a worker; as `Tracker.claim_enrollments`."""
        return await self._run(
            self._core.claim(organization_id, journey_id, limit, lease, max_attempts)
        )

    async def complete_enrollment(self, lease: Lease) -> Enrollment:
        """Complete an Enrollment that was claimed; as `Tracker.complete_enrollment`."""
        return _one(await self.complete_enrollments([lease]))

    async def complete_enrollments(
        self, leases: Sequence[Lease]
    ) -> list[Enrollment | SegmentflowError]:
        """Complete a batch in one transaction; as `Tracker.complete_enrollments`."""
        return await self._run(self._core.complete(leases))

    async def release_enrollment(
        self,
        lease: Lease,
        *,
        delay: timedelta = _NO_DELAY,
        failed: bool = True,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> Enrollment:
        """Give an Enrollment back; as `Tracker.release_enrollment`."""
        return _one(
            await self.release_enrollments(
                [lease], delay=delay, failed=failed, max_attempts=max_attempts
            )
        )

    async def release_enrollments(
        self,
        leases: Sequence[Lease],
        *,
        delay: timedelta = _NO_DELAY,
        failed: bool = True,
        max_attempts: int = DEFAULT_MAX_ATTEMPTS,
    ) -> list[Enrollment | SegmentflowError]:
        """Give a batch back in one transaction; as `Tracker.release_enrollments`."""
        return await self._run(self._core.release(leases, delay, failed, max_attempts))

    async def extend_enrollment(self, lease: Lease, *, by: timedelta = DEFAULT_LEASE) -> Enrollment:
        """Let a lease run out `by` from now; as `Tracker.extend_enrollment`."""
        return _one(await self.extend_enrollments([lease], by=by))

    async def extend_enrollments(
        self, leases: Sequence[Lease], *, by: timedelta = DEFAULT_LEASE
    ) -> list[Enrollment | SegmentflowError]:
        """Extend a batch in one transaction; as `Tracker.extend_enrollments`."""
        return await self._run(self._core.extend(leases, by))

    async def revive_enrollment(
        self, enrollment_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Enrollment:
        """Make a dead Enrollment available again; as `Tracker.revive_enrollment`."""
        return _one(await self.revive_enrollments([enrollment_id], organization_id=organization_id))

    async def revive_enrollments(
        self, enrollment_ids: Sequence[str], *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> list[Enrollment | SegmentflowError]:
        """Revive a batch in one transaction; as `Tracker.revive_enrollments`."""
        return await self._run(self._core.revive(enrollment_ids, organization_id))

    async def explain(
        self,
        request: AnyRequest | None = None,
        *,
        event_id: str | None = None,
        journeys: object = None,
        journey_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> ExplainedEvent:
        """Explain one event and write nothing; as `Tracker.explain`."""
        return await self._run(
            self._core.explain(request, event_id, journeys, journey_id, organization_id)
        )

    async def replay(
        self,
        journeys: object,
        *,
        since: datetime,
        until: datetime | None = None,
        on_progress: OnProgress | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Replay:
        """Replay stored events against drafts and write nothing; as `Tracker.replay`."""
        replaying = self._core.replay(journeys, since, until, organization_id)
        for read in replaying.reads():
            replaying.fold(await self._run(read))
            if on_progress is not None:
                on_progress(replaying.done, replaying.total)
        return replaying.result()

    async def purge(self, *, limit: int = 1000) -> int:
        """Remove expired idempotency keys; as `Tracker.purge`."""
        _check_limit(limit)
        now = self._core.clock.now()
        return await self._run(_reading(lambda t: t.idempotency.purge(now, limit)))

    async def _run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._storage.run(work)

    async def _read(
        self, organization_id: str, read: Callable[[Transaction], MaybeAwaitable[T]]
    ) -> T:
        _check_organization(organization_id)
        return await self._run(_reading(read))

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
from typing import Any, Final, TypeVar, cast

from segmentflow_core.domain.event import Enrollment, Receipt, UserEvent
from segmentflow_core.domain.fingerprint import FingerprintKeys, FingerprintKeySource
from segmentflow_core.domain.journey import (
    Journey,
    JourneyDefinition,
    journey_definitions,
    journey_document,
)
from segmentflow_core.domain.profile import Profile
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
from segmentflow_core.usecases import drive, settle
from segmentflow_core.usecases.journeys import PublishedJourney, publish_journeys
from segmentflow_core.usecases.track import AnyRequest, Settings, prepare, track

__all__ = [
    "DEFAULT_KEY_LIFETIME",
    "DEFAULT_ORGANIZATION",
    "AsyncTracker",
    "SystemClock",
    "Tracker",
    "Uuid7Factory",
]

T = TypeVar("T")

DEFAULT_ORGANIZATION: Final = "default"
DEFAULT_KEY_LIFETIME: Final = timedelta(days=30)
_MAX_ORGANIZATION: Final = 255
_MAX_LIMIT: Final = 100_000


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
        digits = "%012x7%03x%04x%012x" % (  # noqa: UP031 - the quickest way to format it
            millisecond,
            random >> 62 & 0xFFF,
            0x8000 | (random >> 48 & 0x3FFF),
            random & 0xFFFFFFFFFFFF,
        )
        return f"{digits[:8]}-{digits[8:12]}-{digits[12:16]}-{digits[16:20]}-{digits[20:]}"


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
    ) -> None:
        if key_lifetime is not None and key_lifetime <= timedelta():
            raise ConfigurationError("key_lifetime must be longer than nothing, or None.")
        self.settings = Settings(
            FingerprintKeys.of(fingerprint_key), limits, key_lifetime, create_without_email
        )
        self.clock = clock or SystemClock()
        self.ids = ids or Uuid7Factory()

    def track(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        organization_id: str,
        match_journeys: bool,
    ) -> Callable[[Transaction], Coroutine[Any, Any, list[Receipt | SegmentflowError]]]:
        _check_organization(organization_id)
        settings, ids = self.settings, self.ids
        prepared = prepare(calls, settings, self.clock, ids, match_journeys=match_journeys)
        if not prepared.items:
            refused = [prepared.refused[index] for index in range(len(calls))]
            raise _NothingToTrack(refused)

        async def work(transaction: Transaction) -> list[Receipt | SegmentflowError]:
            return await track(transaction, organization_id, prepared, settings, ids)

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


def _check_organization(organization_id: object) -> None:
    if not isinstance(organization_id, str) or not 0 < len(organization_id) <= _MAX_ORGANIZATION:
        raise ConfigurationError(
            f"organization_id must be a string of 1 to {_MAX_ORGANIZATION} characters."
        )
    if not organization_id.isprintable():
        raise ConfigurationError("organization_id must be printable.")


def _check_limit(limit: object) -> None:
    if not isinstance(limit, int) or not 1 <= limit <= _MAX_LIMIT:
        raise ConfigurationError(f"limit must be an integer from 1 to {_MAX_LIMIT}.")


def _one(results: list[Receipt | SegmentflowError]) -> Receipt:
    result = results[0]
    if isinstance(result, SegmentflowError):
        raise result
    return result


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
    ) -> None:
        self._core = _Core(
            fingerprint_key=fingerprint_key,
            clock=clock,
            ids=ids,
            limits=limits,
            key_lifetime=key_lifetime,
            create_without_email=create_without_email,
        )
        self._storage = storage

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

        Raises:
            InvalidRequest: with every violation; and the other errors of design section 4.7.
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
        """
        try:
            work = self._core.track(calls, organization_id, match_journeys)
        except _NothingToTrack as nothing:
            return list(nothing.refused)
        return self._run(work)

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

        Raises:
            InvalidJourney: with every fault of every Journey; nothing is published.
        """
        return self._run(self._core.publish(journeys, organization_id, dry_run))

    def journeys(self, *, organization_id: str = DEFAULT_ORGANIZATION) -> Sequence[Journey]:
        """Return every Journey in its current version, by id."""
        return self._read(lambda t: t.journeys.list(organization_id))

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
        return _found(self._read(lambda t: t.journeys.get(organization_id, journey_id, version)))

    def event(self, event_id: str, *, organization_id: str = DEFAULT_ORGANIZATION) -> UserEvent:
        """Return one event.

        Raises:
            NotFound: this Organization has no such event.
        """
        return _found(self._read(lambda t: t.events.get(organization_id, event_id)))

    def events(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[UserEvent]:
        """Return events, newest first; `before` is the last id of the page before."""
        _check_limit(limit)
        return self._read(lambda t: t.events.list(organization_id, limit, before))

    def profile(self, profile_id: str, *, organization_id: str = DEFAULT_ORGANIZATION) -> Profile:
        """Return one Profile.

        Raises:
            NotFound: this Organization has no such Profile.
        """
        return _found(self._read(lambda t: t.profiles.get(organization_id, profile_id)))

    def enrollments(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        journey_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[Enrollment]:
        """Return Enrollments, newest first; `before` is the last id of the page before."""
        _check_limit(limit)
        return self._read(lambda t: t.enrollments.list(organization_id, limit, before, journey_id))

    def purge(self, *, limit: int = 1000) -> int:
        """Remove at most `limit` expired idempotency keys; return how many. Repeat until 0."""
        _check_limit(limit)
        now = self._core.clock.now()
        return self._read(lambda t: t.idempotency.purge(now, limit))

    def _run(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T:
        return self._storage.run(lambda transaction: drive(work(transaction)))

    def _read(self, read: Callable[[Transaction], MaybeAwaitable[T]]) -> T:
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
    ) -> None:
        self._core = _Core(
            fingerprint_key=fingerprint_key,
            clock=clock,
            ids=ids,
            limits=limits,
            key_lifetime=key_lifetime,
            create_without_email=create_without_email,
        )
        self._storage = storage

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
        try:
            work = self._core.track(calls, organization_id, match_journeys)
        except _NothingToTrack as nothing:
            return list(nothing.refused)
        return await self._run(work)

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
        return await self._read(lambda t: t.journeys.list(organization_id))

    async def journey(
        self,
        journey_id: str,
        version: int | None = None,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Journey:
        """Return one Journey; as `Tracker.journey`."""
        return _found(
            await self._read(lambda t: t.journeys.get(organization_id, journey_id, version))
        )

    async def event(
        self, event_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> UserEvent:
        """Return one event; as `Tracker.event`."""
        return _found(await self._read(lambda t: t.events.get(organization_id, event_id)))

    async def events(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[UserEvent]:
        """Return events, newest first; as `Tracker.events`."""
        _check_limit(limit)
        return await self._read(lambda t: t.events.list(organization_id, limit, before))

    async def profile(
        self, profile_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Profile:
        """Return one Profile; as `Tracker.profile`."""
        return _found(await self._read(lambda t: t.profiles.get(organization_id, profile_id)))

    async def enrollments(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        journey_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[Enrollment]:
        """Return Enrollments, newest first; as `Tracker.enrollments`."""
        _check_limit(limit)
        return await self._read(
            lambda t: t.enrollments.list(organization_id, limit, before, journey_id)
        )

    async def purge(self, *, limit: int = 1000) -> int:
        """Remove expired idempotency keys; as `Tracker.purge`."""
        _check_limit(limit)
        now = self._core.clock.now()
        return await self._read(lambda t: t.idempotency.purge(now, limit))

    async def _run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._storage.run(work)

    async def _read(self, read: Callable[[Transaction], MaybeAwaitable[T]]) -> T:
        return await self._run(_reading(read))

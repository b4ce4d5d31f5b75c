"""The facade that records: `Tracker` and `AsyncTracker`. What it does needs the fingerprint secret.

What both do is in `tracking`. Everything that needs no secret is elsewhere: the trackers offer
those facades as well, over the same storage.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import timedelta

from segmentflow_core.arguments import (
    DEFAULT_KEY_LIFETIME,
    DEFAULT_ORGANIZATION,
    checked_calls,
    checked_clock,
    checked_ids,
    only,
)
from segmentflow_core.colour import drive
from segmentflow_core.domain.event import Receipt
from segmentflow_core.domain.explanation import ExplainedEvent
from segmentflow_core.domain.fingerprint import FingerprintKeySource
from segmentflow_core.domain.profile import DEFAULT_PROFILE_LIMITS, ProfileLimits
from segmentflow_core.domain.redaction_policy import NO_POLICY, RedactionPolicy
from segmentflow_core.domain.request import DEFAULT_LIMITS, Limits
from segmentflow_core.enrollments import AsyncEnrollments, Enrollments
from segmentflow_core.errors import SegmentflowError
from segmentflow_core.gathering import GatheredCalls, check_gathering
from segmentflow_core.journeys import AsyncJourneys, Journeys
from segmentflow_core.people import AsyncPeople, People
from segmentflow_core.ports import AsyncStorage, Clock, IdFactory, Storage
from segmentflow_core.ports.gathering import Gathers
from segmentflow_core.ports.observation import Observer
from segmentflow_core.records import AsyncRecords, Records
from segmentflow_core.tracebacks import forget_locals, forgets_locals
from segmentflow_core.tracking import TrackingCalls, settings_for
from segmentflow_core.usecases.record import AnyRequest

__all__ = ["AsyncTracker", "Tracker"]


class Tracker:
    """Records business events durably and exactly once, over a synchronous storage.

    Safe to share between threads where the storage is.

    Args:
        storage: where everything is kept.
        fingerprint_key: a secret of at least 32 bytes, or `FingerprintKeys` to rotate.
        clock: tells the time; default the machine's.
        ids: makes ids; default UUIDv7.
        limits: what one request may hold.
        key_lifetime: how long an idempotency key is remembered; None is for ever.
        create_without_email: whether a new external id alone creates a Profile.
        profile_limits: how many Properties, and bytes of them, a Profile may hold, and how long
            a removed one is remembered.
        redaction: what is never stored, beside what each request redacts itself.
        observers: are told of what was tracked, after it is committed.
        gather: lets concurrent calls of `track` share transactions: a `Gathering` of
            `segmentflow_gathering`. None gives each a transaction of its own.

    Attributes:
        journeys: publishes, reads and rehearses Journeys.
        enrollments: reads Enrollments and hands them over.
        records: reads events and Profiles, explains stored events, purges keys.
        people: suppresses, erases and merges Profiles, and forgets by age.

    Raises:
        ConfigurationError: an argument breaks its rule, or the storage is asynchronous.
    """

    @forgets_locals
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
        profile_limits: ProfileLimits = DEFAULT_PROFILE_LIMITS,
        redaction: RedactionPolicy = NO_POLICY,
        observers: Sequence[Observer] = (),
        gather: Gathers | None = None,
    ) -> None:
        settings = settings_for(
            fingerprint_key,
            limits,
            key_lifetime,
            create_without_email,
            profile_limits=profile_limits,
            redaction=redaction,
        )
        given, clock, ids = clock, checked_clock(clock), checked_ids(ids)
        self._calls = TrackingCalls(storage, settings, clock, ids, observers, asynchronous=False)
        self._track = self._calls.track_many
        if gather is not None:
            check_gathering(gather, storage, asynchronous=False)
            self._track = GatheredCalls(self._calls, gather).track_many
        # Leases go by the store's clock where the host gives none.
        self.enrollments = Enrollments(storage, clock=given, ids=ids)
        self.journeys = Journeys(storage, clock=clock, ids=ids)
        self.people = People(storage, clock=clock, ids=ids, profile_limits=profile_limits)
        self.records = Records(
            storage,
            clock=clock,
            ids=ids,
            limits=limits,
            redaction=redaction,
            create_without_email=create_without_email,
            profile_limits=profile_limits,
        )

    @property
    def limits(self) -> Limits:
        """Return what one request may hold."""
        return self._calls.settings.limits

    @property
    def redaction(self) -> RedactionPolicy:
        """Return what is redacted beside each request's own paths."""
        return self._calls.settings.redaction

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
            ProfileTooLarge: the Profile would hold more than `profile_limits` allow.
            FingerprintKeyUnknown: the key was first used under a fingerprint key that is not
                configured.
            StorageRefused: the store will not hold what the call would write.
            StorageUnavailable: the store cannot be reached, or stayed too busy.
        """
        calls = [(request, idempotency_key)]
        try:
            return only(drive(self._track(calls, organization_id, match_journeys)))
        except BaseException as error:
            # As `forgets_locals` does, without its frame: this is the trunk.
            del request, idempotency_key, calls
            forget_locals(error)
            raise

    @forgets_locals
    def track_many(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        match_journeys: bool = True,
    ) -> list[Receipt | SegmentflowError]:
        """Record a batch in one transaction; one receipt or error per call, in order.

        A refused call does not hinder the others. Two calls with one key are one event. Where
        the store refuses what some of the calls would write, the others are recorded in smaller
        transactions.

        Args:
            calls: pairs of request and idempotency key.
            organization_id: whose events they are.
            match_journeys: False records history that must not start automations.

        Raises:
            ConfigurationError: `calls` are not pairs; nothing is recorded.
            IdempotencyInProgress: a concurrent call with one of the keys did not finish in
                time; nothing of the batch is recorded.
            StorageUnavailable: the store cannot be reached, or stayed too busy. Where only its
                answer to the commit was lost, the batch is recorded, and its keys tell.
        """
        checked = checked_calls(calls)
        return drive(self._calls.track_many(checked, organization_id, match_journeys))

    @forgets_locals
    def explain(
        self,
        request: AnyRequest,
        *,
        journeys: object = None,
        journey_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> ExplainedEvent:
        """Explain a request not yet sent, and write nothing; as `Records.explain_request`."""
        return self.records.explain_request(
            request, journeys=journeys, journey_id=journey_id, organization_id=organization_id
        )


class AsyncTracker:
    """As `Tracker`, over an asynchronous storage; every call is awaited."""

    @forgets_locals
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
        profile_limits: ProfileLimits = DEFAULT_PROFILE_LIMITS,
        redaction: RedactionPolicy = NO_POLICY,
        observers: Sequence[Observer] = (),
        gather: Gathers | None = None,
    ) -> None:
        settings = settings_for(
            fingerprint_key,
            limits,
            key_lifetime,
            create_without_email,
            profile_limits=profile_limits,
            redaction=redaction,
        )
        given, clock, ids = clock, checked_clock(clock), checked_ids(ids)
        self._calls = TrackingCalls(storage, settings, clock, ids, observers, asynchronous=True)
        self._track = self._calls.track_many
        if gather is not None:
            check_gathering(gather, storage, asynchronous=True)
            self._track = GatheredCalls(self._calls, gather).track_many
        # Leases go by the store's clock where the host gives none.
        self.enrollments = AsyncEnrollments(storage, clock=given, ids=ids)
        self.journeys = AsyncJourneys(storage, clock=clock, ids=ids)
        self.people = AsyncPeople(storage, clock=clock, ids=ids, profile_limits=profile_limits)
        self.records = AsyncRecords(
            storage,
            clock=clock,
            ids=ids,
            limits=limits,
            redaction=redaction,
            create_without_email=create_without_email,
            profile_limits=profile_limits,
        )

    @property
    def limits(self) -> Limits:
        """Return what one request may hold."""
        return self._calls.settings.limits

    @property
    def redaction(self) -> RedactionPolicy:
        """Return what is redacted beside each request's own paths."""
        return self._calls.settings.redaction

    @forgets_locals
    async def track(
        self,
        request: AnyRequest,
        idempotency_key: str | None,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        match_journeys: bool = True,
    ) -> Receipt:
        """Record one event; as `Tracker.track`."""
        calls = [(request, idempotency_key)]
        return only(await self._track(calls, organization_id, match_journeys))

    @forgets_locals
    async def track_many(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        match_journeys: bool = True,
    ) -> list[Receipt | SegmentflowError]:
        """Record a batch in one transaction; as `Tracker.track_many`."""
        checked = checked_calls(calls)
        return await self._calls.track_many(checked, organization_id, match_journeys)

    @forgets_locals
    async def explain(
        self,
        request: AnyRequest,
        *,
        journeys: object = None,
        journey_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> ExplainedEvent:
        """Explain a request not yet sent; as `Tracker.explain`."""
        return await self.records.explain_request(
            request, journeys=journeys, journey_id=journey_id, organization_id=organization_id
        )

"""The facade of what was recorded: read events and Profiles, explain an event, purge old keys.

Needs no fingerprint secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from segmentflow_core.arguments import (
    DEFAULT_ORGANIZATION,
    check_before,
    check_id,
    check_journey_id,
    check_limit,
    check_limits,
    check_organization,
    check_policy,
    checked_definitions,
    found,
)
from segmentflow_core.calls import StorageCalls
from segmentflow_core.colour import drive, settle
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.explanation import ExplainedEvent
from segmentflow_core.domain.profile import DEFAULT_PROFILE_LIMITS, Profile, ProfileLimits
from segmentflow_core.domain.redaction_policy import NO_POLICY, RedactionPolicy
from segmentflow_core.domain.request import DEFAULT_LIMITS, Limits
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.ports import AsyncStorage, Clock, IdFactory, Storage, Transaction
from segmentflow_core.system import SystemClock, Uuid7Factory
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.usecases.explain import (
    Asked,
    drafts,
    explain_request,
    explain_stored,
    prepare_dry_run,
)
from segmentflow_core.usecases.reading import list_events
from segmentflow_core.usecases.record import AnyRequest

__all__ = ["AsyncRecords", "Records"]

_MOST_CHECKS: Final = 12
_BEFORE_EVERYTHING: Final = datetime(1, 1, 2, tzinfo=UTC)
"""A day later than the first, which a time zone of the database's could not hold."""


class _RecordCalls(StorageCalls):
    """What both colours do."""

    def __init__(
        self,
        storage: Storage | AsyncStorage,
        face: str,
        *,
        asynchronous: bool,
        clock: Clock | None,
        ids: IdFactory | None,
        limits: Limits,
        redaction: RedactionPolicy,
        create_without_email: bool,
        profile_limits: ProfileLimits,
    ) -> None:
        check_policy(redaction)
        super().__init__(storage, face, asynchronous=asynchronous)
        self._clock = clock or SystemClock()
        self._ids = ids or Uuid7Factory()
        check_limits(limits)
        self._limits = limits
        self._redaction = redaction
        self._create_without_email = create_without_email
        self._profile_limits = profile_limits

    async def event(self, event_id: str, organization_id: str) -> UserEvent:
        check_id(event_id)
        return found(
            await self.read(organization_id, lambda t: t.events.get(organization_id, event_id))
        )

    async def events(
        self, limit: int, before: str | None, organization_id: str
    ) -> Sequence[UserEvent]:
        check_limit(limit)
        check_before(before)
        return await self.read(
            organization_id, lambda t: list_events(t, organization_id, limit, before)
        )

    async def profile(self, profile_id: str, organization_id: str) -> Profile:
        check_id(profile_id)
        return found(
            await self.read(organization_id, lambda t: t.profiles.get(organization_id, profile_id))
        )

    async def explain(
        self, event_id: str, journeys: object, journey_id: str | None, organization_id: str
    ) -> ExplainedEvent:
        asked = self._asked(journeys, journey_id, organization_id)
        check_id(event_id)
        return await self.run(
            partial(
                explain_stored,
                organization_id=organization_id,
                event_id=event_id,
                asked=asked,
            ),
            reads_only=True,
        )

    async def explain_request(
        self, request: AnyRequest, journeys: object, journey_id: str | None, organization_id: str
    ) -> ExplainedEvent:
        asked = self._asked(journeys, journey_id, organization_id)
        return await self.run(
            partial(
                explain_request,
                organization_id=organization_id,
                dry_run=prepare_dry_run(
                    request, self._limits, self._redaction, self._clock, self._ids
                ),
                asked=asked,
                new_id=self._ids.new_id,
                create_without_email=self._create_without_email,
                profile_limits=self._profile_limits,
            ),
            reads_only=True,
        )

    def _asked(self, journeys: object, journey_id: str | None, organization_id: str) -> Asked:
        check_organization(organization_id)
        check_journey_id(journey_id)
        if journeys is None:
            return Asked(None, journey_id)
        return Asked(drafts(checked_definitions(journeys), self._clock.now()), journey_id)

    async def purge_keys(self, limit: int) -> int:
        check_limit(limit)
        now = self._clock.now()
        return await self.run(lambda t: settle(t.idempotency.purge(now, limit)))

    async def check_writes(self) -> None:
        runs = 0

        async def write_nothing(transaction: Transaction) -> None:
            nonlocal runs
            runs += 1
            if runs > _MOST_CHECKS:
                raise StorageUnavailable(f"The store took no write, {_MOST_CHECKS} times.")
            await settle(transaction.idempotency.purge(_BEFORE_EVERYTHING, 1))

        await self.run(write_nothing)


class Records:
    """Reads events and Profiles and explains events, over a synchronous storage.

    Args:
        storage: where they are kept.
        clock: tells the time; default the machine's.
        ids: makes ids; default UUIDv7.
        limits: what a request to explain may hold.
        redaction: what is redacted of it beside its own paths, as the tracker has it.
        create_without_email: whether a new external id alone would create a Profile.
        profile_limits: how much a Profile may hold.

    Raises:
        ConfigurationError: an argument breaks its rule, or the storage is asynchronous.
    """

    def __init__(
        self,
        storage: Storage,
        *,
        clock: Clock | None = None,
        ids: IdFactory | None = None,
        limits: Limits = DEFAULT_LIMITS,
        redaction: RedactionPolicy = NO_POLICY,
        create_without_email: bool = False,
        profile_limits: ProfileLimits = DEFAULT_PROFILE_LIMITS,
    ) -> None:
        self._calls = _RecordCalls(
            storage,
            "Records",
            asynchronous=False,
            clock=clock,
            ids=ids,
            limits=limits,
            redaction=redaction,
            create_without_email=create_without_email,
            profile_limits=profile_limits,
        )

    def event(self, event_id: str, *, organization_id: str = DEFAULT_ORGANIZATION) -> UserEvent:
        """Return one event.

        Raises:
            NotFound: this Organization has no such event.
        """
        return drive(self._calls.event(event_id, organization_id))

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
        return drive(self._calls.events(limit, before, organization_id))

    def profile(self, profile_id: str, *, organization_id: str = DEFAULT_ORGANIZATION) -> Profile:
        """Return one Profile.

        Raises:
            NotFound: this Organization has no such Profile.
        """
        return drive(self._calls.profile(profile_id, organization_id))

    @forgets_locals
    def explain(
        self,
        event_id: str,
        *,
        journeys: object = None,
        journey_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> ExplainedEvent:
        """Say what every Journey that listens makes of a stored event, and why; write nothing.

        The event is explained as it was received: earlier entries are those of events before it.

        Args:
            event_id: the stored event.
            journeys: drafts to explain it against, as `Journeys.publish` takes them; paused
                and archived ones do not listen. Default: those that are published.
            journey_id: only this Journey, and whether it listens at all.
            organization_id: whose event it is.

        Raises:
            NotFound: this Organization has no such event, or there is no such Journey.
            InvalidJourney: the drafts break a rule.
        """
        return drive(self._calls.explain(event_id, journeys, journey_id, organization_id))

    @forgets_locals
    def explain_request(
        self,
        request: AnyRequest,
        *,
        journeys: object = None,
        journey_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> ExplainedEvent:
        """Say what every Journey that listens would make of a request now; write nothing.

        The request's paths and the host's policy redact it first. No idempotency key is taken.

        Args:
            request: as `Tracker.track` takes it.
            journeys: drafts to explain it against, as `Journeys.publish` takes them; paused
                and archived ones do not listen. Default: those that are published.
            journey_id: only this Journey, and whether it listens at all.
            organization_id: whose event it would be.

        Raises:
            NotFound: there is no such Journey.
            InvalidJourney: the drafts break a rule.
            SegmentflowError: tracking the request would be refused, and this is the refusal.
        """
        return drive(self._calls.explain_request(request, journeys, journey_id, organization_id))

    def purge_keys(self, *, limit: int = 1000) -> int:
        """Remove at most `limit` expired idempotency keys; return how many. Repeat until 0."""
        return drive(self._calls.purge_keys(limit))

    def check_writes(self) -> None:
        """Write nothing, as a write: a store that only answers questions is found out.

        It purges the keys that expired before anything could. Where a store runs work again
        and again, as after a failover, the answer comes much sooner than that of a call that
        tracks: after 12 runs.

        Raises:
            SegmentflowError: the store takes no writes, and why.
        """
        drive(self._calls.check_writes())


class AsyncRecords:
    """As `Records`, over an asynchronous storage; every call is awaited."""

    def __init__(
        self,
        storage: AsyncStorage,
        *,
        clock: Clock | None = None,
        ids: IdFactory | None = None,
        limits: Limits = DEFAULT_LIMITS,
        redaction: RedactionPolicy = NO_POLICY,
        create_without_email: bool = False,
        profile_limits: ProfileLimits = DEFAULT_PROFILE_LIMITS,
    ) -> None:
        self._calls = _RecordCalls(
            storage,
            "AsyncRecords",
            asynchronous=True,
            clock=clock,
            ids=ids,
            limits=limits,
            redaction=redaction,
            create_without_email=create_without_email,
            profile_limits=profile_limits,
        )

    async def event(
        self, event_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> UserEvent:
        """Return one event; as `Records.event`."""
        return await self._calls.event(event_id, organization_id)

    async def events(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[UserEvent]:
        """Return events, newest first; as `Records.events`."""
        return await self._calls.events(limit, before, organization_id)

    async def profile(
        self, profile_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Profile:
        """Return one Profile; as `Records.profile`."""
        return await self._calls.profile(profile_id, organization_id)

    @forgets_locals
    async def explain(
        self,
        event_id: str,
        *,
        journeys: object = None,
        journey_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> ExplainedEvent:
        """Explain a stored event and write nothing; as `Records.explain`."""
        return await self._calls.explain(event_id, journeys, journey_id, organization_id)

    @forgets_locals
    async def explain_request(
        self,
        request: AnyRequest,
        *,
        journeys: object = None,
        journey_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> ExplainedEvent:
        """Explain a request not yet sent; as `Records.explain_request`."""
        return await self._calls.explain_request(request, journeys, journey_id, organization_id)

    async def purge_keys(self, *, limit: int = 1000) -> int:
        """Remove expired idempotency keys; as `Records.purge_keys`."""
        return await self._calls.purge_keys(limit)

    async def check_writes(self) -> None:
        """Write nothing, as a write; as `Records.check_writes`."""
        await self._calls.check_writes()

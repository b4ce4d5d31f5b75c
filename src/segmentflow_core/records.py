"""The facade of what was recorded: read and find it, explain an event, tell a person's story.

Needs no fingerprint secret.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from segmentflow_core.arguments import DEFAULT_ORGANIZATION
from segmentflow_core.colour import drive
from segmentflow_core.domain.audit import AuditRecord
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.explanation import ExplainedEvent
from segmentflow_core.domain.finding import EventFilter
from segmentflow_core.domain.profile import DEFAULT_PROFILE_LIMITS, Profile, ProfileLimits
from segmentflow_core.domain.redaction_policy import NO_POLICY, RedactionPolicy
from segmentflow_core.domain.request import DEFAULT_LIMITS, Limits
from segmentflow_core.domain.story import Story
from segmentflow_core.domain.template_gaps import TemplateGaps
from segmentflow_core.ports import AsyncStorage, Clock, IdFactory, Storage
from segmentflow_core.record_calls import RecordCalls
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.usecases.record import AnyRequest

__all__ = ["AsyncRecords", "Records"]


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
        self._calls = RecordCalls(
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
        profile_id: str | None = None,
        event: str | None = None,
        reference_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[UserEvent]:
        """Return events, newest first by id, a page at a time.

        What is given of the first five must all be true of an event; it takes a storage that
        finds.

        Args:
            profile_id: only of this Profile.
            event: only of exactly this name.
            reference_id: only of exactly this referenceId.
            since: only received at this instant or later; an aware datetime.
            until: only received before this instant; an aware datetime.
            limit: how many at most, 1 to 100,000.
            before: only ids below this one: the last of the page before.
            organization_id: whose events.

        Raises:
            ConfigurationError: an argument breaks its rule, or the storage does not find.
        """
        wanted = EventFilter(profile_id, event, reference_id, since, until)
        return drive(self._calls.events(wanted, limit, before, organization_id))

    def profile(self, profile_id: str, *, organization_id: str = DEFAULT_ORGANIZATION) -> Profile:
        """Return one Profile.

        Raises:
            NotFound: this Organization has no such Profile.
        """
        return drive(self._calls.profile(profile_id, organization_id))

    def find_profile(
        self,
        who: str | None = None,
        *,
        email: str | None = None,
        external_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Profile:
        """Return one Profile by what is known of it; give one of the first three.

        An email or an external id finds the Profile that has it today: one that gave way to a
        newer email finds nobody.

        Args:
            who: an id, an email or an external id, tried in that order.
            email: in any case, with or without space around it.
            external_id: exactly.
            organization_id: whose Profile.

        Raises:
            NotFound: this Organization has no such Profile.
            ConfigurationError: not exactly one is given, or the storage does not find.
        """
        return drive(self._calls.find_profile(who, email, external_id, organization_id))

    def profiles(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[Profile]:
        """Return Profiles, newest first by id, a page at a time.

        Args:
            limit: how many at most, 1 to 100,000.
            before: only ids below this one: the last of the page before.
            organization_id: whose Profiles.

        Raises:
            ConfigurationError: an argument breaks its rule, or the storage does not find.
        """
        return drive(self._calls.profiles(limit, before, organization_id))

    def why(
        self,
        who: str,
        *,
        journey_id: str | None = None,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Story:
        """Tell one person's story: her events, what Journeys made of them, what became of that.

        Args:
            who: an id, an email or an external id, as `find_profile` takes it.
            journey_id: only what this Journey made of them, and why: each outcome comes with the
                leaves of the condition, by the version that decided.
            limit: how many events to look at, newest first, 1 to 100,000.
            before: only events with ids below this one: `Story.before` of the page before.
            organization_id: whose Profile.

        Raises:
            NotFound: this Organization has no such Profile, or no such Journey.
            ConfigurationError: an argument breaks its rule, or the storage does not find.
        """
        return drive(self._calls.why(who, journey_id, limit, before, organization_id))

    @forgets_locals
    def template_gaps(
        self,
        template: object,
        *,
        event: str | None = None,
        journey_id: str | None = None,
        enrolled: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        at_most: int = 1000,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> TemplateGaps:
        """Count in how many recorded events each pointer of a template found no value.

        Events are looked at newest first, page by page, a transaction each. It takes a storage
        that finds. The result holds no value of an event.

        Args:
            template: a `Template`, or what `compile_template` takes.
            event: look at events of exactly this name; default: the one that `journey_id`
                listens for.
            journey_id: the Journey that the template is for; one of these two is needed.
            enrolled: only events that enrolled their Profile in that Journey.
            since: only received at this instant or later; an aware datetime.
            until: only received before this instant; an aware datetime.
            at_most: how many events to look at, 1 to 100,000. Where that is not enough, the
                result starts later and says so.
            organization_id: whose events.

        Raises:
            NotFound: this Organization has no such Journey.
            InvalidTemplate: the template breaks a rule.
            ConfigurationError: an argument breaks its rule, or the storage does not find.
        """
        return drive(
            self._calls.template_gaps(
                template,
                EventFilter(event=event, since=since, until=until),
                journey_id,
                enrolled=enrolled,
                at_most=at_most,
                organization_id=organization_id,
            )
        )

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
        What became of each Enrollment that it made is told as it stands now, by a storage that
        finds records.

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

    def audit(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[AuditRecord]:
        """Return what was done to people, Journeys and API Keys, newest first, a page at a time.

        Args:
            limit: how many records at most, 1 to 100,000.
            before: only ids below this one: the last of the page before.
            organization_id: whose record.

        Raises:
            ConfigurationError: an argument breaks its rule, or the storage keeps no record.
        """
        return drive(self._calls.audit(limit, before, organization_id))

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
        self._calls = RecordCalls(
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
        profile_id: str | None = None,
        event: str | None = None,
        reference_id: str | None = None,
        since: datetime | None = None,
        until: datetime | None = None,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[UserEvent]:
        """Return events, newest first; as `Records.events`."""
        wanted = EventFilter(profile_id, event, reference_id, since, until)
        return await self._calls.events(wanted, limit, before, organization_id)

    async def profile(
        self, profile_id: str, *, organization_id: str = DEFAULT_ORGANIZATION
    ) -> Profile:
        """Return one Profile; as `Records.profile`."""
        return await self._calls.profile(profile_id, organization_id)

    async def find_profile(
        self,
        who: str | None = None,
        *,
        email: str | None = None,
        external_id: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Profile:
        """Return one Profile by what is known of it; as `Records.find_profile`."""
        return await self._calls.find_profile(who, email, external_id, organization_id)

    async def profiles(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[Profile]:
        """Return Profiles, newest first; as `Records.profiles`."""
        return await self._calls.profiles(limit, before, organization_id)

    async def why(
        self,
        who: str,
        *,
        journey_id: str | None = None,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Story:
        """Tell one person's story; as `Records.why`."""
        return await self._calls.why(who, journey_id, limit, before, organization_id)

    @forgets_locals
    async def template_gaps(
        self,
        template: object,
        *,
        event: str | None = None,
        journey_id: str | None = None,
        enrolled: bool = False,
        since: datetime | None = None,
        until: datetime | None = None,
        at_most: int = 1000,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> TemplateGaps:
        """Count what recorded events lack of a template; as `Records.template_gaps`."""
        return await self._calls.template_gaps(
            template,
            EventFilter(event=event, since=since, until=until),
            journey_id,
            enrolled=enrolled,
            at_most=at_most,
            organization_id=organization_id,
        )

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

    async def audit(
        self,
        *,
        limit: int = 100,
        before: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Sequence[AuditRecord]:
        """Return what was done, newest first; as `Records.audit`."""
        return await self._calls.audit(limit, before, organization_id)

    async def purge_keys(self, *, limit: int = 1000) -> int:
        """Remove expired idempotency keys; as `Records.purge_keys`."""
        return await self._calls.purge_keys(limit)

    async def check_writes(self) -> None:
        """Write nothing, as a write; as `Records.check_writes`."""
        await self._calls.check_writes()

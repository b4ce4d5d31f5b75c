"""What both colours of the facade of records do: an `async def` for each of its calls."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import UTC, datetime
from functools import partial
from typing import Final

from segmentflow_core.arguments import (
    check_before,
    check_filter_id,
    check_flag,
    check_id,
    check_journey_id,
    check_limit,
    check_limits,
    check_moment,
    check_organization,
    check_policy,
    check_profile_limits,
    check_text,
    checked_clock,
    checked_definitions,
    checked_ids,
    checked_who,
    found,
)
from segmentflow_core.calls import StorageCalls
from segmentflow_core.colour import settle
from segmentflow_core.domain.audit import AuditRecord
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.explanation import ExplainedEvent
from segmentflow_core.domain.finding import EventFilter
from segmentflow_core.domain.profile import Profile, ProfileLimits
from segmentflow_core.domain.redaction_policy import RedactionPolicy
from segmentflow_core.domain.request import Limits
from segmentflow_core.domain.story import Story
from segmentflow_core.domain.template import Template, compile_template
from segmentflow_core.domain.template_gaps import TemplateGaps
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.ports import AsyncStorage, Clock, IdFactory, Storage, Transaction
from segmentflow_core.usecases.audit import list_audit
from segmentflow_core.usecases.explain import (
    Asked,
    drafts,
    explain_request,
    explain_stored,
    prepare_dry_run,
)
from segmentflow_core.usecases.finding import (
    find_events,
    find_profile,
    list_profiles,
    read_profile,
    tell,
)
from segmentflow_core.usecases.reading import list_events
from segmentflow_core.usecases.record import AnyRequest
from segmentflow_core.usecases.template_gaps import GapSearch

__all__ = ["RecordCalls"]

_MOST_CHECKS: Final = 12
_BEFORE_EVERYTHING: Final = datetime(1, 1, 2, tzinfo=UTC)
"""A day later than the first, which a time zone of the database's could not hold."""

_EVERY_EVENT: Final = EventFilter()


class RecordCalls(StorageCalls):
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
        check_flag("create_without_email", create_without_email)
        check_profile_limits(profile_limits)
        super().__init__(storage, face, asynchronous=asynchronous)
        self._clock = checked_clock(clock)
        self._ids = checked_ids(ids)
        check_limits(limits)
        self._limits = limits
        self._redaction = redaction
        self._create_without_email = create_without_email
        self._profile_limits = profile_limits

    async def event(self, event_id: str, organization_id: str) -> UserEvent:
        """As `Records.event`."""
        check_id(event_id)
        return found(
            await self.read(organization_id, lambda t: t.events.get(organization_id, event_id))
        )

    async def events(
        self, wanted: EventFilter, limit: int, before: str | None, organization_id: str
    ) -> Sequence[UserEvent]:
        """As `Records.events`."""
        check_filter_id("profile_id", wanted.profile_id)
        check_text("event", wanted.event)
        check_text("reference_id", wanted.reference_id)
        check_moment("since", wanted.since)
        check_moment("until", wanted.until)
        check_limit(limit)
        check_before(before)
        if wanted == _EVERY_EVENT:
            return await self.read(
                organization_id, lambda t: list_events(t, organization_id, limit, before)
            )
        return await self.read(
            organization_id, lambda t: find_events(t, organization_id, wanted, limit, before)
        )

    async def profile(self, profile_id: str, organization_id: str) -> Profile:
        """As `Records.profile`."""
        check_id(profile_id)
        check_organization(organization_id)
        return found(
            await self.run(lambda t: read_profile(t, organization_id, profile_id), reads_only=True)
        )

    async def find_profile(
        self, who: str | None, email: str | None, external_id: str | None, organization_id: str
    ) -> Profile:
        """As `Records.find_profile`."""
        word, kind = checked_who(who, email, external_id)
        check_organization(organization_id)
        return found(
            await self.run(lambda t: find_profile(t, organization_id, word, kind), reads_only=True)
        )

    async def profiles(
        self, limit: int, before: str | None, organization_id: str
    ) -> Sequence[Profile]:
        """As `Records.profiles`."""
        check_limit(limit)
        check_before(before)
        return await self.read(
            organization_id, lambda t: list_profiles(t, organization_id, limit, before)
        )

    async def why(
        self,
        who: str,
        journey_id: str | None,
        limit: int,
        before: str | None,
        organization_id: str,
    ) -> Story:
        """As `Records.why`."""
        word, _ = checked_who(who, None, None)
        check_journey_id(journey_id)
        check_limit(limit)
        check_before(before)
        return await self.read(
            organization_id,
            lambda t: tell(
                t, organization_id, word, journey_id=journey_id, limit=limit, before=before
            ),
        )

    async def template_gaps(
        self,
        template: object,
        wanted: EventFilter,
        journey_id: str | None,
        *,
        enrolled: bool,
        at_most: int,
        organization_id: str,
    ) -> TemplateGaps:
        """As `Records.template_gaps`; `wanted` has the events' name and period."""
        check_organization(organization_id)
        check_text("event", wanted.event)
        check_journey_id(journey_id)
        check_moment("since", wanted.since)
        check_moment("until", wanted.until)
        check_limit(at_most)
        if wanted.event is None and journey_id is None:
            raise ConfigurationError("Give event, or journey_id, whose event is looked at.")
        if wanted.since and wanted.until and wanted.since > wanted.until:
            raise ConfigurationError("since must not be later than until.")
        if enrolled and journey_id is None:
            raise ConfigurationError("enrolled needs journey_id: whose entries are meant.")
        search = GapSearch(
            partial(self.run, reads_only=True),
            organization_id,
            template if isinstance(template, Template) else compile_template(template),
            wanted,
            journey_id,
            enrolled,
            at_most,
        )
        return await search.gaps()

    async def explain(
        self, event_id: str, journeys: object, journey_id: str | None, organization_id: str
    ) -> ExplainedEvent:
        """As `Records.explain`."""
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
        """As `Records.explain_request`."""
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

    async def audit(
        self, limit: int, before: str | None, organization_id: str
    ) -> Sequence[AuditRecord]:
        """As `Records.audit`."""
        check_limit(limit)
        check_before(before)
        return await self.read(
            organization_id, lambda t: list_audit(t, organization_id, limit, before)
        )

    async def purge_keys(self, limit: int) -> int:
        """As `Records.purge_keys`."""
        check_limit(limit)
        now = self._clock.now()
        return await self.run(lambda t: settle(t.idempotency.purge(now, limit)))

    async def check_writes(self) -> None:
        """As `Records.check_writes`."""
        runs = 0

        async def write_nothing(transaction: Transaction) -> None:
            nonlocal runs
            runs += 1
            if runs > _MOST_CHECKS:
                raise StorageUnavailable(f"The store took no write, {_MOST_CHECKS} times.")
            await settle(transaction.idempotency.purge(_BEFORE_EVERYTHING, 1))

        await self.run(write_nothing)

"""Explaining an event: the decision of tracking, with its reasons, and nothing written.

A request not yet sent is decided as tracking would decide it, down to the Profile it is
about; a stored event is taken as it was stored, at the time it was received. Either is
then explained for the Journeys that are published, or for drafts.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve, frozen

from segmentflow_core.colour import settle
from segmentflow_core.domain.cancelling import Withdrawal
from segmentflow_core.domain.decision import decide
from segmentflow_core.domain.event import Enrollment, UserEvent
from segmentflow_core.domain.explanation import (
    ExplainedEvent,
    ExplainedJourney,
    SilentJourney,
    explain_journey,
    probe_for,
)
from segmentflow_core.domain.fingerprint import Fingerprint
from segmentflow_core.domain.item import Item
from segmentflow_core.domain.journey import (
    Journey,
    JourneyDefinition,
    JourneyStatus,
    PriorEntries,
    definition_digest,
)
from segmentflow_core.domain.profile import Profile, ProfileLimits
from segmentflow_core.domain.redaction_policy import RedactionPolicy
from segmentflow_core.domain.request import Limits, check_request
from segmentflow_core.domain.tracking import Intent, Probe
from segmentflow_core.domain.withdrawals import NOTHING_LOOKED_UP
from segmentflow_core.errors import NotFound, SegmentflowError
from segmentflow_core.ports import Clock, IdFactory, Transaction
from segmentflow_core.usecases.cancelling import (
    Entering,
    RecordedCancellers,
    look_up,
    recorded_cancellers,
)
from segmentflow_core.usecases.finding import can_find, entries_of
from segmentflow_core.usecases.history import history_before, prior_entries, probes_of_history
from segmentflow_core.usecases.record import AnyRequest

__all__ = [
    "Asked",
    "DryRun",
    "drafts",
    "explain_request",
    "explain_stored",
    "listens",
    "prepare_dry_run",
]

# Stand in for the idempotency key, its digest and the fingerprint: a dry run takes no key.
_KEY: Final = "dry run"
_NO_FINGERPRINT: Final = Fingerprint("none", "none", b"")
_UNPUBLISHED: Final = 0
_LISTENING: Final = (JourneyStatus.ACTIVE, JourneyStatus.DRAFT)


@frozen(repr=False)
class _Subject:
    """An event to explain, stored or not, with the entries that it made, by Journey id."""

    event: UserEvent
    before: int | None
    profile_exists: bool
    suppressed: bool = False
    withdrew: tuple[Withdrawal, ...] = ()
    entries: Mapping[str, Enrollment] = {}


@frozen(repr=False)
class Asked:
    """Which Journeys to explain an event for.

    Attributes:
        drafts: these, in place of those that are published; None for those.
        journey_id: only the one of this id; None for every one that listens.
    """

    drafts: tuple[Journey, ...] | None
    journey_id: str | None


def drafts(definitions: Sequence[JourneyDefinition], now: datetime) -> tuple[Journey, ...]:
    """Return definitions as Journeys that were never published, by id."""
    found = [
        Journey(definition, _UNPUBLISHED, definition_digest(definition), now)
        for definition in definitions
    ]
    return tuple(sorted(found, key=lambda journey: journey.journey_id))


def listens(journey: Journey) -> bool:
    """Say whether a Journey that was handed in to be explained counts as listening.

    Drafts listen, because the caller asks what they would do. Paused and archived ones do not.
    """
    return journey.definition.status in _LISTENING


@frozen(repr=False)
class DryRun:
    """A request that was checked and is not to be tracked: it takes no idempotency key."""

    item: Item
    intent: Intent


def prepare_dry_run(
    request: AnyRequest, limits: Limits, policy: RedactionPolicy, clock: Clock, ids: IdFactory
) -> DryRun:
    """Check a request that is not to be tracked.

    Raises:
        InvalidRequest: with every violation; or another refusal of the request itself.
    """
    valid = check_request(request, _KEY, limits, policy)
    now = clock.now()
    intent = Intent(
        keys=(),
        emails=() if valid.email is None else (valid.email,),
        external_ids=() if valid.external_id is None else (valid.external_id,),
        events=(valid.event,),
        now=now,
    )
    return DryRun(Item(valid, _KEY, ids.new_id(), _NO_FINGERPRINT), intent)


async def explain_request(
    transaction: Transaction,
    *,
    organization_id: str,
    dry_run: DryRun,
    asked: Asked,
    new_id: Callable[[], str],
    create_without_email: bool,
    profile_limits: ProfileLimits,
) -> ExplainedEvent:
    """Explain what tracking a request would do now.

    Raises:
        NotFound: there is no Journey of the id that was asked about.
        SegmentflowError: the Profile it names would be refused, and this is the refusal.
    """
    intent = dry_run.intent
    known = await settle(transaction.tracking.load(organization_id, intent))
    looked_up = NOTHING_LOOKED_UP
    while True:
        decision = decide(
            [dry_run.item],
            evolve(known, journeys=()),
            {},
            keys=None,
            now=intent.now,
            new_id=new_id,
            create_without_email=create_without_email,
            profile_limits=profile_limits,
            looked_up=looked_up,
        )
        if decision.questions is None:
            break
        looked_up = await look_up(
            transaction, organization_id, decision.questions, looked_up, by_store=False
        )
    (receipt,) = decision.results
    if isinstance(receipt, SegmentflowError):
        raise receipt
    (event,) = decision.changes.events
    exists = not decision.changes.created_profiles
    is_suppressed = any(p.suppressed_at is not None for p in decision.changes.changed_profiles)
    subject = _Subject(event, None, exists, is_suppressed, event.withdrew)
    explained = await _explain(transaction, organization_id, subject, asked, known.journeys)
    return evolve(
        explained,
        event_id=None,
        profile_id=event.profile_id if exists else None,
        unmatched_paths=receipt.unmatched_paths,
    )


async def explain_stored(
    transaction: Transaction,
    organization_id: str,
    event_id: str,
    asked: Asked,
) -> ExplainedEvent:
    """Explain a stored event as it was received.

    Earlier entries are those caused by lower numbers of its Profile: those that were decided
    before it. So the answer is the same whenever it is asked for. A store that finds records tells
    as well what became of the entries that it made, unless drafts are asked about.

    Raises:
        NotFound: there is no such event, or no Journey of the id that was asked about.
    """
    event = await settle(transaction.events.get(organization_id, event_id))
    if event is None:
        raise NotFound
    published: Sequence[Journey] = ()
    entries: dict[str, Enrollment] = {}
    if asked.drafts is None:
        intent = Intent((), (), (), (event.event,), event.received_at)
        published = (await settle(transaction.tracking.load(organization_id, intent))).journeys
        if can_find(transaction):
            made = await entries_of(transaction, organization_id, [event])
            entries = {journey_id: entry for (_, journey_id), entry in made.items()}
    subject = _Subject(
        event, event.number, profile_exists=True, withdrew=event.withdrew, entries=entries
    )
    return await _explain(transaction, organization_id, subject, asked, published)


@frozen(repr=False)
class _Chosen:
    """The Journeys that an event is explained for.

    Attributes:
        listening: those that listen for it.
        versions: of those that are published, by id.
        silent: those that were asked about and do not listen.
    """

    listening: Sequence[Journey]
    versions: Mapping[str, int]
    silent: Sequence[Journey]


async def _explain(
    transaction: Transaction,
    organization_id: str,
    subject: _Subject,
    asked: Asked,
    published: Sequence[Journey],
) -> ExplainedEvent:
    event = subject.event
    if asked.drafts is None:
        chosen = await _among_published(transaction, organization_id, asked, published)
    else:
        drafted = _of(asked.drafts, asked)
        if asked.journey_id is not None and not drafted:
            raise NotFound
        chosen = await _among_drafts(transaction, organization_id, event.event, drafted)
    explained = await _explained(transaction, organization_id, subject, chosen)
    told = {journey.journey_id for journey in chosen.listening}
    return ExplainedEvent(
        event_id=event.event_id,
        profile_id=event.profile_id,
        event=event.event,
        occurred_at=event.occurred_at,
        received_at=event.received_at,
        unmatched_paths=(),
        journeys=explained,
        silent=tuple(SilentJourney.of(journey, event.event) for journey in chosen.silent),
        withdrew=subject.withdrew,
        other_enrollments=tuple(
            entry
            for journey_id, entry in sorted(subject.entries.items())
            if journey_id not in told and asked.journey_id in (None, journey_id)
        ),
    )


async def _among_published(
    transaction: Transaction, organization_id: str, asked: Asked, published: Sequence[Journey]
) -> _Chosen:
    journeys = sorted(_of(published, asked), key=lambda journey: journey.journey_id)
    versions = {journey.journey_id: journey.version for journey in journeys}
    silent = () if journeys else await _one_asked(transaction, organization_id, asked)
    return _Chosen(journeys, versions, silent)


async def _among_drafts(
    transaction: Transaction, organization_id: str, event: str, drafted: Sequence[Journey]
) -> _Chosen:
    journeys = [j for j in drafted if listens(j) and j.definition.trigger.event == event]
    versions = await _versions(transaction, organization_id, journeys)
    return _Chosen(journeys, versions, [j for j in drafted if j not in journeys])


async def _explained(
    transaction: Transaction, organization_id: str, subject: _Subject, chosen: _Chosen
) -> tuple[ExplainedJourney, ...]:
    """Explain an event for the Journeys that listen, by the earlier entries they need."""
    asked: dict[str, tuple[Probe, ...]] = {}
    cancellers = RecordedCancellers[str]()
    profiles: dict[str, Profile | None] = {}
    if subject.profile_exists:
        entering = {
            journey.journey_id: Entering(journey, subject.event, subject.before)
            for journey in chosen.listening
        }
        cancellers = await recorded_cancellers(transaction, organization_id, entering, profiles)
        for journey in chosen.listening:
            probe = probe_for(journey, subject.event, subject.before)
            if probe is not None:
                asked[journey.journey_id] = await probes_of_history(
                    transaction, organization_id, probe, profiles
                )
    answers = await prior_entries(transaction, organization_id, asked)
    history = await history_before(
        transaction,
        organization_id,
        subject.event,
        chosen.listening,
        profiles,
        is_stored=subject.before is not None,
        profile_exists=subject.profile_exists,
    )
    explained = [
        explain_journey(
            journey,
            subject.event,
            answers.get(journey.journey_id, _NOTHING_PRIOR),
            version=chosen.versions.get(journey.journey_id),
            profile_exists=subject.profile_exists,
            suppressed=subject.suppressed,
            history=history,
            canceller=cancellers.found.get(journey.journey_id),
            is_unclear=journey.journey_id in cancellers.unclear,
            enrollment=subject.entries.get(journey.journey_id),
        )
        for journey in chosen.listening
    ]
    return tuple(explained)


def _of(journeys: Sequence[Journey], asked: Asked) -> list[Journey]:
    return [j for j in journeys if asked.journey_id in (None, j.journey_id)]


async def _one_asked(
    transaction: Transaction, organization_id: str, asked: Asked
) -> tuple[Journey, ...]:
    """Return the published Journey that was asked about and does not listen, if one was."""
    if asked.journey_id is None:
        return ()
    journey = await settle(transaction.journeys.get(organization_id, asked.journey_id))
    if journey is None:
        raise NotFound
    return (journey,)


async def _versions(
    transaction: Transaction, organization_id: str, journeys: Sequence[Journey]
) -> dict[str, int]:
    """Return the version of each draft that says what is published under its id already."""
    if not journeys:
        return {}
    digests = {journey.journey_id: journey.digest for journey in journeys}
    return {
        journey.journey_id: journey.version
        for journey in await settle(transaction.journeys.list(organization_id))
        if digests.get(journey.journey_id) == journey.digest
    }


_NOTHING_PRIOR: Final = PriorEntries()

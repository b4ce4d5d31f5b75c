"""Finding people and what was recorded of them, and telling one person's story.

Knows in which order a word is tried as an id, an email and an external id, and how each list
is sorted.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from attrs import evolve

from segmentflow_core.colour import settle
from segmentflow_core.domain.event import Enrollment, UserEvent
from segmentflow_core.domain.explanation import ExplainedJourney, explain_journey, probe_for
from segmentflow_core.domain.finding import EnrollmentFilter, EventFilter
from segmentflow_core.domain.identifier import is_id
from segmentflow_core.domain.identity import IdentityKind
from segmentflow_core.domain.journey import Journey, PriorEntries
from segmentflow_core.domain.profile import Profile
from segmentflow_core.domain.story import Story, ToldEvent, ToldOutcome
from segmentflow_core.domain.tracking import Probe
from segmentflow_core.errors import NotFound
from segmentflow_core.ports import Transaction
from segmentflow_core.ports.finding import FindingRepository
from segmentflow_core.usecases.cancelling import Entering, recorded_cancellers
from segmentflow_core.usecases.capabilities import capability
from segmentflow_core.usecases.history import history_before, prior_entries, probes_of_history

__all__ = [
    "can_find",
    "entries_of",
    "find_events",
    "find_profile",
    "finding_of",
    "list_enrollments",
    "list_profiles",
    "read_profile",
    "tell",
]


async def read_profile(
    transaction: Transaction, organization_id: str, profile_id: str
) -> Profile | None:
    """Return the Profile of an id; of one that was merged, the Profile that stayed."""
    profile = await settle(transaction.profiles.get(organization_id, profile_id))
    while profile is not None and profile.merged_into is not None:
        profile = await settle(transaction.profiles.get(organization_id, profile.merged_into))
    return profile


async def find_profile(
    transaction: Transaction, organization_id: str, who: str, kind: IdentityKind | None
) -> Profile | None:
    """Return the Profile of this id, of this email, or of this external id, in that order.

    Its own ones and its aliases are looked for. An id of a Profile that was merged leads to the
    one that stayed.

    Args:
        transaction: to ask in.
        organization_id: whose Profile.
        who: the word.
        kind: try it as this alone; None tries all three.
    """
    if kind is None and is_id(who):
        found = await read_profile(transaction, organization_id, who)
        if found is not None:
            return found
    finding = finding_of(transaction)
    for each in IdentityKind if kind is None else (kind,):
        value = _email(who) if each is IdentityKind.EMAIL else who
        found = await settle(finding.profile(organization_id, each, value))
        if found is not None:
            return found
    return None


def _email(word: str) -> str:
    """Write an email in its identifying form."""
    trimmed = word.strip()
    # No email has other letters, some of which are ASCII once they are lowercased.
    return trimmed.lower() if trimmed.isascii() else trimmed


async def list_profiles(
    transaction: Transaction, organization_id: str, limit: int, before: str | None
) -> list[Profile]:
    """Return a page of Profiles, newest first by id."""
    found = await settle(finding_of(transaction).profiles(organization_id, limit, before))
    return sorted(found, key=lambda profile: profile.profile_id, reverse=True)


async def find_events(
    transaction: Transaction,
    organization_id: str,
    wanted: EventFilter,
    limit: int,
    before: str | None,
) -> list[UserEvent]:
    """Return a page of the events asked for, newest first by id.

    Those of a Profile are also those of the Profiles that were merged into it.
    """
    finding = finding_of(transaction)
    found: list[UserEvent] = []
    for each in await _series(transaction, organization_id, wanted.profile_id):
        asked = finding.events(organization_id, evolve(wanted, profile_id=each), limit, before)
        found += await settle(asked)
    return sorted(found, key=lambda event: event.event_id, reverse=True)[:limit]


async def _series(
    transaction: Transaction, organization_id: str, profile_id: str | None
) -> tuple[str | None, ...]:
    """Return whose records are one person's: a Profile and what was merged into it."""
    if profile_id is None:
        return (None,)
    profile = await read_profile(transaction, organization_id, profile_id)
    if profile is None:
        return (profile_id,)
    return profile.series


async def list_enrollments(
    transaction: Transaction,
    organization_id: str,
    wanted: EnrollmentFilter,
    limit: int,
    before: str | None,
) -> list[Enrollment]:
    """Return a page of the Enrollments asked for, newest first by id.

    Any storage lists those of a Journey and a status; those of a Profile or an event are found.
    """
    found: list[Enrollment] = []
    if wanted.profile_id is None and wanted.event_id is None:
        journey_id, status = wanted.journey_id, wanted.status
        asked = transaction.enrollments.list(organization_id, limit, before, journey_id, status)
        found += await settle(asked)
    else:
        finding = finding_of(transaction)
        for each in await _series(transaction, organization_id, wanted.profile_id):
            of_one = evolve(wanted, profile_id=each)
            found += await settle(finding.enrollments(organization_id, of_one, limit, before))
    return sorted(found, key=lambda enrollment: enrollment.enrollment_id, reverse=True)[:limit]


async def tell(
    transaction: Transaction,
    organization_id: str,
    who: str,
    *,
    journey_id: str | None,
    limit: int,
    before: str | None,
) -> Story:
    """Tell a page of one person's story.

    Raises:
        NotFound: there is no such Profile, or no Journey of the id that was asked about.
    """
    profile = await find_profile(transaction, organization_id, who, None)
    if profile is None:
        raise NotFound
    if journey_id is not None:
        journey = await settle(transaction.journeys.get(organization_id, journey_id))
        if journey is None:
            raise NotFound
    wanted = EventFilter(profile_id=profile.profile_id)
    events = await find_events(transaction, organization_id, wanted, limit, before)
    entries = await entries_of(transaction, organization_id, events)
    explained: Mapping[str, ExplainedJourney] = {}
    if journey_id is not None:
        explained = await _explained(transaction, organization_id, journey_id, events, entries)
    told = [_told(event, entries, journey_id, explained) for event in events]
    return Story(
        profile,
        tuple(each for each in told if journey_id is None or _is_about(each, journey_id)),
        events[-1].event_id if len(events) == limit else None,
    )


def _is_about(told: ToldEvent, journey_id: str) -> bool:
    withdrew = told.event.withdrew
    return bool(told.outcomes) or any(each.journey_id == journey_id for each in withdrew)


def _told(
    event: UserEvent,
    entries: Mapping[tuple[str, str], Enrollment],
    journey_id: str | None,
    explained: Mapping[str, ExplainedJourney],
) -> ToldEvent:
    outcomes = [
        ToldOutcome(
            outcome,
            entries.get((event.event_id, outcome.journey_id)),
            explained.get(event.event_id),
        )
        for outcome in event.outcomes
        if journey_id in (None, outcome.journey_id)
    ]
    return ToldEvent(event, tuple(outcomes))


async def entries_of(
    transaction: Transaction, organization_id: str, events: Sequence[UserEvent]
) -> dict[tuple[str, str], Enrollment]:
    """Return the Enrollments that the events caused, by event and Journey."""
    causes: dict[str, list[str]] = {}
    for event in events:
        if any(outcome.outcome == "enrolled" for outcome in event.outcomes):
            causes.setdefault(event.profile_id, []).append(event.event_id)
    entries: dict[tuple[str, str], Enrollment] = {}
    for profile_id, event_ids in causes.items():
        found = await settle(
            finding_of(transaction).entries(organization_id, profile_id, event_ids)
        )
        entries |= {(entry.event_id, entry.journey_id): entry for entry in found}
    return entries


async def _explained(
    transaction: Transaction,
    organization_id: str,
    journey_id: str,
    events: Sequence[UserEvent],
    entries: Mapping[tuple[str, str], Enrollment],
) -> dict[str, ExplainedJourney]:
    """Explain each event that a Journey matched, by the version that decided; by event."""
    matched: list[tuple[UserEvent, Journey]] = []
    versions: dict[int, Journey | None] = {}
    for event in events:
        for version in [o.version for o in event.outcomes if o.journey_id == journey_id]:
            if version not in versions:
                versions[version] = await settle(
                    transaction.journeys.get_version(organization_id, journey_id, version)
                )
            journey = versions[version]
            if journey is not None:
                matched.append((event, journey))
    asked: dict[str, tuple[Probe, ...]] = {}
    histories: dict[str, Profile | None] = {}
    for event, journey in matched:
        probe = probe_for(journey, event, event.number)
        if probe is not None:
            asked[event.event_id] = await probes_of_history(
                transaction, organization_id, probe, histories
            )
    answers = await prior_entries(transaction, organization_id, asked)
    entering = {e.event_id: Entering(journey, e, e.number) for e, journey in matched}
    cancellers = await recorded_cancellers(transaction, organization_id, entering, histories)
    explained: dict[str, ExplainedJourney] = {}
    for event, journey in matched:
        # One event after another: what is read of each history is bounded, and then let go.
        history = await history_before(transaction, organization_id, event, [journey], histories)
        explained[event.event_id] = explain_journey(
            journey,
            event,
            answers.get(event.event_id, _NOTHING_PRIOR),
            version=journey.version,
            history=history,
            canceller=cancellers.found.get(event.event_id),
            is_unclear=event.event_id in cancellers.unclear,
            enrollment=entries.get((event.event_id, journey_id)),
        )
    return explained


_NOTHING_PRIOR: Final = PriorEntries()


def can_find(transaction: Transaction) -> bool:
    """Say whether a store finds records by what they say."""
    return getattr(transaction, "finding", None) is not None


def finding_of(transaction: Transaction) -> FindingRepository:
    """Return the look-ups of a storage that finds.

    Raises:
        ConfigurationError: it does not.
    """
    repository: FindingRepository = capability(
        transaction, "finding", "This storage finds nothing: it reads records by their ids alone."
    )
    return repository

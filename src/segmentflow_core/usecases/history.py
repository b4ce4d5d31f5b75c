"""Asking about earlier entries and events, where a merge may have made several series one history.

A merge moves no event: the survivor notes which series went in before which of its numbers.
Earlier than an event are the lower numbers of its own series, and every series that was merged
into that one before it.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TypeVar

from attrs import evolve

from segmentflow_core.colour import settle
from segmentflow_core.domain.earlier_events import (
    EarlierEvents,
    HistoryProbe,
    Question,
    series_before,
    series_of,
)
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.history import History
from segmentflow_core.domain.journey import Journey, PriorEntries
from segmentflow_core.domain.profile import Profile
from segmentflow_core.domain.tracking import Probe
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports import HistoryRepository, Transaction

__all__ = [
    "ask_history",
    "check_history",
    "history_before",
    "merged_before",
    "prior_entries",
    "probes_of_history",
]

K = TypeVar("K")


def check_history(transaction: Transaction, journeys: Iterable[Journey]) -> None:
    """Refuse Journeys that ask what a storage cannot answer.

    Raises:
        ConfigurationError: a condition counts earlier events, and this storage cannot.
    """
    if getattr(transaction, "history", None) is None:
        asking = sorted(each.journey_id for each in journeys if each.rules.asks_history)
        if asking:
            raise ConfigurationError(
                f"This storage cannot count earlier events: the Journey {asking[0]!r} asks for it."
            )


async def ask_history(
    transaction: Transaction,
    organization_id: str,
    probes: Sequence[HistoryProbe],
    entries: Sequence[Probe],
) -> tuple[Mapping[Question, EarlierEvents], Mapping[Probe, PriorEntries]]:
    """Answer probes about earlier events by question, and with them those about earlier entries.

    Raises:
        ConfigurationError: this storage cannot count earlier events.
    """
    repository: HistoryRepository | None = getattr(transaction, "history", None)
    if repository is None:
        raise ConfigurationError("This storage cannot count earlier events.")
    answers, prior = await settle(repository.earlier(organization_id, probes, entries))
    return {probe.question: answers[probe] for probe in probes}, prior


async def history_before(
    transaction: Transaction,
    organization_id: str,
    event: UserEvent,
    journeys: Iterable[Journey],
    profiles: dict[str, Profile | None],
    *,
    is_stored: bool = True,
    profile_exists: bool = True,
) -> History | None:
    """Return all that Journeys ask about what is earlier than an event; None if none asks.

    Args:
        transaction: to read in.
        organization_id: whose event.
        event: as it is stored, or would be.
        journeys: those that it is explained for.
        profiles: those that were read already, by id; filled here.
        is_stored: whether it is, so that what is earlier goes by its number.
        profile_exists: whether its Profile has any history.
    """
    dids = [did for journey in journeys for did in journey.rules.dids]
    if not dids:
        return None
    profile = None
    if profile_exists:
        profile = await _profile(transaction, organization_id, event.profile_id, profiles)
    if is_stored:
        series = series_before(event, () if profile is None else profile.merged)
    else:
        series = () if profile is None else series_of(profile)
    is_erased = profile is not None and profile.erased_at is not None
    unanswered: dict[Question, HistoryProbe] = {}
    asking = History.of(
        event, series, answers={}, unanswered=unanswered, is_erased=is_erased, thorough=True
    )
    for did in dids:
        asking.judge(did)
    answers: Mapping[Question, EarlierEvents] = {}
    if unanswered:
        answers, _ = await ask_history(transaction, organization_id, list(unanswered.values()), ())
    return History.of(
        event, series, answers=answers, unanswered={}, is_erased=is_erased, thorough=True
    )


async def _profile(
    transaction: Transaction,
    organization_id: str,
    profile_id: str,
    profiles: dict[str, Profile | None],
) -> Profile | None:
    if profile_id not in profiles:
        profiles[profile_id] = await settle(transaction.profiles.get(organization_id, profile_id))
    return profiles[profile_id]


async def probes_of_history(
    transaction: Transaction,
    organization_id: str,
    probe: Probe,
    profiles: dict[str, Profile | None],
) -> tuple[Probe, ...]:
    """Return a probe and those of the series that were merged before it.

    Args:
        transaction: to read the Profile in.
        organization_id: whose Profile.
        probe: of the Profile's own series; `Probe.before` says which merges count.
        profiles: those that were read already, by id; filled here.
    """
    earlier = await merged_before(
        transaction, organization_id, probe.profile_id, probe.before, profiles
    )
    return (probe, *(evolve(probe, profile_id=each, before=None) for each in earlier))


async def merged_before(
    transaction: Transaction,
    organization_id: str,
    profile_id: str,
    before: int | None,
    profiles: dict[str, Profile | None],
) -> tuple[str, ...]:
    """Return the ids of the series that were merged into a Profile before one of its numbers.

    Args:
        transaction: to read the Profile in.
        organization_id: whose Profile.
        profile_id: the Profile.
        before: the number; None counts every merge.
        profiles: those that were read already, by id; filled here.
    """
    profile = await _profile(transaction, organization_id, profile_id, profiles)
    return tuple(
        [
            series.profile_id
            for series in (() if profile is None else profile.merged)
            if before is None or series.before <= before
        ]
    )


async def prior_entries(
    transaction: Transaction, organization_id: str, asked: Mapping[K, tuple[Probe, ...]]
) -> dict[K, PriorEntries]:
    """Answer probes by what they are asked for; those of one history together."""
    probes = list(dict.fromkeys(probe for each in asked.values() for probe in each))
    if not probes:
        return {}
    answers = await settle(transaction.tracking.prior_entries(organization_id, probes))
    joined: dict[K, PriorEntries] = {}
    for key, each in asked.items():
        prior = PriorEntries()
        for probe in each:
            prior = prior.joined(answers[probe])
        joined[key] = prior
    return joined

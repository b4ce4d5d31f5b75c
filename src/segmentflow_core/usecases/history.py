"""Asking about earlier entries where a merge made several series one history.

A merge moves no event: the survivor notes which series went in before which of its numbers.
Earlier than an event are the lower numbers of its own series, and every series that was merged
into that one before it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from attrs import evolve

from segmentflow_core.colour import settle
from segmentflow_core.domain.journey import PriorEntries
from segmentflow_core.domain.profile import Profile
from segmentflow_core.domain.tracking import Probe
from segmentflow_core.ports import Transaction

__all__ = ["merged_before", "prior_entries", "probes_of_history"]

K = TypeVar("K")


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
    if profile_id not in profiles:
        profiles[profile_id] = await settle(transaction.profiles.get(organization_id, profile_id))
    profile = profiles[profile_id]
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

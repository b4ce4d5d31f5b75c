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

__all__ = ["prior_entries", "probes_of_history"]

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
    profile_id = probe.profile_id
    if profile_id not in profiles:
        profiles[profile_id] = await settle(transaction.profiles.get(organization_id, profile_id))
    profile = profiles[profile_id]
    earlier = [
        evolve(probe, profile_id=series.profile_id, before=None)
        for series in (() if profile is None else profile.merged)
        if probe.before is None or series.before <= probe.before
    ]
    return (probe, *earlier)


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

"""What a store's Enrollments say of earlier entries, for stores that keep nothing else of them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from segmentflow_core.domain.event import Enrollment
from segmentflow_core.domain.journey import PriorEntries, has_key
from segmentflow_core.domain.tracking import Probe

__all__ = ["answer", "answered"]


def answer(probe: Probe, enrollments: Iterable[Enrollment]) -> PriorEntries:
    """Answer a probe.

    Args:
        probe: what is asked.
        enrollments: of one Organization, in any order; other Profiles' and Journeys' are passed
            over.
    """
    earlier = [
        entry
        for entry in enrollments
        if (entry.journey_id, entry.profile_id) == (probe.journey_id, probe.profile_id)
        and (probe.before is None or entry.event_number < probe.before)
    ]
    return answered(probe, [(entry.entered_at, entry.entry_key) for entry in earlier])


def answered(probe: Probe, earlier: Sequence[tuple[datetime, str | None]]) -> PriorEntries:
    """Answer a probe from the times and keys of those entries that it is about."""
    key, since = probe.entry_key, probe.since
    same = [at for at, kept in earlier if key is None or has_key(kept, key)]
    return PriorEntries(
        max((at for at, _ in earlier), default=None),
        key is not None and bool(same),
        0 if since is None else sum(at > since for at in same),
    )

"""What a store's Enrollments say of earlier entries, for stores that keep nothing else of them."""

from __future__ import annotations

from collections.abc import Iterable

from segmentflow_core.domain.event import Enrollment
from segmentflow_core.domain.journey import PriorEntries
from segmentflow_core.domain.tracking import Probe

__all__ = ["answer"]


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
    return PriorEntries(
        max((entry.entered_at for entry in earlier), default=None),
        probe.entry_key is not None and any(e.entry_key == probe.entry_key for e in earlier),
    )

"""Checking lines in place of importing them: each for itself, and nothing is written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

from attrs import frozen

from segmentflow_core import Limits, Receipt, RedactionPolicy, SegmentflowError, Tracker
from segmentflow_memory import MemoryStorage

__all__ = ["Checks"]

_FORGOTTEN: Final = "of a store that is forgotten at once"


@frozen
class Checks:
    """Checks each line for itself, in a store of its own that is forgotten: nothing is written.

    What only the host's store knows is not found out: a key that is taken by another request,
    and a Profile that is not there yet, or that is another's.
    """

    limits: Limits
    redaction: RedactionPolicy

    def track_many(
        self, calls: Sequence[tuple[Any, Any]], *, organization_id: str, match_journeys: bool
    ) -> list[Receipt | SegmentflowError]:
        """Return for each call the receipt of a first event, or its refusal."""
        results: list[Receipt | SegmentflowError] = []
        for call in calls:
            tracker = Tracker(
                MemoryStorage(),
                fingerprint_key=_FORGOTTEN,
                limits=self.limits,
                redaction=self.redaction,
                create_without_email=True,
            )
            results += tracker.track_many(
                [call], organization_id=organization_id, match_journeys=match_journeys
            )
        return results

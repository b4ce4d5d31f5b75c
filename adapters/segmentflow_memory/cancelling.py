"""What events cancel: Enrollments that wait for them, and events that were recorded already.

Knows which index leads there. What is cancelled, the core decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from segmentflow_core.ports import LOOKED_AT, Enrollment, RecordedProbe, UserEvent
from segmentflow_memory.tables import Tables

__all__ = ["Cancelling"]


class Cancelling:
    """What a transaction may withdraw, and what has happened already."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def cancellable(self, organization_id: str, profile_ids: Sequence[str]) -> list[Enrollment]:
        tables = self._tables
        read = (
            tables.read(organization_id, tables.enrollments.rows[organization_id, enrollment_id])
            for profile_id in profile_ids
            for enrollment_id in tables.cancellable.newest((organization_id, profile_id), None)
        )
        return [enrollment for enrollment in read if enrollment.cancellers is not None]

    def recorded(
        self, organization_id: str, probes: Sequence[RecordedProbe]
    ) -> Mapping[RecordedProbe, list[UserEvent]]:
        return {
            probe: [
                event
                for event in islice(self._newest(organization_id, probe), LOOKED_AT)
                if event.event == probe.event
                and min(event.occurred_at, event.received_at) > probe.since
            ]
            for probe in probes
        }

    def _newest(self, organization_id: str, probe: RecordedProbe) -> Iterator[UserEvent]:
        tables = self._tables
        for event_id in tables.events_of_profile.newest((organization_id, probe.profile_id), None):
            event = tables.events.rows[organization_id, event_id]
            if probe.before is None or event.number < probe.before:
                yield event

"""What events cancel: Enrollments that wait for them, and events that were recorded already.

Knows which index leads there. What is cancelled, the core decides.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice

from segmentflow_core.ports import (
    LOOKED_AT,
    OTHERS_TOLD,
    Cancellable,
    Enrollment,
    HistoryProbe,
    RecordedProbe,
    UserEvent,
)
from segmentflow_memory.tables import Tables

__all__ = ["Cancelling"]


class Cancelling:
    """What a transaction may withdraw, and what has happened already."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def cancellable(
        self, organization_id: str, profile_ids: Sequence[str], digests: Sequence[str]
    ) -> Cancellable:
        tables, asked = self._tables, frozenset(digests)
        found: list[Enrollment] = []
        room = OTHERS_TOLD * len(profile_ids)
        complete = True
        for profile_id in profile_ids:
            for enrollment_id in tables.cancellable.newest((organization_id, profile_id), None):
                row = tables.enrollments.rows[organization_id, enrollment_id]
                if row.cancellers is None or asked.isdisjoint(row.cancellers.digests):
                    room -= 1
                    if room < 0:
                        complete = False
                        continue
                enrollment = tables.read(organization_id, row)
                if enrollment.cancellers is not None:
                    found.append(enrollment)
        return Cancellable(found, complete)

    def recorded(
        self, organization_id: str, probes: Sequence[RecordedProbe]
    ) -> Mapping[RecordedProbe, list[UserEvent]]:
        return {
            probe: list(islice(self._later(organization_id, probe), LOOKED_AT)) for probe in probes
        }

    def _later(self, organization_id: str, probe: RecordedProbe) -> Iterator[UserEvent]:
        rows, since = self._tables.events.rows, probe.since
        named = HistoryProbe(probe.profile_id, probe.event, since=since, before=probe.before)
        for occurred_at, _, event_id in self._tables.newest_events(organization_id, named):
            event = rows[organization_id, event_id]
            if occurred_at > since and event.received_at > since:
                yield event

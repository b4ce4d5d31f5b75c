"""What Profiles did, over the store's indexes.

Knows where earlier events stand, and what retention left of others. How they are counted, the core
says. It changes nothing of what it is given, and so is given what is stored.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import islice
from typing import Any, Final, Protocol

from segmentflow_core.ports import (
    EarlierEvent,
    EarlierEvents,
    HistoryProbe,
    PriorEntries,
    Probe,
)
from segmentflow_memory.tables import Tables

__all__ = ["History"]


class _AnswersEntries(Protocol):
    def prior_entries(
        self, organization_id: str, probes: Sequence[Probe]
    ) -> Mapping[Probe, PriorEntries]: ...


class History:
    """The earlier events of a transaction."""

    def __init__(self, tables: Tables, tracking: _AnswersEntries) -> None:
        self._tables = tables
        self._tracking = tracking

    def earlier(
        self, organization_id: str, probes: Sequence[HistoryProbe], entries: Sequence[Probe]
    ) -> tuple[Mapping[HistoryProbe, EarlierEvents], Mapping[Probe, PriorEntries]]:
        answers = {probe: self._answer(organization_id, probe) for probe in probes}
        return answers, self._tracking.prior_entries(organization_id, entries)

    def _answer(self, organization_id: str, probe: HistoryProbe) -> EarlierEvents:
        tables = self._tables
        newest = tables.newest_events(organization_id, probe)
        found = list(islice(newest, probe.limit + 1))
        return EarlierEvents(
            tuple(
                EarlierEvent(event_id, number, at, self._state(organization_id, probe, event_id))
                for at, number, event_id in found[: probe.limit]
            ),
            len(found) > probe.limit,
            tables.gone.rows.get((organization_id, probe.profile_id, probe.event)),
        )

    def _state(self, organization_id: str, probe: HistoryProbe, event_id: str) -> Mapping[str, Any]:
        if probe.reads == "nothing":
            return _NOTHING
        event = self._tables.events.rows[organization_id, event_id]
        return {"event": event.data, "profile": event.profile}


_NOTHING: Final[Mapping[str, Any]] = {}

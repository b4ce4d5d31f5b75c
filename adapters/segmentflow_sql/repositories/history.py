"""The port that says what Profiles did: every probe of a batch in one exchange.

What is read alike goes out as one statement, where the database takes a list of probes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from operator import itemgetter
from typing import Any, Final

from attrs import frozen

from segmentflow_core.ports import (
    EarlierEvent,
    EarlierEvents,
    GoneEvents,
    HistoryProbe,
    PriorEntries,
    Probe,
    Reads,
    encode_json,
    from_microseconds,
    to_microseconds,
)
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, Connection
from segmentflow_sql.repositories.tracking import asking_entries, entries_from
from segmentflow_sql.rows import Row
from segmentflow_sql.statements.history import PROBE

__all__ = ["HistoryRepository"]

_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)
_NO_NUMBER: Final = 2**63 - 1

_ROOM: Final = 6 * 1024 * 1024
"""How many characters of JSON are read for a probe, one event more than that. JSONB writes a space
behind each colon and comma, so these are 4 MiB of compact JSON or more."""


@frozen
class HistoryRepository:
    """What Profiles did, as far as it is recorded."""

    _connection: Connection

    async def earlier(
        self, organization_id: str, probes: Sequence[HistoryProbe], entries: Sequence[Probe]
    ) -> tuple[Mapping[HistoryProbe, EarlierEvents], Mapping[Probe, PriorEntries]]:
        """Answer every probe about earlier events, and every one about earlier entries."""
        asked: dict[Reads, list[int]] = {}
        for position, probe in enumerate(probes):
            asked.setdefault(probe.reads, []).append(position)
        calls: list[Call] = []
        for reads, positions in asked.items():
            calls += self._calls(organization_id, probes, reads, positions)
        of_entries = asking_entries(self._connection.kind, organization_id, entries)
        answers = await self._connection.exchange([*calls, *of_entries])
        found: dict[int, list[Row]] = {}
        for answer in answers[: len(calls)]:
            for row in answer:
                found.setdefault(row[0], []).append(row)
        earlier = {
            probe: _answered(probe, found.get(position, ()))
            for position, probe in enumerate(probes)
        }
        return earlier, entries_from(entries, answers[len(calls) :])

    def _calls(
        self,
        organization_id: str,
        probes: Sequence[HistoryProbe],
        reads: Reads,
        positions: Sequence[int],
    ) -> list[Call]:
        kind = self._connection.kind
        statement = kind.statements.history.earlier[reads]
        more: dict[str, Any] = {"organization_id": organization_id, "room": _ROOM}
        if kind.statements.history.takes_list:
            listed = encode_json([(each, *_told(probes[each])) for each in positions])
            limit = max(probes[each].limit for each in positions) + 1
            return [Call(statement, statement.arguments(rows=listed, limit=limit, **more))]
        return [
            Call(
                statement,
                statement.arguments(
                    position=each,
                    limit=probes[each].limit + 1,
                    **dict(zip(PROBE, _told(probes[each]), strict=True)),
                    **more,
                ),
            )
            for each in positions
        ]


def _told(probe: HistoryProbe) -> Row:
    """Return what a probe says, each an end where it says nothing; instants in microseconds."""
    return (
        probe.profile_id,
        probe.event,
        to_microseconds(probe.since or _BEGINNING),
        to_microseconds(probe.until or _END),
        _NO_NUMBER if probe.before is None else probe.before,
    )


def _answered(probe: HistoryProbe, found: Sequence[Row]) -> EarlierEvents:
    """Read the rows of a probe."""
    events: list[Row] = []
    gone = None
    for row in found:
        if row[1] is None:
            _, _, highest, last, count, *_ = row
            last_occurred_at = from_microseconds(last)
            gone = GoneEvents(probe.profile_id, probe.event, count, last_occurred_at, highest)
        else:
            events.append(row)
    # What comes together in one answer may come in any order.
    events.sort(key=itemgetter(3, 2), reverse=True)
    wanted = events[: probe.limit]
    more = bool(events) and events[0][4] > len(wanted)
    return EarlierEvents(tuple([_event(probe, row) for row in wanted]), more, gone)


def _event(probe: HistoryProbe, row: Row) -> EarlierEvent:
    _, event_id, number, occurred, _, data, email, external_id, properties = row
    state = rows.state_from(probe.reads, data, email, external_id, properties)
    return EarlierEvent(event_id, number, from_microseconds(occurred), state)

"""The port of forgetting by age.

Rows are found in one exchange, what they depend on in a second; what is removed travels with the
commit. Rows that several Profiles' events add to are written in the order of their keys.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Any, Final

from attrs import frozen

from segmentflow_core.ports import (
    FINISHED_STATUSES,
    EventPlace,
    GoneEvents,
    RemovedEnrollments,
    RemovedEvents,
    encode_json,
    from_microseconds,
)
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, Connection, Rows, ask, calls_for_rows
from segmentflow_sql.repositories.keys import calls_for_claims
from segmentflow_sql.statements import Statement

__all__ = ["RetentionRepository"]

_BEGINNING: Final = EventPlace(
    datetime.min.replace(tzinfo=UTC), "00000000-0000-0000-0000-000000000000"
)


@frozen
class RetentionRepository:
    """Old records, to be removed."""

    _connection: Connection

    async def remove_events(
        self, organization_id: str, received_before: datetime, limit: int, after: EventPlace | None
    ) -> RemovedEvents:
        """Remove the next old events that no Enrollment needs."""
        kind = self._connection.kind
        begin = after or _BEGINNING
        found = await ask(
            self._connection,
            kind.statements.retention.old_events,
            organization_id=organization_id,
            before=kind.codec.instant(received_before),
            since=kind.codec.instant(begin.received_at),
            after=begin.event_id,
            limit=limit,
        )
        held = await self._held(organization_id, found)
        removed = [row for row in found if row[0] not in held]
        self._remove(organization_id, removed)
        place = None
        if len(found) == limit:
            last = found[-1]
            place = EventPlace(from_microseconds(last[6]), last[0])
        return RemovedEvents(len(removed), len(held), place)

    async def _held(self, organization_id: str, found: Rows) -> set[str]:
        """Return the ids of those events to which an unfinished Enrollment refers."""
        caused: list[tuple[int, str, str, int, str]] = []
        for event_id, profile_id, _, _, _, _, received_at, outcomes, _ in found:
            for outcome in rows.outcomes_from(outcomes):
                if outcome.outcome == "enrolled":
                    entry = (len(caused), outcome.journey_id, profile_id, received_at, event_id)
                    caused.append(entry)
        if not caused:
            return set()
        answers = await ask(
            self._connection,
            self._connection.kind.statements.retention.caused_enrollments,
            organization_id=organization_id,
            rows=encode_json(caused),
        )
        return {
            caused[position][-1]
            for position, status in answers
            if status is not None and status not in FINISHED_STATUSES
        }

    def _remove(self, organization_id: str, removed: Rows) -> None:
        statements = self._connection.kind.statements.retention
        left: dict[tuple[str, str], tuple[int, int, int]] = {}
        versions: Counter[tuple[str, int]] = Counter()
        latest: dict[str, int] = {}
        for _, profile_id, number, version, event, occurred_at, _, _, _ in removed:
            count, last, highest = left.get((profile_id, event), (0, occurred_at, number))
            left[profile_id, event] = (count + 1, max(last, occurred_at), max(highest, number))
            versions[profile_id, version] += 1
            latest[profile_id] = max(version, latest.get(profile_id, version))
        moment = self._connection.kind.codec.instant
        up_to = [(organization_id, *each) for each in sorted(latest.items())]
        self._connection.pending += [
            *self._leave_key_claims(organization_id, removed),
            *calls_for_rows(
                statements.leave_events,
                [
                    (organization_id, *of, count, moment(from_microseconds(last)), highest)
                    for of, (count, last, highest) in sorted(left.items())
                ],
            ),
            *calls_for_rows(
                statements.count_versions,
                [(organization_id, *of, count) for of, count in sorted(versions.items())],
            ),
            *self._for_ids(statements.remove_events, organization_id, [row[0] for row in removed]),
            *calls_for_rows(statements.remove_versions, up_to),
            *calls_for_rows(statements.forget_versions, up_to),
        ]

    def _leave_key_claims(self, organization_id: str, removed: Rows) -> list[Call]:
        return calls_for_claims(
            self._connection.kind.statements.retention.leave_key_claim,
            organization_id,
            [
                (start, {"event_id": event_id, "profile_id": profile_id})
                for event_id, profile_id, *_, start in removed
            ],
        )

    async def remove_enrollments(
        self, organization_id: str, finished_before: datetime, limit: int
    ) -> RemovedEnrollments:
        """Remove finished Enrollments, and leave the entries that re-entry needs."""
        kind = self._connection.kind
        statements = kind.statements.retention
        arguments: dict[str, Any] = {
            "organization_id": organization_id,
            "before": kind.codec.instant(finished_before),
            "limit": limit,
        }
        answers = await self._connection.exchange(
            [
                Call(statement, statement.arguments(**arguments))
                for statement in statements.finished_enrollments.values()
            ]
        )
        found = [row for answer in answers for row in answer][:limit]
        if not found:
            return RemovedEnrollments(0, 0)
        asked = [
            (position, journey_id, profile_id, entered_at, number)
            for position, (_, journey_id, profile_id, entered_at, number, _) in enumerate(found)
        ]
        judged = await ask(
            self._connection,
            statements.superseded_entries,
            organization_id=organization_id,
            rows=encode_json(asked),
        )
        left: list[str] = []
        gone: set[str] = set()
        for position, has_later, earlier in judged:
            enrollment_id, *_, entry_key = found[position]
            if entry_key is None and has_later:
                gone.add(enrollment_id)
            else:
                left.append(enrollment_id)
            if earlier is not None:
                gone.add(earlier)
        self._connection.pending += [
            *self._for_ids(statements.remove_enrollments, organization_id, sorted(gone)),
            *self._for_ids(statements.leave_entries, organization_id, left),
        ]
        return RemovedEnrollments(len(found), len(left))

    def _for_ids(
        self, statement: Statement, organization_id: str, ids: Sequence[str]
    ) -> list[Call]:
        if not ids:
            return []
        listed = self._connection.kind.codec.listed(ids)
        return [Call(statement, statement.arguments(organization_id=organization_id, ids=listed))]

    async def gone(self, organization_id: str, profile_ids: Sequence[str]) -> list[GoneEvents]:
        """Return what is left of the removed events of Profiles."""
        kind = self._connection.kind
        wanted = [each for each in profile_ids if kind.codec.may_be_id(each)]
        found = await ask(
            self._connection,
            kind.statements.retention.gone_events,
            organization_id=organization_id,
            profile_ids=kind.codec.listed(wanted),
        )
        return [
            GoneEvents(profile_id, event, count, from_microseconds(last), highest)
            for _, profile_id, event, count, last, highest in found
        ]

"""The port of cancelling: what an event may withdraw, and what has happened already.

One exchange each; nothing is locked and nothing written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from segmentflow_core.ports import Enrollment, RecordedProbe, UserEvent
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, Connection, ask

__all__ = ["CancellingRepository"]


@frozen
class CancellingRepository:
    """What events cancel."""

    _connection: Connection

    async def cancellable(
        self, organization_id: str, profile_ids: Sequence[str]
    ) -> list[Enrollment]:
        """Read the Enrollments of Profiles that an event may withdraw."""
        kind = self._connection.kind
        found = await ask(
            self._connection,
            kind.statements.cancelling.cancellable_enrollments,
            organization_id=organization_id,
            profile_ids=kind.codec.listed(profile_ids),
        )
        read = map(rows.read_enrollment, found)
        return [enrollment for enrollment in read if enrollment.cancellers is not None]

    async def recorded(
        self, organization_id: str, probes: Sequence[RecordedProbe]
    ) -> Mapping[RecordedProbe, list[UserEvent]]:
        """Read what happened later, for each probe by a statement of its own."""
        kind = self._connection.kind
        statement = kind.statements.cancelling.recorded_since
        answers = await self._connection.exchange(
            [
                Call(
                    statement,
                    statement.arguments(
                        organization_id=organization_id,
                        profile_id=probe.profile_id,
                        event=probe.event,
                        since=kind.codec.instant(probe.since),
                        before=probe.before,
                    ),
                )
                for probe in probes
            ]
        )
        return {
            probe: [rows.event_from(row) for row in found]
            for probe, found in zip(probes, answers, strict=True)
        }

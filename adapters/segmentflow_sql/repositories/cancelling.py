"""The port of cancelling: what an event may withdraw, and what has happened already.

One exchange each; nothing is locked and nothing written.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from segmentflow_core.ports import (
    OTHERS_TOLD,
    Cancellable,
    RecordedProbe,
    UserEvent,
    encode_json,
)
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, Connection

__all__ = ["CancellingRepository"]


@frozen
class CancellingRepository:
    """What events cancel."""

    _connection: Connection

    async def cancellable(
        self, organization_id: str, profile_ids: Sequence[str], digests: Sequence[str]
    ) -> Cancellable:
        """Read the Enrollments of Profiles that an event may withdraw, and some others."""
        kind = self._connection.kind
        limit = OTHERS_TOLD * len(profile_ids)
        of = {
            "organization_id": organization_id,
            "profile_ids": kind.codec.listed(profile_ids),
            "digests": encode_json(list(digests)),
        }
        statements = kind.statements.cancelling
        those, others = await self._connection.exchange(
            [
                Call(statement, statement.arguments(**of, **more))
                for statement, more in (
                    (statements.cancellable_enrollments, {}),
                    (statements.other_cancellable, {"limit": limit + 1}),
                )
            ]
        )
        read = map(rows.read_enrollment, [*those, *others[:limit]])
        found = [enrollment for enrollment in read if enrollment.cancellers is not None]
        return Cancellable(found, len(others) <= limit)

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

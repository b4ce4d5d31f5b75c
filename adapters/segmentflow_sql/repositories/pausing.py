"""The port of pausing Journeys, and how the rows of Enrollments that are locked are read.

Knows which Journeys were archived after Enrollments entered. What that makes of an Enrollment, the
core says.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from segmentflow_core.ports import Enrollment
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, Connection, ask

__all__ = ["PausingRepository", "archivings_among"]


def archivings_among(
    connection: Connection, organization_id: str, enrollment_ids: Sequence[str]
) -> Call:
    """Return the call that reads when the Journeys of Enrollments were archived."""
    statement = connection.kind.statements.pausing.archivings
    ids = connection.kind.codec.listed(enrollment_ids)
    return Call(statement, statement.arguments(organization_id=organization_id, enrollment_ids=ids))


@frozen
class PausingRepository:
    """Journeys whose lines stand still."""

    _connection: Connection

    async def overdue(self, organization_id: str, now: datetime, limit: int) -> list[Enrollment]:
        """Lock rows that have yet to say that their Enrollment is withdrawn."""
        kind = self._connection.kind
        statements = kind.statements.pausing
        left = await ask(
            self._connection, statements.journeys_left, organization_id=organization_id
        )
        found: list[Enrollment] = []
        for journey_id, era, archived_at in left:
            if len(found) == limit:
                break
            some = await ask(
                self._connection,
                statements.overdue_enrollments,
                organization_id=organization_id,
                journey_id=journey_id,
                era=era,
                now=kind.codec.instant(now),
                limit=limit - len(found),
            )
            found += [rows.as_archived(rows.enrollment_from(row), archived_at) for row in some]
        return found

"""The port of idempotency keys that have expired."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from segmentflow_sql.exchange import Connection, ask

__all__ = ["IdempotencyRepository"]


@frozen
class IdempotencyRepository:
    """The claims of idempotency keys."""

    _connection: Connection

    async def purge(self, now: datetime, limit: int) -> int:
        """Remove at most `limit` expired claims; return how many."""
        kind = self._connection.kind
        removed = await ask(
            self._connection,
            kind.statements.tracking.purge_keys,
            now=kind.codec.instant(now),
            limit=limit,
        )
        return len(removed)

"""The port of idempotency keys that have expired."""

from __future__ import annotations

from collections import defaultdict
from datetime import datetime

from attrs import frozen

from segmentflow_sql.exchange import Call, Connection, Rows, ask

__all__ = ["IdempotencyRepository"]


@frozen
class IdempotencyRepository:
    """The claims of idempotency keys."""

    _connection: Connection

    async def purge(self, now: datetime, limit: int) -> int:
        """Remove at most `limit` expired claims; return how many."""
        kind = self._connection.kind
        expired_keys = kind.statements.tracking.expired_keys
        moment = kind.codec.instant(now)
        if expired_keys is not None:
            expired = await ask(self._connection, expired_keys, now=moment, limit=limit)
            return await self._purge_by_organization(expired, moment)
        purge = kind.statements.tracking.purge_keys
        return len(await ask(self._connection, purge, now=moment, limit=limit))

    async def _purge_by_organization(self, expired: Rows, now: datetime) -> int:
        """Remove listed claims that are expired still, each Organization's by a statement.

        Where none is listed, remove those of no Organization: a purge is a write, by which a
        server that takes none is found out.
        """
        kind = self._connection.kind
        purge = kind.statements.tracking.purge_keys
        of: dict[str, list[str]] = defaultdict(list)
        for organization_id, key in expired:
            of[organization_id].append(key)
        calls = [
            Call(
                purge, purge.arguments(organization_id=name, keys=kind.codec.listed(keys), now=now)
            )
            for name, keys in sorted(of.items()) or [("", [])]
        ]
        return sum(map(len, await self._connection.exchange(calls)))

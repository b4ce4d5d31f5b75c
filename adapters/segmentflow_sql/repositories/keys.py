"""The port of idempotency keys that have expired, and the way from events to their key claims."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping
from datetime import datetime
from operator import itemgetter
from typing import Final

from attrs import frozen

from segmentflow_sql.exchange import Call, Connection, Rows, ask
from segmentflow_sql.statements import Statement

__all__ = ["IdempotencyRepository", "calls_for_claims"]

_BEYOND: Final = "~"
"""Behind every character of base64url."""


def calls_for_claims(
    statement: Statement,
    organization_id: str,
    events: Iterable[tuple[str | None, Mapping[str, str]]],
) -> list[Call]:
    """Return a call for the key claim of each event that leads to one, in the order of the keys.

    Args:
        statement: is about one claim.
        organization_id: whose events.
        events: the `key_start` of each, and what else the statement takes.
    """
    leading = [(start, values) for start, values in events if start is not None]
    return [
        Call(
            statement,
            statement.arguments(
                organization_id=organization_id, first=start, beyond=start + _BEYOND, **values
            ),
        )
        for start, values in sorted(leading, key=itemgetter(0))
    ]


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

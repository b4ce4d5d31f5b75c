"""The port of API Keys."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from segmentflow_core.ports.api_keys import ApiKey
from segmentflow_sql.exchange import Call, Connection, Rows, ask, calls_for_rows
from segmentflow_sql.rows import api_key_from, api_key_row

__all__ = ["ApiKeyRepository"]


@frozen
class ApiKeyRepository:
    """The API Keys of every Organization."""

    _connection: Connection

    async def create(self, api_key: ApiKey) -> None:
        """Write a new API Key; it travels with the commit."""
        kind = self._connection.kind
        row = api_key_row(kind.codec, api_key)
        create = kind.statements.api_keys.create_api_key
        self._connection.pending.extend(calls_for_rows(create, [row]))

    async def find(self, lookup: str) -> Sequence[ApiKey]:
        """Return the API Keys that may be the one looked up."""
        find = self._connection.kind.statements.api_keys.find_api_keys
        return _api_keys(await ask(self._connection, find, lookup=lookup))

    async def list(self, organization_id: str) -> Sequence[ApiKey]:
        """Return an Organization's API Keys, newest first."""
        listing = self._connection.kind.statements.api_keys.list_api_keys
        return _api_keys(await ask(self._connection, listing, organization_id=organization_id))

    async def revoke(self, organization_id: str, key_id: str, now: datetime) -> ApiKey | None:
        """Revoke an API Key, unless it is revoked already; return it as it then is."""
        kind = self._connection.kind
        found = await ask(
            self._connection,
            kind.statements.api_keys.revoke_api_key,
            organization_id=organization_id,
            key_id=key_id,
            now=kind.codec.instant(now),
        )
        return api_key_from(found[0]) if found else None

    async def note_use(self, organization_id: str, key_id: str, now: datetime) -> None:
        """Write down when an API Key was used; it travels with the commit."""
        kind = self._connection.kind
        note = kind.statements.api_keys.note_api_key_use
        arguments = note.arguments(
            organization_id=organization_id, key_id=key_id, now=kind.codec.instant(now)
        )
        self._connection.pending.append(Call(note, arguments))


def _api_keys(found: Rows) -> Sequence[ApiKey]:
    return [api_key_from(row) for row in found]

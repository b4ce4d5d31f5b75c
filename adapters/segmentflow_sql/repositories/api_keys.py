"""The port of API Keys."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from segmentflow_core.ports.api_keys import ApiKey
from segmentflow_sql.exchange import Connection, Rows, ask, calls_for_rows
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

    async def lock(self, organization_id: str, key_id: str) -> ApiKey | None:
        """Return an API Key, locked until the transaction ends."""
        found = await ask(
            self._connection,
            self._connection.kind.statements.api_keys.lock_api_key,
            organization_id=organization_id,
            key_id=key_id,
        )
        return api_key_from(found[0]) if found else None

    async def save(self, api_key: ApiKey) -> None:
        """Write when an API Key was last used and revoked; it travels with the commit."""
        kind = self._connection.kind
        moments = (api_key.last_used_at, api_key.revoked_at)
        row = (*map(kind.codec.maybe, moments), api_key.organization_id, api_key.key_id)
        save = kind.statements.api_keys.save_api_key
        self._connection.pending.extend(calls_for_rows(save, [row]))


def _api_keys(found: Rows) -> Sequence[ApiKey]:
    return [api_key_from(row) for row in found]

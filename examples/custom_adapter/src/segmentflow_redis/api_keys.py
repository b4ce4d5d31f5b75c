"""API Keys: digests of secrets, by Organization and by what each is looked up by."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from segmentflow_core.ports.api_keys import ApiKey
from segmentflow_redis import documents
from segmentflow_redis.keys import api_key_lookup, key
from segmentflow_redis.ledger import Ledger

__all__ = ["ApiKeys"]


@frozen
class ApiKeys:
    """The API Keys of every Organization."""

    ledger: Ledger

    async def create(self, api_key: ApiKey) -> None:
        ledger = self.ledger
        document_key = key(api_key.organization_id, "api_key", api_key.key_id)
        ledger.put(document_key, documents.write(api_key))
        for index, entry in (
            (key(api_key.organization_id, "api_keys"), api_key.key_id),
            (api_key_lookup(api_key.lookup), document_key),
        ):
            entries = documents.read_ids(await ledger.value(index))
            ledger.put(index, documents.write_ids([*entries, entry]))

    async def find(self, lookup: str) -> Sequence[ApiKey]:
        places = documents.read_ids(await self.ledger.value(api_key_lookup(lookup)))
        found = await self.ledger.existing(places)
        return [documents.read(ApiKey, document) for document in found]

    async def list(self, organization_id: str) -> Sequence[ApiKey]:
        ids = documents.read_ids(await self.ledger.value(key(organization_id, "api_keys")))
        found = await self.ledger.existing([key(organization_id, "api_key", each) for each in ids])
        return [documents.read(ApiKey, document) for document in found]

    async def lock(self, organization_id: str, key_id: str) -> ApiKey | None:
        found = await self.ledger.value(key(organization_id, "api_key", key_id))
        return None if found is None else documents.read(ApiKey, found)

    async def save(self, api_key: ApiKey) -> None:
        place = key(api_key.organization_id, "api_key", api_key.key_id)
        self.ledger.put(place, documents.write(api_key))

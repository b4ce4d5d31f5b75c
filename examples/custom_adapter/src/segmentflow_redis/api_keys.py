"""API Keys: digests of secrets, by Organization and by what each is looked up by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import evolve, frozen

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
        places = [key(organization_id, "api_key", each) for each in sorted(ids, reverse=True)]
        found = await self.ledger.existing(places)
        return [documents.read(ApiKey, document) for document in found]

    async def revoke(self, organization_id: str, key_id: str, now: datetime) -> ApiKey | None:
        place = key(organization_id, "api_key", key_id)
        found = await self.ledger.value(place)
        if found is None:
            return None
        api_key = documents.read(ApiKey, found)
        if api_key.revoked_at is None:
            api_key = evolve(api_key, revoked_at=now)
            self.ledger.put(place, documents.write(api_key))
        return api_key

    async def note_use(self, organization_id: str, key_id: str, now: datetime) -> None:
        place = key(organization_id, "api_key", key_id)
        found = await self.ledger.value(place)
        if found is None:
            return
        api_key = documents.read(ApiKey, found)
        if api_key.last_used_at is None or api_key.last_used_at < now:
            self.ledger.put(place, documents.write(evolve(api_key, last_used_at=now)))

"""API Keys: digests of secrets, by Organization and by what each is looked up by."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import evolve

from segmentflow_core.ports.api_keys import ApiKey
from segmentflow_redis import documents
from segmentflow_redis.keys import api_key_lookup, key
from segmentflow_redis.ledger import Script
from segmentflow_redis.repository import Repository, performed, there

__all__ = ["ApiKeys"]


class ApiKeys(Repository):
    """The API Keys of every Organization."""

    @performed
    def create(self, api_key: ApiKey) -> Script[None]:
        ledger = self.ledger
        document_key = key(api_key.organization_id, "api_key", api_key.key_id)
        ledger.put(document_key, documents.write(api_key))
        for index, entry in (
            (key(api_key.organization_id, "api_keys"), api_key.key_id),
            (api_key_lookup(api_key.lookup), document_key),
        ):
            entries = documents.read_ids((yield from ledger.value(index)))
            ledger.put(index, documents.write_ids([*entries, entry]))

    @performed
    def find(self, lookup: str) -> Script[Sequence[ApiKey]]:
        places = documents.read_ids((yield from self.ledger.value(api_key_lookup(lookup))))
        found = yield from self.ledger.values(places)
        return [documents.read(ApiKey, document) for document in there(found)]

    @performed
    def list(self, organization_id: str) -> Script[Sequence[ApiKey]]:
        ids = documents.read_ids((yield from self.ledger.value(key(organization_id, "api_keys"))))
        places = [key(organization_id, "api_key", each) for each in sorted(ids, reverse=True)]
        found = yield from self.ledger.values(places)
        return [documents.read(ApiKey, document) for document in there(found)]

    @performed
    def revoke(self, organization_id: str, key_id: str, now: datetime) -> Script[ApiKey | None]:
        place = key(organization_id, "api_key", key_id)
        found = yield from self.ledger.value(place)
        if found is None:
            return None
        api_key = documents.read(ApiKey, found)
        if api_key.revoked_at is None:
            api_key = evolve(api_key, revoked_at=now)
            self.ledger.put(place, documents.write(api_key))
        return api_key

    @performed
    def note_use(self, organization_id: str, key_id: str, now: datetime) -> Script[None]:
        place = key(organization_id, "api_key", key_id)
        found = yield from self.ledger.value(place)
        if found is None:
            return
        api_key = documents.read(ApiKey, found)
        if api_key.last_used_at is None or api_key.last_used_at < now:
            self.ledger.put(place, documents.write(evolve(api_key, last_used_at=now)))

"""API Keys: making one, finding out who bears one, listing and revoking."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from segmentflow_core.colour import settle
from segmentflow_core.domain.api_key import ApiKey, find_match, lookup_of
from segmentflow_core.domain.audit import AuditAction
from segmentflow_core.errors import NotFound
from segmentflow_core.ports import Transaction
from segmentflow_core.ports.api_keys import ApiKeyRepository
from segmentflow_core.usecases.audit import Actor, keep_record
from segmentflow_core.usecases.capabilities import capability

__all__ = [
    "create_api_key",
    "find_api_key",
    "list_api_keys",
    "note_api_key_use",
    "revoke_api_key",
]


async def create_api_key(
    transaction: Transaction, api_key: ApiKey, actor: Actor | None = None
) -> None:
    """Keep a new key, and on record that it was made."""
    await settle(_repository(transaction).create(api_key))
    await _keep_record(transaction, AuditAction.API_KEY_CREATED, api_key, actor)


async def find_api_key(transaction: Transaction, digest: bytes) -> ApiKey | None:
    """Return the key of this digest, if there is one and it works."""
    candidates = await settle(_repository(transaction).find(lookup_of(digest)))
    return find_match(digest, candidates)


async def list_api_keys(transaction: Transaction, organization_id: str) -> Sequence[ApiKey]:
    """Return an Organization's keys, newest first."""
    found = await settle(_repository(transaction).list(organization_id))
    return sorted(found, key=lambda api_key: api_key.key_id, reverse=True)


async def revoke_api_key(
    transaction: Transaction,
    organization_id: str,
    key_id: str,
    now: datetime,
    actor: Actor | None = None,
) -> ApiKey:
    """Refuse a key from now on, and keep that on record; doing it twice changes nothing.

    Raises:
        NotFound: this Organization has no such key.
    """
    repository = _repository(transaction)
    found = await settle(repository.lock(organization_id, key_id))
    if found is None:
        raise NotFound
    revoked = found.revoked(now)
    if revoked != found:
        await settle(repository.save(revoked))
        await _keep_record(transaction, AuditAction.API_KEY_REVOKED, revoked, actor)
    return revoked


async def note_api_key_use(transaction: Transaction, api_key: ApiKey, now: datetime) -> None:
    """Write down that a key was used, unless a later use is on record."""
    repository = _repository(transaction)
    found = await settle(repository.lock(api_key.organization_id, api_key.key_id))
    used = None if found is None else found.used(now)
    if used is not None and used != found:
        await settle(repository.save(used))


async def _keep_record(
    transaction: Transaction, action: AuditAction, api_key: ApiKey, actor: Actor | None
) -> None:
    if actor is not None:
        whose = api_key.organization_id
        await keep_record(transaction, whose, actor, action, api_key.key_id)


def _repository(transaction: Transaction) -> ApiKeyRepository:
    repository: ApiKeyRepository = capability(
        transaction, "api_keys", "This storage keeps no API Keys."
    )
    return repository

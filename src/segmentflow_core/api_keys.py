"""The facade of API Keys: `ApiKeys` and `AsyncApiKeys`, the same calls in two colours.

Knows how to run the use cases over a storage, and supplies the clock, the ids and the
random bytes. Must never remember a secret.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Coroutine, Sequence
from contextlib import suppress
from datetime import datetime
from typing import Any, TypeVar

from segmentflow_core.colour import drive
from segmentflow_core.domain.api_key import (
    SECRET_BYTES,
    ApiKey,
    CreatedApiKey,
    check_key_request,
    digest_secret,
    make_secret,
    needs_note,
    refuse_write_key,
)
from segmentflow_core.domain.organization import check_organization
from segmentflow_core.errors import (
    IdempotencyInProgress,
    InsufficientScope,
    StorageUnavailable,
    Unauthorized,
)
from segmentflow_core.ports import AsyncStorage, Clock, IdFactory, Storage, Transaction
from segmentflow_core.tracker import (
    DEFAULT_ORGANIZATION,
    SystemClock,
    Uuid7Factory,
)
from segmentflow_core.usecases.api_keys import (
    create_api_key,
    find_api_key,
    list_api_keys,
    note_api_key_use,
    revoke_api_key,
)

__all__ = ["ApiKeys", "AsyncApiKeys"]

T = TypeVar("T")


class _Core:
    """What both colours share."""

    def __init__(self, clock: Clock | None, ids: IdFactory | None) -> None:
        self.clock = clock or SystemClock()
        self.ids = ids or Uuid7Factory()
        self._noted: dict[str, datetime] = {}

    def new(
        self, scopes: Sequence[str], label: str | None, organization_id: str, *, test: bool
    ) -> CreatedApiKey:
        check_organization(organization_id)
        checked = check_key_request(scopes, label)
        secret = make_secret(os.urandom(SECRET_BYTES), test=test)
        digest = digest_secret(secret)
        assert digest is not None
        return CreatedApiKey(
            secret,
            ApiKey(
                self.ids.new_id(), organization_id, digest, checked, label, test, self.clock.now()
            ),
        )

    def digest(self, secret: str | None) -> bytes:
        """Return the digest to look for; whatever cannot be a key is refused at once."""
        if secret is None:
            raise Unauthorized
        refuse_write_key(secret)
        digest = digest_secret(secret)
        if digest is None:
            raise Unauthorized
        return digest

    def admit(self, found: ApiKey | None, scope: str) -> ApiKey:
        if found is None:
            raise Unauthorized
        if scope not in found.scopes:
            raise InsufficientScope(details={"required": [scope]})
        return found

    def to_note(self, api_key: ApiKey) -> datetime | None:
        """Return the time to write as the key's last use, where that is due."""
        now = self.clock.now()
        noted = self._noted.get(api_key.key_id)
        if not needs_note(api_key.last_used_at, now) or not (
            noted is None or needs_note(noted, now)
        ):
            return None
        # Of the calls at the turn of the hour the first writes; that two may is no harm.
        self._noted[api_key.key_id] = now
        return now


class ApiKeys:
    """Makes, lists, revokes and recognises API Keys, over a synchronous storage.

    Safe to share between threads where the storage is.

    Args:
        storage: where they are kept; its adapter must keep API Keys.
        clock: tells the time; default the machine's.
        ids: makes ids; default UUIDv7.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock | None = None, ids: IdFactory | None = None
    ) -> None:
        self._core = _Core(clock, ids)
        self._storage = storage

    def create(
        self,
        scopes: Sequence[str],
        *,
        label: str | None = None,
        test: bool = False,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> CreatedApiKey:
        """Make a key; its secret is in the result and nowhere else.

        Args:
            scopes: what its bearer may do, such as ``events:write``.
            label: what people call it, 1 to 255 printable characters.
            test: whether it starts with ``sk_test_`` in place of ``sk_live_``.
            organization_id: whom its bearer acts for.

        Raises:
            InvalidRequest: a scope is unknown, there is none, or the label breaks its rule.
        """
        created = self._core.new(scopes, label, organization_id, test=test)
        self._run(lambda t: create_api_key(t, created.api_key))
        return created

    def list(self, *, organization_id: str = DEFAULT_ORGANIZATION) -> Sequence[ApiKey]:
        """Return the Organization's keys, newest first, revoked ones too."""
        return self._run(lambda t: list_api_keys(t, organization_id))

    def revoke(self, key_id: str, *, organization_id: str = DEFAULT_ORGANIZATION) -> ApiKey:
        """Refuse a key from now on; doing it twice changes nothing.

        Raises:
            NotFound: this Organization has no such key.
        """
        now = self._core.clock.now()
        return self._run(lambda t: revoke_api_key(t, organization_id, key_id, now))

    def authenticate(self, secret: str | None, scope: str) -> ApiKey:
        """Return the key whose secret this is, where it works and has the scope.

        That it was used is written down at most once an hour, in a transaction of its own
        whose failure is nobody's business.

        Raises:
            Unauthorized: there is no such key, or it is revoked.
            InsufficientScope: the key lacks the scope.
        """
        digest = self._core.digest(secret)
        api_key = self._core.admit(self._run(lambda t: find_api_key(t, digest)), scope)
        now = self._core.to_note(api_key)
        if now is not None:
            with suppress(StorageUnavailable, IdempotencyInProgress):
                self._run(lambda t: note_api_key_use(t, api_key, now))
        return api_key

    def _run(self, work: Callable[[Transaction], Coroutine[Any, Any, T]]) -> T:
        return self._storage.run(lambda transaction: drive(work(transaction)))


class AsyncApiKeys:
    """As `ApiKeys`, over an asynchronous storage; every call is awaited."""

    def __init__(
        self, storage: AsyncStorage, *, clock: Clock | None = None, ids: IdFactory | None = None
    ) -> None:
        self._core = _Core(clock, ids)
        self._storage = storage

    async def create(
        self,
        scopes: Sequence[str],
        *,
        label: str | None = None,
        test: bool = False,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> CreatedApiKey:
        """Make a key; as `ApiKeys.create`."""
        created = self._core.new(scopes, label, organization_id, test=test)
        await self._storage.run(lambda t: create_api_key(t, created.api_key))
        return created

    async def list(self, *, organization_id: str = DEFAULT_ORGANIZATION) -> Sequence[ApiKey]:
        """Return the Organization's keys; as `ApiKeys.list`."""
        return await self._storage.run(lambda t: list_api_keys(t, organization_id))

    async def revoke(self, key_id: str, *, organization_id: str = DEFAULT_ORGANIZATION) -> ApiKey:
        """Refuse a key from now on; as `ApiKeys.revoke`."""
        now = self._core.clock.now()
        return await self._storage.run(lambda t: revoke_api_key(t, organization_id, key_id, now))

    async def authenticate(self, secret: str | None, scope: str) -> ApiKey:
        """Return the key whose secret this is; as `ApiKeys.authenticate`."""
        digest = self._core.digest(secret)
        found = await self._storage.run(lambda t: find_api_key(t, digest))
        api_key = self._core.admit(found, scope)
        now = self._core.to_note(api_key)
        if now is not None:
            with suppress(StorageUnavailable, IdempotencyInProgress):
                await self._storage.run(lambda t: note_api_key_use(t, api_key, now))
        return api_key

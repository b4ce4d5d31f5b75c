"""The facade of API Keys: `ApiKeys` and `AsyncApiKeys`. Needs no fingerprint secret.

Knows how to run the use cases over a storage, and supplies the clock, the ids and the
random bytes. Must never remember a secret.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from functools import partial

from segmentflow_core.arguments import (
    DEFAULT_ORGANIZATION,
    check_actor,
    check_organization,
    check_word,
    checked_clock,
    checked_ids,
)
from segmentflow_core.calls import StorageCalls
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
from segmentflow_core.errors import InsufficientScope, SegmentflowError, Unauthorized
from segmentflow_core.ports import AsyncStorage, Clock, IdFactory, Storage
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.usecases.api_keys import (
    create_api_key,
    find_api_key,
    list_api_keys,
    note_api_key_use,
    revoke_api_key,
)
from segmentflow_core.usecases.audit import Actor

__all__ = ["ApiKeys", "AsyncApiKeys", "refuse_write_key"]


class _ApiKeyCalls(StorageCalls):
    """What both colours do."""

    def __init__(
        self,
        storage: Storage | AsyncStorage,
        clock: Clock | None,
        ids: IdFactory | None,
        face: str,
        *,
        asynchronous: bool,
    ) -> None:
        super().__init__(storage, face, asynchronous=asynchronous)
        self._clock = checked_clock(clock)
        self._ids = checked_ids(ids)
        self._noted: dict[str, datetime] = {}

    async def create(
        self,
        scopes: Sequence[str],
        label: str | None,
        test: bool,
        by: str | None,
        organization_id: str,
    ) -> CreatedApiKey:
        check_organization(organization_id)
        check_actor(by)
        checked = check_key_request(scopes, label)
        secret = make_secret(os.urandom(SECRET_BYTES), test=test)
        digest = digest_secret(secret)
        assert digest is not None
        key_id, now = self._ids.new_id(), self._clock.now()
        api_key = ApiKey(key_id, organization_id, digest, checked, label, test, now)
        actor = Actor(by, now, self._ids.new_id())
        await self.run(partial(create_api_key, api_key=api_key, actor=actor))
        return CreatedApiKey(secret, api_key)

    async def all(self, organization_id: str) -> Sequence[ApiKey]:
        listing = partial(list_api_keys, organization_id=organization_id)
        return await self.run(listing, reads_only=True)

    async def revoke(self, key_id: str, by: str | None, organization_id: str) -> ApiKey:
        check_organization(organization_id)
        check_actor(by)
        check_word(key_id)
        actor = Actor(by, self._clock.now(), self._ids.new_id())
        return await self.run(
            partial(
                revoke_api_key,
                organization_id=organization_id,
                key_id=key_id,
                now=actor.now,
                actor=actor,
            )
        )

    async def authenticate(self, secret: str | None, scope: str) -> ApiKey:
        digest = _digest_to_find(secret)
        api_key = await self.run(partial(find_api_key, digest=digest), reads_only=True)
        if api_key is None:
            raise Unauthorized
        if scope not in api_key.scopes:
            raise InsufficientScope(details={"required": [scope]})
        now = self._to_note(api_key)
        if now is not None:
            with suppress(SegmentflowError):
                await self.run(partial(note_api_key_use, api_key=api_key, now=now))
        return api_key

    def _to_note(self, api_key: ApiKey) -> datetime | None:
        """Return the time to write as the key's last use, where that is due."""
        now = self._clock.now()
        noted = self._noted.get(api_key.key_id)
        if not needs_note(api_key.last_used_at, now) or not (
            noted is None or needs_note(noted, now)
        ):
            return None
        # The first call in each hour writes. Two threads may both write: the result is the same.
        self._noted[api_key.key_id] = now
        return now


def _digest_to_find(secret: str | None) -> bytes:
    """Return the digest to look for.

    Raises:
        Unauthorized: what was given can be no API Key.
    """
    if secret is None:
        raise Unauthorized
    refuse_write_key(secret)
    digest = digest_secret(secret)
    if digest is None:
        raise Unauthorized
    return digest


class ApiKeys:
    """Makes, lists, revokes and recognises API Keys, over a synchronous storage.

    Safe to share between threads where the storage is.

    Args:
        storage: where they are kept; its adapter must keep API Keys.
        clock: tells the time; default the machine's.
        ids: makes ids; default UUIDv7.

    Raises:
        ConfigurationError: the storage is asynchronous.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock | None = None, ids: IdFactory | None = None
    ) -> None:
        self._calls = _ApiKeyCalls(storage, clock, ids, "ApiKeys", asynchronous=False)

    @forgets_locals
    def create(
        self,
        scopes: Sequence[str],
        *,
        label: str | None = None,
        test: bool = False,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> CreatedApiKey:
        """Make a key; its secret is in the result and nowhere else.

        Args:
            scopes: what its bearer may do, such as ``events:write``.
            label: what people call it, 1 to 255 printable characters.
            test: whether it starts with ``sk_test_`` in place of ``sk_live_``.
            by: who makes it, for the record.
            organization_id: whom its bearer acts for.

        Raises:
            InvalidRequest: a scope is unknown, there is none, or the label breaks its rule.
        """
        return drive(self._calls.create(scopes, label, test, by, organization_id))

    def list(self, *, organization_id: str = DEFAULT_ORGANIZATION) -> Sequence[ApiKey]:
        """Return the Organization's keys, newest first, revoked ones too."""
        return drive(self._calls.all(organization_id))

    def revoke(
        self,
        key_id: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> ApiKey:
        """Refuse a key from now on; doing it twice changes nothing.

        Args:
            key_id: the key.
            by: who does it, for the record.
            organization_id: whose key.

        Raises:
            NotFound: this Organization has no such key.
        """
        return drive(self._calls.revoke(key_id, by, organization_id))

    @forgets_locals
    def authenticate(self, secret: str | None, scope: str) -> ApiKey:
        """Return the key whose secret this is, where it works and has the scope.

        Its use is noted at most once an hour, in a transaction of its own; a failure to note
        it does not refuse the caller.

        Raises:
            Unauthorized: there is no such key, or it is revoked.
            InsufficientScope: the key lacks the scope.
        """
        return drive(self._calls.authenticate(secret, scope))


class AsyncApiKeys:
    """As `ApiKeys`, over an asynchronous storage; every call is awaited."""

    def __init__(
        self, storage: AsyncStorage, *, clock: Clock | None = None, ids: IdFactory | None = None
    ) -> None:
        self._calls = _ApiKeyCalls(storage, clock, ids, "AsyncApiKeys", asynchronous=True)

    @forgets_locals
    async def create(
        self,
        scopes: Sequence[str],
        *,
        label: str | None = None,
        test: bool = False,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> CreatedApiKey:
        """Make a key; as `ApiKeys.create`."""
        return await self._calls.create(scopes, label, test, by, organization_id)

    async def list(self, *, organization_id: str = DEFAULT_ORGANIZATION) -> Sequence[ApiKey]:
        """Return the Organization's keys; as `ApiKeys.list`."""
        return await self._calls.all(organization_id)

    async def revoke(
        self,
        key_id: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> ApiKey:
        """Refuse a key from now on; as `ApiKeys.revoke`."""
        return await self._calls.revoke(key_id, by, organization_id)

    @forgets_locals
    async def authenticate(self, secret: str | None, scope: str) -> ApiKey:
        """Return the key whose secret this is; as `ApiKeys.authenticate`."""
        return await self._calls.authenticate(secret, scope)

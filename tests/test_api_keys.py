from __future__ import annotations

import asyncio
from functools import partial

import pytest

from segmentflow_core import ApiKey, ApiKeys, AsyncApiKeys
from segmentflow_core.colour import driven
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.testing import FixedClock
from segmentflow_core.usecases.api_keys import note_api_key_use
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


class Forgetful:
    """A storage of an adapter that keeps no API Keys."""

    def run(self, work, **how):
        return work(object())


def test_a_storage_that_keeps_no_api_keys_says_so():
    with pytest.raises(ConfigurationError, match="keeps no API Keys"):
        ApiKeys(Forgetful()).list()


class Busy:
    """A storage that answers reads, and is too busy for the second transaction."""

    def __init__(self, storage):
        self._storage = storage
        self.runs = 0

    def run(self, work, **how):
        self.runs += 1
        if self.runs > 1:
            raise StorageUnavailable
        return self._storage.run(work)


class AsyncBusy(Busy):
    async def run(self, work, **how):
        return await super().run(work)


def test_a_caller_is_known_even_where_the_use_of_its_key_cannot_be_written_down():
    memory = MemoryStorage()
    secret = ApiKeys(memory).create(["events:write"]).secret
    busy = Busy(memory)
    assert ApiKeys(busy).authenticate(secret, "events:write").last_used_at is None
    async_busy = AsyncBusy(AsyncMemoryStorage(memory))
    asyncio.run(AsyncApiKeys(async_busy).authenticate(secret, "events:write"))
    assert (busy.runs, async_busy.runs) == (2, 2)
    assert ApiKeys(memory, clock=FixedClock()).list()[0].last_used_at is None


def test_no_repr_shows_a_secret_or_its_digest():
    created = ApiKeys(MemoryStorage()).create(["events:write"])
    assert created.secret not in repr(created)
    assert repr(created.api_key.digest) not in repr(created)


def test_the_use_of_a_key_that_is_not_there_is_not_noted():
    storage = MemoryStorage()
    api_key = ApiKey("k", "o", b"d", ("events:write",), None, False, FixedClock().now())
    storage.run(driven(partial(note_api_key_use, api_key=api_key, now=FixedClock().now())))
    assert ApiKeys(storage).list(organization_id="o") == []

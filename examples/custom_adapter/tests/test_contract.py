"""The contract of a storage adapter, in both colours."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

import pytest
from redis.asyncio import Redis as AsyncRedis
from redis.asyncio.retry import Retry as AsyncRetry
from redis.backoff import NoBackoff

from redis_server import RedisServer
from segmentflow_core.testing import Capabilities, StorageContract
from segmentflow_core.testing.api_keys import ApiKeyContract
from segmentflow_core.testing.lines import LossyLine
from segmentflow_redis import AsyncRedisStorage, RedisStorage, open_storage

# Its records are found by their ids alone.
CAPABILITIES = Capabilities(
    finding=False,
    people=False,
    audit=False,
    retention=False,
    cancelling=False,
    pausing=False,
    history=False,
)


@pytest.fixture
def redis_line(server: RedisServer) -> Iterator[LossyLine]:
    line = LossyLine(str(server.socket))
    yield line
    line.close()


class TestRedis(ApiKeyContract, StorageContract):
    capabilities = CAPABILITIES

    @pytest.fixture
    def line(self, redis_line: LossyLine) -> LossyLine:
        return redis_line

    @pytest.fixture
    def line_storage(self, line: LossyLine) -> Iterator[RedisStorage]:
        storage = open_storage(f"redis://127.0.0.1:{line.port}")
        yield storage
        storage.close()

    @pytest.fixture
    def open_elsewhere(self, server: RedisServer) -> Callable[[], RedisStorage]:
        return partial(open_storage, server.url)

    @pytest.fixture
    def storage(self, server: RedisServer) -> Iterator[RedisStorage]:
        storage = open_storage(server.url)
        yield storage
        storage.close()

    @pytest.fixture
    def other_storage(self, server: RedisServer) -> Iterator[RedisStorage]:
        storage = open_storage(server.url)
        yield storage
        storage.close()


class TestRedisAsync(ApiKeyContract, StorageContract):
    capabilities = CAPABILITIES

    @pytest.fixture
    def line(self, redis_line: LossyLine) -> LossyLine:
        return redis_line

    @pytest.fixture
    def line_storage(self, line: LossyLine, runner: asyncio.Runner) -> Iterator[AsyncRedisStorage]:
        client = AsyncRedis(host="127.0.0.1", port=line.port, retry=AsyncRetry(NoBackoff(), 0))
        storage = AsyncRedisStorage(client)
        yield storage
        runner.run(storage.close())

    @pytest.fixture
    def open_elsewhere(self, server: RedisServer) -> Callable[[], RedisStorage]:
        return partial(open_storage, server.url)

    @pytest.fixture
    def run_async(self, runner: asyncio.Runner) -> Callable[[Any], Any]:
        return runner.run

    @pytest.fixture
    def storage(self, server: RedisServer, runner: asyncio.Runner) -> Iterator[AsyncRedisStorage]:
        client = AsyncRedis.from_url(server.url.removeprefix("redis+"))
        storage = AsyncRedisStorage(client)
        yield storage
        runner.run(storage.close())

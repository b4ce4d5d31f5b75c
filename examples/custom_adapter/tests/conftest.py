"""A Redis server for the session, emptied for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from redis_server import RedisServer

# What is written once for both colours keeps values alike: the synchronous class tries those.
ALIKE = (
    "boundaries",
    "journeys",
    "keys",
    "lists",
    "numbers",
    "organizations",
    "profiles",
    "values",
)


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    """Leave out of the asynchronous class what the synchronous one has tried."""
    left_out = [
        item
        for item in items
        if "TestRedisAsync" in item.nodeid
        and any(item.get_closest_marker(marker) for marker in ALIKE)
    ]
    if left_out:
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in set(left_out)]


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
    # Who asks for more than a test that is over needs has a server of its own.
    server = RedisServer("--appendfsync", "no")
    yield server
    server.stop()


@pytest.fixture
def own_server() -> Iterator[RedisServer]:
    """Give a server of the test's own, which has on the disk what it acknowledges."""
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture
def server(shared_server: RedisServer) -> RedisServer:
    """Give a server that holds nothing."""
    with shared_server.client() as client:
        client.flushall()
    return shared_server


@pytest.fixture
def runner() -> Iterator[asyncio.Runner]:
    """Give one event loop for a whole test: pooled connections outlive a call."""
    with asyncio.Runner() as runner:
        yield runner

"""A Redis server for the session, emptied for each test."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator

import pytest

from redis_server import RedisServer


@pytest.fixture(scope="session")
def shared_server() -> Iterator[RedisServer]:
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

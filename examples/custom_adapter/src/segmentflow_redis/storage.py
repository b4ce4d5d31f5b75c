"""The storages: one for each colour of client, over what `attempts` runs."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import NoBackoff
from redis.retry import Retry

from segmentflow_core.colour import drive
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports import Transaction
from segmentflow_redis.attempts import Attempts

__all__ = ["AsyncRedisStorage", "RedisStorage", "open_storage"]

T = TypeVar("T")
DEFAULT_WAIT: Final = 15.0
_TIMEOUT: Final = 5.0


class RedisStorage:
    """Storage in one Redis database, from version 6.2 on; shared by threads.

    Args:
        client: gives bytes, as clients do unless told otherwise.
        wait: seconds for which work that has lost a race is run again.

    Raises:
        ConfigurationError: the client decodes what it reads.
    """

    def __init__(self, client: Redis, *, wait: float = DEFAULT_WAIT) -> None:
        _check_client(client)
        self._client = client
        self._attempts = Attempts(client, wait, time.sleep)

    def create_all(self) -> None:
        """Check that the server keeps what it acknowledges; there is nothing to create.

        Raises:
            ConfigurationError: it does not; `details["settings"]` says what to set.
            StorageUnavailable: it cannot be reached, or does not tell.
        """
        drive(self._attempts.create_all())

    def run(self, work: Callable[[Transaction], T], *, reads_only: bool = False) -> T:
        """Run `work` in a transaction, commit, and return what it returned.

        Where another transaction was first, or the connection was lost, even while
        committing, the whole work runs again, for a bounded time and after a random
        delay: its idempotency key, taken or free, tells what had happened.

        Raises:
            StorageUnavailable: the server cannot be reached, refused, or stayed too busy.
        """
        del reads_only  # nothing waits here
        return drive(self._attempts.run(work))

    def close(self) -> None:
        """Close the client's pooled connections."""
        self._client.close()


class AsyncRedisStorage:
    """As `RedisStorage`, behind an asynchronous client.

    Args:
        client: a client of `redis.asyncio`.
        wait: as for `RedisStorage`.

    Raises:
        ConfigurationError: the client decodes what it reads.
    """

    def __init__(self, client: AsyncRedis, *, wait: float = DEFAULT_WAIT) -> None:
        _check_client(client)
        self._client = client
        self._attempts = Attempts(client, wait, asyncio.sleep)

    async def create_all(self) -> None:
        """Check that the server keeps what it acknowledges; as `RedisStorage.create_all`."""
        await self._attempts.create_all()

    async def run(
        self, work: Callable[[Transaction], Awaitable[T]], *, reads_only: bool = False
    ) -> T:
        """Run `work` in a transaction; as `RedisStorage.run`.

        Cancelled anywhere, it leaves nothing behind; where the commit had been sent
        already, the event may be recorded, and its key tells.
        """
        del reads_only  # nothing waits here
        return await self._attempts.run(work)

    async def close(self) -> None:
        """Close the client's pooled connections."""
        await self._client.aclose()


def _check_client(client: Redis | AsyncRedis) -> None:
    if client.get_encoder().decode_responses:
        raise ConfigurationError("The Redis client must give bytes: decode_responses=False.")


def open_storage(url: str) -> RedisStorage:
    """Open the store at a URL: ``redis://``, ``rediss://`` or ``redis+unix:///path?db=0``.

    Raises:
        ConfigurationError: the URL cannot be used.
    """
    client = None
    try:
        found = Redis.from_url(
            url.replace("redis+unix:", "unix:", 1),
            socket_timeout=_TIMEOUT,
            socket_connect_timeout=_TIMEOUT,
            # Only this adapter knows what may be run again, and does it.
            retry=Retry(NoBackoff(), 0),
        )
        # An option that there is not would be found out by the first call.
        found.connection_pool.make_connection()
        client = found
    except (ValueError, TypeError):
        pass  # told below: the error quotes the URL, and the password in it
    if client is None:
        raise ConfigurationError("The store's URL cannot be used.")
    return RedisStorage(client)

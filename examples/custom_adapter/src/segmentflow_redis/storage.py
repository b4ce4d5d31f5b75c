"""The storages: a transaction for each piece of work, run again where a race was lost.

Knows the client and how it fails. Must never let a driver's own error out, nor its
message: it quotes what was sent.
"""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, TypeVar

from redis import Redis
from redis.asyncio import Redis as AsyncRedis
from redis.backoff import NoBackoff
from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NotAnswered
from redis.retry import Retry

from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.ports import Transaction
from segmentflow_redis.ledger import Command, Ledger, LostRace, Script
from segmentflow_redis.transaction import RedisTransaction

__all__ = ["AsyncRedisStorage", "RedisStorage", "open_storage"]

T = TypeVar("T")
DEFAULT_WAIT: Final = 15.0
_MAX_DELAY: Final = 0.1
_MAX_CONNECTIONS_LOST: Final = 3
_TIMEOUT: Final = 5.0

DURABLE: Final = {
    "appendonly": "yes",
    "appendfsync": "always",
    "maxmemory-policy": "noeviction",
}
"""What makes a server keep what it has acknowledged, whatever happens to it."""


class _ConnectionLost(Exception):
    """The connection broke; whether a commit under way went through is not known."""


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
        self._wait = wait

    def create_all(self) -> None:
        """Check that the server keeps what it acknowledges; there is nothing to create.

        Raises:
            ConfigurationError: it does not; `details["settings"]` says what to set.
            StorageUnavailable: it cannot be reached, or does not tell.
        """
        self._attempt(lambda: self._perform(_check_server()))

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction, commit, and return what it returned.

        Where another transaction was first, or the connection was lost, even while
        committing, the whole work runs again, for a bounded time and after a random
        delay: the claim of its key settles what had happened.

        Raises:
            StorageUnavailable: the server cannot be reached, refused, or stayed too busy.
        """

        def transact() -> T:
            ledger = Ledger()
            result = work(RedisTransaction(ledger, self._perform))
            self._perform(ledger.commit())
            return result

        return self._attempt(transact)

    def close(self) -> None:
        """Close the client's pooled connections."""
        self._client.close()

    def _attempt(self, act: Callable[[], T]) -> T:
        attempts = _Attempts(self._wait)
        for delay in attempts:
            time.sleep(delay)
            try:
                return act()
            except (LostRace, _ConnectionLost) as reason:
                attempts.failed(reason)
        raise StorageUnavailable

    def _perform(self, script: Script[T]) -> T:
        try:
            commands = next(script)
            while True:
                commands = script.send(self._exchange(commands))
        except StopIteration as finished:
            result: T = finished.value
            return result

    def _exchange(self, commands: list[Command]) -> list[Any]:
        try:
            replies: list[Any] = _pipelined(self._client, commands).execute()
        except RedisError as error:
            failure = _told(error)
        else:
            return replies
        # Raised outside the handler, so that the driver's error does not ride along.
        raise failure


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
        self._wait = wait

    async def create_all(self) -> None:
        """Check that the server keeps what it acknowledges; as `RedisStorage.create_all`."""
        await self._attempt(lambda: self._perform(_check_server()))

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction; as `RedisStorage.run`.

        Cancelled anywhere, it leaves nothing behind; where the commit had been sent
        already, the event may be recorded, and its key tells.
        """

        async def transact() -> T:
            ledger = Ledger()
            result = await work(RedisTransaction(ledger, self._perform))
            await self._perform(ledger.commit())
            return result

        return await self._attempt(transact)

    async def close(self) -> None:
        """Close the client's pooled connections."""
        await self._client.aclose()

    async def _attempt(self, act: Callable[[], Awaitable[T]]) -> T:
        attempts = _Attempts(self._wait)
        for delay in attempts:
            await asyncio.sleep(delay)
            try:
                return await act()
            except (LostRace, _ConnectionLost) as reason:
                attempts.failed(reason)
        raise StorageUnavailable

    async def _perform(self, script: Script[T]) -> T:
        try:
            commands = next(script)
            while True:
                commands = script.send(await self._exchange(commands))
        except StopIteration as finished:
            result: T = finished.value
            return result

    async def _exchange(self, commands: list[Command]) -> list[Any]:
        try:
            replies: list[Any] = await _pipelined(self._client, commands).execute()
        except RedisError as error:
            failure = _told(error)
        else:
            return replies
        raise failure


class _Attempts:
    """How long to wait before each run: not at all, then at random, ever longer, not for ever."""

    def __init__(self, wait: float) -> None:
        self._deadline = time.monotonic() + wait
        self._connections_lost = 0

    def __iter__(self) -> Iterator[float]:
        yield 0.0
        longest = 0.001
        while self._connections_lost < _MAX_CONNECTIONS_LOST and time.monotonic() < self._deadline:
            yield random.uniform(0, longest)
            longest = min(2 * longest, _MAX_DELAY)

    def failed(self, reason: Exception) -> None:
        self._connections_lost += isinstance(reason, _ConnectionLost)


def _pipelined(client: Any, commands: list[Command]) -> Any:
    pipeline = client.pipeline(transaction=False)
    for command in commands:
        pipeline.execute_command(*command)
    return pipeline


def _told(error: RedisError) -> Exception:
    """Say what went wrong without the driver's words, which quote what was sent."""
    if isinstance(error, (NotConnected, NotAnswered)):
        return _ConnectionLost()
    return StorageUnavailable(details={"error": type(error).__name__})


def _check_client(client: Redis | AsyncRedis) -> None:
    if client.get_encoder().decode_responses:
        raise ConfigurationError("The Redis client must give bytes: decode_responses=False.")


def _check_server() -> Script[None]:
    persistence, memory, settings = yield [
        ("INFO", "persistence"),
        ("INFO", "memory"),
        ("CONFIG GET", "appendfsync"),
    ]
    # Other policies evict keys with an expiry of Redis's own, and no key here has one.
    kept = {
        "appendonly": persistence["aof_enabled"] == 1,
        "appendfsync": settings["appendfsync"] == "always",
        "maxmemory-policy": not memory["maxmemory_policy"].startswith("allkeys-"),
    }
    wrong = {name: value for name, value in DURABLE.items() if not kept[name]}
    if wrong:
        raise ConfigurationError(
            "The Redis server does not keep all that it acknowledges.", details={"settings": wrong}
        )


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

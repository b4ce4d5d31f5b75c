"""Running work until it commits, and asking the server: once, for both colours.

Over a synchronous client nothing here suspends. Must never let a driver's own error out, nor
its message: it quotes what was sent.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from typing import Any, Final, TypeVar

from redis.exceptions import ConnectionError as NotConnected
from redis.exceptions import RedisError
from redis.exceptions import TimeoutError as NotAnswered

from segmentflow_core.colour import settle
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.ports import MaybeAwaitable
from segmentflow_redis.durability import check_durability
from segmentflow_redis.ledger import Command, Ledger, LostRace
from segmentflow_redis.transaction import RedisTransaction

__all__ = ["Attempts"]

T = TypeVar("T")
_FIRST_DELAY: Final = 0.001
_MAX_DELAY: Final = 0.1
_MAX_CONNECTIONS_LOST: Final = 3


class _ConnectionLost(Exception):
    """The connection broke; whether a commit under way succeeded is not known."""


class Attempts:
    """Runs work in transactions on a client's server.

    Args:
        client: of either colour.
        wait: seconds for which work that has lost a race is run again.
        sleep: waits for so many seconds, in the client's colour.
    """

    def __init__(
        self, client: Any, wait: float, sleep: Callable[[float], MaybeAwaitable[None]]
    ) -> None:
        self._client = client
        self._wait = wait
        self._sleep = sleep

    async def run(self, work: Callable[[RedisTransaction], MaybeAwaitable[T]]) -> T:
        """Run work in a transaction and commit; again where a race or the connection was lost.

        Raises:
            StorageUnavailable: time is up, too many connections were lost, or the server refused.
        """
        deadline = time.monotonic() + self._wait
        connections_lost = 0
        longest = _FIRST_DELAY
        while True:
            ledger = Ledger(self._exchange)
            try:
                result = await settle(work(RedisTransaction(ledger)))
                await ledger.commit()
                return result
            except LostRace:
                pass
            except _ConnectionLost:
                connections_lost += 1
            if connections_lost == _MAX_CONNECTIONS_LOST or time.monotonic() >= deadline:
                # Outside the handlers, so that nothing internal becomes the context.
                raise StorageUnavailable
            await settle(self._sleep(random.uniform(0, longest)))
            longest = min(2 * longest, _MAX_DELAY)

    async def create_all(self) -> None:
        """Check that the server keeps what it acknowledges; there is nothing to create.

        Raises:
            ConfigurationError: it may forget.
            StorageUnavailable: it cannot be reached, or does not tell.
        """
        return await self.run(lambda transaction: check_durability(transaction.ledger))

    async def _exchange(self, commands: list[Command]) -> list[Any]:
        pipeline = self._client.pipeline(transaction=False)
        for command in commands:
            pipeline.execute_command(*command)
        try:
            replies: list[Any] = await settle(pipeline.execute())
        except (NotConnected, NotAnswered):
            failure: Exception = _ConnectionLost()
        except RedisError as error:
            failure = StorageUnavailable(details={"error": type(error).__name__})
        else:
            return replies
        # Outside the handlers, so that the driver's error does not become the context.
        raise failure

"""An asynchronous storage over a synchronous one, whose transactions run in threads.

So that one event loop serves whatever storage is installed, with one way to a thread and back for
each transaction. Nobody waits for ever: where a store hangs, its threads do.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from segmentflow_core.colour import drive
from segmentflow_core.ports import Storage, Transaction
from segmentflow_gathering.patience import answered_within

__all__ = ["ThreadedStorage"]

T = TypeVar("T")


class ThreadedStorage:
    """As an asynchronous storage: the work of its transactions must not wait for anything else.

    A call that is cancelled, or waited for too long, leaves its transaction to end by itself; one
    that has not begun never does.

    Args:
        storage: where everything is kept.
        threads: how many transactions run at once; others wait.
        seconds: how long a call waits for its thread and its answer; None for ever.
    """

    def __init__(self, storage: Storage, threads: int, seconds: float | None = None) -> None:
        self._storage = storage
        self._seconds = seconds
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="segmentflow")

    async def run(
        self, work: Callable[[Transaction], Awaitable[T]], *, reads_only: bool = False
    ) -> T:
        """Run `work` in a transaction; as `Storage.run`.

        Raises:
            NotAnswered: the store did not answer in time; what it does, it may still do.
        """

        def driven(transaction: Transaction) -> T:
            return drive(_awaited(work(transaction)))

        return await self.call(partial(self._storage.run, driven, reads_only=reads_only))

    async def call(self, call: Callable[[], T]) -> T:
        """Make a call in a thread.

        Raises:
            NotAnswered: it did not end in time.
        """
        found = asyncio.get_running_loop().run_in_executor(self._pool, call)
        return await answered_within(self._seconds, found)

    def close(self) -> None:
        """Wait until every transaction has ended."""
        self._pool.shutdown()


async def _awaited(work: Awaitable[T]) -> T:
    return await work

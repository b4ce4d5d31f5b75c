"""An asynchronous storage over a synchronous one, whose transactions run in threads.

So that one event loop serves whatever storage is installed, with one way to a thread and back for
each transaction.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import TypeVar

from segmentflow_core.colour import drive
from segmentflow_core.ports import Storage, Transaction

__all__ = ["ThreadedStorage"]

T = TypeVar("T")


class ThreadedStorage:
    """As an asynchronous storage: the work of its transactions must not wait for anything else.

    A call that is cancelled leaves its transaction to end by itself.

    Args:
        storage: where everything is kept.
        threads: how many transactions run at once; others wait.
    """

    def __init__(self, storage: Storage, threads: int) -> None:
        self._storage = storage
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="segmentflow")

    async def run(
        self, work: Callable[[Transaction], Awaitable[T]], *, reads_only: bool = False
    ) -> T:
        """Run `work` in a transaction; as `Storage.run`."""

        def driven(transaction: Transaction) -> T:
            return drive(_awaited(work(transaction)))

        call = partial(self._storage.run, driven, reads_only=reads_only)
        return await asyncio.get_running_loop().run_in_executor(self._pool, call)

    def close(self) -> None:
        """Wait until every transaction has ended."""
        self._pool.shutdown()


async def _awaited(work: Awaitable[T]) -> T:
    return await work

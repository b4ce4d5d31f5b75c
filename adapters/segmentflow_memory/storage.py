"""Storage in dictionaries.

One transaction runs at a time, under a lock; a duplicate waits for the lock like any other
caller. A transaction writes in place and notes how to undo each write. When its work fails,
its writes are undone, the last one first, so a failed transaction leaves nothing. Values of
the core are frozen: the store keeps them as they are, and copies their JSON on reading.
"""

from __future__ import annotations

import threading
from collections.abc import Awaitable, Callable
from typing import TypeVar

from segmentflow_core.colour import drive
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.ports import Transaction
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_memory.repositories import MemoryTransaction
from segmentflow_memory.tables import Tables

__all__ = ["AsyncMemoryStorage", "MemoryStorage", "open_storage"]

T = TypeVar("T")


class MemoryStorage:
    """Storage in this process's memory; threads may share it, and it is lost with the process.

    Args:
        wait: seconds a call waits for the transaction that is running.
    """

    def __init__(self, *, wait: float = 2.0) -> None:
        self._tables = Tables()
        self._lock = threading.Lock()
        self._wait = wait
        self._transaction = MemoryTransaction(self._tables)

    def run(self, work: Callable[[Transaction], T], *, reads_only: bool = False) -> T:
        """Run `work` in a transaction; one that fails leaves nothing.

        One that only reads waits as well, so that it reads nothing half-written.

        Raises:
            StorageUnavailable: another transaction did not end in time.
        """
        del reads_only
        if not self._lock.acquire(timeout=self._wait):
            raise StorageUnavailable("Another transaction of the store takes too long. Try again.")
        try:
            result = work(self._transaction)
            self._tables.undo.clear()
        except BaseException:
            self._tables.roll_back()
            raise
        finally:
            self._lock.release()
        return result


class AsyncMemoryStorage:
    """As `MemoryStorage`, for an `AsyncTracker`.

    Its transactions never suspend, so each holds the lock only for as long as a plain call.

    Args:
        storage: the store to use, which a `Tracker` may share; default a new one.
    """

    def __init__(self, storage: MemoryStorage | None = None) -> None:
        self._storage = storage or MemoryStorage()

    async def run(
        self, work: Callable[[Transaction], Awaitable[T]], *, reads_only: bool = False
    ) -> T:
        """Run `work` in a transaction; as `MemoryStorage.run`.

        Raises:
            StorageUnavailable: the work waits for something other than this storage.
        """
        return self._storage.run(
            lambda transaction: drive(_unsuspended(work(transaction))), reads_only=reads_only
        )


async def _unsuspended(work: Awaitable[T]) -> T:
    """Await work that has nothing to wait for.

    Raises:
        StorageUnavailable: it does wait. `drive` then closes it, which raises GeneratorExit here.
    """
    try:
        return await work
    except GeneratorExit:
        pass
    raise StorageUnavailable("Work on the in-memory storage must not wait for anything else.")


@forgets_locals
def open_storage(url: str) -> MemoryStorage:
    """Open an empty store for a ``memory://`` URL.

    Raises:
        ConfigurationError: the URL says anything else.
    """
    if url not in ("memory:", "memory://"):
        raise ConfigurationError("A memory store has no name: use memory://")
    return MemoryStorage()

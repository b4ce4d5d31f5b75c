"""Legal storages of the optimistic kind, which run work more often than a locking one does.

A transaction works on a copy and holds nobody up. Its commit is refused where another one came
first, and the work runs again. `reads_first` adds a run before all others, whose effects and
failures are thrown away, as engines do that want to know the keys of a transaction beforehand.
"""

from __future__ import annotations

import asyncio
import threading
from contextlib import suppress

from segmentflow_core.errors import StorageUnavailable
from segmentflow_memory.repositories import MemoryTransaction
from segmentflow_memory.tables import Tables
from stepped_storages import copied

_RUNS = 1000


class Committed:
    """What was committed, and how often; a commit must build on the latest."""

    def __init__(self):
        self._tables = Tables()
        self._version = 0
        self._lock = threading.Lock()

    def attempt(self):
        with self._lock:
            return Attempt(self, self._tables, self._version)

    def replace(self, attempt):
        with self._lock:
            if self._version != attempt.version:
                return False
            self._tables, self._version = attempt.tables, self._version + 1
            return True


class Attempt:
    """A copy to work on."""

    def __init__(self, committed, tables, version):
        self._committed = committed
        self.tables = copied(tables)
        self.version = version

    def commit(self):
        """Commit, unless somebody else came first; what only reads has nothing to commit."""
        if not self.tables.undo:
            return True
        self.tables.undo.clear()
        return self._committed.replace(self)


class OptimisticStorage:
    """Shared by threads."""

    def __init__(self, *, reads_first=False):
        self._committed = Committed()
        self._reads_first = reads_first

    def run(self, work, **how):
        if self._reads_first:
            with suppress(Exception):
                work(MemoryTransaction(self._committed.attempt().tables))
        for _ in range(_RUNS):
            attempt = self._committed.attempt()
            result = work(MemoryTransaction(attempt.tables))
            if attempt.commit():
                return result
        raise StorageUnavailable


class Suspending:
    """A transaction, or a part of one, that lets other tasks run before each call of a method."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Suspending(found)

        async def method(*args):
            await asyncio.sleep(0)
            return found(*args)

        return method


class AsyncOptimisticStorage:
    """Shared by tasks."""

    def __init__(self, *, reads_first=False):
        self._committed = Committed()
        self._reads_first = reads_first

    async def run(self, work, **how):
        if self._reads_first:
            with suppress(Exception):
                await work(Suspending(MemoryTransaction(self._committed.attempt().tables)))
        for _ in range(_RUNS):
            attempt = self._committed.attempt()
            result = await work(Suspending(MemoryTransaction(attempt.tables)))
            if attempt.commit():
                return result
        raise StorageUnavailable

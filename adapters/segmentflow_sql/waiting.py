"""How each colour waits: for time, for a turn, for SQLAlchemy, and for what must not stop.

All that the two colours of a storage do differently, beside their drivers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar

from sqlalchemy.util import greenlet_spawn

from segmentflow_sql.exchange import Call, Connection, DatabaseKind, Rows

__all__ = ["IN_THREAD", "ON_LOOP", "Turns", "Waiting"]

T = TypeVar("T")


class Turns:
    """Lets one transaction at a time use a connection that several calls share."""

    def __init__(self) -> None:
        self.users = 0
        self.of_threads = threading.Lock()
        self._of_loop: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    def of_loop(self) -> asyncio.Lock:
        """Return the lock for the running event loop, which no other one can wait for."""
        loop = asyncio.get_running_loop()
        if self._of_loop is None or self._of_loop[0] is not loop:
            self._of_loop = loop, asyncio.Lock()
        return self._of_loop[1]


class Waiting(Protocol):
    """One colour's ways to wait. In a thread, none of these suspends."""

    @property
    def asynchronous(self) -> bool:
        """Which colour it is."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait so long."""
        ...

    def lock_of(self, turns: Turns) -> Any:
        """Return the lock by which this colour takes turns."""
        ...

    async def take(self, lock: Any, seconds: float) -> bool:
        """Wait for a lock, so many seconds at most; say whether it was taken."""
        ...

    async def call(self, function: Callable[[], T]) -> T:
        """Call a function of SQLAlchemy's that may wait for the database."""
        ...

    async def to_its_end(self, coroutine: Coroutine[Any, Any, T]) -> T:
        """Await what must not stop halfway; a cancellation meanwhile takes effect afterwards."""
        ...

    def uninterrupted(self, connection: Connection) -> Connection:
        """Return a connection whose exchanges are never cancelled halfway."""
        ...


class _InThread:
    asynchronous: bool = False

    async def sleep(self, seconds: float) -> None:
        time.sleep(seconds)  # noqa: ASYNC251 - there is no event loop

    def lock_of(self, turns: Turns) -> threading.Lock:
        return turns.of_threads

    async def take(self, lock: threading.Lock, seconds: float) -> bool:
        return lock.acquire(timeout=seconds)

    async def call(self, function: Callable[[], T]) -> T:
        return function()

    async def to_its_end(self, coroutine: Coroutine[Any, Any, T]) -> T:
        return await coroutine

    def uninterrupted(self, connection: Connection) -> Connection:
        return connection


class _OnLoop:
    asynchronous: bool = True

    async def sleep(self, seconds: float) -> None:
        await asyncio.sleep(seconds)

    def lock_of(self, turns: Turns) -> asyncio.Lock:
        return turns.of_loop()

    async def take(self, lock: asyncio.Lock, seconds: float) -> bool:
        # Not `asyncio.wait_for`, which may swallow a cancellation (Python 3.11).
        try:
            async with asyncio.timeout(seconds):
                await lock.acquire()
        except TimeoutError:
            return False
        return True

    async def call(self, function: Callable[[], T]) -> T:
        return await greenlet_spawn(function)

    async def to_its_end(self, coroutine: Coroutine[Any, Any, T]) -> T:
        task = asyncio.ensure_future(coroutine)
        cancelled: asyncio.CancelledError | None = None
        while not task.done():
            try:
                await asyncio.wait([task])
            except asyncio.CancelledError as interruption:
                cancelled = interruption
        if cancelled is not None:
            task.exception()  # seen, so that nobody warns of it
            raise cancelled
        return task.result()

    def uninterrupted(self, connection: Connection) -> Connection:
        return _Uninterrupted(connection)


IN_THREAD: Final[Waiting] = _InThread()
ON_LOOP: Final[Waiting] = _OnLoop()


class _Uninterrupted:
    """A host's connection, whose exchanges are never cancelled halfway.

    PostgreSQL cancels whatever statement is under way when the request arrives; were that
    our savepoint, the host's whole transaction would be lost. What is waited for is
    bounded by the lock timeout.
    """

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self.kind: DatabaseKind = connection.kind
        self.pending: list[Call] = connection.pending
        self.after_loss = connection.after_loss
        self.leave = connection.leave

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        return await ON_LOOP.to_its_end(self._connection.exchange(calls))

    async def commit(self) -> None:
        await ON_LOOP.to_its_end(self._connection.commit())

    async def rollback(self) -> None:
        await ON_LOOP.to_its_end(self._connection.rollback())

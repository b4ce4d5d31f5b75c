"""How each colour waits: for time, for a turn, for SQLAlchemy, and for what must not stop.

All that the two colours of a storage do differently, beside their drivers.
"""

from __future__ import annotations

import asyncio
import threading
import time
from collections import deque
from collections.abc import Callable, Coroutine
from typing import Any, Final, Protocol, TypeVar, cast

from sqlalchemy.util import greenlet_spawn

from segmentflow_core.errors import ConfigurationError
from segmentflow_sql.exchange import Call, Connection, DatabaseKind, Rows

__all__ = ["IN_THREAD", "ON_LOOP", "Turns", "Waiting", "check_wait"]

T = TypeVar("T")

_LONGEST: Final = 3600


def check_wait(wait: object) -> None:
    """Hold how long a call waits against its rule.

    Raises:
        ConfigurationError: it is no number of seconds, or more than an hour's.
    """
    is_number = isinstance(wait, (int, float)) and not isinstance(wait, bool)
    if not is_number or not 0 <= cast("float", wait) <= _LONGEST:
        raise ConfigurationError(f"wait must be a number of seconds from 0 to {_LONGEST}.")


class Turns:
    """Lets one at a time go on, in the order they asked; threads and tasks in one line.

    Attributes:
        users: for whoever keeps turns for as long as somebody uses them.
    """

    def __init__(self) -> None:
        self.users = 0
        self._guard = threading.Lock()
        self._taken = False
        self._line: deque[_Place] = deque()

    def acquire(self, timeout: float) -> bool:
        """Wait in a thread, so many seconds at most; say whether the turn came."""
        place = self._stand()
        if place is None:
            return True
        try:
            # It may come in the moment that the waiting ends.
            return place.gate.acquire(timeout=timeout) or self._leave(place)
        except BaseException:
            if self._leave(place):
                self.release()
            raise

    def take_at_once(self) -> bool:
        """Take the turn if nobody has it."""
        with self._guard:
            free = not self._taken
            self._taken = True
        return free

    async def acquire_on_loop(self) -> None:
        """Wait on an event loop; a cancelled call leaves the line."""
        loop = asyncio.get_running_loop()
        place = self._stand(loop)
        if place is None:
            return
        try:
            await place.future
        except BaseException:
            if self._leave(place):
                self.release()
            raise

    def release(self) -> None:
        """Let the next one go on."""
        with self._guard:
            while self._line:
                if self._line.popleft().call():
                    return
            self._taken = False

    def _stand(self, loop: asyncio.AbstractEventLoop | None = None) -> _Place | None:
        """Take the turn if it is free, and a place in the line otherwise."""
        with self._guard:
            if not self._taken:
                self._taken = True
                return None
            place = _Place(loop)
            self._line.append(place)
            return place

    def _leave(self, place: _Place) -> bool:
        """Leave the line; say whether the turn had come already."""
        with self._guard:
            if not place.called and place in self._line:  # not where its loop was closed
                self._line.remove(place)
            return place.called


class _Place:
    """A place in a line, of a thread or of a task."""

    def __init__(self, loop: asyncio.AbstractEventLoop | None) -> None:
        self.called = False
        self._loop = loop
        self.gate = threading.Lock()
        if loop is None:
            self.gate.acquire()
        else:
            self.future: asyncio.Future[None] = loop.create_future()

    def call(self) -> bool:
        """Give it the turn; say whether there is still somebody to take it."""
        if self._loop is None:
            self.gate.release()
        else:
            try:
                self._loop.call_soon_threadsafe(self._wake)
            except RuntimeError:  # its loop is closed
                return False
        self.called = True
        return True

    def _wake(self) -> None:
        if not self.future.done():
            self.future.set_result(None)


class _OnLoopTurns:
    """Turns as a task takes them: a lock like asyncio's own."""

    def __init__(self, turns: Turns) -> None:
        self.take_at_once = turns.take_at_once
        self.acquire = turns.acquire_on_loop
        self.release = turns.release


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

    def lock_of(self, turns: Turns) -> Turns:
        return turns

    async def take(self, lock: Turns | threading.Lock, seconds: float) -> bool:
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

    def lock_of(self, turns: Turns) -> _OnLoopTurns:
        return _OnLoopTurns(turns)

    async def take(self, lock: _OnLoopTurns | asyncio.Lock, seconds: float) -> bool:
        if isinstance(lock, _OnLoopTurns) and lock.take_at_once():
            return True
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
        self.place = connection.place
        self.define = connection.define
        self.hurry = connection.hurry

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        return await ON_LOOP.to_its_end(self._connection.exchange(calls))

    async def commit(self) -> None:
        await ON_LOOP.to_its_end(self._connection.commit())

    async def rollback(self) -> None:
        await ON_LOOP.to_its_end(self._connection.rollback())

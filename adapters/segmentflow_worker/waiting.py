"""Waiting for the next thing to do: so long, or until somebody calls.

The only place that knows how long something takes, so that tests can give their own.
"""

from __future__ import annotations

import asyncio
import queue
import time
from contextlib import suppress
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable

__all__ = ["LoopWaiter", "ThreadWaiter", "Waiter"]


class Waiter(Protocol):
    """Tells how time passes, and waits."""

    def now(self) -> float:
        """Return seconds since some moment; it never goes back."""
        ...

    def wait(self, seconds: float | None) -> MaybeAwaitable[None]:
        """Return once `call` was called since the last wait, or so many seconds later.

        Args:
            seconds: None waits until somebody calls.
        """
        ...

    def call(self) -> None:
        """End a wait, this one or the next; from any thread, and from a signal handler."""
        ...


class ThreadWaiter:
    """Blocks the thread."""

    def __init__(self) -> None:
        # Unlike a Condition, it may be put to by a signal handler that interrupts its getter.
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def now(self) -> float:
        """Return the monotonic clock."""
        return time.monotonic()

    def wait(self, seconds: float | None) -> None:
        """Block until called, or so many seconds."""
        with suppress(queue.Empty):
            self._calls.get(timeout=seconds)
            while True:
                self._calls.get_nowait()

    def call(self) -> None:
        """End a wait."""
        self._calls.put(None)


class LoopWaiter:
    """Lets the event loop go on."""

    def __init__(self) -> None:
        self._called = asyncio.Event()
        self._is_called = False
        self._loop: asyncio.AbstractEventLoop | None = None

    def now(self) -> float:
        """Return the monotonic clock."""
        return time.monotonic()

    async def wait(self, seconds: float | None) -> None:
        """Wait until called, or so many seconds."""
        loop = asyncio.get_running_loop()
        if loop is not self._loop:
            # An event belongs to the first loop that waits for it.
            self._called, self._loop = asyncio.Event(), loop
        if not self._is_called:
            with suppress(TimeoutError):
                async with asyncio.timeout(seconds):
                    await self._called.wait()
        self._is_called = False
        self._called.clear()

    def call(self) -> None:
        """End a wait."""
        self._is_called = True
        loop = self._loop
        if loop is not None:
            with suppress(RuntimeError):  # the loop is closed: nobody waits
                loop.call_soon_threadsafe(self._called.set)

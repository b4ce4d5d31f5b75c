"""Gathering the calls of asyncio's tasks: each batch is recorded by a task of its own."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import AbstractContextManager, nullcontext
from typing import Any, ClassVar, TypeVar
from weakref import WeakKeyDictionary

from attrs import frozen

from segmentflow_gathering.bounds import (
    a_most,
    a_number_aside,
    a_patience,
    a_wait,
    a_writers,
)
from segmentflow_gathering.patience import answered_within

__all__ = ["AsyncGathering"]

L = TypeVar("L")


@frozen
class AsyncGathering:
    """Lets the calls that tasks make of one `AsyncTracker` at the same time share transactions.

    As `Gathering`. A caller that is cancelled while it waits records nothing; one whose batch is
    being recorded leaves its event, and its key tells.
    """

    asynchronous: ClassVar[bool] = True
    apart: ClassVar[bool] = True

    most: int = a_most()
    writers: int = a_writers()
    wait: float = a_wait()
    aside: int = a_number_aside()
    patience: float | None = a_patience()
    on_batch: Callable[[int], object] | None = None

    def shared(self, make: Callable[[], L]) -> Callable[[], L]:
        """Return what gives tasks of the running loop what they share; as `Gathering.shared`."""
        made: WeakKeyDictionary[asyncio.AbstractEventLoop, L] = WeakKeyDictionary()

        def here() -> L:
            loop = asyncio.get_running_loop()
            found = made.get(loop)
            if found is None:
                found = made[loop] = make()
            return found

        return here

    def guard(self) -> AbstractContextManager[object]:
        """Return no lock, since tasks of one loop change nothing at once; as `Gathering.guard`."""
        return nullcontext()

    def place(self) -> _Place:
        """Return a place for the present task; as `Gathering.place`."""
        return _Place(asyncio.get_running_loop().create_future(), self.patience)

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin work in a task of its own; `Gathering.begin` has nobody to begin it."""
        task = asyncio.get_running_loop().create_task(work())
        _running.add(task)
        task.add_done_callback(_running.discard)


_running: set[asyncio.Task[None]] = set()
"""An event loop alone would let a task go in the midst of its work."""


class _Place:
    def __init__(self, future: asyncio.Future[None], patience: float | None) -> None:
        self._future = future
        self._patience = patience

    def wait(self) -> Awaitable[None]:
        if self._patience is None:  # the shorter way, for whoever waits as long as it takes
            return self._future
        return answered_within(self._patience, self._future)

    def call(self) -> None:
        if not self._future.done():
            self._future.set_result(None)

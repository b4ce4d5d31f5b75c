"""Gathering the calls of threads: one of those that wait records for all of its batch."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, ClassVar, TypeVar

from attrs import frozen

from segmentflow_core.ports.gathering import NotAnswered
from segmentflow_gathering.bounds import (
    a_most,
    a_number_aside,
    a_patience,
    a_wait,
    a_writers,
)

__all__ = ["Gathering"]

L = TypeVar("L")


@frozen
class Gathering:
    """Lets the calls that threads make of one `Tracker` at the same time share transactions.

    A call starts at once where a writer is free; calls that come meanwhile go together. Nobody
    waits for others to come.

    Attributes:
        most: how many calls share a transaction, 128 at most.
        writers: how many transactions of the tracker write at the same time, 1 to 4. SQLite and
            the store in memory write one at a time, whatever this says.
        wait: seconds that a writer's transaction waits for a key or a Profile that another one
            holds. Then it gives the writer back, and the call that needs it waits aside, as long
            as the storage does.
        aside: how many transactions wait aside at the same time, 1 to 64. Each takes a
            connection, as a writer does.
        patience: seconds that a call waits for a transaction with others, and for its end; then
            it is `storage_unavailable`, and its key tells what became of it. None is for ever.
        on_batch: is called with how many calls each committed transaction was of; what it raises
            is dropped.

    Raises:
        ConfigurationError: an attribute breaks its rule.
    """

    asynchronous: ClassVar[bool] = False
    apart: ClassVar[bool] = False

    most: int = a_most()
    writers: int = a_writers()
    wait: float = a_wait()
    aside: int = a_number_aside()
    patience: float | None = a_patience()
    on_batch: Callable[[int], object] | None = None

    def shared(self, make: Callable[[], L]) -> Callable[[], L]:
        """Return what gives the threads of the present process what they share."""
        made: dict[int, L] = {}

        def here() -> L:
            # In a forked process, those who had it are gone.
            process = os.getpid()
            found = made.get(process)
            return made.setdefault(process, make()) if found is None else found

        return here

    def guard(self) -> AbstractContextManager[object]:
        """Return a lock."""
        return threading.Lock()

    def place(self) -> _Place:
        """Return a place for the present thread."""
        return _Place(self.patience)

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Not for threads, one of which records for all of its batch: none is made here."""
        raise NotImplementedError(work)


class _Place:
    def __init__(self, patience: float | None) -> None:
        self._gate = threading.Lock()
        self._gate.acquire()
        self._patience = patience

    def wait(self) -> None:
        if self._patience is None:
            self._gate.acquire()
        elif not self._gate.acquire(timeout=self._patience):
            raise NotAnswered(self._patience)

    def call(self) -> None:
        if self._gate.locked():
            self._gate.release()

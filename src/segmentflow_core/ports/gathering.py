"""How the callers of one process wait for each other, where they share transactions.

What threads and the tasks of an event loop do differently; `segmentflow_gathering` has both.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from contextlib import AbstractContextManager
from typing import Any, ClassVar, Protocol, TypeVar

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.errors import StorageUnavailable

__all__ = ["Gathers", "NotAnswered", "Place"]

L = TypeVar("L")


class NotAnswered(StorageUnavailable):
    """A store, or those who wait for it, did not answer for as long as a caller waits.

    Whoever asked again at once would wait for as long once more. What the store does, it may
    still do.

    Args:
        seconds: how long the caller has waited.
    """

    def __init__(self, seconds: float) -> None:
        message = f"The store did not answer within {seconds:g} seconds. Try again."
        super().__init__(message, details={"error": "TIMEOUT"})
        self.seconds = seconds


class Place(Protocol):
    """Where one caller waits until it is called, once."""

    def wait(self) -> MaybeAwaitable[object]:
        """Wait until somebody calls; return at once where somebody has.

        Raises:
            NotAnswered: nobody has called for as long as a caller waits.
        """
        ...

    def call(self) -> None:
        """Let the caller go on; its caller may have left."""
        ...


class Gathers(Protocol):
    """How a tracker gathers its calls: bounds, and one colour's ways to wait.

    Attributes:
        asynchronous: the colour of the tracker it is for.
        apart: whether batches run apart from their callers; one of the callers runs each otherwise.
    """

    asynchronous: ClassVar[bool]
    apart: ClassVar[bool]

    @property
    def most(self) -> int:
        """How many calls share a transaction at most."""
        ...

    @property
    def writers(self) -> int:
        """How many transactions of one tracker write at the same time at most."""
        ...

    @property
    def wait(self) -> float:
        """How many seconds a writer's transaction waits for what another one holds."""
        ...

    @property
    def aside(self) -> int:
        """How many transactions wait longer than that at the same time, beside the writers."""
        ...

    @property
    def on_batch(self) -> Callable[[int], object] | None:
        """What is told how many calls each committed transaction was of, or None."""
        ...

    def shared(self, make: Callable[[], L]) -> Callable[[], L]:
        """Return a function that gives what the present callers share, made on first use.

        Callers share where they can wait for each other: the threads of one process, the tasks
        of one event loop.
        """
        ...

    def guard(self) -> AbstractContextManager[object]:
        """Return what lets one caller at a time change what they share."""
        ...

    def place(self) -> Place:
        """Return a place for the present caller."""
        ...

    def begin(self, work: Callable[[], Coroutine[Any, Any, None]]) -> None:
        """Begin work apart from every caller, so that none who leaves takes it along."""
        ...

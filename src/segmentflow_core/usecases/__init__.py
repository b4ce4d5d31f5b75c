"""The use cases: each an `async def` over a Transaction, for hosts of either colour.

`settle` takes what a port's method gave: a value from a plain `def`, something to await
from an `async def`. Over a synchronous adapter a use case therefore never suspends, and
`drive` runs it to its end in one step. Must never import an event loop.
"""

from __future__ import annotations

from collections.abc import Awaitable, Coroutine
from typing import Any, TypeVar

__all__ = ["drive", "settle"]

T = TypeVar("T")


async def settle(given: T | Awaitable[T]) -> T:
    """Return a value, or await it first where it has to be awaited."""
    result: Any = given
    if hasattr(result, "__await__"):
        result = await result
    settled: T = result
    return settled


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result.

    Raises:
        RuntimeError: it did suspend: an asynchronous adapter was given to a `Tracker`.
    """
    try:
        coroutine.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    coroutine.close()
    raise RuntimeError("An asynchronous storage needs an AsyncTracker.")

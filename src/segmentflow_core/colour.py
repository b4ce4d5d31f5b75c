"""One body for both colours: what may be synchronous or asynchronous is written once.

A body is an `async def` that awaits `settle(x)` wherever `x` may be a value, from a plain
`def`, or an awaitable, from an `async def`. A synchronous face runs it with `drive`: it then
never suspends, since every `x` is a value. An asynchronous face awaits it:

    async def load(self, organization_id, intent):        # written once
        answers = await settle(self._exchange(calls))

    def track(...): return drive(self._calls.track(...))        # `Tracker`
    async def track(...): return await self._calls.track(...)   # `AsyncTracker`

Adapters may write their own methods so. Must never import an event loop.
"""

from __future__ import annotations

import functools
import inspect
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

__all__ = ["MaybeAwaitable", "drive", "driven", "is_asynchronous", "settle"]

S = TypeVar("S")
T = TypeVar("T")
MaybeAwaitable: TypeAlias = T | Awaitable[T]
"""What a method of a port gives: a value from a `def`, an awaitable from an `async def`."""


async def settle(given: MaybeAwaitable[T]) -> T:
    """Return a value, or await it first where it has to be awaited."""
    result: Any = given
    if hasattr(result, "__await__"):
        result = await result
    settled: T = result
    return settled


def drive(coroutine: Coroutine[Any, Any, T]) -> T:
    """Run a coroutine that never suspends, and return its result.

    Raises:
        RuntimeError: it did suspend: something asynchronous was given to a synchronous face.
    """
    try:
        coroutine.send(None)
    except StopIteration as finished:
        result: T = finished.value
        return result
    raise _suspended(coroutine)


def _suspended(coroutine: Coroutine[Any, Any, Any]) -> RuntimeError:
    coroutine.close()
    return RuntimeError(
        "Something that has to be awaited was given to a synchronous face: use the"
        " asynchronous one, such as AsyncTracker."
    )


def driven(work: Callable[[S], Coroutine[Any, Any, T]]) -> Callable[[S], T]:
    """Return work for a synchronous storage: the same `async def`, run to its end."""

    def run(given: S) -> T:
        # As `drive`, without its frame: the trunk of every call goes through here.
        coroutine = work(given)
        try:
            coroutine.send(None)
        except StopIteration as finished:
            result: T = finished.value
            return result
        raise _suspended(coroutine)

    return run


def is_asynchronous(function: Callable[..., object]) -> bool:
    """Say, without a call, whether what a function returns has to be awaited.

    So it is of an `async def`, of an object whose `__call__` is one, and of a
    `functools.partial` of either. A plain `def` counts as what it wraps (`functools.wraps`): one
    around an `async def` counts as asynchronous, since it usually returns its coroutine. One that
    runs that coroutine to its end must not name it as `__wrapped__`. A plain `def` that
    returns an awaitable and wraps nothing is not recognised.
    """
    wrapped = inspect.unwrap(function, stop=_is_awaited)
    while isinstance(wrapped, functools.partial):
        wrapped = inspect.unwrap(wrapped.func, stop=_is_awaited)
    return _is_awaited(wrapped)


def _is_awaited(function: Callable[..., object]) -> bool:
    called = getattr(function, "__call__", None)  # noqa: B004 - its colour is what is asked about
    return inspect.iscoroutinefunction(function) or inspect.iscoroutinefunction(called)

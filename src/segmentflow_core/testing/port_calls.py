"""Wraps a storage of either colour, so that every call of a port's method goes by a listener.

Knows that a transaction has repositories, and that what has to be awaited has to be awaited.
Must never know what any method is for.
"""

from __future__ import annotations

import inspect
from collections.abc import Awaitable, Callable
from typing import Any

from segmentflow_core.colour import settle

__all__ = ["Listened", "TappedStorage", "listened_run"]


class Listened:
    """A transaction, or one of its repositories, whose methods go through `called`.

    Args:
        inner: what is wrapped.
        called: is given the method and its arguments, and gives its result.
    """

    def __init__(self, inner: Any, called: Callable[..., Any]) -> None:
        self._inner = inner
        self._called = called

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return Listened(found, self._called)
        return lambda *args, **kwargs: self._called(found, *args, **kwargs)


def listened_run(storage: Any, called: Callable[..., Any]) -> Callable[..., Any]:
    """Return a `run` of the storage's own colour, whose transactions go through `called`."""

    def listened(work: Callable[[Any], Any]) -> Callable[[Any], Any]:
        return lambda transaction: work(Listened(transaction, called))

    async def run_awaited(work: Callable[[Any], Any]) -> Any:
        return await storage.run(listened(work))

    def run(work: Callable[[Any], Any]) -> Any:
        return storage.run(listened(work))

    return run_awaited if inspect.iscoroutinefunction(storage.run) else run


class TappedStorage:
    """Calls `tap` after each call of a port's method.

    Args:
        storage: what does the work.
        tap: is given the number of calls so far; it may wait, in the storage's colour.
    """

    def __init__(self, storage: Any, tap: Callable[[int], Any]) -> None:
        self._tap = tap
        self._calls = 0
        self.run = listened_run(storage, self._called)

    def _called(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = method(*args, **kwargs)
        if hasattr(result, "__await__"):
            return self._awaited(result)
        self._calls += 1
        waiting = self._tap(self._calls)
        return _after(waiting, result) if hasattr(waiting, "__await__") else result

    async def _awaited(self, result: Awaitable[Any]) -> Any:
        settled = await result
        self._calls += 1
        await settle(self._tap(self._calls))
        return settled


async def _after(waiting: Awaitable[Any], result: Any) -> Any:
    await waiting
    return result

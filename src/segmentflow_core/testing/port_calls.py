"""Wraps a storage of either colour, so that every call of a port's method goes through a listener.

Knows that a transaction has repositories. A listener is an `async def`, written once: over a
synchronous storage it is driven. Must never know what any method is for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from segmentflow_core.colour import drive, settle
from segmentflow_core.testing.callers import is_asynchronous

__all__ = ["Listener", "TappedStorage", "listened_run"]

Listener: TypeAlias = Callable[..., Coroutine[Any, Any, Any]]
"""Is given a port's method and its arguments; what it returns is the result of the call."""


class _Listened:
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
            return _Listened(found, self._called)
        return lambda *args, **kwargs: self._called(found, *args, **kwargs)


def listened_run(storage: Any, listener: Listener) -> Callable[..., Any]:
    """Return a `run` of the storage's own colour, whose transactions go through `listener`."""

    def driven(*args: Any, **kwargs: Any) -> Any:
        return drive(listener(*args, **kwargs))

    def run(work: Callable[[Any], Any], **how: Any) -> Any:
        return storage.run(lambda transaction: work(_Listened(transaction, driven)), **how)

    async def run_awaited(work: Callable[[Any], Any], **how: Any) -> Any:
        return await storage.run(lambda transaction: work(_Listened(transaction, listener)), **how)

    return run_awaited if is_asynchronous(storage) else run


class TappedStorage:
    """Calls `tap` after each call of a port's method.

    Args:
        storage: does the work.
        tap: is given the number of calls so far; it may wait, in the storage's colour.
    """

    def __init__(self, storage: Any, tap: Callable[[int], Any]) -> None:
        self._tap = tap
        self._calls = 0
        self.run = listened_run(storage, self._called)

    async def _called(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = await settle(method(*args, **kwargs))
        self._calls += 1
        await settle(self._tap(self._calls))
        return result

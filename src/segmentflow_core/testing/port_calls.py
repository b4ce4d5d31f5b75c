"""Wraps a storage of either colour, so that every call of a port's method goes through a listener.

Knows that a transaction has repositories. A listener is an `async def`, written once: over a
synchronous storage it is driven. Must never know what any method is for.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias

from attrs import define

from segmentflow_core.colour import drive, settle
from segmentflow_core.testing.callers import is_asynchronous

__all__ = ["CallCount", "Listener", "TappedStorage", "WatchedStorage", "listened_run"]

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


@define
class CallCount:
    """How many calls of a port's method one caller has made.

    A storage may run work again, and may throw away what a run did. So each run of one work
    counts from where its transaction began.

    Attributes:
        calls: those of the transactions that ended, and of the current run.
    """

    calls: int = 0
    _before: int = 0

    def begin_transaction(self) -> None:
        """Note that a transaction begins."""
        self._before = self.calls

    def begin_run(self) -> None:
        """Note that its work runs, for the first time or again."""
        self.calls = self._before


def listened_run(storage: Any, listener: Listener, count: CallCount) -> Callable[..., Any]:
    """Return a `run` of the storage's own colour, whose transactions go through `listener`.

    Args:
        storage: does the work.
        listener: hears every call of a port's method.
        count: is told when a transaction begins, and each run of its work.
    """

    def driven(*args: Any, **kwargs: Any) -> Any:
        return drive(listener(*args, **kwargs))

    def listened(work: Callable[[Any], Any], called: Callable[..., Any]) -> Callable[[Any], Any]:
        def once(transaction: Any) -> Any:
            count.begin_run()
            return work(_Listened(transaction, called))

        count.begin_transaction()
        return once

    def run(work: Callable[[Any], Any], **how: Any) -> Any:
        return storage.run(listened(work, driven), **how)

    async def run_awaited(work: Callable[[Any], Any], **how: Any) -> Any:
        return await storage.run(listened(work, listener), **how)

    return run_awaited if is_asynchronous(storage) else run


class TappedStorage:
    """Calls `tap` after each call of a port's method.

    Args:
        storage: does the work.
        tap: is given the number of calls so far; it may wait, in the storage's colour. Work that
            runs again counts from where its transaction began.
    """

    def __init__(self, storage: Any, tap: Callable[[int], Any]) -> None:
        self._tap = tap
        self._count = CallCount()
        self.run = listened_run(storage, self._called, self._count)

    async def _called(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        result = await settle(method(*args, **kwargs))
        self._count.calls += 1
        await settle(self._tap(self._count.calls))
        return result


class WatchedStorage:
    """Counts the signs of life of the calls through it.

    A call gives one when its transaction begins, when its work runs, and when each call of a port
    begins and ends.

    Args:
        storage: does the work.
        tell: is told the number so far, each time.

    Attributes:
        signs: how many there were; 0 before a transaction has begun.
    """

    def __init__(self, storage: Any, tell: Callable[[int], Any] = lambda _: None) -> None:
        self.signs = 0
        self._tell = tell
        self.run = listened_run(storage, self._called, _Begun(self._sign))

    def _sign(self) -> None:
        self.signs += 1
        self._tell(self.signs)

    async def _called(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._sign()
        result = await settle(method(*args, **kwargs))
        self._sign()
        return result


class _Begun(CallCount):
    """Tells of transactions and runs that begin."""

    def __init__(self, sign: Callable[[], None]) -> None:
        super().__init__()
        self._sign = sign

    def begin_transaction(self) -> None:
        self._sign()

    def begin_run(self) -> None:
        self._sign()

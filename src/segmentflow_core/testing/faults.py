"""A storage that fails at a chosen call of the ports, before or after the call took effect."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

__all__ = ["FaultyStorage", "InjectedFault"]


class InjectedFault(Exception):
    """Stands for a crash."""


class FaultyStorage:
    """Wraps a storage of either colour and counts every call of a port's method.

    Args:
        storage: what does the work.
        fail_at: which call fails, counted from 0; None lets every call through.
        after: whether the call takes effect before it fails.
    """

    def __init__(self, storage: Any, fail_at: int | None = None, *, after: bool = False) -> None:
        self._storage = storage
        self._fail_at = fail_at
        self._after = after
        self.calls = 0

    def run(self, work: Callable[[Any], Any]) -> Any:
        """Run `work` over a transaction that may fail."""
        return self._storage.run(lambda transaction: work(_Faulty(transaction, self._called)))

    def _called(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        fails = self.calls == self._fail_at
        self.calls += 1
        if fails and not self._after:
            raise InjectedFault
        result = method(*args, **kwargs)
        if not fails:
            return result
        if hasattr(result, "__await__"):
            return _await_and_fail(result)
        raise InjectedFault


async def _await_and_fail(result: Awaitable[Any]) -> None:
    await result
    raise InjectedFault


class _Faulty:
    """A transaction, or one of its repositories, whose methods go through `called`."""

    def __init__(self, inner: Any, called: Callable[..., Any]) -> None:
        self._inner = inner
        self._called = called

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._inner, name)
        if not callable(found):
            return _Faulty(found, self._called)
        return lambda *args, **kwargs: self._called(found, *args, **kwargs)

"""A storage that fails at a chosen call of a port, before or after the call took effect."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from segmentflow_core.colour import settle
from segmentflow_core.testing.port_calls import CallCount, listened_run

__all__ = ["FaultyStorage", "InjectedFault", "InjectedInterrupt"]


class InjectedFault(Exception):
    """Stands for a crash."""


class InjectedInterrupt(BaseException):
    """Stands for an interrupt or a cancellation: neither is an `Exception`."""


class FaultyStorage:
    """Wraps a storage of either colour and counts every call of a port's method.

    Work that runs again counts from where its transaction began, so that the chosen call fails
    in each run: a storage may throw away what a run did, and the failure with it.

    Args:
        storage: does the work.
        fail_at: which call fails, counted from 0; None lets every call through.
        after: whether the call takes effect before it fails.
        fault: what is raised.
    """

    def __init__(
        self,
        storage: Any,
        fail_at: int | None = None,
        *,
        after: bool = False,
        fault: type[BaseException] = InjectedFault,
    ) -> None:
        self._fail_at = fail_at
        self._after = after
        self._fault = fault
        self._count = CallCount()
        self.run = listened_run(storage, self._called, self._count)

    @property
    def calls(self) -> int:
        """How many calls were made; of work that ran again, those of its last run."""
        return self._count.calls

    async def _called(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        fails = self.calls == self._fail_at
        self._count.calls += 1
        if fails and not self._after:
            raise self._fault
        result = await settle(method(*args, **kwargs))
        if fails:
            raise self._fault
        return result

"""Refusing what belongs to the other colour, when it is given rather than when it is called."""

from __future__ import annotations

import inspect
from collections.abc import Callable

from segmentflow_core.errors import ConfigurationError

__all__ = ["refuse_awaited", "refuse_kind"]


def refuse_kind(given: object, other: type, message: str) -> None:
    """Refuse an instance of a class; the message names the class that takes it.

    Raises:
        ConfigurationError: `given` is an instance of `other`.
    """
    if isinstance(given, other):
        raise ConfigurationError(message)


def refuse_awaited(method: Callable[..., object], message: str) -> None:
    """Refuse an `async def`. A plain `def` that returns an awaitable is not recognised here.

    Raises:
        ConfigurationError: `method` is a coroutine function.
    """
    if inspect.iscoroutinefunction(method):
        raise ConfigurationError(message)

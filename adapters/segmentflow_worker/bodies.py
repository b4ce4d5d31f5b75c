"""Handlers whose body would not run: what has a `yield` in it, and what forgot an `await`.

To call such a function makes an object, and runs no line of it. Its Enrollment would be completed,
with nothing done. Must never run a handler.
"""

from __future__ import annotations

import functools
import inspect
import types
from collections.abc import Iterable
from typing import Any, Final

from segmentflow_core.errors import ConfigurationError

__all__ = ["check_bodies", "check_result"]

_NOT_RUN: Final = (types.GeneratorType, types.AsyncGeneratorType, types.CoroutineType)


def check_bodies(handlers: Iterable[Any]) -> None:
    """Refuse handlers that are generator functions.

    Raises:
        ConfigurationError: one of them is, plain or asynchronous.
    """
    for handler in handlers:
        if _yields(handler):
            name = getattr(handler, "__name__", type(handler).__name__)
            raise ConfigurationError(
                f"The handler {name} has a yield in it, so that a call runs no line of it: write it"
                " without."
            )


def check_result(result: object) -> None:
    """Refuse what a handler gave that still has to run, once what it gave was awaited.

    Raises:
        TypeError: it is a generator or a coroutine.
    """
    if not isinstance(result, _NOT_RUN):
        return
    if not isinstance(result, types.CoroutineType):
        raise TypeError("The handler returned a generator, which nobody runs: nothing is done.")
    if inspect.getcoroutinestate(result) == inspect.CORO_CREATED:
        result.close()  # or Python would warn of it, somewhere else
    raise TypeError("The handler returned a coroutine, which nobody awaits: nothing is done.")


def _yields(handler: Any) -> bool:
    while isinstance(handler, functools.partial):
        handler = handler.func
    called = getattr(handler, "__call__", None)  # noqa: B004 - its body is what is asked about
    return any(
        inspect.isgeneratorfunction(each) or inspect.isasyncgenfunction(each)
        for each in (handler, called)
    )

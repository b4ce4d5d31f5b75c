"""Refusing what belongs to the other colour, when it is given rather than when it is called."""

from __future__ import annotations

from collections.abc import Callable

from segmentflow_core.colour import is_asynchronous
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
    """Refuse what is asynchronous by the rule of `segmentflow_core.colour.is_asynchronous`.

    Raises:
        ConfigurationError: `method` has to be awaited.
    """
    if is_asynchronous(method):
        raise ConfigurationError(message)

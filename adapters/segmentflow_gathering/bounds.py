"""The bounds of gathering, and their rules."""

from __future__ import annotations

from typing import Any, Final

from attrs import field
from attrs.validators import optional

from segmentflow_core.errors import ConfigurationError
from segmentflow_core.gathering import MAX_ASIDE, MAX_TOGETHER, MAX_WRITERS

__all__ = ["a_most", "a_number_aside", "a_patience", "a_wait", "a_writers"]

_MAX_WAIT: Final = 60.0
_MAX_PATIENCE: Final = 3600.0


def _within(name: str, least: float, greatest: float, *, whole: bool) -> Any:
    kind = "an integer" if whole else "a number"
    rule = f"{name} must be {kind} from {least:g} to {greatest:g}."

    def check(_: object, __: object, value: object) -> None:
        fits = isinstance(value, int if whole else (int, float)) and least <= value <= greatest
        if not fits or isinstance(value, bool):
            raise ConfigurationError(rule)

    return check


def a_most() -> Any:
    """Return the field of how many calls share a transaction."""
    return field(default=MAX_TOGETHER, validator=_within("most", 1, MAX_TOGETHER, whole=True))


def a_writers() -> Any:
    """Return the field of how many transactions write at the same time."""
    return field(default=1, validator=_within("writers", 1, MAX_WRITERS, whole=True))


def a_number_aside() -> Any:
    """Return the field of how many transactions wait aside at the same time."""
    return field(default=4, validator=_within("aside", 1, MAX_ASIDE, whole=True))


def a_wait() -> Any:
    """Return the field of how long a writer's transaction waits."""
    return field(default=0.05, validator=_within("wait", 0.001, _MAX_WAIT, whole=False))


def a_patience() -> Any:
    """Return the field of how long a call waits in a line; None is for ever."""
    rule = _within("patience", 0.001, _MAX_PATIENCE, whole=False)
    return field(default=None, validator=optional(rule))

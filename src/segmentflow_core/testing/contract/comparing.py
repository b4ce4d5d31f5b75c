"""Values compared with all that they say, and told apart by the first place where they differ.

pytest writes out how two values differ, and in CI all of it: of a thousand records that takes
hours. What may be long is compared here.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from datetime import datetime
from enum import Enum
from itertools import zip_longest
from typing import Any, Final

from attrs import fields, has

__all__ = ["check_same", "difference", "exact"]


def check_same(got: Any, expected: Any) -> None:
    """Compare two values that may be long.

    Raises:
        AssertionError: they differ; it names the first place.
    """
    one, other = exact(expected), exact(got)
    if one != other:
        raise AssertionError(difference(one, other))


def difference(expected: Any, got: Any, place: str = "") -> str:
    """Say where two exact values differ first, and how."""
    if isinstance(expected, dict) and isinstance(got, dict):
        names = [*expected, *got]
        pairs = {n: (expected.get(n, "nothing"), got.get(n, "nothing")) for n in names}
    elif isinstance(expected, list) and isinstance(got, list):
        pairs = dict(enumerate(zip_longest(expected, got, fillvalue="nothing")))
    else:
        return f"{place or '/'} is {_short(got)}, not {_short(expected)}"
    name = next(name for name, (one, other) in pairs.items() if one != other)
    return difference(*pairs[name], f"{place}/{name}")


def _short(value: Any) -> str:
    text = repr(value)
    return text if len(text) < 300 else f"{text[:200]}… ({len(text)} characters)"


def exact(value: Any) -> Any:
    """Make a value comparable with all that it says: its type, and of an instant its zone."""
    kind = type(value)
    found = _WAYS.get(kind)
    if found is None:
        found = _WAYS[kind] = _way(kind)
    return found(value)


_WAYS: Final[dict[type, Callable[[Any], Any]]] = {}
"""How a value of a type is made comparable: most comparisons are of thousands of values."""


def _way(kind: type) -> Callable[[Any], Any]:
    name = kind.__name__
    if has(kind):
        names = [each.name for each in fields(kind)]
        return lambda value: {"": name, **{each: exact(getattr(value, each)) for each in names}}
    if issubclass(kind, Mapping):
        return lambda value: {str(each): exact(item) for each, item in value.items()}
    if issubclass(kind, (list, tuple)):
        return lambda value: [exact(item) for item in value]
    if issubclass(kind, (set, frozenset)):
        return lambda value: sorted((exact(item) for item in value), key=repr)
    if issubclass(kind, datetime):
        return _instant
    if issubclass(kind, Enum):
        return lambda value: f"{name} {value.value!r}"
    return lambda value: f"{name} {value!r}"


def _instant(value: datetime) -> str:
    return f"{value.isoformat()} ({'naive' if value.tzinfo is None else value.utcoffset()})"

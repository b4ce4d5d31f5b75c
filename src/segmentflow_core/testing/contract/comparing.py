"""Values compared with all that they say, and told apart by the first place where they differ.

pytest writes out how two values differ, and in CI all of it: of a thousand records that takes
hours. What may be long is compared here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import Enum
from itertools import zip_longest
from typing import Any

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
    if has(type(value)):
        inner = {each.name: exact(getattr(value, each.name)) for each in fields(type(value))}
        return {"": type(value).__name__, **inner}
    if isinstance(value, Mapping):
        return {str(name): exact(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [exact(item) for item in value]
    if isinstance(value, datetime):
        return f"{value.isoformat()} ({'naive' if value.tzinfo is None else value.utcoffset()})"
    if isinstance(value, Enum):
        return f"{type(value).__name__} {value.value!r}"
    return f"{type(value).__name__} {value!r}"

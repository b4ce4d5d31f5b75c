"""What an operator's `value` may be: each rule as a check and as JSON Schema, side by side.

Knows JSON values, exact types and limits. Must never know which operator a value is for,
nor repeat a value in a message.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from math import isfinite
from typing import Any, Final, TypeAlias

from attrs import frozen

from segmentflow_core.domain.admission import (
    MAX_INTEGER,
    MIN_INTEGER,
    NOT_FINITE,
    OUT_OF_RANGE,
    text_fault,
)
from segmentflow_core.domain.faults import Place
from segmentflow_core.domain.instant import parse_instant
from segmentflow_core.domain.redaction import REDACTED

__all__ = [
    "ARRAY",
    "DATE_TIME",
    "LIST_LIMIT",
    "NUMBER",
    "NUMBER_RANGE",
    "OBJECT",
    "SCALAR",
    "SCALARS",
    "TEXT",
    "ValueRule",
]

# The exact types of an admitted object and array. Typed as `Any` on purpose: a comparison
# with `dict` itself would narrow a value to a dict of unknown members.
OBJECT: Final[type[Any]] = dict
ARRAY: Final[type[Any]] = list

LIST_LIMIT: Final = 10_000
"""How many values `in` and `not_in` take."""

_Faults: TypeAlias = Callable[[object, Place], list[tuple[Place, str]]]


@frozen
class ValueRule:
    """What one kind of operator value may be.

    Attributes:
        summary: the rule, in words.
        schema: the same rule as JSON Schema 2020-12, as far as a schema can express it.
        find_faults: names every fault of a value; takes the value and its place.
    """

    summary: str
    schema: Mapping[str, Any]
    find_faults: _Faults


def _text_fault(value: object) -> str | None:
    if type(value) is not str:
        return "must be a string"
    return text_fault(value)


def _number_fault(value: object) -> str | None:
    if type(value) is int:
        return None if MIN_INTEGER <= value <= MAX_INTEGER else OUT_OF_RANGE
    if type(value) is not float:
        return "must be a number"
    return None if isfinite(value) else NOT_FINITE


def _date_time_fault(value: object) -> str | None:
    if type(value) is str:
        try:
            parse_instant(value)
        except ValueError:
            pass
        else:
            return None
    return "must be an RFC 3339 date-time with an offset or Z"


def _scalar_fault(value: object) -> str | None:
    if type(value) is bool:
        return None
    if type(value) is int or type(value) is float:
        return _number_fault(value)
    if value is None:
        return "must not be null; is_null tests for null"
    if type(value) is not str:
        return "must be a string, a number or a boolean"
    if value == REDACTED:
        return "must not be the redaction marker, which equals nothing"
    return _text_fault(value)


def _one(find_fault: Callable[[object], str | None]) -> _Faults:
    def find_faults(value: Any, at: Place) -> list[tuple[Place, str]]:
        message = find_fault(value)
        return [] if message is None else [(at, message)]

    return find_faults


def _each(
    find_fault: Callable[[object], str | None], least: int, most: int, summary: str
) -> _Faults:
    def find_faults(value: Any, at: Place) -> list[tuple[Place, str]]:
        if type(value) is not ARRAY or not least <= len(value) <= most:
            return [(at, f"must be {summary}")]
        faults = ((index, find_fault(item)) for index, item in enumerate(value))
        return [((at, index), message) for index, message in faults if message is not None]

    return find_faults


def _range_faults(value: Any, at: Place) -> list[tuple[Place, str]]:
    faults = _each(_number_fault, 2, 2, NUMBER_RANGE.summary)(value, at)
    if not faults and value[0] > value[1]:
        return [(at, "must have its low bound first")]
    return faults


_SCALAR_SCHEMA: Final[Mapping[str, Any]] = {
    "type": ["string", "number", "boolean"],
    "not": {"const": REDACTED},
}

TEXT: Final = ValueRule("a string", {"type": "string"}, _one(_text_fault))
NUMBER: Final = ValueRule("a number", {"type": "number"}, _one(_number_fault))
NUMBER_RANGE: Final = ValueRule(
    "a list of two numbers, [low, high]",
    {"type": "array", "items": {"type": "number"}, "minItems": 2, "maxItems": 2},
    _range_faults,
)
DATE_TIME: Final = ValueRule(
    "an RFC 3339 date-time with an offset or Z",
    {"type": "string", "format": "date-time"},
    _one(_date_time_fault),
)
SCALAR: Final = ValueRule("a string, a number or a boolean", _SCALAR_SCHEMA, _one(_scalar_fault))
SCALARS: Final = ValueRule(
    "a list of one or more strings, numbers or booleans",
    {"type": "array", "items": _SCALAR_SCHEMA, "minItems": 1, "maxItems": LIST_LIMIT},
    _each(
        _scalar_fault,
        1,
        LIST_LIMIT,
        f"a list of 1 to {LIST_LIMIT} strings, numbers or booleans",
    ),
)

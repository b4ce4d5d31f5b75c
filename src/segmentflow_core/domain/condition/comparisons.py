"""What operators do with one value: each function builds a test for one definition's value.

Nothing is coerced: ``"40"`` is not 40 and true is not 1. Numbers compare exactly, integers
with floats too; 49 equals 49.0. A test answers unknown where the two cannot be compared.
Must never know where in a state document a value was found.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, TypeAlias

from segmentflow_core.domain.condition.truth import Truth, negation
from segmentflow_core.domain.condition.values import ARRAY
from segmentflow_core.domain.instant import parse_instant
from segmentflow_core.domain.json_value import MISSING
from segmentflow_core.domain.redaction import REDACTED

__all__ = [
    "Test",
    "between",
    "combine_items",
    "compare_date_times",
    "compare_numbers",
    "compare_strings",
    "contains",
    "equals",
    "exists",
    "is_in",
    "is_null",
    "opposite",
]

Test: TypeAlias = Callable[[Any], Truth]
"""A compiled operator: takes the value found, or `MISSING`, and never raises."""


def exists(_: None) -> Test:
    """Tell whether anything is there; null is something."""

    def test(value: Any) -> Truth:
        if type(value) is str and value == REDACTED:
            return None
        return value is not MISSING

    return test


def is_null(_: None) -> Test:
    """Tell whether a value is null."""

    def test(value: Any) -> Truth:
        if value is MISSING or (type(value) is str and value == REDACTED):
            return None
        return value is None

    return test


def equals(expected: Any) -> Test:
    """Tell whether a value equals the expected one; unknown for a value of another type."""
    # One closure per type: the choice is made once here, not for every event.
    if type(expected) is str:

        def test_string(value: Any) -> Truth:
            if type(value) is not str:
                return None
            if value == expected:
                return True
            return None if value == REDACTED else False

        return test_string
    if type(expected) is bool:
        return lambda value: value is expected if type(value) is bool else None

    def test_number(value: Any) -> Truth:
        return value == expected if type(value) is int or type(value) is float else None

    return test_number


def is_in(expected: list[Any]) -> Test:
    """Tell whether a value equals one of the expected ones; unknown where none has its type."""
    # One set per type: in a Python set True and 1 are one member; in JSON they are two values.
    strings = frozenset(item for item in expected if type(item) is str)
    booleans = frozenset(item for item in expected if type(item) is bool)
    numbers = frozenset(item for item in expected if type(item) in (int, float))

    def test(value: Any) -> Truth:
        if type(value) is str:
            return value in strings if strings and value != REDACTED else None
        if type(value) is bool:
            return value in booleans if booleans else None
        if type(value) is int or type(value) is float:
            return value in numbers if numbers else None
        return None

    return test


def opposite(build: Callable[[Any], Test]) -> Callable[[Any], Test]:
    """Turn a test's builder into one whose tests answer the opposite."""

    def build_negated(expected: Any) -> Test:
        test = build(expected)
        return lambda value: negation(test(value))

    return build_negated


def compare_numbers(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    """Build tests that compare a number with a bound."""

    def build(bound: float) -> Test:
        def test(value: Any) -> Truth:
            return compare(value, bound) if type(value) is int or type(value) is float else None

        return test

    return build


def between(bounds: list[float]) -> Test:
    """Tell whether a number lies between two bounds, both included."""
    low, high = bounds

    def test(value: Any) -> Truth:
        return low <= value <= high if type(value) is int or type(value) is float else None

    return test


def compare_strings(compare: Callable[[str, str], bool]) -> Callable[[Any], Test]:
    """Build tests that compare a string with another."""

    def build(part: str) -> Test:
        def test(value: Any) -> Truth:
            return compare(value, part) if type(value) is str and value != REDACTED else None

        return test

    return build


def contains(expected: Any) -> Test:
    """Tell whether a string has the expected one inside it, or an array an item equal to it."""
    is_expected = equals(expected)

    def test(value: Any) -> Truth:
        if type(value) is ARRAY:
            if any(is_expected(item) for item in value):
                return True
            # A redacted item may be the expected one.
            return None if REDACTED in value else False
        if type(value) is str and type(expected) is str and value != REDACTED:
            return expected in value
        return None

    return test


def compare_date_times(compare: Callable[[datetime, datetime], bool]) -> Callable[[Any], Test]:
    """Build tests that compare a date-time with another."""

    def build(expected: str) -> Test:
        bound = parse_instant(expected)

        def test(value: Any) -> Truth:
            if type(value) is not str:
                return None
            try:
                return compare(parse_instant(value), bound)
            except ValueError:
                return None

        return test

    return build


def combine_items(combine: Callable[[Iterable[Truth]], Truth]) -> Callable[[Any], Test]:
    """Build tests that combine what the items of an array answer."""

    def build(test_item: Test) -> Test:
        def test(value: Any) -> Truth:
            return combine(map(test_item, value)) if type(value) is ARRAY else None

        return test

    return build

"""The operators of a condition: one table that code, checks, docs and tests read.

Truth is three-valued (Kleene): True, False, and None for unknown. A comparison is
unknown, not false, where the state has nothing there, null, a value of another JSON
type, or the redaction marker, so that `not` can never turn missing knowledge into a
match. Nothing is coerced: ``"40"`` is not 40 and true is not 1. Numbers compare exactly,
integer with float too; 49 equals 49.0.

Knows one value at a time. Must never know where in a state document it was found.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen

from segmentflow_core.domain.condition.values import (
    ARRAY,
    DATE_TIME,
    NUMBER,
    NUMBER_RANGE,
    SCALAR,
    SCALARS,
    TEXT,
    ValueRule,
)
from segmentflow_core.domain.instant import parse_instant
from segmentflow_core.domain.json_value import MISSING
from segmentflow_core.domain.redaction import REDACTED

__all__ = [
    "OPERATORS",
    "STATE_KINDS",
    "Answer",
    "Operator",
    "StateKind",
    "Test",
    "Truth",
    "TruthRow",
    "ValueKind",
    "all_of",
    "any_of",
    "negation",
    "truth_table",
]

Truth: TypeAlias = "bool | None"
"""True, False, or None: unknown."""

Test: TypeAlias = Callable[[Any], Truth]
"""A compiled operator: takes what was found, `MISSING` included, and never raises."""

StateKind: TypeAlias = Literal[
    "missing",
    "null",
    "string",
    "date_time",
    "number",
    "boolean",
    "array",
    "object",
    "redacted",
    "inside_redacted",
]
"""What a path can find. `date_time` is a string that is one; `string` is any other."""

ValueKind: TypeAlias = Literal[
    "none",
    "string",
    "number",
    "boolean",
    "date_time",
    "number_range",
    "strings",
    "numbers",
    "booleans",
    "condition",
]
"""What an operator can be given to compare with."""

Answer: TypeAlias = Literal["true", "false", "unknown", "compared"]
"""`compared`: true or false (or, over an array, unknown), as the two values have it."""

STATE_KINDS: Final[tuple[StateKind, ...]] = (
    "missing",
    "null",
    "string",
    "date_time",
    "number",
    "boolean",
    "array",
    "object",
    "redacted",
    "inside_redacted",
)


def negation(truth: Truth) -> Truth:
    """Return Kleene's *not*: unknown stays unknown."""
    return None if truth is None else not truth


def all_of(truths: Iterable[Truth]) -> Truth:
    """Return Kleene's *and*: false wins over unknown; of nothing, true."""
    result: Truth = True
    for truth in truths:
        if truth is False:
            return False
        if truth is None:
            result = None
    return result


def any_of(truths: Iterable[Truth]) -> Truth:
    """Return Kleene's *or*: true wins over unknown; of nothing, false."""
    result: Truth = False
    for truth in truths:
        if truth:
            return True
        if truth is None:
            result = None
    return result


@frozen
class Operator:
    """One row of the operator table.

    Attributes:
        name: what a definition calls it.
        summary: what it asks, in words.
        value: the rule for a definition's `value`; None where it takes none, and
            ``"condition"`` where it takes a condition on each item of an array.
        answers: for each kind of value, what each kind of state answers.
        build: makes the test for one checked value; given a condition, its test of an item.
    """

    name: str
    summary: str
    value: ValueRule | Literal["condition"] | None
    answers: Mapping[ValueKind, Mapping[StateKind, Answer]]
    build: Callable[[Any], Test]

    @property
    def takes_value(self) -> bool:
        """Whether a definition must give a `value`."""
        return self.value is not None

    @property
    def compares_arrays(self) -> bool:
        """Whether an array is a type it can compare."""
        return any(row["array"] == "compared" for row in self.answers.values())


@frozen
class TruthRow:
    """What one operator, given one kind of value, answers to one kind of state."""

    operator: str
    value: ValueKind
    state: StateKind
    answer: Answer


def truth_table() -> tuple[TruthRow, ...]:
    """Return every operator, kind of value and kind of state, with the answer.

    >>> [row.answer for row in truth_table() if row.operator == "exists"][:3]
    ['false', 'true', 'true']
    """
    return tuple(
        TruthRow(row.name, value, state, answers[state])
        for row in OPERATORS.values()
        for value, answers in row.answers.items()
        for state in STATE_KINDS
    )


# --- tests -------------------------------------------------------------------------------


def _exists(_: None) -> Test:
    def test(value: Any) -> Truth:
        if type(value) is str and value == REDACTED:
            return None
        return value is not MISSING

    return test


def _is_null(_: None) -> Test:
    def test(value: Any) -> Truth:
        if value is MISSING or (type(value) is str and value == REDACTED):
            return None
        return value is None

    return test


def _equals(expected: Any) -> Test:
    # One closure per type: which comparison it is, is settled here and not per event.
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


def _is_in(expected: list[Any]) -> Test:
    # Kept apart by type: True and 1 are one member of a Python set, and two JSON values.
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


def _not(build: Callable[[Any], Test]) -> Callable[[Any], Test]:
    def build_negated(expected: Any) -> Test:
        test = build(expected)
        return lambda value: negation(test(value))

    return build_negated


def _number(compare: Callable[[Any, Any], bool]) -> Callable[[Any], Test]:
    def build(bound: float) -> Test:
        def test(value: Any) -> Truth:
            return compare(value, bound) if type(value) is int or type(value) is float else None

        return test

    return build


def _between(bounds: list[float]) -> Test:
    low, high = bounds

    def test(value: Any) -> Truth:
        return low <= value <= high if type(value) is int or type(value) is float else None

    return test


def _string(compare: Callable[[str, str], bool]) -> Callable[[Any], Test]:
    def build(part: str) -> Test:
        def test(value: Any) -> Truth:
            return compare(value, part) if type(value) is str and value != REDACTED else None

        return test

    return build


def _contains(expected: Any) -> Test:
    equals = _equals(expected)

    def test(value: Any) -> Truth:
        if type(value) is ARRAY:
            if any(equals(item) for item in value):
                return True
            # A hidden item may be the one that was asked for.
            return None if REDACTED in value else False
        if type(value) is str and type(expected) is str and value != REDACTED:
            return expected in value
        return None

    return test


def _date_time(compare: Callable[[datetime, datetime], bool]) -> Callable[[Any], Test]:
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


def _items(combine: Callable[[Iterable[Truth]], Truth]) -> Callable[[Any], Test]:
    def build(test_item: Test) -> Test:
        def test(value: Any) -> Truth:
            return combine(map(test_item, value)) if type(value) is ARRAY else None

        return test

    return build


# --- the table ---------------------------------------------------------------------------


def _fixed(
    missing: Answer, null: Answer, present: Answer
) -> Mapping[ValueKind, Mapping[StateKind, Answer]]:
    answers: dict[StateKind, Answer] = dict.fromkeys(STATE_KINDS, present)
    answers |= {"missing": missing, "null": null}
    answers |= {"redacted": "unknown", "inside_redacted": "unknown"}
    return {"none": answers}


def _compared(
    cases: Mapping[ValueKind, tuple[StateKind, ...]],
) -> Mapping[ValueKind, Mapping[StateKind, Answer]]:
    return {
        value: {state: "compared" if state in states else "unknown" for state in STATE_KINDS}
        for value, states in cases.items()
    }


_STRINGS: Final[tuple[StateKind, ...]] = ("string", "date_time")

_SAME_TYPE = _compared({"string": _STRINGS, "number": ("number",), "boolean": ("boolean",)})
_SAME_TYPES = _compared({"strings": _STRINGS, "numbers": ("number",), "booleans": ("boolean",)})
_NUMBERS = _compared({"number": ("number",)})
_TEXTS = _compared({"string": _STRINGS})
_CONTAINERS = _compared(
    {"string": (*_STRINGS, "array"), "number": ("array",), "boolean": ("array",)}
)
_DATE_TIMES = _compared({"date_time": ("date_time",)})
_ARRAYS = _compared({"condition": ("array",)})

_ROWS: Final = (
    Operator("eq", "is equal to the value", SCALAR, _SAME_TYPE, _equals),
    Operator("ne", "is of the value's type and not equal to it", SCALAR, _SAME_TYPE, _not(_equals)),
    Operator("gt", "is greater than the value", NUMBER, _NUMBERS, _number(operator.gt)),
    Operator("gte", "is the value or greater", NUMBER, _NUMBERS, _number(operator.ge)),
    Operator("lt", "is less than the value", NUMBER, _NUMBERS, _number(operator.lt)),
    Operator("lte", "is the value or less", NUMBER, _NUMBERS, _number(operator.le)),
    Operator(
        "between",
        "lies between two numbers, both included",
        NUMBER_RANGE,
        _compared({"number_range": ("number",)}),
        _between,
    ),
    Operator("in", "is equal to one of the values", SCALARS, _SAME_TYPES, _is_in),
    Operator(
        "not_in",
        "is of the type of one of the values and equal to none",
        SCALARS,
        _SAME_TYPES,
        _not(_is_in),
    ),
    Operator(
        "contains",
        "is a string with the value inside it, or an array with an item equal to it",
        SCALAR,
        _CONTAINERS,
        _contains,
    ),
    Operator("starts_with", "starts with the value", TEXT, _TEXTS, _string(str.startswith)),
    Operator("ends_with", "ends with the value", TEXT, _TEXTS, _string(str.endswith)),
    Operator("exists", "is there, null included", None, _fixed("false", "true", "true"), _exists),
    Operator("missing", "is not there", None, _fixed("true", "false", "false"), _not(_exists)),
    Operator("is_null", "is null", None, _fixed("unknown", "true", "false"), _is_null),
    Operator(
        "before", "is a date-time before the value", DATE_TIME, _DATE_TIMES, _date_time(operator.lt)
    ),
    Operator(
        "after", "is a date-time after the value", DATE_TIME, _DATE_TIMES, _date_time(operator.gt)
    ),
    Operator(
        "any_item",
        "is an array with an item that meets the condition; an empty one has none",
        "condition",
        _ARRAYS,
        _items(any_of),
    ),
    Operator(
        "all_items",
        "is an array whose every item meets the condition; those of an empty one do",
        "condition",
        _ARRAYS,
        _items(all_of),
    ),
)

OPERATORS: Final[Mapping[str, Operator]] = {row.name: row for row in _ROWS}
"""Every operator, by its name. Checks, JSON Schema, tests and docs read this table."""

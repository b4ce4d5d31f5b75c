"""The operators of a condition: one table that code, checks, docs and tests read.

A comparison is unknown, not false, where the state has nothing at the path, or null, a
value of another JSON type, or the redaction marker. So `not` never turns missing
knowledge into a match.

Knows one value at a time. Must never know where in a state document it was found.
"""

from __future__ import annotations

import operator
from collections.abc import Callable, Mapping
from typing import Any, Final, Literal, TypeAlias

from attrs import frozen

from segmentflow_core.domain.condition.comparisons import (
    Test,
    between,
    combine_items,
    compare_date_times,
    compare_numbers,
    compare_strings,
    contains,
    equals,
    exists,
    is_in,
    is_null,
    opposite,
)
from segmentflow_core.domain.condition.truth import all_of, any_of
from segmentflow_core.domain.condition.values import (
    DATE_TIME,
    NUMBER,
    NUMBER_RANGE,
    SCALAR,
    SCALARS,
    TEXT,
    ValueRule,
)

__all__ = [
    "OPERATORS",
    "STATE_KINDS",
    "Answer",
    "Operator",
    "StateKind",
    "TruthRow",
    "ValueKind",
    "truth_table",
]

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
"""What a path can find. `date_time` is a string that is a date-time; `string` is any other."""

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
"""`compared`: the two values decide between true and false; over an array, unknown too."""

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


@frozen
class Operator:
    """One row of the operator table.

    Attributes:
        name: what a definition calls it.
        summary: what it asks of a value, in words.
        value: the rule for a definition's `value`; None where it takes no value;
            ``"condition"`` where the value is a condition on each item of an array.
        answers: for each kind of value, what each kind of state answers.
        build: makes the test for one checked value; where that is a condition, it is given the
            condition's test of an item.
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
        """Whether it can compare arrays."""
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
    Operator("eq", "is equal to the value", SCALAR, _SAME_TYPE, equals),
    Operator(
        "ne", "is of the value's type and not equal to it", SCALAR, _SAME_TYPE, opposite(equals)
    ),
    Operator("gt", "is greater than the value", NUMBER, _NUMBERS, compare_numbers(operator.gt)),
    Operator("gte", "is the value or greater", NUMBER, _NUMBERS, compare_numbers(operator.ge)),
    Operator("lt", "is less than the value", NUMBER, _NUMBERS, compare_numbers(operator.lt)),
    Operator("lte", "is the value or less", NUMBER, _NUMBERS, compare_numbers(operator.le)),
    Operator(
        "between",
        "lies between two numbers, both included",
        NUMBER_RANGE,
        _compared({"number_range": ("number",)}),
        between,
    ),
    Operator("in", "is equal to one of the values", SCALARS, _SAME_TYPES, is_in),
    Operator(
        "not_in",
        "is of the type of one of the values and equal to none",
        SCALARS,
        _SAME_TYPES,
        opposite(is_in),
    ),
    Operator(
        "contains",
        "is a string with the value inside it, or an array with an item equal to it",
        SCALAR,
        _CONTAINERS,
        contains,
    ),
    Operator("starts_with", "starts with the value", TEXT, _TEXTS, compare_strings(str.startswith)),
    Operator("ends_with", "ends with the value", TEXT, _TEXTS, compare_strings(str.endswith)),
    Operator("exists", "is there, null included", None, _fixed("false", "true", "true"), exists),
    Operator("missing", "is not there", None, _fixed("true", "false", "false"), opposite(exists)),
    Operator("is_null", "is null", None, _fixed("unknown", "true", "false"), is_null),
    Operator(
        "before",
        "is a date-time before the value",
        DATE_TIME,
        _DATE_TIMES,
        compare_date_times(operator.lt),
    ),
    Operator(
        "after",
        "is a date-time after the value",
        DATE_TIME,
        _DATE_TIMES,
        compare_date_times(operator.gt),
    ),
    Operator(
        "any_item",
        "is an array with an item that meets the condition; an empty one has none",
        "condition",
        _ARRAYS,
        combine_items(any_of),
    ),
    Operator(
        "all_items",
        "is an array whose every item meets the condition; those of an empty one do",
        "condition",
        _ARRAYS,
        combine_items(all_of),
    ),
)

OPERATORS: Final[Mapping[str, Operator]] = {row.name: row for row in _ROWS}
"""Every operator, by its name. Checks, JSON Schema, tests and docs read this table."""

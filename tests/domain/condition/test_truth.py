"""Every operator on every value and every state, against what the documentation says in words.

The oracle below is written from the rules alone: it knows JSON types, compares numbers
as fractions and moments as datetimes, and shares no code with the operators.
"""

from __future__ import annotations

from datetime import datetime
from fractions import Fraction
from typing import Any

import pytest

from segmentflow_core.domain.condition import OPERATORS, compile_condition
from segmentflow_core.domain.condition.operators import STATE_KINDS, StateKind

ABSENT = object()
REDACTED = "[REDACTED]"
MOMENT = "2026-05-31T12:00:00Z"

NUMBERS = [
    *(0, 1, -1, 49, 49.0, 49.5, 0.1, 0.1 + 0.2, 0.3, -0.0, 5e-324, 1e308),
    *(10**15, 10**15 + 1, float(10**15), 2**53, 2**53 + 1, float(2**53)),
    *(-(2**63), 2**63 - 1, 2**64 - 1, float(2**64)),
]
STRINGS = ["", "Pro", "pro", "Pro Team", "49", "true", "null", " ", "ß", "[redacted]"]
NOT_MOMENTS = ["2026-05-31", "2026-05-31T12:00:00", "2026-02-30T12:00:00Z", "12:00Z", "now"]
MOMENTS = [
    MOMENT,
    "2026-05-31T14:00:00+02:00",
    "2026-05-31T12:00:00.000001Z",
    "2026-05-31T11:59:59.999-00:00",
    "2026-06-01T00:00:00+12:00",
    "0001-01-01T00:00:00Z",
]
ARRAYS: list[Any] = [
    *([], [49], [49.0, "Pro"], [True], [1], [None], [{}], [[]], [["Pro"]], ["Pro Team"]),
    *([REDACTED], [REDACTED, "Pro"], ["Pro", REDACTED], [{"n": 49}], [{"n": 49}, {"n": 50}]),
    *([{"n": 50}, {}], [{"n": REDACTED}, {"n": 50}], [{"n": "49"}, None], [{"n": [49, 50]}]),
]
STATES: dict[StateKind, list[Any]] = {
    "missing": [ABSENT],
    "null": [None],
    "string": STRINGS + NOT_MOMENTS,
    "date_time": MOMENTS,
    "number": NUMBERS,
    "boolean": [True, False],
    "array": ARRAYS,
    "object": [{}, {"n": 49}, {"value": "Pro"}],
    "redacted": [REDACTED],
    "inside_redacted": [REDACTED],
}
"""What a path may find, by kind."""

SCALARS: list[Any] = [*STRINGS, *MOMENTS, *NUMBERS, True, False]
RANGES = [[0, 49], [49, 49.0], [0.1, 0.3], [2**53, 2**53 + 1], [-(2**63), 2**64 - 1]]
LISTS: list[list[Any]] = [
    ["Pro"],
    ["49", 49],
    [1, True],
    [True],
    [False, 0.1, "", 2**53 + 1],
    [10**15 + 1, 0.3],
]
ON_ITEMS: list[dict[str, Any]] = [
    {"path": "", "op": "eq", "value": "Pro"},
    {"path": "", "op": "exists"},
    {"path": "/n", "op": "exists"},
    {"path": "/n", "op": "gt", "value": 49},
    {"not": {"path": "/n", "op": "gt", "value": 49}},
    {"path": "/n", "op": "any_item", "value": {"path": "", "op": "gt", "value": 49}},
    {"any": [{"path": "/n", "op": "missing"}, {"path": "/n", "op": "is_null"}]},
]
VALUES: dict[str, list[Any]] = {
    **dict.fromkeys(("eq", "ne", "contains"), SCALARS),
    **dict.fromkeys(("gt", "gte", "lt", "lte"), NUMBERS),
    **dict.fromkeys(("in", "not_in"), LISTS),
    **dict.fromkeys(("starts_with", "ends_with"), STRINGS + MOMENTS),
    **dict.fromkeys(("before", "after"), MOMENTS),
    **{name: [ABSENT] for name in ("exists", "missing", "is_null")},
    **dict.fromkeys(("any_item", "all_items"), ON_ITEMS),
    "between": RANGES,
}
"""What each operator is given."""


# --- the oracle ------------------------------------------------------------------------------


def json_type(value: Any) -> str:
    for kind, names in ((bool, "boolean"), ((int, float), "number"), (str, "string")):
        if isinstance(value, kind):
            return names
    return {type(None): "null", list: "array", dict: "object"}.get(type(value), "missing")


def equal(found: Any, value: Any) -> bool | None:
    if json_type(found) != json_type(value):
        return None
    if json_type(found) == "number":
        return Fraction(found) == Fraction(value)
    return found == value


def moment(text: Any) -> datetime | None:
    if not isinstance(text, str) or "T" not in text:
        return None
    try:
        parsed = datetime.fromisoformat(text)
    except ValueError:
        return None
    return parsed if parsed.tzinfo is not None else None


def opposite(truth: bool | None) -> bool | None:
    return None if truth is None else not truth


def some(truths: list[bool | None]) -> bool | None:
    return True if True in truths else None if None in truths else False


def every(truths: list[bool | None]) -> bool | None:
    return False if False in truths else None if None in truths else True


def within(document: Any, path: str) -> Any:
    for name in path.split("/")[1:]:
        if document == REDACTED:
            return REDACTED
        document = document.get(name, ABSENT) if isinstance(document, dict) else ABSENT
    return document


def on_item(condition: dict[str, Any], item: Any) -> bool | None:
    if "not" in condition:
        return opposite(on_item(condition["not"], item))
    if "any" in condition:
        return some([on_item(part, item) for part in condition["any"]])
    found = within(item, condition["path"])
    return expected(condition["op"], found, condition.get("value", ABSENT))


def expected(op: str, found: Any, value: Any) -> bool | None:
    """Say what the rules say: missing, null, a wrong type and a redacted value are unknown."""
    if isinstance(found, str) and found == REDACTED:
        return None
    kind = json_type(found)
    match op:
        case "exists":
            return kind != "missing"
        case "missing":
            return kind == "missing"
        case "is_null":
            return None if kind == "missing" else kind == "null"
        case "eq":
            return equal(found, value)
        case "ne" | "not_in":
            return opposite(expected({"ne": "eq", "not_in": "in"}[op], found, value))
        case "in":
            same = [item for item in value if json_type(item) == kind]
            return some([equal(found, item) for item in same]) if same else None
        case "contains":
            if kind == "array":
                hidden = None if REDACTED in found else False
                return True if any(equal(item, value) for item in found) else hidden
            return value in found if kind == json_type(value) == "string" else None
        case "starts_with" | "ends_with":
            if kind != "string":
                return None
            part = found[: len(value)] if op == "starts_with" else found[len(found) - len(value) :]
            return part == value if len(value) <= len(found) else False
        case "before" | "after":
            at, bound = moment(found), moment(value)
            assert bound is not None
            return None if at is None else at < bound if op == "before" else at > bound
        case "any_item" | "all_items":
            combine = some if op == "any_item" else every
            return combine([on_item(value, item) for item in found]) if kind == "array" else None
        case _:
            return compared(op, found, value) if kind == "number" else None


def compared(op: str, found: Any, value: Any) -> bool:
    number = Fraction(found)
    low, high = map(Fraction, value if op == "between" else (value, value))
    return {
        "gt": number > high,
        "gte": number >= high,
        "lt": number < low,
        "lte": number <= low,
        "between": low <= number <= high,
    }[op]


# --- every operator × every value × every state --------------------------------------------------


def state_of(kind: StateKind, found: Any) -> dict[str, Any]:
    if kind == "inside_redacted":
        return {"event": {"outer": REDACTED}}
    return {"event": {"outer": {} if found is ABSENT else {"x": found}}}


@pytest.mark.parametrize("kind", STATE_KINDS)
@pytest.mark.parametrize("op", OPERATORS)
def test_every_operator_answers_every_value_and_state_as_the_contract_says(
    op: str, kind: StateKind
) -> None:
    for value in VALUES[op]:
        leaf: dict[str, Any] = {"path": "/event/outer/x", "op": op}
        if value is not ABSENT:
            leaf["value"] = value
        condition, negated = compile_condition(leaf), compile_condition({"not": leaf})
        for found in STATES[kind]:
            state, truth = state_of(kind, found), expected(op, found, value)
            answers = [
                condition.evaluate(state),
                condition.explain(state).result,
                opposite(negated.evaluate(state)),
            ]
            assert all(answer is truth for answer in answers), (op, value, found)


def test_every_operator_and_every_kind_of_state_is_asked_about() -> None:
    assert VALUES.keys() == OPERATORS.keys()
    assert STATES.keys() == set(STATE_KINDS)


@pytest.mark.parametrize("op", OPERATORS)
def test_every_operator_can_give_each_of_the_three_answers(op: str) -> None:
    given = {
        expected(op, found, value)
        for value in VALUES[op]
        for states in STATES.values()
        for found in states
    }
    assert given == {True, False, None}

"""The operator table: every operator against every kind of state, and what its comparison means."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.condition import OPERATORS, TruthRow, compile_condition, truth_table
from segmentflow_core.domain.condition.operators import STATE_KINDS
from segmentflow_core.domain.condition.truth import all_of, any_of, negation

MOMENT = "2026-05-31T12:00:00Z"
ABSENT = object()

VALUES: dict[str, list[Any]] = {
    "none": [ABSENT],
    "string": ["Pro", ""],
    "number": [40, 40.5, -1],
    "boolean": [True, False],
    "date_time": [MOMENT],
    "number_range": [[0, 10]],
    "strings": [["Pro", "Team"]],
    "numbers": [[1, 2.5]],
    "booleans": [[True]],
    "condition": [{"path": "", "op": "exists"}],
}
"""What a definition may compare with, by kind."""

STATES: dict[str, list[Any]] = {
    "missing": [ABSENT],
    "null": [None],
    "string": ["Pro", "", "40", "2026-05-31", "2026-05-31T12:00:00", "2026-02-30T12:00:00Z"],
    "date_time": [MOMENT, "2027-01-01t00:00+02:00"],
    "number": [0, 1, 40, 49.0, -0.5, 10**15 + 1],
    "boolean": [True, False],
    "array": [[], [1], ["Pro", None, {}]],
    "object": [{}, {"x": 1}],
    "redacted": ["[REDACTED]"],
}
"""What may be found at a path, by kind; `inside_redacted` is made by `state_of`."""


def state_of(kind: str, found: Any) -> dict[str, Any]:
    if kind == "inside_redacted":
        return {"event": {"outer": "[REDACTED]"}}
    return {"event": {"outer": {} if found is ABSENT else {"x": found}}}


def leaf(op: str, value: Any = ABSENT, path: str = "/event/outer/x") -> dict[str, Any]:
    node = {"path": path, "op": op}
    return node if value is ABSENT else {**node, "value": value}


def ask(op: str, found: Any, value: Any = ABSENT) -> bool | None:
    kind = "missing" if found is ABSENT else "present"
    return compile_condition(leaf(op, value)).evaluate(state_of(kind, found))


def answers(row: TruthRow) -> set[bool | None]:
    conditions = [compile_condition(leaf(row.operator, value)) for value in VALUES[row.value]]
    states = [state_of(row.state, found) for found in STATES.get(row.state, [ABSENT])]
    return {condition.evaluate(state) for condition in conditions for state in states}


@pytest.mark.parametrize(
    "row", truth_table(), ids=lambda row: f"{row.operator}-{row.value}-{row.state}"
)
def test_every_operator_answers_every_kind_of_state_as_the_table_says(row: TruthRow) -> None:
    match row.answer:
        case "compared":
            assert answers(row) <= {True, False}
        case "true":
            assert answers(row) == {True}
        case "false":
            assert answers(row) == {False}
        case _:
            assert answers(row) == {None}


def test_the_truth_table_covers_every_operator_and_every_kind_of_state() -> None:
    covered = {(row.operator, row.state) for row in truth_table()}
    assert covered == {(name, state) for name in OPERATORS for state in STATE_KINDS}


def test_the_table_holds_the_contracts_operators_in_its_order() -> None:
    assert " ".join(OPERATORS) == (
        "eq ne gt gte lt lte between in not_in contains starts_with ends_with exists missing"
        " is_null before after any_item all_items"
    )


def test_only_the_presence_operators_take_no_value() -> None:
    names = [operator.name for operator in OPERATORS.values() if not operator.takes_value]
    assert names == ["exists", "missing", "is_null"]


@pytest.mark.parametrize(
    ("op", "found", "value", "expected"),
    [
        ("eq", "Pro", "Pro", True),
        ("eq", "pro", "Pro", False),
        ("eq", 49, 49.0, True),
        ("eq", 0.1, 0.1, True),
        ("eq", 0.1 + 0.2, 0.3, False),
        ("eq", 10**15 + 1, 10**15, False),
        ("eq", 2**53 + 1, float(2**53), False),
        ("eq", 2**64 - 1, 2**64 - 1, True),
        ("eq", -0.0, 0, True),
        ("eq", True, True, True),
        ("eq", False, True, False),
        ("eq", True, 1, None),
        ("eq", 1, True, None),
        ("eq", "40", 40, None),
        ("ne", "Pro", "Pro", False),
        ("ne", "Team", "Pro", True),
        ("ne", 1, "Pro", None),
        ("gt", 40, 40, False),
        ("gt", 41, 40, True),
        ("gt", 2**53 + 1, float(2**53), True),
        ("gte", 40.0, 40, True),
        ("gte", 39.999, 40, False),
        ("lt", 39, 40, True),
        ("lt", 40, 40, False),
        ("lte", 40, 40.0, True),
        ("lte", 41, 40, False),
        ("between", 0, [0, 10], True),
        ("between", 10.0, [0, 10], True),
        ("between", 10.1, [0, 10], False),
        ("between", -1, [0, 10], False),
        ("in", "Pro", ["Pro", 1], True),
        ("in", "Team", ["Pro", 1], False),
        ("in", 1.0, ["Pro", 1], True),
        ("in", 2, ["Pro", 1], False),
        ("in", True, ["Pro", 1], None),
        ("in", True, [True], True),
        ("in", False, [True], False),
        ("in", 1, [True], None),
        ("not_in", "Pro", ["Pro", 1], False),
        ("not_in", "Team", ["Pro", 1], True),
        ("not_in", True, ["Pro", 1], None),
        ("contains", "order.created", "created", True),
        ("contains", "order.created", "Created", False),
        ("contains", "123", 2, None),
        ("contains", ["a", "b"], "b", True),
        ("contains", ["ab"], "b", False),
        ("contains", [1, True], True, True),
        ("contains", [1], True, False),
        ("contains", [1.0], 1, True),
        ("contains", [None, {}, []], "b", False),
        ("contains", ["[REDACTED]", "b"], "b", True),
        ("contains", ["[REDACTED]", "a"], "b", None),
        ("contains", ["[REDACTED]"], 1, None),
        ("starts_with", "ord_9421", "ord_", True),
        ("starts_with", "ord_9421", "9421", False),
        ("starts_with", "[REDACTED]", "[", None),
        ("ends_with", "ord_9421", "9421", True),
        ("ends_with", "ord_9421", "ord_", False),
        ("before", "2026-05-31T11:59:59.999Z", MOMENT, True),
        ("before", "2026-05-31T14:00:00+02:00", MOMENT, False),
        ("before", "2026-05-31T13:00:00+02:00", MOMENT, True),
        ("after", "2026-05-31T12:00:01Z", MOMENT, True),
        ("after", "2026-05-31T12:00Z", MOMENT, False),
        ("after", "tomorrow", MOMENT, None),
    ],
)
def test_a_comparison_is_exact_and_coerces_nothing(
    op: str, found: Any, value: Any, expected: bool | None
) -> None:
    assert ask(op, found, value) is expected


@pytest.mark.parametrize(
    ("op", "items", "expected"),
    [
        ("any_item", [], False),
        ("all_items", [], True),
        ("any_item", [{"n": 1}, {"n": 9}], True),
        ("any_item", [{"n": 1}, {}], None),
        ("any_item", [{}, {"n": 9}], True),
        ("any_item", [{"n": 1}], False),
        ("all_items", [{"n": 9}, {"n": 9}], True),
        ("all_items", [{"n": 9}, {}], None),
        ("all_items", [{}, {"n": 1}], False),
        ("all_items", ["[REDACTED]", {"n": 9}], None),
        ("any_item", ["[REDACTED]", {"n": 9}], True),
        ("any_item", [7, None, [9]], None),
    ],
)
def test_an_array_condition_combines_its_items_in_three_values(
    op: str, items: list[Any], expected: bool | None
) -> None:
    assert ask(op, items, {"path": "/n", "op": "gt", "value": 5}) is expected


def test_an_array_condition_can_ask_about_the_item_itself() -> None:
    assert ask("any_item", ["a", "b"], {"path": "", "op": "eq", "value": "b"}) is True


def test_array_conditions_nest() -> None:
    deep = {"path": "/tags", "op": "all_items", "value": {"path": "", "op": "ne", "value": "x"}}
    assert ask("any_item", [{"tags": ["x"]}, {"tags": ["a", "b"]}], deep) is True


def test_an_item_inside_a_redacted_item_is_unknown_even_to_exists() -> None:
    assert ask("any_item", ["[REDACTED]"], {"path": "/sku", "op": "exists"}) is None


class Text(str):
    """A string that is not exactly a `str`."""


@pytest.mark.parametrize("found", [Text("Pro"), object(), (1, 2), float("nan")])
@pytest.mark.parametrize("op", ["eq", "contains", "starts_with"])
def test_a_value_that_was_never_admitted_is_a_wrong_type(op: str, found: object) -> None:
    assert ask(op, found, "Pro") is None


TRUTHS = (True, False, None)


@pytest.mark.parametrize(
    ("left", "right", "both", "either"),
    [
        (True, True, True, True),
        (True, False, False, True),
        (True, None, None, True),
        (False, True, False, True),
        (False, False, False, False),
        (False, None, False, None),
        (None, True, None, True),
        (None, False, False, None),
        (None, None, None, None),
    ],
)
def test_and_and_or_are_kleenes(
    left: bool | None, right: bool | None, both: bool | None, either: bool | None
) -> None:
    assert all_of([left, right]) is both
    assert any_of([left, right]) is either


def test_not_unknown_is_unknown() -> None:
    assert [negation(truth) for truth in TRUTHS] == [False, True, None]


@given(st.lists(st.sampled_from(TRUTHS)))
def test_de_morgan_holds_in_three_values(truths: list[bool | None]) -> None:
    assert negation(all_of(truths)) is any_of([negation(truth) for truth in truths])


numbers = st.one_of(
    st.integers(-(2**63), 2**64 - 1), st.floats(allow_nan=False, allow_infinity=False)
)


@given(numbers, numbers)
def test_exactly_one_of_less_equal_and_greater_holds(found: float, value: float) -> None:
    assert [ask(op, found, value) for op in ("lt", "eq", "gt")].count(True) == 1


@given(st.text().filter(lambda text: text != "[REDACTED]"), st.text())
def test_text_starts_with_its_start_and_ends_with_its_end(start: str, end: str) -> None:
    text = start + end
    if text != "[REDACTED]" and "\0" not in text:
        assert ask("starts_with", text, start) is True
        assert ask("ends_with", text, end) is True

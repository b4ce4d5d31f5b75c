"""Compiled conditions: what they answer, what they read, and how they explain themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.condition import (
    OPERATORS,
    check_condition,
    compile_condition,
    explanation_document,
)
from segmentflow_core.domain.condition.truth import all_of, any_of
from segmentflow_core.domain.json_value import MISSING

BIG_PRO: dict[str, Any] = {
    "all": [
        {"path": "/event/total", "op": "gte", "value": 40},
        {"path": "/profile/properties/plan", "op": "eq", "value": "Pro"},
    ]
}


def state(total: Any = 49, plan: Any = "Pro") -> dict[str, Any]:
    return {
        "event": {"total": total, "items": [{"sku": "a", "n": 1}, {"sku": "b", "n": 2}]},
        "profile": {"email": "alex@example.com", "properties": {"plan": plan}},
    }


def truth(value: bool | None) -> dict[str, Any]:
    """Build a condition that is true, false or unknown of any state."""
    match value:
        case True:
            return {"path": "/profile/email", "op": "exists"}
        case False:
            return {"path": "/profile/email", "op": "missing"}
        case None:
            return {"path": "/profile/email", "op": "gt", "value": 0}


def leaf(path: str, op: str = "exists") -> dict[str, Any]:
    return {"path": path, "op": op}


@pytest.mark.parametrize(
    ("total", "plan", "expected"),
    [
        (49, "Pro", True),
        (39, "Pro", False),
        (49, "Free", False),
        ("49", "Pro", None),
        ("49", "Free", False),
        (39, None, False),
        ("49", None, None),
        ("[REDACTED]", "Pro", None),
    ],
)
def test_the_journey_files_condition_answers_in_three_values(
    total: Any, plan: Any, expected: bool | None
) -> None:
    assert compile_condition(BIG_PRO).evaluate(state(total, plan)) is expected


@given(st.lists(st.sampled_from([True, False, None]), min_size=1, max_size=5))
def test_all_and_any_combine_any_number_of_parts(truths: list[bool | None]) -> None:
    parts = [truth(value) for value in truths]
    assert compile_condition({"all": parts}).evaluate(state()) is all_of(truths)
    assert compile_condition({"any": parts}).evaluate(state()) is any_of(truths)


@pytest.mark.parametrize(("value", "expected"), [(True, False), (False, True), (None, None)])
def test_not_turns_true_and_false_round_and_leaves_unknown(
    value: bool | None, expected: bool | None
) -> None:
    assert compile_condition({"not": truth(value)}).evaluate(state()) is expected


@pytest.mark.parametrize(
    ("path", "found"),
    [
        ("/event/x", 1),
        ("/event/deep/x", 1),
        ("/event/deep/er/x", 1),
        ("/event/list/1", 1),
        ("/event/list/0/x", 1),
        ("/event/", 1),
        ("/event/a~1b", 1),
        ("/event/deep/nothing", None),
        ("/event/list/2", None),
        ("/event/list/-", None),
        ("/event/list/01", None),
        ("/event/text/0", None),
        ("/event/x/y/z", None),
        ("/profile/properties/p", 1),
        ("/profile/email", None),
    ],
)
def test_a_path_of_any_length_is_read(path: str, found: int | None) -> None:
    document = {
        "event": {
            "x": 1,
            "": 1,
            "a/b": 1,
            "deep": {"x": 1, "er": {"x": 1}},
            "list": [{"x": 1}, 1],
            "text": "1",
        },
        "profile": {"properties": {"p": 1}},
    }
    condition = compile_condition({"path": path, "op": "eq", "value": 1})
    assert condition.evaluate(document) is (None if found is None else True)


@pytest.mark.parametrize("path", ["/event/a", "/event/a/b", "/event/a/b/c", "/event/a/b/c/d"])
@pytest.mark.parametrize("op", ["exists", "missing", "is_null"])
def test_nothing_is_known_of_what_lies_in_a_redacted_value(path: str, op: str) -> None:
    condition = compile_condition(leaf(path, op))
    assert condition.evaluate({"event": {"a": "[REDACTED]"}}) is None


@pytest.mark.parametrize("path", ["/event/a", "/event/a/b", "/event/a/b/c"])
@pytest.mark.parametrize("document", [{}, {"event": None}, {"event": {}}, None, [], 7])
def test_a_state_without_the_path_is_missing_it(path: str, document: Any) -> None:
    assert compile_condition(leaf(path)).evaluate(document) is False


@pytest.mark.parametrize("item", [{}, None, [], 7, "x"])
def test_an_item_without_the_member_is_missing_it(item: Any) -> None:
    document = {"path": "/event/items", "op": "any_item", "value": leaf("/sku")}
    assert compile_condition(document).evaluate({"event": {"items": [item]}}) is False


def test_a_condition_names_the_paths_it_reads_once_each() -> None:
    inner = {"path": "/event/items", "op": "any_item", "value": leaf("/sku")}
    document = {"any": [BIG_PRO, {"not": inner}, leaf("/event/total")]}
    assert compile_condition(document).paths == (
        ("event", "total"),
        ("profile", "properties", "plan"),
        ("event", "items"),
    )


def test_what_becomes_of_the_callers_object_changes_nothing() -> None:
    document: dict[str, Any] = {"path": "/event/total", "op": "in", "value": [49]}
    condition = compile_condition(document)
    document["value"].clear()
    assert condition.document == {"path": "/event/total", "op": "in", "value": [49]}
    assert condition.explain(state()).result is True


def test_conditions_with_one_definition_are_equal() -> None:
    assert compile_condition(BIG_PRO) == compile_condition(BIG_PRO)


def test_an_explanation_shows_each_leaf_and_why_it_is_unknown() -> None:
    explanation = compile_condition({"not": BIG_PRO}).explain(state(plan=None))
    assert explanation_document(explanation) == {
        "kind": "not",
        "result": None,
        "children": [
            {
                "kind": "all",
                "result": None,
                "children": [
                    {
                        "kind": "leaf",
                        "result": True,
                        "path": "/event/total",
                        "op": "gte",
                        "expected": 40,
                        "found": 49,
                    },
                    {
                        "kind": "leaf",
                        "result": None,
                        "path": "/profile/properties/plan",
                        "op": "eq",
                        "expected": "Pro",
                        "found": None,
                        "reason": "null",
                    },
                ],
            }
        ],
    }


@pytest.mark.parametrize(
    ("node", "reason"),
    [
        ({"path": "/event/none", "op": "eq", "value": 1}, "missing"),
        ({"path": "/event/null", "op": "eq", "value": 1}, "null"),
        ({"path": "/event/text", "op": "eq", "value": 1}, "wrong_type"),
        ({"path": "/event/list", "op": "eq", "value": 1}, "wrong_type"),
        ({"path": "/event/text", "op": "before", "value": "2026-05-31T12:00Z"}, "wrong_type"),
        ({"path": "/event/secret", "op": "eq", "value": 1}, "redacted"),
        ({"path": "/event/secret/x", "op": "exists"}, "redacted"),
        ({"path": "/event/list", "op": "contains", "value": 1}, "redacted"),
        ({"path": "/event/none", "op": "any_item", "value": leaf("")}, "missing"),
        ({"path": "/event/text", "op": "all_items", "value": leaf("")}, "wrong_type"),
        ({"path": "/event/secret", "op": "any_item", "value": leaf("")}, "redacted"),
        ({"path": "/event/text", "op": "eq", "value": "x"}, None),
        ({"path": "/event/list", "op": "any_item", "value": leaf("/x")}, None),
    ],
)
def test_an_unknown_leaf_says_why(node: dict[str, Any], reason: str | None) -> None:
    data = {"null": None, "text": "x", "secret": "[REDACTED]", "list": ["[REDACTED]"]}
    assert compile_condition(node).explain({"event": data}).reason == reason


def test_an_explanation_of_an_array_has_one_child_for_each_item_with_its_index() -> None:
    inner = {"any": [{"path": "/n", "op": "gt", "value": 1}]}
    node = {"path": "/event/items", "op": "any_item", "value": inner}
    explanation = compile_condition(node).explain(state())
    assert (explanation.kind, explanation.result, explanation.expected) == ("items", True, MISSING)
    assert [(child.children[0].path, child.result) for child in explanation.children] == [
        ("/event/items/0/n", False),
        ("/event/items/1/n", True),
    ]


def test_an_explanation_of_a_long_array_shows_its_first_items_and_counts_them_all() -> None:
    node = {"path": "/event/items", "op": "any_item", "value": leaf("/sku")}
    data: dict[str, Any] = {"items": [{}] * 149 + [{"sku": "a"}]}
    explanation = compile_condition(node).explain({"event": data})
    assert (explanation.result, len(explanation.children)) == (True, 100)
    assert explanation_document(explanation)["omitted"] == 50


def test_an_explanation_of_an_empty_array_has_no_children() -> None:
    node = {"path": "/event/items", "op": "all_items", "value": leaf("")}
    explanation = compile_condition(node).explain({"event": {"items": []}})
    assert explanation_document(explanation) == {
        "kind": "items",
        "result": True,
        "path": "/event/items",
        "op": "all_items",
        "found": [],
        "children": [],
    }


def test_an_explanation_leaves_out_what_was_not_found_and_not_expected() -> None:
    explanation = compile_condition(leaf("/event/none")).explain({"event": {}})
    assert explanation_document(explanation) == {
        "kind": "leaf",
        "result": False,
        "path": "/event/none",
        "op": "exists",
    }


# --- laws --------------------------------------------------------------------------------

texts = st.sampled_from(["a", "ab", "", "[REDACTED]", "2026-05-31T12:00:00Z"])
scalars = st.integers(-2, 2) | st.sampled_from([0.5, 1.0]) | st.booleans() | texts
plain = st.recursive(
    st.none() | scalars,
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["a", "b"]), inner, max_size=2)
    ),
    max_leaves=8,
)
tails = st.lists(st.sampled_from(["a", "b", "0"]), max_size=3).map(
    lambda tokens: "".join(f"/{token}" for token in tokens)
)
values = (
    scalars | st.lists(scalars, min_size=1, max_size=2) | st.sampled_from([[0, 1], [1, 1.5], "a"])
)


@st.composite
def nodes(draw: st.DrawFn, depth: int = 3, start: str = "/event/a") -> dict[str, Any]:
    kind = draw(st.sampled_from(["leaf", "leaf", "all", "any", "not"] if depth else ["leaf"]))
    if kind == "not":
        return {"not": draw(nodes(depth - 1, start))}
    if kind != "leaf":
        return {kind: draw(st.lists(nodes(depth - 1, start), min_size=1, max_size=3))}
    names = [name for name in OPERATORS if depth or OPERATORS[name].value != "condition"]
    operator = OPERATORS[draw(st.sampled_from(names))]
    node: dict[str, Any] = {"path": start + draw(tails), "op": operator.name}
    if operator.value == "condition":
        node["value"] = draw(nodes(depth - 1, ""))
    elif operator.value is not None:
        node["value"] = draw(values)
        if operator.value.find_faults(node["value"], ""):
            return {"path": node["path"], "op": "exists"}
    return node


@given(nodes(), plain)
def test_an_explanations_result_is_what_evaluating_gives(node: dict[str, Any], data: Any) -> None:
    assert check_condition(node) == []
    document = {"event": {"a": data}}
    condition = compile_condition(node)
    explanation = condition.explain(document)
    assert explanation.result is condition.evaluate(document)
    assert json.dumps(explanation_document(explanation))


@given(nodes(), plain)
def test_not_not_is_the_condition_itself(node: dict[str, Any], data: Any) -> None:
    document = {"event": {"a": data}}
    twice = compile_condition({"not": {"not": node}})
    assert twice.evaluate(document) is compile_condition(node).evaluate(document)


@given(nodes(), plain)
def test_redacting_more_never_turns_an_answer_round(node: dict[str, Any], data: Any) -> None:
    condition = compile_condition(node)
    hidden = condition.evaluate({"event": {"a": "[REDACTED]"}})
    assert hidden is None or hidden is condition.evaluate({"event": {"a": data}})

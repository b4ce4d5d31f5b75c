"""The generated JSON Schema says of a definition what the check says, as far as a schema can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from json_schema import accepts
from segmentflow_core.domain.condition import (
    OPERATORS,
    check_condition,
    condition_json_schema,
)

SCHEMA = condition_json_schema()


def leaf(op: str, *value: Any, path: str = "/event/x") -> dict[str, Any]:
    node: dict[str, Any] = {"path": path, "op": op}
    return {**node, "value": value[0]} if value else node


GOOD_VALUES: dict[str, list[Any]] = {
    "a string, a number or a boolean": ["x", 1, 1.5, True],
    "a string": ["x", ""],
    "a number": [0, -1.5],
    "a list of two numbers, [low, high]": [[1, 2], [0.5, 0.5]],
    "an RFC 3339 date-time with an offset or Z": ["2026-05-31T12:00:00Z"],
    "a list of one or more strings, numbers or booleans": [["x", 1, True]],
}


def good_leaves() -> list[dict[str, Any]]:
    leaves: list[dict[str, Any]] = []
    for name, operator in OPERATORS.items():
        if operator.value is None:
            leaves.append(leaf(name))
        elif operator.value == "condition":
            leaves.append(leaf(name, leaf("exists", path="")))
        else:
            leaves += [leaf(name, value) for value in GOOD_VALUES[operator.value.summary]]
    return leaves


@pytest.mark.parametrize("node", good_leaves(), ids=json.dumps)
def test_a_good_leaf_is_accepted_by_check_and_schema(node: dict[str, Any]) -> None:
    for document in (node, {"not": node}, {"all": [node, {"any": [node]}]}):
        assert check_condition(document) == []
        assert accepts(SCHEMA, document)


@pytest.mark.parametrize(
    "document",
    [
        1,
        {},
        {"all": []},
        {"any": 1},
        {"not": []},
        {"all": [leaf("exists")], "any": [leaf("exists")]},
        {**leaf("exists"), "x": 1},
        {"op": "exists"},
        {"path": "/event/x"},
        leaf("nope"),
        leaf("eq"),
        leaf("exists", 1),
        *(leaf(name, None) for name in OPERATORS),
        *(leaf(name, {}) for name in OPERATORS),
        leaf("eq", "[REDACTED]"),
        leaf("in", []),
        leaf("in", [None]),
        leaf("gt", True),
        leaf("gt", "1"),
        leaf("between", [1]),
        leaf("between", [1, 2, 3]),
        leaf("any_item", leaf("exists", path="x")),
        *(
            leaf("exists", path=path)
            for path in ("", "/event", "event/x", "/event/~2", "/profile/properties", "/profile/x")
        ),
    ],
    ids=json.dumps,
)
def test_a_bad_definition_is_refused_by_check_and_schema(document: Any) -> None:
    assert check_condition(document)
    assert not accepts(SCHEMA, document)


def test_the_schema_has_a_branch_for_every_operator_in_both_scopes() -> None:
    for scope in ("condition", "itemCondition"):
        branches = SCHEMA["$defs"][scope]["oneOf"]
        names = [one["properties"]["op"]["const"] for one in branches if "op" in one["properties"]]
        assert names == list(OPERATORS)


def test_the_schema_is_json() -> None:
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA

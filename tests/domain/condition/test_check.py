"""The check of a definition: every fault, its path, and nothing of its values."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.condition import (
    DEPTH_LIMIT,
    NODE_LIMIT,
    OPERATORS,
    check_condition,
    compile_condition,
)
from segmentflow_core.domain.condition.values import LIST_LIMIT
from segmentflow_core.errors import InvalidJourney

GOOD: dict[str, Any] = {"path": "/event/total", "op": "gte", "value": 40}
CANARY = "c4n4ry"
OUTSIDE = (
    "must start with /event/ or /profile/properties/, or be /profile/email or /profile/externalId"
)


def leaf(op: str, value: Any) -> dict[str, Any]:
    return {"path": "/event/x", "op": op, "value": value}


def nested(depth: int) -> dict[str, Any]:
    node = GOOD
    for _ in range(depth - 1):
        node = {"not": node}
    return node


def faults(document: object) -> list[tuple[str, str]]:
    return [(fault.path, fault.message) for fault in check_condition(document)]


@pytest.mark.parametrize(
    "path",
    [
        "/event/total",
        "/event/",
        "/event/items/0/sku",
        "/event/a~1b/~0",
        "/profile/email",
        "/profile/externalId",
        "/profile/properties/plan",
        "/profile/properties/",
    ],
)
def test_a_path_into_the_state_document_is_taken(path: str) -> None:
    assert check_condition({"path": path, "op": "exists"}) == []


@pytest.mark.parametrize(
    ("path", "message"),
    [
        (7, "must be a string"),
        (None, "must be a string"),
        ("event/x", "must be a JSON Pointer (RFC 6901)"),
        ("#/event/x", "must be a JSON Pointer (RFC 6901)"),
        ("/event/~2", "must be a JSON Pointer (RFC 6901)"),
        ("/event/x~", "must be a JSON Pointer (RFC 6901)"),
        ("/event/\0", "must not hold the character U+0000"),
        ("/event/\ud800", "must not hold a lone surrogate"),
        *(
            (
                path,
                OUTSIDE,
            )
            for path in (
                "",
                "/",
                "/event",
                "/eventual/x",
                "/profile",
                "/profile/email/x",
                "/profile/id",
                "/profile/properties",
                "/data/x",
            )
        ),
    ],
)
def test_any_other_path_is_refused(path: Any, message: str) -> None:
    assert faults({"path": path, "op": "exists"}) == [("/path", message)]


def test_a_path_in_an_array_condition_starts_from_the_item() -> None:
    inner = {"any": [{"path": "", "op": "exists"}, {"path": "/sku", "op": "exists"}]}
    assert check_condition(leaf("any_item", {"not": inner})) == []


def test_a_path_in_an_array_condition_is_still_a_pointer() -> None:
    document = leaf("all_items", {"path": "sku", "op": "exists"})
    assert faults(document) == [("/value/path", "must be a JSON Pointer (RFC 6901)")]


NAMES = ", ".join(OPERATORS)
ONE_SCALAR = "must be a string, a number or a boolean"
A_LIST = f"must be a list of 1 to {LIST_LIMIT} strings, numbers or booleans"
A_RANGE = "must be a list of two numbers, [low, high]"
A_MOMENT = "must be an RFC 3339 date-time with an offset or Z"
OUT_OF_RANGE = "must be an integer between -2^63 and 2^64-1"
NOT_FINITE = "must be a finite number: NaN and infinities are not JSON"


@pytest.mark.parametrize(
    ("document", "expected"),
    [
        (None, [("", "must be an object")]),
        ([], [("", "must be an object")]),
        ({}, [("", "must have all, any, not, did, or path and op")]),
        ({"all": []}, [("/all", "must be a list of one or more conditions")]),
        ({"any": {}}, [("/any", "must be a list of one or more conditions")]),
        ({"any": (GOOD,)}, [("/any", "must be a list of one or more conditions")]),
        ({"not": [GOOD]}, [("/not", "must be an object")]),
        ({"all": [GOOD, 1]}, [("/all/1", "must be an object")]),
        ({"all": [GOOD], "not": GOOD}, [("", "must have only one of all, any, not")]),
        ({"all": [GOOD], "op": "eq"}, [("/op", "is not a member here; allowed: all")]),
        ({**GOOD, "a/b": 1}, [("/a~1b", "is not a member here; allowed: path, op, value")]),
        ({**GOOD, 5: 1}, [("", "must have strings as member names")]),
        (
            {"where": 1},
            [
                ("", "must have all, any, not, did, or path and op"),
                ("/where", "is not a member here; allowed: path, op, value"),
            ],
        ),
        ({"value": 1}, [("/path", "is required"), ("/op", "is required")]),
        ({"path": "/event/x", "op": "like"}, [("/op", f"must be one of {NAMES}")]),
        ({"path": "/event/x", "op": ["eq"]}, [("/op", f"must be one of {NAMES}")]),
        ({"path": "/event/x", "op": "eq"}, [("/value", "is required by eq")]),
        (leaf("exists", True), [("/value", "is not taken by exists")]),
        (leaf("eq", None), [("/value", "must not be null; is_null tests for null")]),
        (leaf("eq", []), [("/value", ONE_SCALAR)]),
        (leaf("ne", {}), [("/value", ONE_SCALAR)]),
        (leaf("contains", {}), [("/value", ONE_SCALAR)]),
        (
            leaf("eq", "[REDACTED]"),
            [("/value", "must not be the redaction marker, which equals nothing")],
        ),
        (leaf("eq", "\0"), [("/value", "must not hold the character U+0000")]),
        (leaf("eq", "\udfff"), [("/value", "must not hold a lone surrogate")]),
        (leaf("eq", 2**64), [("/value", OUT_OF_RANGE)]),
        (leaf("lt", -(2**63) - 1), [("/value", OUT_OF_RANGE)]),
        (leaf("eq", float("inf")), [("/value", NOT_FINITE)]),
        (leaf("gt", float("nan")), [("/value", NOT_FINITE)]),
        (leaf("gt", True), [("/value", "must be a number")]),
        (leaf("gte", "40"), [("/value", "must be a number")]),
        (leaf("between", [1]), [("/value", A_RANGE)]),
        (leaf("between", [1, 2, 3]), [("/value", A_RANGE)]),
        (leaf("between", 1), [("/value", A_RANGE)]),
        (leaf("between", [None, "2"]), [(f"/value/{i}", "must be a number") for i in (0, 1)]),
        (leaf("between", [2, 1]), [("/value", "must have its low bound first")]),
        (leaf("in", []), [("/value", A_LIST)]),
        (leaf("in", "ab"), [("/value", A_LIST)]),
        (leaf("in", [0] * (LIST_LIMIT + 1)), [("/value", A_LIST)]),
        (
            leaf("not_in", ["a", None, []]),
            [
                ("/value/1", "must not be null; is_null tests for null"),
                ("/value/2", ONE_SCALAR),
            ],
        ),
        (leaf("starts_with", 1), [("/value", "must be a string")]),
        (leaf("ends_with", None), [("/value", "must be a string")]),
        (leaf("before", 1), [("/value", A_MOMENT)]),
        (leaf("after", "2026-05-31"), [("/value", A_MOMENT)]),
        (leaf("after", "2026-02-30T00:00:00Z"), [("/value", A_MOMENT)]),
        (leaf("any_item", None), [("/value", "must be an object")]),
    ],
)
def test_a_fault_is_named_with_its_path(document: object, expected: list[tuple[str, str]]) -> None:
    assert faults(document) == expected


def test_every_fault_is_named_at_once_in_the_order_they_stand() -> None:
    document = {"all": [leaf("gte", "x"), {"not": {"path": "x", "op": "nope"}}, {"any": []}]}
    assert [path for path, _ in faults(document)] == [
        "/all/0/value",
        "/all/1/not/path",
        "/all/1/not/op",
        "/all/2/any",
    ]


def test_paths_start_where_the_condition_stands_in_its_document() -> None:
    assert [fault.path for fault in check_condition(leaf("gt", "x"), "/trigger/where")] == [
        "/trigger/where/value"
    ]


def test_a_condition_may_be_as_deep_as_the_limit() -> None:
    assert check_condition(nested(DEPTH_LIMIT)) == []


def test_a_deeper_condition_is_refused_where_it_gets_too_deep() -> None:
    assert faults(nested(DEPTH_LIMIT + 1)) == [
        ("/not" * DEPTH_LIMIT, "must not nest deeper than 32 conditions")
    ]


def test_a_very_deep_condition_is_refused_without_walking_it() -> None:
    assert len(check_condition(nested(100_000))) == 1


def test_array_conditions_count_towards_the_depth() -> None:
    node: dict[str, Any] = {"path": "", "op": "exists"}
    for _ in range(DEPTH_LIMIT - 1):
        node = {"path": "", "op": "any_item", "value": node}
    assert check_condition(leaf("any_item", node))[0].message.startswith("must not nest deeper")


def test_a_condition_may_hold_as_many_conditions_as_the_limit() -> None:
    assert check_condition({"all": [GOOD] * (NODE_LIMIT - 1)}) == []


def test_more_conditions_are_refused_once() -> None:
    document = {"any": [{"all": [GOOD] * NODE_LIMIT}, GOOD, GOOD]}
    assert faults(document) == [("", f"must not hold more than {NODE_LIMIT} conditions")]


def test_past_the_limit_nothing_more_is_said() -> None:
    document = {"all": [GOOD] * NODE_LIMIT, "not": {"x": 1}}
    assert [path for path, _ in faults(document)] == ["", ""]


def test_a_definition_that_holds_itself_is_refused() -> None:
    loop: dict[str, Any] = {"all": []}
    loop["all"] += [loop, loop]
    assert check_condition(loop)


class Text(str):
    """Not exactly a `str`."""


class Number(int):
    """Not exactly an `int`."""


class Object(dict[str, Any]):
    """Not exactly a `dict`."""


@pytest.mark.parametrize(
    "document",
    [
        Object(GOOD),
        {**GOOD, "path": Text("/event/x")},
        {**GOOD, "op": Text("gte")},
        {**GOOD, "value": Number(40)},
        {Text("not"): GOOD},
        leaf("eq", Text("x")),
    ],
)
def test_a_subclass_of_a_json_type_is_refused(document: object) -> None:
    assert check_condition(document)


@pytest.mark.parametrize(
    "document",
    [
        {"path": f"/{CANARY}", "op": CANARY},
        {"path": CANARY, "op": "eq", "value": [CANARY]},
        leaf("gt", CANARY),
        leaf("before", CANARY),
        leaf("between", [CANARY, CANARY]),
        leaf("in", [{"x": CANARY}]),
        leaf("exists", CANARY),
        {"all": CANARY},
        {"not": CANARY},
    ],
)
def test_no_message_repeats_a_value(document: object) -> None:
    with pytest.raises(InvalidJourney) as caught:
        compile_condition(document)  # type: ignore[arg-type]
    assert CANARY not in f"{caught.value!r} {caught.value.details}"


junk = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(st.characters(exclude_categories=()))
    | st.binary(),
    lambda inner: (
        st.lists(inner)
        | st.dictionaries(
            st.sampled_from(["all", "any", "not", "path", "op", "value", "x"]) | st.integers(),
            inner,
        )
        | st.fixed_dictionaries(
            {"path": inner, "op": st.sampled_from(list(OPERATORS)), "value": inner}
        )
    ),
)


@given(junk)
def test_anything_at_all_can_be_checked_and_every_path_printed(document: object) -> None:
    for fault in check_condition(document):
        assert fault.path.encode().decode() == fault.path

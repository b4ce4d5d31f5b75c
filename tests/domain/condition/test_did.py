"""The leaf that counts earlier events: its check, its schema, and what it makes of a count."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from json_schema import accepts
from segmentflow_core.domain.cancelling import same_values_digest
from segmentflow_core.domain.condition import (
    DID_LIMIT,
    check_condition,
    compile_condition,
    condition_json_schema,
)
from segmentflow_core.domain.condition.did import Did, bounds_of, comparable
from segmentflow_core.errors import InvalidJourney

SCHEMA = condition_json_schema()
PLAIN: dict[str, Any] = {"path": "/event/total", "op": "gte", "value": 40}
TIMES = "must be an object with one of eq, gte, lte, between"
COUNT = "must be an integer from 0 to 100"
COUNTS = f"must be a list of two counts, [low, high], each {COUNT.removeprefix('must be ')}"
HERE = "must not stand here: only an event as a whole has a history"
SAME = "must be a list of 1 to 8 JSON Pointers"


def did(**members: Any) -> dict[str, Any]:
    return {"did": "order.created", **members}


GOOD = [
    did(),
    did(times={"eq": 0}),
    did(times={"gte": 100}, within="P30D"),
    did(times={"lte": 7}, where={"all": [PLAIN, {"not": PLAIN}]}),
    did(times={"between": [0, 100]}, same=["/event/sku", "/profile/email"]),
    did(where={"path": "/event/items", "op": "any_item", "value": {"path": "", "op": "exists"}}),
]

BAD: list[tuple[Any, list[tuple[str, str]]]] = [
    ({"did": ""}, [("/did", "must be a string of 1 to 255 characters")]),
    ({"did": "x" * 256}, [("/did", "must be a string of 1 to 255 characters")]),
    ({"did": 1}, [("/did", "must be a string of 1 to 255 characters")]),
    (
        did(path="/event/x"),
        [("/path", "is not a member here; allowed: did, times, within, where, same")],
    ),
    (
        did(all=[PLAIN]),
        [("/all", "is not a member here; allowed: did, times, within, where, same")],
    ),
    (did(times=3), [("/times", TIMES)]),
    (did(times={}), [("/times", TIMES)]),
    (did(times={"gt": 1}), [("/times", TIMES)]),
    (did(times={"gte": 1, "lte": 2}), [("/times", TIMES)]),
    (did(times={"gte": -1}), [("/times/gte", COUNT)]),
    (did(times={"gte": 101}), [("/times/gte", COUNT)]),
    (did(times={"eq": True}), [("/times/eq", COUNT)]),
    (did(times={"eq": 1.5}), [("/times/eq", COUNT)]),
    (did(times={"between": [1]}), [("/times/between", COUNTS)]),
    (did(times={"between": [1, 101]}), [("/times/between", COUNTS)]),
    (did(times={"between": 1}), [("/times/between", COUNTS)]),
    (did(within="P1M"), [("/within", "must be an ISO 8601 duration of weeks, days, hours,")]),
    (did(within="PT0S"), [("/within", "must be longer than nothing")]),
    (did(within="P1000000D"), [("/within", "must have at most 6 digits in each part")]),
    (did(within=3), [("/within", "must be an ISO 8601 duration of weeks, days, hours,")]),
    (did(where=1), [("/where", "must be an object")]),
    (did(where=did()), [("/where/did", HERE)]),
    (did(where={"not": did()}), [("/where/not/did", HERE)]),
    (did(where={}), [("/where", "must have all, any, not, or path and op")]),
    (
        {"path": "/event/items", "op": "any_item", "value": did()},
        [("/value/did", HERE)],
    ),
    (did(same="/event/x"), [("/same", SAME)]),
    (did(same=[]), [("/same", SAME)]),
    (did(same=["/event/x"] * 9), [("/same", SAME)]),
    (did(same=["/event", 1]), [("/same/0", "must start with"), ("/same/1", "must be a string")]),
    (did(same=["x"]), [("/same/0", "must be a JSON Pointer (RFC 6901)")]),
]


@pytest.mark.parametrize("leaf", GOOD, ids=json.dumps)
def test_a_good_leaf_is_accepted_by_check_and_schema(leaf: dict[str, Any]) -> None:
    for document in (leaf, {"not": leaf}, {"all": [PLAIN, {"any": [leaf]}]}):
        assert check_condition(document) == []
        assert accepts(SCHEMA, document)


@pytest.mark.parametrize(("document", "expected"), BAD, ids=str)
def test_a_bad_leaf_is_refused_with_the_path_of_every_fault(
    document: Any, expected: list[tuple[str, str]]
) -> None:
    found = [(fault.path, fault.message) for fault in check_condition(document)]
    assert [path for path, _ in found] == [path for path, _ in expected]
    for (_, message), (_, start) in zip(found, expected, strict=True):
        assert message.startswith(start)
    assert not accepts(SCHEMA, document)


def test_the_bounds_of_a_range_are_in_order() -> None:
    (fault,) = check_condition(did(times={"between": [3, 2]}))
    assert (fault.path, fault.message) == ("/times/between", "must have its low bound first")


def test_a_name_that_no_row_could_hold_is_refused() -> None:
    (fault,) = check_condition({"did": "a\0"})
    assert fault.path == "/did"


def test_a_condition_counts_earlier_events_only_so_often() -> None:
    assert check_condition({"all": [did()] * DID_LIMIT}) == []
    (fault,) = check_condition({"all": [did()] * (DID_LIMIT + 3)}, "/where")
    assert fault.path == "/where"
    assert fault.message == "must not count earlier events more than 16 times"
    with pytest.raises(InvalidJourney):
        compile_condition({"all": [did()] * (DID_LIMIT + 1)})


@pytest.mark.parametrize(
    ("times", "bounds"),
    [
        ({"eq": 3}, (3, 3)),
        ({"gte": 3}, (3, None)),
        ({"lte": 3}, (0, 3)),
        ({"between": [2, 3]}, (2, 3)),
    ],
)
def test_a_leaf_is_known_where_every_count_or_none_meets_it(
    times: dict[str, Any], bounds: tuple[int, int | None]
) -> None:
    assert bounds_of(times) == bounds
    low, high = bounds
    leaf = leaf_of(did(times=times))
    for least in range(6):
        for most in [*range(least, 7), None]:
            counts = range(least, 9 if most is None else most + 1)
            met = {low <= count and (high is None or count <= high) for count in counts}
            assert leaf.meets(least, most) is (met.pop() if len(met) == 1 else None)
        # Enough was counted where no further event can change the answer.
        later = {leaf.meets(count, count) for count in range(least, 200)}
        assert leaf.decided(least) is (len(later) == 1)


def leaf_of(document: Any) -> Did:
    (leaf,) = compile_condition(document).dids
    return leaf


def test_what_is_not_given_is_one_or_more_whenever_it_was() -> None:
    leaf = leaf_of(did())
    assert (leaf.low, leaf.high, leaf.within, leaf.same, leaf.reads) == (
        1,
        None,
        None,
        (),
        "nothing",
    )


@pytest.mark.parametrize(
    ("document", "reads"),
    [
        (did(times={"eq": 2}, within="P1D"), "nothing"),
        (did(where=PLAIN), "data"),
        (did(same=["/event/x"]), "data"),
        (did(where={"path": "/profile/email", "op": "exists"}), "state"),
        (did(where=PLAIN, same=["/profile/properties/plan"]), "state"),
    ],
)
def test_a_leaf_reads_no_more_than_it_needs(document: Any, reads: str) -> None:
    assert leaf_of(document).reads == reads


def test_a_leaf_that_every_count_meets_needs_none() -> None:
    assert leaf_of(did(times={"gte": 0})).always
    assert not leaf_of(did(times={"lte": 100})).always


MET, UNMET, OPEN = (
    {"path": "/event/yes", "op": "eq", "value": True},
    {"path": "/event/yes", "op": "eq", "value": False},
    {"path": "/event/nothing", "op": "eq", "value": 1},
)


@pytest.mark.parametrize(
    ("document", "asked", "results"),
    [
        # What the leaves are asked, and the result where they are met, are not, are unknown.
        (did(), 1, (True, False, None)),
        ({"not": did()}, 1, (False, True, None)),
        ({"all": [did(), UNMET]}, 0, (False, False, False)),
        ({"all": [did(), MET]}, 1, (True, False, None)),
        ({"all": [did(), OPEN]}, 1, (None, False, None)),
        ({"any": [did(), MET]}, 0, (True, True, True)),
        ({"any": [did(), UNMET]}, 1, (True, False, None)),
        ({"any": [{"not": {"any": [did(), MET]}}, OPEN]}, 0, (None, None, None)),
        ({"all": [{"any": [UNMET, did()]}, did(), MET]}, 2, (True, False, None)),
    ],
)
def test_a_leaf_is_asked_only_where_the_rest_does_not_decide(
    document: Any, asked: int, results: tuple[bool | None, ...]
) -> None:
    condition = compile_condition(document)
    for truth, result in zip((True, False, None), results, strict=True):
        asks: list[Did] = []

        def judge(leaf: Did, truth: bool | None = truth, asks: list[Did] = asks) -> bool | None:
            asks.append(leaf)
            return truth

        assert condition.evaluate({"event": {"yes": True}}, judge) is result
        assert len(asks) <= len(condition.dids)
        if truth is None:
            assert len(asks) == asked
    assert condition.evaluate({"event": {"yes": True}}) is results[2]
    assert condition.explain({"event": {"yes": True}}).result is results[2]


def test_the_paths_of_a_condition_are_those_of_the_event_itself() -> None:
    condition = compile_condition({"all": [did(where=PLAIN), {"path": "/event/a", "op": "exists"}]})
    assert condition.paths == (("event", "a"),)


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        (1, 1.0, True),
        (0, -0.0, True),
        (1, True, False),
        (1, "1", False),
        ("A", "a", False),
        (2**53, 2**53 + 1, False),
        (2**53, 2.0**53, True),
        (10**19, 1e19, True),
        # A float is the digits that it is written with, an integer all of its own.
        (2**60, 2.0**60, False),
        (1_152_921_504_606_847_000, 2.0**60, True),
        (2**63, 2.0**63, False),
    ],
)
def test_equal_values_are_those_of_one_text(one: Any, other: Any, equal: bool) -> None:
    assert (comparable(one) == comparable(other)) is equal


_NUMBERS = st.one_of(
    st.integers(-(2**63), 2**64 - 1),
    st.floats(allow_nan=False, allow_infinity=False),
    st.integers(50, 64).map(lambda power: 2.0**power),
    st.integers(50, 63).map(lambda power: 2**power),
)
_VALUES = st.one_of(
    _NUMBERS, st.booleans(), st.none(), st.sampled_from(["", "1", "[REDACTED]"]), st.just([])
)


@given(_VALUES, st.one_of(_VALUES, st.none()), st.booleans())
def test_history_and_digests_say_alike_what_is_equal(one: Any, other: Any, turned: bool) -> None:
    if turned and type(one) in (int, float):
        other = int(one) if type(one) is float else float(one)
    texts = comparable(one), comparable(other)
    digests = [same_values_digest({"event": each}, [("event",)]) for each in (one, other)]
    assert [text is None for text in texts] == [digest is None for digest in digests]
    assert (texts[0] == texts[1]) is (digests[0] == digests[1])

from __future__ import annotations

import copy
import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.pointer import (
    format_pointer,
    resolve,
)
from segmentflow_core.domain.redaction import (
    REDACTED,
    compile_redaction,
    redaction_path_fault,
)
from segmentflow_core.testing import json_objects

R = REDACTED


@pytest.mark.parametrize(
    ("data", "paths", "redacted", "unmatched"),
    [
        ({"payment": {"token": "t"}}, ["/event/payment/token"], {"payment": {"token": R}}, []),
        ({"token": None}, ["/event/token"], {"token": R}, []),
        ({"token": {"a": [1]}}, ["/event/token"], {"token": R}, []),
        ({"token": 5, "x": 1}, ["/event/token"], {"token": R, "x": 1}, []),
        ({"a": 1}, ["/event/b"], {"a": 1}, ["/event/b"]),
        ({"a": {}}, ["/event/a/b/c"], {"a": {}}, ["/event/a/b/c"]),
        ({"a": [1]}, ["/event/a/1"], {"a": [1]}, ["/event/a/1"]),
        ({"": 1, "a": 2}, ["/event/"], {"": R, "a": 2}, []),
        ({"a/b": 1}, ["/event/a~1b"], {"a/b": R}, []),
        ({"m~n": 1}, ["/event/m~0n"], {"m~n": R}, []),
        ({"~1": 1}, ["/event/~01"], {"~1": R}, []),
        ({"items": [{"x": 1}]}, ["/event/items/0", "/event/items/0/x"], {"items": [R]}, []),
        ({"items": [{"x": 1}]}, ["/event/items/0/x", "/event/items/0"], {"items": [R]}, []),
        ({"items": []}, ["/event/items/0/x", "/event/items"], {"items": R}, []),
        ({"items": [1, 2]}, ["/event/items/1"], {"items": [1, R]}, []),
        *(
            ({"a": [1, 2]}, [f"/event/a/{token}"], {"a": [1, 2]}, [f"/event/a/{token}"])
            for token in ("-", "01", "+1", "-1", "1e0", "\u0661", "", "9" * 30)
        ),
        ({"01": 1, "-": 2}, ["/event/01", "/event/-"], {"01": R, "-": R}, []),
        ({"s": "text"}, ["/event/s/0"], {"s": "text"}, ["/event/s/0"]),
        ({"a": {"b": 1}}, ["/event/a/b", "/event/a/c"], {"a": {"b": R}}, ["/event/a/c"]),
    ],
)
def test_the_table_of_redaction(data, paths, redacted, unmatched):
    original = copy.deepcopy(data)
    result = compile_redaction(paths).apply(data)
    assert result.data == redacted
    assert list(result.unmatched) == unmatched
    assert data == original


@pytest.mark.parametrize(
    "path",
    [
        "/event",
        "/eventual/x",
        "#/event/x",
        "event/x",
        "/event/~2",
        "/event/~",
        "/profile/a",
        "",
        "/",
    ],
)
def test_a_path_that_names_no_event_data_is_refused(path):
    assert redaction_path_fault(path) is not None
    with pytest.raises(ValueError, match="must"):
        compile_redaction([path])


def test_no_paths_give_the_very_same_data_back():
    data = {"a": 1}
    assert compile_redaction([]).apply(data).data is data


def test_what_no_path_touches_is_shared_and_what_one_touches_is_copied():
    data = {"a": {"secret": 1}, "b": {"c": 1}}
    redacted = compile_redaction(["/event/a/secret"]).apply(data).data
    assert redacted["b"] is data["b"]
    assert redacted["a"] is not data["a"]


def test_many_and_long_paths_are_compiled_without_being_kept():
    paths = [f"/event/{number}" for number in range(50)]
    assert compile_redaction(paths).apply({"7": 1}).data == {"7": R}
    deep = "/event" + "/a" * 50_000
    assert compile_redaction([deep]).apply({"a": {}}).unmatched == (deep,)


def test_few_and_short_paths_are_compiled_once():
    few = [f"/event/{number}" for number in range(16)]
    assert compile_redaction(few) is compile_redaction(few[::-1])
    short = "/event/" + "a" * (1024 - len("/event/"))
    assert compile_redaction([short]) is compile_redaction([short])


@pytest.mark.parametrize(
    "paths", [[f"/event/{number}" for number in range(17)], ["/event/" + "a" * 1024]]
)
def test_many_or_long_paths_stay_in_no_memory(paths):
    assert compile_redaction(paths) is not compile_redaction(paths)


def test_a_place_is_covered_by_the_target_above_it():
    redaction = compile_redaction(["/event/card", "/event/a/b"])
    assert redaction.targets == (("card",), ("a", "b"))
    assert redaction.covers(("card", "number")) == ("card",)
    assert redaction.covers(("a", "b")) == ("a", "b")
    assert redaction.covers(("a",)) is None
    assert redaction.covers(("other",)) is None


def pointers(value, at=()):
    yield at
    if isinstance(value, dict):
        for name, item in value.items():
            yield from pointers(item, (*at, name))
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from pointers(item, (*at, str(index)))


@given(json_objects(), st.data())
def test_whatever_is_named_is_gone_and_everything_else_is_there(data, draw):
    places = [place for place in pointers(data) if place]
    if not places:
        return
    chosen = draw.draw(st.lists(st.sampled_from(places), min_size=1, max_size=4))
    original = copy.deepcopy(data)
    result = compile_redaction([format_pointer("event", *place) for place in chosen]).apply(data)
    assert json.dumps(data) == json.dumps(original)
    for place in places:
        covered = [c for c in chosen if place[: len(c)] == c]
        if not covered:
            kept, was = resolve(result.data, place), resolve(original, place)
            assert type(kept) is type(was)
            if isinstance(was, (dict, list)):
                assert len(kept) == len(was)
            else:
                assert kept == was
    for place in chosen:
        top = min((c for c in chosen if place[: len(c)] == c), key=len)
        assert resolve(result.data, top) == REDACTED
    assert result.unmatched == ()

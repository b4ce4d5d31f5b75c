"""Templates: places filled from the state document, types kept, every fault named."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.errors import ConfigurationError, InvalidTemplate, TemplateStateMissing
from segmentflow_core.templates import check_template, compile_template
from segmentflow_core.testing import json_objects, json_values
from segmentflow_core.wire import parse_json

STATE: dict[str, Any] = {
    "event": {
        "orderId": "ord_9421",
        "total": 49,
        "rate": 0.1,
        "gift": False,
        "note": None,
        "items": [{"sku": "a"}, {"sku": "b"}],
        "payment": {"token": "[REDACTED]"},
        "a/b": 1,
    },
    "profile": {"email": "alex@example.com", "properties": {"plan": "Pro"}},
}


def state(path: str) -> dict[str, str]:
    return {"$state": path}


def rendered(document: Any, on_missing: Any = "omit") -> Any:
    return compile_template(document).render(STATE, on_missing)


def faults(document: Any) -> list[tuple[str, str]]:
    return [(fault.path, fault.message) for fault in check_template(document)]


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("/event/orderId", "ord_9421"),
        ("/event/total", 49),
        ("/event/rate", 0.1),
        ("/event/gift", False),
        ("/event/note", None),
        ("/event/items", [{"sku": "a"}, {"sku": "b"}]),
        ("/event/items/1/sku", "b"),
        ("/event/a~1b", 1),
        ("/event", STATE["event"]),
        ("/profile/email", "alex@example.com"),
        ("/profile/properties", {"plan": "Pro"}),
        ("/profile/properties/plan", "Pro"),
        ("/event/payment/token", "[REDACTED]"),
        ("/event/payment/token/digits", "[REDACTED]"),
    ],
)
@pytest.mark.parametrize("on_missing", ["omit", "null", "error"])
def test_a_place_becomes_the_value_with_its_type(path, value, on_missing):
    result = rendered({"x": state(path)}, on_missing)["x"]
    assert (type(result), result) == (type(value), value)


def test_places_stand_anywhere_and_everything_else_stays():
    document = {
        "subject": "Order {{orderId}} $state",
        "to": [state("/profile/email"), {"plan": state("/profile/properties/plan")}],
        "deep": {"er": [[state("/event/total")], 1.5, None, True]},
        "state": "/event/orderId",
        "": state("/event/orderId"),
    }
    assert rendered(document) == {
        "subject": "Order {{orderId}} $state",
        "to": ["alex@example.com", {"plan": "Pro"}],
        "deep": {"er": [[49], 1.5, None, True]},
        "state": "/event/orderId",
        "": "ord_9421",
    }


MISSING_PLACES = {
    "a": state("/event/nothing"),
    "b": [state("/event/items/9"), state("/event/total"), {"c": state("/profile/externalId")}],
    "d": state("/event/nothing"),
}


@pytest.mark.parametrize(
    ("on_missing", "expected"),
    [
        ("omit", {"b": [49, {}]}),
        ("null", {"a": None, "b": [None, 49, {"c": None}], "d": None}),
    ],
)
def test_what_is_missing_is_left_out_or_null(on_missing, expected):
    assert rendered(MISSING_PLACES, on_missing) == expected


def test_what_is_missing_is_an_error_that_lists_every_path_once():
    with pytest.raises(TemplateStateMissing) as refusal:
        rendered(MISSING_PLACES, "error")
    assert refusal.value.envelope() == {
        "error": "template_state_missing",
        "message": "The state document lacks something that the template needs.",
        "details": {
            "missingPaths": ["/event/nothing", "/event/items/9", "/profile/externalId"],
        },
    }


def test_an_error_shows_no_value_of_the_state():
    with pytest.raises(TemplateStateMissing) as refusal:
        rendered({"a": state("/event/orderId"), "b": state("/event/orderId/x")}, "error")
    assert "ord_9421" not in f"{refusal.value!r} {refusal.value.details}"


@pytest.mark.parametrize("on_missing", ["omit", "null"])
def test_a_template_that_is_one_missing_place_is_null(on_missing):
    assert rendered(state("/event/nothing"), on_missing) is None


@pytest.mark.parametrize("on_missing", ["ignore", None, ["omit"]])
def test_a_wrong_way_with_what_is_missing_is_refused(on_missing):
    with pytest.raises(ConfigurationError, match="omit, null, error"):
        rendered({}, on_missing)


GREETING = {"$state": "/event/nothing", "default": "friend"}


@pytest.mark.parametrize("on_missing", ["omit", "null", "error"])
@pytest.mark.parametrize(
    "default", ["friend", "", 0, 1.5, False, None, [], {}, {"a": [None, {"default": 1}]}]
)
def test_a_default_stands_where_nothing_is_whatever_becomes_of_what_is_missing(default, on_missing):
    place = {"$state": "/event/nothing", "default": default}
    result = rendered({"x": place, "y": [place]}, on_missing)
    assert result == {"x": default, "y": [default]}
    assert type(result["x"]) is type(default)
    assert rendered(place, on_missing) == default


@pytest.mark.parametrize(
    "path", ["/event/total", "/event/note", "/event/gift", "/event/payment/token/x"]
)
def test_a_default_gives_way_to_null_to_false_and_to_what_is_redacted(path):
    assert rendered({**state(path), "default": "default"}) == rendered(state(path))


def test_a_missing_place_without_a_default_is_still_an_error_beside_one_with_it():
    document = [GREETING, state("/event/nothing"), state("/event/items/7")]
    with pytest.raises(TemplateStateMissing) as refusal:
        rendered(document, "error")
    assert refusal.value.details == {"missingPaths": ["/event/nothing", "/event/items/7"]}
    assert rendered(document) == ["friend"]


def test_a_template_says_which_paths_have_no_default_everywhere():
    other = {"$state": "/event/other", "default": None}
    template = compile_template([GREETING, other, state("/event/nothing"), state("/event/total")])
    assert template.paths == ("/event/nothing", "/event/other", "/event/total")
    assert template.required == ("/event/nothing", "/event/total")


NO_PLACE = "must not hold $state: a default is taken as it is written"


def test_a_default_is_checked_when_the_template_is_compiled():
    def place(default):
        return {"$state": "/event/x", "default": default}

    assert faults({"x": place(state("/event/y"))}) == [("/x/default", NO_PLACE)]
    assert faults([place([1, {"a": {"b": state("x"), "c": {"$state": 1}}}])]) == [
        ("/0/default/1/a/b", NO_PLACE),
        ("/0/default/1/a/c", NO_PLACE),
    ]
    assert faults(place([float("nan")])) == [
        ("/default/0", "must be a finite number: NaN and infinities are not JSON")
    ]
    assert faults(place({1: 2}))
    assert faults({**place(1), "else": 2, "$state": "x"}) == [
        ("", "must have no member beside $state and default"),
        ("/$state", NO_POINTER),
    ]
    assert faults({"default": state("/event/x")}) == []
    assert len(faults(place(nested(100_000)))) == 1
    assert faults([place("x" * 1024 * 1024)]) == [
        ("", "must not hold more than 1048576 bytes of JSON")
    ]


def test_a_default_is_new_at_each_rendering():
    default = {"tags": ["new"]}
    template = compile_template({"$state": "/event/nothing", "default": default})
    default["tags"].append("changed")
    template.render(STATE)["tags"].clear()
    assert template.render(STATE) == {"tags": ["new"]}


@given(json_values(), st.sampled_from(["omit", "null", "error"]))
def test_any_json_is_a_default(value, on_missing):
    template = compile_template({"$state": "/event/nothing", "default": value})
    assert template.render({"event": {}, "profile": {}}, on_missing) == value


def test_a_template_says_which_paths_it_reads():
    assert compile_template(MISSING_PLACES).paths == (
        "/event/nothing",
        "/event/items/9",
        "/event/total",
        "/profile/externalId",
    )


OUTSIDE = (
    "must start with /event or /profile/properties, or be /profile/email or /profile/externalId"
)
NO_POINTER = "must be a JSON Pointer (RFC 6901)"
EMAIL_SEND = "must not start with /data, which belongs to EmailSend"


@pytest.mark.parametrize(
    ("path", "message"),
    [
        *((path, "must be a string") for path in (7, None, True, ["/event/x"], {"$state": "x"})),
        *((path, NO_POINTER) for path in ("event/x", "#/event/x", "/event/~2", "{{x}}")),
        *(
            (path, OUTSIDE)
            for path in ("", "/", "/eventual", "/profile", "/profile/id", "/profile/email/x")
        ),
        ("/data", EMAIL_SEND),
        ("/data/x", EMAIL_SEND),
    ],
)
def test_a_place_needs_a_pointer_into_the_state(path, message):
    assert faults({"x": {"$state": path}}) == [("/x/$state", message)]


def test_every_fault_is_named_at_once():
    document = {
        "a": [{"$state": 1, "b": 2}, {"c": state("/data/x")}],
        "d/e": float("nan"),
        "f": {"$state": float("nan")},
    }
    assert faults(document) == [
        ("/d~1e", "must be a finite number: NaN and infinities are not JSON"),
        ("/f/$state", "must be a finite number: NaN and infinities are not JSON"),
        ("/a/0", "must have no member beside $state and default"),
        ("/a/0/$state", "must be a string"),
        ("/a/1/c/$state", EMAIL_SEND),
    ]
    with pytest.raises(InvalidTemplate) as refusal:
        compile_template(document)
    assert refusal.value.code == "invalid_template"
    assert [(v.path, v.message) for v in refusal.value.violations] == faults(document)


def nested(depth: int) -> Any:
    document: Any = 1
    for _ in range(depth):
        document = [document]
    return document


def test_a_template_is_bounded_in_depth_size_and_places():
    assert faults(nested(64)) == []
    assert faults(nested(65)) == [("/0" * 64, "is nested deeper than 64")]
    assert len(faults(nested(100_000))) == 1
    assert faults(["x" * 1024 * 1024]) == [("", "must not hold more than 1048576 bytes of JSON")]
    assert faults([state("/event")] * 1000) == []
    assert faults([state("/event")] * 1001) == [("", "must not hold more than 1000 of $state")]
    loop: list[Any] = []
    loop.append(loop)
    assert faults(loop)


def test_a_member_given_twice_is_a_fault():
    assert [path for path, _ in faults(parse_json('{"a": 1, "a": 2}'))] == ["/a"]


def test_what_becomes_of_the_callers_objects_changes_nothing():
    document = {"items": state("/event/items")}
    template = compile_template(document)
    document.clear()
    template.render(STATE)["items"].clear()
    assert template.render(STATE) == {"items": STATE["event"]["items"]}


@given(json_values())
def test_a_template_without_places_is_itself(document):
    assert compile_template(document).render({}, "error") == document


@given(json_objects(), st.sampled_from(["omit", "null", "error"]))
def test_the_whole_event_is_what_it_was(data, on_missing):
    template = compile_template({"event": state("/event")})
    assert template.render({"event": data, "profile": {}}, on_missing) == {"event": data}


def test_a_template_that_shares_its_parts_is_as_large_as_it_would_be_written():
    part = {"x": 1}
    for _ in range(50):
        part = {"a": part, "b": part}
    (violation,) = check_template(part)
    assert violation.message == "must not hold more than 1048576 bytes of JSON"

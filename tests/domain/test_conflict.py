"""Conflicts: what changed is named, and of what is redacted nothing is compared."""

from __future__ import annotations

import json
from typing import Any

import pytest
from attrs import evolve
from hypothesis import given

from conflict_requests import CANARY, KEY, by_policy, checked, request, requests, with_properties
from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.conflict import MAX_PATHS, find_conflict
from segmentflow_core.domain.decision import decide
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.fingerprint import FingerprintKeys
from segmentflow_core.domain.item import item_for
from segmentflow_core.domain.request import ValidRequest
from segmentflow_core.domain.tracking import Known
from segmentflow_core.testing import FixedClock, SequentialIds, a_request


def recorded_as(valid: ValidRequest) -> tuple[UserEvent, Any, bytes]:
    """Return the event of a request, its digests and their salt, as a store keeps them."""
    keys = FingerprintKeys(KEY)
    item = item_for(valid, "key", "default", "event", keys)
    now, new_id = FixedClock().now(), SequentialIds().new_id
    decision = decide([item], Known({}, (), ()), {}, keys=keys, now=now, new_id=new_id)
    (event,), (claim,) = decision.changes.events, decision.changes.key_claims
    stored = evolve(event, data=json.loads(json.dumps(event.data)))
    return stored, claim.paths, claim.fingerprint.digest


def conflict(first: Any, second: Any, check: Any = checked) -> tuple[list[str], list[str]]:
    event, digests, salt = recorded_as(check(first))
    found = find_conflict(check(second), KEY, salt=salt, digests=digests, recorded=event)
    return list(found.changed), list(found.redacted)


def changed(first: Any, second: Any) -> list[str]:
    return conflict(first, second)[0]


OF_DATA = [
    ({"a": 1}, {"a": 2}, ["/data/a"]),
    ({"a": 1}, {}, ["/data"]),
    ({"a": 1, "b": 2}, {"b": 2}, ["/data/a"]),
    ({}, {"a": 1}, ["/data"]),
    ({"a": 1}, {"a": True}, ["/data/a"]),
    ({"a": 1}, {"a": "1"}, ["/data/a"]),
    ({"a": None}, {"b": None}, ["/data/a", "/data/b"]),
    ({"a": {"b": 1, "c": 2}}, {"a": {"b": 1, "c": 3}}, ["/data/a/c"]),
    ({"a": {"b": 1}}, {"a": [1]}, ["/data/a"]),
    ({"a": {}}, {"a": []}, ["/data/a"]),
    ({"a": [1, 2]}, {"a": [1, 2, 3]}, ["/data/a/2"]),
    ({"a": [1, 2, 3]}, {"a": [2]}, ["/data/a/0", "/data/a/1", "/data/a/2"]),
    ({"a/b": 1, "m~n": 1, "": 1, "x": 1}, {"x": 1}, ["/data/", "/data/a~1b", "/data/m~0n"]),
    ({"a": 2**60}, {"a": 2**60 + 1}, ["/data/a"]),
    ({"a": 2**60}, {"a": float(2**60)}, ["/data/a"]),
    ({"a": list(range(5))}, {"a": list(range(500))}, ["/data/a"]),
    ({"n" * 300: 1, "b": 1}, {"n" * 300: 2, "b": 2}, ["/data"]),
    ({"a": {"n" * 300: 1}, "b": 1}, {"a": {"n" * 300: 2}, "b": 2}, ["/data/a", "/data/b"]),
]


@pytest.mark.parametrize(("first", "second", "paths"), OF_DATA)
def test_data_is_compared_path_by_path(first: Any, second: Any, paths: list[str]) -> None:
    assert changed(a_request(data=first), a_request(data=second)) == paths


@pytest.mark.parametrize(
    ("other", "paths"),
    [
        (request(event="order.paid"), ["/event"]),
        (request(data={**request()["data"], "total": 50}), ["/data/total"]),
        (request(data={**request()["data"], "note": None}), ["/data/note"]),
        (request(data={**request()["data"], "total": {"cents": 1}}), ["/data/total"]),
        (request(redactedDataPaths=["/event/payment"]), ["/redactedDataPaths"]),
        (request(redactedDataPaths=[]), ["/redactedDataPaths"]),
        (request(occurredAt="2026-05-31T12:00:01Z"), ["/occurredAt"]),
        (
            request(profile={"email": "alex@example.com"}, referenceId="r"),
            [
                "/profile/externalId",
                "/profile/properties",
                "/referenceId",
            ],
        ),
    ],
)
def test_a_conflict_names_the_paths_that_changed(other: dict[str, Any], paths: list[str]) -> None:
    expected = sorted(set(paths) - {"/profile/properties"})
    if "/profile/properties" in paths:
        expected[1:1] = ["/profile/properties/firstName", "/profile/properties/plan"]
    assert changed(request(), other) == expected


@pytest.mark.parametrize("name", ["occurredAt", "referenceId", "data", "redactedDataPaths"])
def test_what_is_left_out_is_no_value(name: str) -> None:
    without = {member: value for member, value in request().items() if member != name}
    paths = [path.partition("/data")[1] or path for path in changed(request(), without)]
    assert set(paths) <= {f"/{name}", "/data", "/redactedDataPaths"}
    assert f"/{name}" in paths


def test_data_left_out_and_empty_data_are_two_requests() -> None:
    assert changed(a_request(), a_request(data={})) == ["/data"]
    assert changed(a_request(data={}), a_request()) == ["/data"]


def test_what_occurred_on_receipt_is_not_what_was_said_to_have_occurred_then() -> None:
    said = a_request(occurredAt=FixedClock().now())
    assert changed(a_request(), said) == ["/occurredAt"]


@given(requests, requests)
def test_only_requests_that_differ_are_found_to_differ(first: Any, second: Any) -> None:
    first, second = ({"data": {}, **each, "event": "e"} for each in (first, second))
    alike = canonical_json(first) == canonical_json(second)
    assert (changed(a_request(**first), a_request(**second)) == [""]) == alike


@given(requests, requests)
def test_a_conflict_names_no_more_paths_than_it_may(first: Any, second: Any) -> None:
    first, second = ({**each, "event": "e"} for each in (first, second))
    assert len(changed(a_request(**first), a_request(**second))) <= MAX_PATHS


def pin(value: Any, *redacted: str, **more: Any) -> dict[str, Any]:
    return a_request(data={"card": {"pin": value}, **more}, redactedDataPaths=[*redacted])


PIN = "/event/card/pin"


@pytest.mark.parametrize("guess", ["1234", "1235", 1234, None, {"12": [34]}])
def test_no_guess_of_a_redacted_value_is_told_from_another(guess: Any) -> None:
    assert conflict(pin("1234", PIN, n=1), pin(guess, PIN, n=2)) == (
        ["/data/n"],
        ["/data/card/pin"],
    )


@pytest.mark.parametrize("guess", ["1235", 1234, None, {"12": [34]}])
def test_where_a_redacted_value_alone_changed_it_is_not_named_as_changed(guess: Any) -> None:
    assert conflict(pin("1234", PIN), pin(guess, PIN)) == ([], ["/data/card/pin"])


@pytest.mark.parametrize("redacted", [[], ["/event/n"], ["/event/card"], ["/event/card/pin/x"]])
def test_no_other_redaction_tells_a_guess_either(redacted: list[str]) -> None:
    answers = [conflict(pin("1234", PIN, n=1), pin(guess, *redacted, n=1)) for guess in ("1234", 5)]
    assert answers[0] == answers[1]
    assert answers[0][0] == ["/redactedDataPaths"]


def test_what_only_the_later_request_redacts_is_not_compared() -> None:
    answers = [conflict(pin("1234", n=1), pin(guess, PIN, n=1)) for guess in ("1234", 5)]
    assert answers == [(["/redactedDataPaths"], ["/data/card/pin"])] * 2


def test_a_redacted_item_of_a_list_is_not_compared() -> None:
    first, second = (
        a_request(data={"list": [1, secret, n]}, redactedDataPaths=["/event/list/1"])
        for secret, n in (("1234", 3), ("4321", 4))
    )
    assert conflict(first, second) == (["/data/list/2"], ["/data/list/1"])


def test_redacted_paths_that_name_nothing_are_not_listed() -> None:
    second = pin("1234", PIN, "/event/absent", "/event/card/pin/below")
    assert conflict(pin("1"), second)[1] == ["/data/card/pin"]


@pytest.mark.parametrize(
    ("data", "redacted", "entry"),
    [
        ({"payment": {CANARY: CANARY}}, "/event/payment", "/data/payment"),
        ({"payment": {"card": {CANARY: CANARY}}}, "/event/payment/card", "/data/payment/card"),
        ({"items": [1, {CANARY: [CANARY]}]}, "/event/items/1", "/data/items/1"),
        ({"a/b": {CANARY: 1}}, "/event/a~1b", "/data/a~1b"),
        ({"~1": {CANARY: 1}}, "/event/~01", "/data/~01"),
        ({"": {CANARY: 1}}, "/event/", "/data/"),
        ({"event": {CANARY: 1}}, "/event/event", "/data/event"),
    ],
)
def test_nothing_below_a_redacted_path_is_named(data: Any, redacted: str, entry: str) -> None:
    document = a_request(data=data, redactedDataPaths=[redacted])
    event, digests, salt = recorded_as(checked(document))
    found = find_conflict(
        checked({**document, "referenceId": "r"}), KEY, salt=salt, digests=digests, recorded=event
    )
    assert (found.changed, found.redacted) == (("/referenceId",), (entry,))
    assert CANARY not in repr((digests, found, event.data))


def test_more_redacted_places_than_can_be_named_are_named_by_what_holds_them() -> None:
    paths = [f"/event/wide/{n}" for n in range(100)]
    wide = a_request(data={"wide": [0] * 100, "pin": 1}, redactedDataPaths=[*paths, "/event/pin"])
    assert conflict(a_request(), wide)[1] == ["/data/pin", "/data/wide"]


def test_a_guess_of_a_property_that_a_policy_redacts_is_not_told_from_another() -> None:
    first = with_properties(ssn="078-05-1120", plan="Free")
    answers = [
        conflict(first, with_properties(ssn=ssn, plan="Pro"), by_policy)
        for ssn in ("078-05-1120", "078-05-1121")
    ]
    assert answers == [(["/profile/properties/plan"], ["/profile/properties/ssn"])] * 2


def test_a_guess_of_data_that_a_policy_redacts_is_not_told_from_another() -> None:
    answers = [conflict(pin("1234", n=1), pin(guess, n=2), by_policy) for guess in ("1234", "5")]
    assert answers == [(["/data/n"], ["/data/card/pin"])] * 2


def test_what_only_one_of_two_policies_redacts_is_not_compared() -> None:
    first, second = (with_properties(ssn=ssn, plan=plan) for ssn, plan in (("1", "a"), ("2", "b")))
    event, digests, salt = recorded_as(by_policy(first))
    found = find_conflict(checked(second), KEY, salt=salt, digests=digests, recorded=event)
    assert (found.changed, found.redacted) == (("/profile/properties/plan",), ())


def test_where_the_event_is_gone_nothing_is_compared() -> None:
    _, digests, salt = recorded_as(checked(pin("1234", PIN)))
    found = find_conflict(checked(pin("1", PIN)), KEY, salt=salt, digests=digests, recorded=None)
    assert (found.changed, found.redacted) == (("",), ("/data/card/pin",))


def test_the_mark_of_redaction_in_a_request_counts_as_redacted() -> None:
    first = a_request(data={"a": "[REDACTED]", "b": 1})
    assert changed(first, a_request(data={"a": "x", "b": 2})) == ["/data/b"]
    assert changed(first, a_request(data={"a": "x", "b": 1})) == [""]

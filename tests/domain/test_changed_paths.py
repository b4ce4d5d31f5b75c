"""Digests path by path: a conflict names what changed, and nothing below a redacted path."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.canonical import CanonicalizationError, canonical_json
from segmentflow_core.domain.fingerprint import (
    MAX_PATHS,
    FingerprintKey,
    changed_paths,
    compute_fingerprint,
    path_digests,
)
from segmentflow_core.testing import DOCUMENTED_REQUEST

CANARY = "canary-tok_live_abc"
SECRET = b"canary-secret-of-thirty-two-byte"
KEY = FingerprintKey("first", SECRET)
OTHER_KEY = FingerprintKey("second", b"another-secret-of-thirty-two-byt")

names = st.text(st.characters(codec="utf-8", exclude_characters="\0"), max_size=12)
scalars = st.none() | st.booleans() | st.integers(-(2**53), 2**53) | names
json_values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=8) | st.dictionaries(names, inner, max_size=8),
    max_leaves=60,
)
requests = st.fixed_dictionaries(
    {"event": names}, optional={"data": st.dictionaries(names, json_values, max_size=8)}
)


def request(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENTED_REQUEST, **changes}


def paths_of(document: dict[str, Any]) -> set[str]:
    return set(path_digests(document, KEY))


def changes_between(first: dict[str, Any], second: dict[str, Any]) -> tuple[str, ...]:
    return changed_paths(path_digests(first, KEY), path_digests(second, KEY))


def test_every_leaf_of_the_documented_request_is_a_path() -> None:
    assert paths_of(request()) == {
        "/event",
        "/profile/email",
        "/profile/externalId",
        "/profile/properties/firstName",
        "/profile/properties/plan",
        "/data/orderId",
        "/data/total",
        "/data/payment/token",
        "/redactedDataPaths",
        "/referenceId",
        "/occurredAt",
    }


def test_members_and_items_are_named_by_escaped_pointers() -> None:
    data = {"a/b": 1, "m~n": 2, "": 3, "é": 4, "two words": 5, "items": [{"sku": 6}, 7]}
    assert paths_of({"data": data}) == {
        "/data/a~1b",
        "/data/m~0n",
        "/data/",
        "/data/é",
        "/data/two words",
        "/data/items/0/sku",
        "/data/items/1",
    }


@pytest.mark.parametrize("empty", [{}, []])
def test_an_empty_object_or_array_is_one_entry(empty: Any) -> None:
    assert paths_of({"data": {"x": empty}}) == {"/data/x"}


def test_an_empty_document_is_one_entry() -> None:
    assert paths_of({}) == {""}


def test_an_object_that_does_not_fit_is_one_entry() -> None:
    wide = {f"n{n}": n for n in range(MAX_PATHS)}
    assert paths_of({"event": "e", "data": wide}) == {"/event", "/data"}


def test_an_object_that_just_fits_is_opened() -> None:
    wide = {f"n{n}": n for n in range(MAX_PATHS - 1)}
    assert len(paths_of({"event": "e", "data": wide})) == MAX_PATHS


def test_shallow_paths_are_opened_before_deep_ones() -> None:
    deep = {"er": {f"n{n}": n for n in range(60)}}
    wide = {f"n{n}": n for n in range(10)}
    paths = paths_of({"data": {"deep": deep, "wide": wide}})
    assert paths == {"/data/deep/er", *(f"/data/wide/n{n}" for n in range(10))}


def test_long_names_are_not_stored() -> None:
    assert paths_of({"data": {"a": {"n" * 300: 1}, "b": {"c": 2}}}) == {"/data/a", "/data/b/c"}


def test_many_names_are_named_however_long_they_are_together() -> None:
    names = [f"{index:0200}" for index in range(5)]
    assert paths_of({"data": dict.fromkeys(names, 1)}) == {f"/data/{name}" for name in names}


@given(requests)
def test_no_request_takes_more_than_its_share_of_paths(document: dict[str, Any]) -> None:
    digests = path_digests(document, KEY)
    assert 1 <= len(digests) <= MAX_PATHS
    assert all(len(digest) == 16 for digest in digests.values())


@given(requests, requests)
def test_different_requests_always_differ_somewhere(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    alike = path_digests(first, KEY) == path_digests(second, KEY)
    assert alike == (canonical_json(first) == canonical_json(second))


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
    document = request(data=data, redactedDataPaths=[redacted])
    digests = path_digests(document, KEY)
    assert entry in digests
    assert CANARY not in repr(digests)
    assert CANARY not in repr(compute_fingerprint(document, KEY))


def test_a_changed_secret_changes_only_the_redacted_path() -> None:
    first = request(data={"card": {CANARY: 1}}, redactedDataPaths=["/event/card"])
    second = request(data={"card": {CANARY: 2}}, redactedDataPaths=["/event/card"])
    assert changes_between(first, second) == ("/data/card",)


def test_a_redacted_path_that_is_longer_than_its_document_changes_nothing() -> None:
    document = request(redactedDataPaths=["/event/orderId/x", "/event/absent"])
    assert paths_of(document) == paths_of(request())


def test_redacting_nothing_may_be_said_or_left_out() -> None:
    assert paths_of({"data": {"x": {"y": 1}}}) == {"/data/x/y"}
    assert paths_of({"data": {"x": {"y": 1}}, "redactedDataPaths": []}) == {
        "/data/x/y",
        "/redactedDataPaths",
    }


def test_path_digests_depend_on_the_key() -> None:
    first, second = path_digests(request(), KEY), path_digests(request(), OTHER_KEY)
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


def test_path_digests_depend_on_the_salt() -> None:
    first, second = (path_digests(request(), KEY, salt=bytes([n]) * 32) for n in (1, 2))
    assert first.keys() == second.keys()
    assert not set(first.values()) & set(second.values())


def test_equal_values_at_two_paths_have_different_digests() -> None:
    digests = path_digests({"data": {"a": 1, "b": 1}}, KEY)
    assert digests["/data/a"] != digests["/data/b"]


def test_a_path_digest_is_no_part_of_any_whole_digest() -> None:
    whole = compute_fingerprint({}, KEY).digest.hex()
    (digest,) = path_digests({}, KEY).values()
    assert digest not in whole
    assert digest not in hmac.new(SECRET, b"\0{}", hashlib.sha256).hexdigest()


def test_a_string_that_was_never_admitted_is_refused_without_being_shown() -> None:
    key = FingerprintKey.derive("a secret of at least 32 bytes......")
    with pytest.raises(CanonicalizationError) as refusal:
        path_digests({"event": "canary \ud800"}, key)
    assert "canary" not in str(refusal.value)
    assert refusal.value.__context__ is None or "canary" not in repr(refusal.value.__context__)


def test_strings_are_told_apart_however_they_end() -> None:
    key = FingerprintKey.derive("a secret of at least 32 bytes......")
    texts = ["a", 'a"', '"a', '"a"', "", '"', "1", "null"]
    values = [*texts, 1, None, "a\\u0022"]
    digests = {path_digests({"event": value}, key)["/event"] for value in values}
    assert len(digests) == len(values)


@pytest.mark.parametrize(
    ("stored", "sent", "changed"),
    [
        ({"/event": "a"}, {"/event": "b"}, ("/event",)),
        ({"/event": "a", "/data/x": "b"}, {"/event": "a"}, ("/data/x",)),
        ({"/event": "a"}, {"/event": "a", "/data/x": "b"}, ("/data/x",)),
        ({"/b": "1", "/a": "1"}, {"/b": "2", "/a": "2"}, ("/a", "/b")),
        ({"/data": "a"}, {"/data/x": "b", "/data/y/z": "c"}, ("/data",)),
        ({"/data/x": "b", "/data/y/z": "c"}, {"/data": "a"}, ("/data",)),
        ({"/data": "a"}, {"/data": "b", "/database": "c"}, ("/data", "/database")),
        ({"": "a"}, {"/event": "b"}, ("",)),
        ({"/event": "a"}, {"/event": "a"}, ("",)),
        ({}, {}, ("",)),
    ],
)
def test_changed_paths(
    stored: dict[str, str], sent: dict[str, str], changed: tuple[str, ...]
) -> None:
    assert changed_paths(stored, sent) == changed
    assert changed_paths(sent, stored) == changed


@pytest.mark.parametrize(
    ("other", "changed"),
    [
        (request(event="order.paid"), ("/event",)),
        (request(data={**request()["data"], "total": 50}), ("/data/total",)),
        (request(data={**request()["data"], "note": None}), ("/data/note",)),
        (request(data={**request()["data"], "total": {"cents": 1}}), ("/data/total",)),
        (request(redactedDataPaths=[]), ("/redactedDataPaths",)),
        (
            request(profile={"email": "alex@example.com"}, referenceId="r"),
            (
                "/profile/externalId",
                "/profile/properties/firstName",
                "/profile/properties/plan",
                "/referenceId",
            ),
        ),
    ],
)
def test_a_conflict_names_the_paths_that_changed(
    other: dict[str, Any], changed: tuple[str, ...]
) -> None:
    assert changes_between(request(), other) == changed


def test_an_array_that_outgrew_its_share_is_named_as_a_whole() -> None:
    first = request(data={"items": list(range(5))})
    second = request(data={"items": list(range(500))})
    assert changes_between(first, second) == ("/data/items",)

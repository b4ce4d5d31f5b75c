"""Digests of paths: what has one, what they depend on, and that nothing redacted has any."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
from hypothesis import given

from conflict_requests import (
    CANARY,
    KEY,
    OTHER_KEY,
    SECRET,
    by_policy,
    checked,
    json_values,
    request,
    requests,
    with_properties,
)
from segmentflow_core.domain.canonical import CanonicalizationError, canonical_json
from segmentflow_core.domain.conflict import MAX_PATHS, path_digests, unseen_digests
from segmentflow_core.domain.fingerprint import FingerprintKey, compute_fingerprint
from segmentflow_core.testing import a_request


def paths_of(document: dict[str, Any]) -> set[str]:
    return set(path_digests(document, KEY))


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


@pytest.mark.parametrize(("length", "path"), [(249, "/data/" + "n" * 249), (250, "/data")])
def test_a_pointer_of_255_characters_is_the_longest_that_is_stored(length: int, path: str) -> None:
    assert paths_of({"data": {"n" * length: 1}}) == {path}


def test_many_names_are_named_however_long_they_are_together() -> None:
    names = [f"{index:0200}" for index in range(5)]
    assert paths_of({"data": dict.fromkeys(names, 1)}) == {f"/data/{name}" for name in names}


@given(requests)
def test_no_request_takes_more_than_its_share_of_paths(document: dict[str, Any]) -> None:
    digests = path_digests(document, KEY)
    assert 1 <= len(digests) <= MAX_PATHS
    assert all(len(digest) == 8 for digest in digests.values())


@given(requests, requests)
def test_different_requests_always_differ_somewhere(
    first: dict[str, Any], second: dict[str, Any]
) -> None:
    alike = path_digests(first, KEY) == path_digests(second, KEY)
    assert alike == (canonical_json(first) == canonical_json(second))


def test_the_items_of_redacted_paths_have_no_order_and_no_names() -> None:
    document = {"redactedDataPaths": ["/event/b", "/event/a"]}
    assert paths_of(document) == {"/redactedDataPaths"}


def test_what_is_hidden_has_an_entry_and_no_digest() -> None:
    document = {"profile": {"properties": {"ssn": "[REDACTED]", "plan": "Pro"}}}
    digests = path_digests(document, KEY, hidden=["/profile/properties/ssn"])
    assert digests["/profile/properties/ssn"] == ""
    assert len(digests["/profile/properties/plan"]) == 8


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


def unseen(document: Any) -> set[str]:
    return set(unseen_digests(checked(document), KEY, salt=b"salt"))


def test_only_what_the_event_does_not_show_is_digested() -> None:
    assert unseen(request()) == {
        "/profile/email",
        "/profile/externalId",
        "/profile/properties/firstName",
        "/profile/properties/plan",
        "/redactedDataPaths",
        "/occurredAt",
    }
    assert unseen(a_request(data={"a": 1}, referenceId="r")) == {"/profile/email"}
    assert unseen(a_request(data={})) == {"/data", "/profile/email"}


@given(json_values)
def test_no_digest_depends_on_the_data_or_on_anything_redacted(value: Any) -> None:
    digests = [
        unseen_digests(
            checked(a_request(data={"x": data, "y": 1}, redactedDataPaths=["/event/x"])),
            KEY,
            salt=b"salt",
        )
        for data in (value, None)
    ]
    assert digests[0] == digests[1]


@pytest.mark.parametrize("more", [{}, {f"p{n}": n for n in range(100)}], ids=["few", "many"])
def test_no_digest_depends_on_a_property_that_a_policy_redacts(more: Any) -> None:
    digests = [
        unseen_digests(by_policy(with_properties(ssn=ssn, **more)), KEY, salt=b"salt")
        for ssn in ("078-05-1120", "078-05-1121", {"a": CANARY})
    ]
    assert digests[0] == digests[1] == digests[2]

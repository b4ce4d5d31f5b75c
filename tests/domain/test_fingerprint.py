"""Fingerprints: equal for equal requests, keyed, and silent about what they cover."""

from __future__ import annotations

import copy
import hashlib
import hmac
import pickle
from typing import Any

import pytest
import rfc8785
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core.domain.canonical import CanonicalizationError, canonical_json
from segmentflow_core.domain.fingerprint import (
    MAX_PATHS,
    SCHEME,
    Fingerprint,
    FingerprintKey,
    FingerprintKeys,
    changed_paths,
    compute_fingerprint,
    fingerprint_canonical,
    path_digests,
    same_request,
)
from segmentflow_core.errors import ConfigurationError, FingerprintKeyUnknown

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
    document: dict[str, Any] = {
        "event": "order.created",
        "profile": {
            "email": "alex@example.com",
            "externalId": "cus_123",
            "properties": {"firstName": "Alex", "plan": "Pro"},
        },
        "data": {"orderId": "ord_9421", "total": 49, "payment": {"token": "tok_live_abc"}},
        "redactedDataPaths": ["/event/payment/token"],
        "referenceId": "ord_9421",
        "occurredAt": "2026-05-31T12:00:00.000Z",
    }
    return {**document, **changes}


def paths_of(document: dict[str, Any]) -> set[str]:
    return set(path_digests(document, KEY))


def changes_between(first: dict[str, Any], second: dict[str, Any]) -> tuple[str, ...]:
    return changed_paths(path_digests(first, KEY), path_digests(second, KEY))


# Keys


def test_a_key_never_shows_its_secret() -> None:
    keys = FingerprintKeys(KEY, (OTHER_KEY,))
    assert repr(keys.current) == "FingerprintKey(key_id='first')"
    assert "secret" not in f"{keys!r} {keys} {keys.current}"


@pytest.mark.parametrize(
    "secret",
    [b"", b"canary".ljust(31), "c" * 32, None, 32],
    ids=["none", "31", "text", "null", "int"],
)
def test_a_secret_is_at_least_32_bytes(secret: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FingerprintKey("id", secret)
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("key_id", ["", "k" * 65, "clé", "a\nb", "\x7f", 7, None])
def test_a_key_id_is_1_to_64_printable_ascii_characters(key_id: Any) -> None:
    with pytest.raises(ConfigurationError):
        FingerprintKey(key_id, SECRET)


@pytest.mark.parametrize("key_id", ["k", "2026-05 eu", "k" * 64])
def test_any_other_key_id_is_accepted(key_id: str) -> None:
    assert FingerprintKey(key_id, SECRET).key_id == key_id


def test_a_derived_key_has_the_same_id_every_time() -> None:
    assert FingerprintKey.derive(SECRET) == FingerprintKey.derive(SECRET)


def test_text_derives_the_same_key_as_its_utf8() -> None:
    assert FingerprintKey.derive("clé" * 11) == FingerprintKey.derive(("clé" * 11).encode())


def test_different_secrets_derive_different_ids() -> None:
    derived = {FingerprintKey.derive(bytes([n]) * 32).key_id for n in range(256)}
    assert len(derived) == 256


def test_a_derived_id_is_no_plain_hash_of_the_secret() -> None:
    key_id = FingerprintKey.derive(SECRET).key_id
    hashes = [hashlib.new(name, SECRET).hexdigest() for name in ("sha256", "blake2s", "sha1")]
    assert len(key_id) == 16
    assert not any(key_id in digest for digest in hashes)


@pytest.mark.parametrize("secret", ["short canary", "canary" * 9 + "\ud800", None, 7, ["canary"]])
def test_a_secret_that_cannot_be_used_is_refused_without_showing_it(secret: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FingerprintKey.derive(secret)
    assert "canary" not in str(caught.value)
    assert caught.value.__context__ is None


def test_a_key_survives_pickling_and_copying() -> None:
    path_digests(request(), KEY)
    assert pickle.loads(pickle.dumps(KEY)) == copy.deepcopy(KEY) == KEY
    assert path_digests(request(), pickle.loads(pickle.dumps(KEY))) == path_digests(request(), KEY)


def test_equal_keys_hash_alike_whether_used_or_not() -> None:
    used = FingerprintKey("first", SECRET)
    path_digests(request(), used)
    assert hash(used) == hash(FingerprintKey("first", SECRET))


def test_stored_fingerprints_find_the_key_they_were_made_with() -> None:
    keys = FingerprintKeys(OTHER_KEY, (KEY,))
    assert keys.find("second") is OTHER_KEY
    assert keys.find("first") is KEY


def test_an_unknown_key_fails_closed_and_is_named() -> None:
    with pytest.raises(FingerprintKeyUnknown) as caught:
        FingerprintKeys(KEY).find("lost")
    assert caught.value.details == {"keyId": "lost"}


@pytest.mark.parametrize("previous", [(KEY,), (OTHER_KEY, OTHER_KEY)])
def test_two_keys_may_not_share_an_id(previous: tuple[FingerprintKey, ...]) -> None:
    with pytest.raises(ConfigurationError):
        FingerprintKeys(KEY, previous)


@pytest.mark.parametrize(("current", "previous"), [(SECRET, ()), (KEY, (SECRET,)), (KEY, SECRET)])
def test_only_keys_make_a_set_of_keys(current: Any, previous: Any) -> None:
    with pytest.raises(ConfigurationError) as caught:
        FingerprintKeys(current, previous)
    assert "canary" not in str(caught.value)


def test_previous_keys_may_come_in_any_sequence() -> None:
    previous: Any = [OTHER_KEY]
    assert FingerprintKeys(KEY, previous).previous == (OTHER_KEY,)


@pytest.mark.parametrize(
    ("source", "keys"),
    [
        (FingerprintKeys(KEY), FingerprintKeys(KEY)),
        (KEY, FingerprintKeys(KEY)),
        (SECRET, FingerprintKeys(FingerprintKey.derive(SECRET))),
        (SECRET.decode(), FingerprintKeys(FingerprintKey.derive(SECRET))),
    ],
)
def test_a_host_may_configure_keys_one_key_or_a_secret(source: Any, keys: FingerprintKeys) -> None:
    assert FingerprintKeys.of(source) == keys


# The whole request


def test_the_digest_is_the_documented_construction() -> None:
    envelope = rfc8785.dumps({"v": 1, "request": request()})
    expected = hmac.new(SECRET, envelope, hashlib.sha256).digest()
    assert compute_fingerprint(request(), KEY) == Fingerprint(SCHEME, "first", expected)


def test_canonical_bytes_give_the_fingerprint_of_their_document() -> None:
    canonical = canonical_json(request())
    assert fingerprint_canonical(canonical, KEY) == compute_fingerprint(request(), KEY)


@pytest.mark.parametrize(
    "again",
    [
        request(),
        dict(reversed(request().items())),
        request(data={"payment": {"token": "tok_live_abc"}, "total": 49.0, "orderId": "ord_9421"}),
    ],
    ids=["repeated", "reordered", "49.0 for 49"],
)
def test_a_retry_is_the_same_request(again: dict[str, Any]) -> None:
    assert same_request(compute_fingerprint(request(), KEY), compute_fingerprint(again, KEY))


@pytest.mark.parametrize(
    "other",
    [
        request(event="order.Created"),
        request(referenceId=None),
        request(data={**request()["data"], "total": "49"}),
        request(data={**request()["data"], "total": True}),
        request(data={**request()["data"], "payment": {"token": "tok_live_abd"}}),
        request(redactedDataPaths=[]),
        {name: value for name, value in request().items() if name != "occurredAt"},
    ],
    ids=["name", "null", "text", "boolean", "secret", "redaction", "absent"],
)
def test_any_difference_makes_another_request(other: dict[str, Any]) -> None:
    assert not same_request(compute_fingerprint(request(), KEY), compute_fingerprint(other, KEY))


def test_large_integers_that_share_a_double_are_different_requests() -> None:
    first, second = ({"data": {"id": 2**60 + offset}} for offset in (0, 1))
    assert not same_request(compute_fingerprint(first, KEY), compute_fingerprint(second, KEY))


def test_fingerprints_under_different_keys_never_match() -> None:
    stored = compute_fingerprint(request(), KEY)
    assert stored.digest != compute_fingerprint(request(), OTHER_KEY).digest
    assert not same_request(stored, Fingerprint(SCHEME, "second", stored.digest))


def test_fingerprints_of_different_schemes_never_match() -> None:
    stored = compute_fingerprint(request(), KEY)
    assert not same_request(Fingerprint("hmac-sha256/jcs/0", "first", stored.digest), stored)


def test_a_document_that_was_never_admitted_has_no_fingerprint() -> None:
    for make in (compute_fingerprint, path_digests):
        with pytest.raises(CanonicalizationError) as caught:
            make({"data": {"x": {CANARY}}}, KEY)  # type: ignore[dict-item]
        assert CANARY not in repr(caught.value)


# Path by path


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


# What changed


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

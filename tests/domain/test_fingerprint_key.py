"""Fingerprint keys: what a secret must be, how keys are named and found, and no secret shown."""

from __future__ import annotations

import copy
import hashlib
import pickle
from typing import Any

import pytest

from segmentflow_core.domain.conflict import path_digests
from segmentflow_core.domain.fingerprint import FingerprintKey, FingerprintKeys
from segmentflow_core.errors import ConfigurationError, FingerprintKeyUnknown
from segmentflow_core.testing import DOCUMENTED_REQUEST

SECRET = b"canary-secret-of-thirty-two-byte"
KEY = FingerprintKey("first", SECRET)
OTHER_KEY = FingerprintKey("second", b"another-secret-of-thirty-two-byt")


def request(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENTED_REQUEST, **changes}


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

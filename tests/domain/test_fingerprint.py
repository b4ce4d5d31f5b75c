"""Fingerprints of whole requests: equal for equal requests, keyed, and silent about them."""

from __future__ import annotations

import hashlib
import hmac
from typing import Any

import pytest
import rfc8785

from segmentflow_core.domain.canonical import CanonicalizationError, canonical_json
from segmentflow_core.domain.conflict import path_digests
from segmentflow_core.domain.fingerprint import (
    SCHEME,
    Fingerprint,
    FingerprintKey,
    compute_fingerprint,
    fingerprint_canonical,
    same_request,
)
from segmentflow_core.testing import DOCUMENTED_REQUEST

CANARY = "canary-tok_live_abc"
SECRET = b"canary-secret-of-thirty-two-byte"
KEY = FingerprintKey("first", SECRET)
OTHER_KEY = FingerprintKey("second", b"another-secret-of-thirty-two-byt")


def request(**changes: Any) -> dict[str, Any]:
    return {**DOCUMENTED_REQUEST, **changes}


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

"""What the endpoint refuses, with which answer, and what it never says."""

from __future__ import annotations

import asyncio
import json

import pytest

from http_calls import EVENTS, failing, post_to, said
from segmentflow_core import Limits, Tracker
from segmentflow_core.errors import (
    FingerprintKeyUnknown,
    IdempotencyInProgress,
    StorageRefused,
    StorageUnavailable,
)
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_request
from segmentflow_http import Endpoint, KnownKeys
from segmentflow_http.routes import ERRORS
from segmentflow_memory import MemoryStorage


def refusals(post, call, headers, tracker):
    """Give one answer for each code that a caller can meet."""
    post()
    changed = {**DOCUMENTED_REQUEST, "event": "order.paid"}
    crossed = {"email": "alex@example.com", "externalId": "other"}
    return {
        "invalid_request": post({}),
        "idempotency_key_required": post(idempotency_key=None),
        "unauthorized": post(x_api_key=None),
        "not_found": call("GET", "/api/v1", {}, b""),
        "method_not_allowed": call("PUT", EVENTS, headers, b""),
        "idempotency_key_reuse": post(changed),
        "identity_conflict": post(a_request(profile=crossed), idempotency_key="2"),
        "payload_too_large": post(b" " * (256 * 1024 + 1)),
        "unsupported_media_type": post(content_type="text/plain"),
        "profile_email_required": post(a_request(profile={"externalId": "x"}), idempotency_key="3"),
    }


def test_every_refusal_has_its_status_its_envelope_and_its_retry_advice(
    post, call, headers, tracker
):
    table = {cls.code: cls for cls in ERRORS}
    for code, response in refusals(post, call, headers, tracker).items():
        cls = table[code]
        assert (code, response.status) == (code, cls.status)
        assert said(response)["error"] == response.code == code
        assert set(said(response)) == {"error", "message", "details"}
        assert response.headers["x-should-retry"] == "false"
        assert response.headers["content-length"] == str(len(response.body))


def test_an_unavailable_store_asks_for_a_retry():
    response = post_to(failing(StorageUnavailable()))
    assert (response.status, response.code) == (503, "storage_unavailable")
    assert response.headers["x-should-retry"] == "true"
    assert response.headers["retry-after"] == "1"


def test_an_answer_does_not_say_where_the_store_is(caplog):
    error = StorageUnavailable("canary.internal cannot be reached", details={"error": "08001"})
    response = post_to(failing(error))
    assert (response.status, said(response)["details"]) == (503, {"error": "08001"})
    assert b"canary" not in response.body


def test_what_a_store_refuses_for_good_asks_for_no_retry(caplog):
    response = post_to(failing(StorageRefused(details={"error": "22001"})))
    assert (response.status, said(response)["details"]) == (500, {})
    assert response.headers["x-should-retry"] == "false"
    assert "StorageRefused" in caplog.text


def test_a_duplicate_that_waits_too_long_asks_for_a_retry():
    response = post_to(failing(IdempotencyInProgress()))
    assert (response.status, response.code) == (409, "idempotency_in_progress")
    assert response.headers["x-should-retry"] == "true"


def test_a_store_that_is_busy_says_nothing_about_the_key():
    storage = MemoryStorage(wait=0.01)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    endpoint = Endpoint(tracker, KnownKeys(["k" * 32]))
    response = storage.run(lambda _: post_to(endpoint))
    assert (response.status, response.code) == (503, "storage_unavailable")
    assert response.headers["x-should-retry"] == "true"
    assert response.headers["retry-after"] == "1"


def test_an_inner_failure_says_nothing_and_logs_no_value(caplog):
    error = ValueError("canary-in-a-message")
    error.__cause__ = ValueError("canary-in-a-cause")
    response = post_to(failing(error), a_request(data={"secret": "canary-in-the-request"}))
    assert response.status == 500
    assert said(response) == {
        "error": "internal_error",
        "message": "Something went wrong inside the service.",
        "details": {},
    }
    assert "x-should-retry" not in response.headers
    assert "internal_error: ValueError at " in caplog.text
    assert "canary" not in caplog.text


def test_an_error_of_the_set_up_is_an_inner_failure_too(caplog):
    response = post_to(failing(FingerprintKeyUnknown(details={"keyId": "2026-01"})))
    assert (response.status, said(response)["details"]) == (500, {})
    assert "FingerprintKeyUnknown" in caplog.text


def test_every_violation_is_listed_the_missing_key_and_unreadable_json_too(post):
    response = post(b'{"a": canary}', idempotency_key=None)
    assert response.code == "idempotency_key_required"
    paths = [violation["path"] for violation in said(response)["details"]["violations"]]
    assert paths == ["", "/idempotencyKey"]
    assert b"canary" not in response.body


@pytest.mark.parametrize(
    ("body", "path"),
    [
        (b"", ""),
        (b"\xff", ""),
        (b"\xef\xbb\xbf{}", ""),
        (b"[" * 10_000, ""),
        (b'{"event": "a", "event": "b", "profile": {"email": "a@example.com"}}', "/event"),
        (b'{"event": "a", "profile": {"email": "a@example.com"}, "data": {"x": NaN}}', "/data/x"),
        (b'{"event": "a", "profile": {"email": "a@example.com"}, "data": {"x": 1e999}}', "/data/x"),
        (
            b'{"event": "a", "profile": {"email": "a@b.co"}, "data": {"x": 18446744073709551616}}',
            "/data/x",
        ),
        (b'{"event": "a", "profile": {"email": "a@example.com"}, "canary": 1}', "/canary"),
    ],
)
def test_json_is_read_strictly(post, body, path):
    response = post(body)
    assert (response.status, response.code) == (400, "invalid_request")
    assert [v["path"] for v in said(response)["details"]["violations"]] == [path]


@pytest.mark.parametrize(
    "changed",
    [
        {"content_type": None},
        {"content_type": "text/json"},
        {"content_type": "application/json; charset=latin-1"},
        {"content_type": "application/jsonp"},
        {"content_type": "application/json, application/json"},
        {"content_encoding": "gzip"},
    ],
)
def test_only_plain_json_is_read(post, changed):
    assert post(**changed).code == "unsupported_media_type"


@pytest.mark.parametrize("name", ["x-api-key", "Idempotency-Key", "content-type", "content-length"])
def test_a_relevant_header_given_twice_is_refused(call, headers, name):
    given = {**headers, "content-length": "2"}
    pairs = [*given.items(), (name, given[name.lower()])]
    response = call("POST", EVENTS, pairs, b"{}")
    assert (response.status, response.code) == (400, "invalid_request")
    (violation,) = said(response)["details"]["violations"]
    assert violation == {"path": f"/headers/{name.lower()}", "message": "must be given once"}


def test_other_headers_may_come_twice(call, headers):
    pairs = [*headers.items(), ("accept", "a"), ("accept", "b")]
    assert call("POST", EVENTS, pairs, json.dumps(DOCUMENTED_REQUEST).encode()).status == 202


def test_a_body_is_refused_by_the_size_it_announces(post):
    response = post(content_length=str(256 * 1024 + 1))
    assert (response.status, said(response)["details"]) == (413, {"maxBytes": 256 * 1024})
    assert post(content_length="-1").code == "invalid_request"


def test_the_limits_are_the_trackers(storage):
    limits = Limits(max_bytes=100)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, limits=limits)
    endpoint = Endpoint(tracker, KnownKeys(["k" * 32]))
    assert said(post_to(endpoint))["details"] == {"maxBytes": 100}
    assert endpoint.max_bytes_at(EVENTS) == 100


def test_what_is_refused_early_is_refused_the_same_with_its_body(endpoint, headers):
    for method, path, more in (
        ("POST", "/nowhere", {}),
        ("PUT", EVENTS, {}),
        ("POST", EVENTS, {"content-length": "999999"}),
    ):
        early = endpoint.refuse_early(method, path, {**headers, **more})
        assert early == endpoint(method, path, {**headers, **more}, b"{}")
        assert early.status >= 400
    assert endpoint.refuse_early("POST", EVENTS, headers) is None


def test_a_caller_is_refused_before_the_body_as_with_it(endpoint, async_endpoint, headers):
    for method, path, more in (
        ("POST", EVENTS, {"x-api-key": "wk_public"}),
        ("POST", f"{EVENTS}/batch", {"x-api-key": "nobody"}),
        ("GET", "/api/v1/profiles", {}),
        ("HEAD", "/api/v1/profiles", {}),
    ):
        given = {**headers, **more}
        early = endpoint.refuse_caller(method, path, given)
        assert early == endpoint(method, path, given, b"")
        assert early.status in (401, 403)
        assert asyncio.run(async_endpoint.refuse_caller(method, path, given)) == early
    for method, path in (("POST", EVENTS), ("GET", "/healthz"), ("GET", "/nowhere")):
        assert endpoint.refuse_caller(method, path, headers) is None


def test_an_authenticator_that_fails_lets_nobody_in(tracker, caplog):
    class Broken:
        def authenticate(self, headers, scope):
            raise ValueError(headers["x-api-key"])

    response = Endpoint(tracker, Broken()).refuse_caller("POST", EVENTS, {"x-api-key": "canary"})
    assert (response.status, said(response)["error"]) == (500, "internal_error")
    assert "ValueError" in caplog.text
    assert "canary" not in caplog.text + repr(response)

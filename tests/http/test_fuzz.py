"""Whatever is thrown at the endpoint, it answers, and never with a fault of its own."""

from __future__ import annotations

import json

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmentflow_core import Tracker
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, json_values
from segmentflow_http import Endpoint, KnownKeys
from segmentflow_http.routes import ERRORS, ROUTES
from segmentflow_memory import MemoryStorage

KEY = "k" * 32
CODES = {cls.code: cls.status for cls in ERRORS}

paths = st.one_of(st.sampled_from([route.path for route in ROUTES]), st.text())
methods = st.one_of(st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT"]), st.text())
names = st.sampled_from(
    ["x-api-key", "Idempotency-Key", "content-type", "content-length", "content-encoding", "x"]
)
values = st.one_of(
    st.sampled_from([KEY, "application/json", "1", "0", "-1", "utf-8", "identity"]), st.text()
)
headers = st.lists(st.tuples(names, values | st.binary()), max_size=8)


@st.composite
def damaged(draw):
    """Give the documented request with some bytes of it replaced."""
    raw = bytearray(json.dumps(DOCUMENTED_REQUEST).encode())
    start = draw(st.integers(0, len(raw)))
    raw[start : start + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    return bytes(raw)


@st.composite
def mutated(draw):
    """Give the documented request with one member replaced by anything that is JSON."""
    name = draw(st.sampled_from([*DOCUMENTED_REQUEST, "other"]))
    return json.dumps({**DOCUMENTED_REQUEST, name: draw(json_values())}).encode()


bodies = st.one_of(st.binary(), damaged(), mutated(), json_values().map(json.dumps).map(str.encode))


@pytest.fixture(scope="module")
def shared():
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    return Endpoint(tracker, KnownKeys([KEY]))


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=methods, path=paths, headers=headers, body=bodies)
def test_anything_at_all_gets_a_sensible_answer(shared, method, path, headers, body):
    check(shared(method, path, headers, body), method)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(max_size=20), body=bodies)
def test_any_body_of_a_known_caller_gets_a_sensible_answer(shared, key, body):
    headers = {"x-api-key": KEY, "idempotency-key": key, "content-type": "application/json"}
    check(shared("POST", "/api/v1/events", headers, body), "POST")


def check(response, method):
    assert response.status < 500
    if method == "HEAD":
        assert response.body == b""
    elif response.status >= 400:
        document = json.loads(response.body)
        assert set(document) == {"error", "message", "details"}
        assert CODES[document["error"]] == response.status

"""Whatever is thrown at the endpoint, it answers, and never with a fault of its own.

Every value sent holds a canary, names excepted: a refusal may name a member, and nothing more.
"""

from __future__ import annotations

import json
import logging

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from segmentflow_core import Tracker
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, json_values
from segmentflow_http import Endpoint, KnownKeys
from segmentflow_http.access import log_answered, tell_answered
from segmentflow_http.routes import BATCH, ERRORS, ROUTES
from segmentflow_memory import MemoryStorage

KEY = "k" * 32
CODES = {cls.code: cls.status for cls in ERRORS}

# No damage below is long enough to make a name of it.
CANARY = "canary-4111111111111111"
NUMBER = 4111111111111111


def planted(value):
    """Give the value with the canary in every string and for every integer in it."""
    if isinstance(value, str):
        return CANARY + value
    if isinstance(value, dict):
        return {name: planted(item) for name, item in value.items()}
    if isinstance(value, list):
        return [planted(item) for item in value]
    return NUMBER if type(value) is int else value


KEPT = {name: DOCUMENTED_REQUEST[name] for name in ("redactedDataPaths", "occurredAt")}
PLANTED = {**planted(DOCUMENTED_REQUEST), **KEPT}

texts = st.text().map(planted)
binaries = st.tuples(st.binary(), st.binary()).map(CANARY.encode().join)
paths = st.one_of(st.sampled_from([route.path for route in ROUTES]), texts, texts.map("/".__add__))
methods = st.one_of(st.sampled_from(["GET", "HEAD", "OPTIONS", "POST", "PUT"]), texts)
names = st.sampled_from(
    ["x-api-key", "Idempotency-Key", "content-type", "content-length", "content-encoding", "x"]
)
values = st.one_of(
    st.sampled_from([KEY, "application/json", "1", "0", "-1", "utf-8", "identity"]), texts
)
headers = st.lists(st.tuples(names, values | binaries), max_size=8)


@st.composite
def damaged(draw):
    """Give the documented request with some bytes of it replaced."""
    raw = bytearray(json.dumps(PLANTED).encode())
    start = draw(st.integers(0, len(raw)))
    raw[start : start + draw(st.integers(0, 9))] = draw(st.binary(max_size=9))
    return bytes(raw)


@st.composite
def mutated(draw):
    """Give the documented request with one member replaced by anything that is JSON."""
    name = draw(st.sampled_from([*PLANTED, "other"]))
    return json.dumps({**PLANTED, name: planted(draw(json_values()))}).encode()


@st.composite
def batched(draw):
    """Give a batch of events, some of them with one member replaced by anything that is JSON."""
    events = []
    for key in draw(st.lists(texts | json_values().map(planted), max_size=4)):
        name = draw(st.sampled_from([*PLANTED, "other", "idempotencyKey"]))
        replaced = {name: planted(draw(json_values()))} if draw(st.booleans()) else {}
        events.append({"idempotencyKey": key, **PLANTED, **replaced})
    raw = json.dumps({"events": events, **draw(st.sampled_from([{}, {"other": CANARY}]))})
    return raw.replace(
        '"other"', draw(st.sampled_from(['"other"', '"event"', '"events"']))
    ).encode()


bodies = st.one_of(
    binaries,
    damaged(),
    mutated(),
    batched(),
    json_values().map(planted).map(json.dumps).map(str.encode),
)


@pytest.fixture(scope="module")
def shared():
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    return Endpoint(tracker, KnownKeys([KEY]))


@pytest.fixture
def send(shared, caplog):
    """Send a request, and hold the answer and whatever is logged against the rules."""
    caplog.set_level(logging.DEBUG)

    def send(method, path, headers, body):
        response = shared(method, path, headers, body)
        tell_answered(log_answered, (method, path, headers), response, len(body), 0.0)
        shown = repr((response.headers, response.body)) + caplog.text
        caplog.clear()
        assert CANARY not in shown
        assert str(NUMBER) not in shown
        assert response.status < 500
        if method == "HEAD":
            assert response.body == b""
            return
        document = json.loads(response.body or "{}")
        errors = [(response.status, document)] if response.status >= 400 else []
        for result in document.get("results", ()):
            assert set(result) & {"receipt", "error"}
            errors += [(result["status"], result["error"])] if "error" in result else []
        for status, error in errors:
            assert set(error) == {"error", "message", "details"}
            assert CODES[error["error"]] == status < 500

    return send


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(method=methods, path=paths, headers=headers, body=bodies)
def test_anything_at_all_gets_a_sensible_answer(send, method, path, headers, body):
    send(method, path, headers, body)


@settings(max_examples=300, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(key=st.text(max_size=20).map(planted), body=bodies)
def test_any_body_of_a_known_caller_gets_a_sensible_answer(send, key, body):
    headers = {"x-api-key": KEY, "idempotency-key": key, "content-type": "application/json"}
    send("POST", "/api/v1/events", headers, body)


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(body=batched() | bodies)
def test_any_batch_of_a_known_caller_gets_a_sensible_answer(send, body):
    headers = {"x-api-key": KEY, "content-type": "application/json"}
    send("POST", BATCH.path, headers, body)

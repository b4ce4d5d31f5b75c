"""Requests that schemathesis makes up from the OpenAPI document, against the served app.

What it makes up gets a canary, wherever that keeps a good request good and a bad one bad.
"""

from __future__ import annotations

import logging
import os

import pytest
from hypothesis import HealthCheck, assume, settings
from jsonschema import Draft202012Validator

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_http import AsgiApp, Endpoint, KnownKeys
from segmentflow_http.access import log_answered
from segmentflow_http.routes import BATCH
from segmentflow_memory import MemoryStorage

# It asks for newer libraries than the oldest ones that this project's other tests run on.
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis: NOT TESTED")

KEY = "k" * 43
CANARY = "canary-4111111111111111"
REQUESTS = int(os.environ.get("SCHEMATHESIS_REQUESTS", "1000"))

# No schema can say that an external id must be known: here a new one is as good.
tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, create_without_email=True)
app = AsgiApp(Endpoint(tracker, KnownKeys([KEY])), on_answered=log_answered)
schema = schemathesis.openapi.from_asgi("/openapi.json", app)
OF_EACH = REQUESTS // sum(1 for _ in schema.get_all_operations())
event_schema = Draft202012Validator(
    {**schema.raw_schema, "$ref": "#/components/schemas/BatchedEvent"}
)
rejection = schemathesis.specs.openapi.checks.negative_data_rejection


def integers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in integers(item)]
    return [value] if isinstance(value, int) else []


def named(text):
    """Give what a name may be with the canary; text too short or too long to be one stays."""
    if isinstance(text, str) and not 0 < len(text) < 200:
        return text
    return planted(text)


def planted(value):
    if isinstance(value, str):
        return value + CANARY
    if isinstance(value, dict):
        return {name: planted(item) for name, item in value.items()}
    if isinstance(value, list):
        return [planted(item) for item in value]
    return value


def planted_request(body):
    """Give a body with the canary in its names, its data and its Profile's Properties."""
    if not isinstance(body, dict):
        return planted(body)
    if isinstance(body.get("events"), list):
        return {**body, "events": [planted_request(event) for event in body["events"]]}
    known = {"event": named, "referenceId": named, "data": planted, "profile": planted_profile}
    known["idempotencyKey"] = named
    return {name: known.get(name, unchanged)(value) for name, value in body.items()}


def planted_profile(profile):
    if not isinstance(profile, dict):
        return planted(profile)
    known = {"externalId": named, "properties": planted}
    return {name: known.get(name, unchanged)(value) for name, value in profile.items()}


def unchanged(value):
    return value


@schema.parametrize()
@settings(
    max_examples=OF_EACH,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_app_keeps_to_its_document(case, caplog):
    # No schema can say which integers are too large: to it, 1e300 is one as well.
    assume(all(-(2**63) <= number < 2**64 for number in integers(case.body)))
    caplog.set_level(logging.DEBUG)
    case.body = planted_request(case.body)
    for name, value in (case.headers or {}).items():
        case.headers[name] = named(value)
    # What is wrong with one event of a batch is in its result, and no status says so.
    batched = case.path == BATCH.path
    response = case.call_and_validate(
        headers={"x-api-key": KEY}, excluded_checks=[rejection] if batched else None
    )
    if batched and response.status_code == 200:
        for event, result in zip(case.body["events"], response.json()["results"], strict=True):
            assert result["status"] != 202 or event_schema.is_valid(event)
    shown = f"{response.headers} {response.text} {caplog.text}"
    caplog.clear()
    assert CANARY not in shown

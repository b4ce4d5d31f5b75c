"""Requests that schemathesis makes up from the OpenAPI document, against the served app."""

from __future__ import annotations

import os

import pytest
from hypothesis import HealthCheck, assume, settings

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_http import AsgiApp, Endpoint, KnownKeys
from segmentflow_memory import MemoryStorage

# It asks for newer libraries than the oldest ones that this project's other tests run on.
schemathesis = pytest.importorskip("schemathesis", reason="schemathesis: NOT TESTED")

KEY = "k" * 43
REQUESTS = int(os.environ.get("SCHEMATHESIS_REQUESTS", "100"))

# No schema can say that an external id must be known: here a new one is as good.
tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, create_without_email=True)
app = AsgiApp(Endpoint(tracker, KnownKeys([KEY])))
schema = schemathesis.openapi.from_asgi("/openapi.json", app)


def integers(value):
    if isinstance(value, dict):
        value = list(value.values())
    if isinstance(value, list):
        return [number for item in value for number in integers(item)]
    return [value] if isinstance(value, int) else []


@schema.parametrize()
@settings(
    max_examples=REQUESTS,
    deadline=None,
    suppress_health_check=list(HealthCheck),
)
def test_the_app_keeps_to_its_document(case):
    # No schema can say which integers are too large: to it, 1e300 is one as well.
    assume(all(-(2**63) <= number < 2**64 for number in integers(case.body)))
    case.call_and_validate(headers={"x-api-key": KEY})

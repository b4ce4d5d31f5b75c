"""Both colours of the endpoint, called the same way, and a key that works."""

from __future__ import annotations

import asyncio
import json

import pytest

from segmentflow_core import ApiKeys, AsyncApiKeys, AsyncTracker, Tracker
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    FixedClock,
)
from segmentflow_http import (
    ApiKeyAuthenticator,
    AsyncApiKeyAuthenticator,
    AsyncEndpoint,
    Endpoint,
)
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def tracker(storage, clock):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)


@pytest.fixture
def api_keys(storage, clock):
    return ApiKeys(storage, clock=clock)


@pytest.fixture
def secret(api_keys):
    return api_keys.create(["events:write"]).secret


@pytest.fixture
def endpoint(tracker, api_keys):
    return Endpoint(tracker, ApiKeyAuthenticator(api_keys))


@pytest.fixture
def async_endpoint(storage, clock):
    shared = AsyncMemoryStorage(storage)
    return AsyncEndpoint(
        AsyncTracker(shared, fingerprint_key=FINGERPRINT_SECRET, clock=clock),
        AsyncApiKeyAuthenticator(AsyncApiKeys(shared, clock=clock)),
    )


@pytest.fixture(params=["sync", "async"])
def call(request, endpoint, async_endpoint):
    """Call the endpoint in either colour: (method, path, headers, body)."""
    if request.param == "sync":
        return endpoint
    return lambda *message: asyncio.run(async_endpoint(*message))


@pytest.fixture
def headers(secret):
    return {
        "x-api-key": secret,
        "idempotency-key": DOCUMENTED_KEY,
        "content-type": "application/json",
        "x-request-id": "r-1",
    }


@pytest.fixture
def post(call, headers):
    """Post an event; keyword arguments change headers, and None leaves one out."""

    def post(body=DOCUMENTED_REQUEST, **changed):
        given = {**headers, **{name.replace("_", "-"): value for name, value in changed.items()}}
        sent = {name: value for name, value in given.items() if value is not None}
        raw = body if isinstance(body, bytes) else json.dumps(body).encode()
        return call("POST", "/api/v1/events", sent, raw)

    return post

"""What belongs to the other colour is refused, by an error that names the right class."""

from __future__ import annotations

import asyncio
import functools
import json

import httpx
import pytest

from segmentflow_core import ApiKeys, AsyncApiKeys, AsyncTracker, Tracker
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET
from segmentflow_http import (
    ApiKeyAuthenticator,
    AsyncApiKeyAuthenticator,
    AsyncEndpoint,
    Caller,
    Endpoint,
    KnownKeys,
    WsgiApp,
)
from segmentflow_http.client import AsyncClient, Client
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage

URL = "http://events.test"
KNOWN = KnownKeys(["k" * 32])


def a_tracker():
    return Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)


def an_async_tracker():
    return AsyncTracker(AsyncMemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)


class Waiting:
    """Knows callers only after a turn of the event loop."""

    async def authenticate(self, headers, scope):
        await asyncio.sleep(0)
        return Caller("default")


class Called:
    """Has an object in place of the method."""

    def __init__(self):
        self.authenticate = functools.partial(Waiting().authenticate)


class Handing:
    """Hands on what has to be awaited, from a plain `def`."""

    def authenticate(self, headers, scope):
        return Waiting().authenticate(headers, scope)


@pytest.mark.parametrize(
    ("make", "right"),
    [
        (lambda: Endpoint(an_async_tracker(), KNOWN), "AsyncEndpoint"),
        (lambda: Endpoint(a_tracker(), Waiting()), "AsyncEndpoint"),
        (lambda: Endpoint(a_tracker(), Called()), "AsyncEndpoint"),
        (lambda: AsyncEndpoint(a_tracker(), KNOWN), "Endpoint"),
        (lambda: WsgiApp(AsyncEndpoint(an_async_tracker(), KNOWN)), "AsgiApp"),
        (
            lambda: ApiKeyAuthenticator(AsyncApiKeys(AsyncMemoryStorage())),
            "AsyncApiKeyAuthenticator",
        ),
        (lambda: AsyncApiKeyAuthenticator(ApiKeys(MemoryStorage())), "ApiKeyAuthenticator"),
        (lambda: Client(URL, "sk_test_x", http=httpx.AsyncClient()), "AsyncClient"),
        (lambda: AsyncClient(URL, "sk_test_x", http=httpx.Client()), "Client"),
    ],
)
def test_the_other_colour_is_refused_when_it_is_given(make, right):
    with pytest.raises(ConfigurationError) as refused:
        make()
    assert refused.value.message.endswith((f" a {right}.", f" an {right}."))


def post_to(endpoint):
    headers = {"idempotency-key": "1", "content-type": "application/json"}
    return endpoint("POST", "/api/v1/events", headers, json.dumps(DOCUMENTED_REQUEST).encode())


def test_an_endpoint_that_meets_something_to_await_answers_500_and_logs_what_it_needs(caplog):
    endpoint = Endpoint(a_tracker(), Handing())
    for response in (post_to(endpoint), endpoint.refuse_caller("POST", "/api/v1/events", {})):
        assert (response.status, response.code) == (500, "internal_error")
    assert "An asynchronous authenticator needs an AsyncEndpoint." in caplog.text


@pytest.mark.parametrize("authenticator", [Waiting(), Handing()])
def test_an_async_endpoint_awaits_whatever_an_authenticator_gives(authenticator):
    assert asyncio.run(post_to(AsyncEndpoint(an_async_tracker(), authenticator))).status == 202

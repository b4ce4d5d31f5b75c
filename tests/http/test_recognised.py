"""API Keys that are remembered for a moment: for how long, how many, and as what."""

from __future__ import annotations

import asyncio
import hashlib

import pytest

from segmentflow_core import ApiKeys, AsyncApiKeys
from segmentflow_core.errors import (
    ConfigurationError,
    InsufficientScope,
    StorageUnavailable,
    Unauthorized,
)
from segmentflow_http import ApiKeyAuthenticator, AsyncApiKeyAuthenticator, Caller
from segmentflow_http.recognised import RecognisedKeys
from segmentflow_memory import AsyncMemoryStorage


class Asked:
    """API Keys in either colour, the scopes that they were asked for, and a clock."""

    def __init__(self, api_keys, *, awaited):
        self.api_keys, self.awaited = api_keys, awaited
        self.scopes, self.seconds, self.failure = [], 0.0, None

    def authenticate(self, secret, scope):
        self.scopes.append(scope)
        if self.failure is not None:
            raise self.failure
        return self.api_keys.authenticate(secret, scope)


@pytest.fixture(params=["sync", "async"])
def asked(request, storage, clock, api_keys):
    if request.param == "sync":
        return Asked(api_keys, awaited=False)
    return Asked(AsyncApiKeys(AsyncMemoryStorage(storage), clock=clock), awaited=True)


@pytest.fixture
def authenticate(asked):
    kind = AsyncApiKeyAuthenticator if asked.awaited else ApiKeyAuthenticator
    authenticator = kind(asked, remember=5, clock=lambda: asked.seconds)

    def authenticate(secret, scope="events:write"):
        found = authenticator.authenticate({"x-api-key": secret}, scope)
        return asyncio.run(found) if asked.awaited else found

    return authenticate


def test_a_key_is_asked_for_once_in_half_of_five_seconds(asked, authenticate, api_keys):
    created = api_keys.create(["events:write"], organization_id="acme")
    for asked.seconds in (0.0, 1.0, 2.4, 2.5, 4.9, 5.0, 20.0):
        caller = authenticate(created.secret)
        key_id = created.api_key.key_id
        assert caller == Caller("acme", f"API Key {key_id}", key_id)
    assert len(asked.scopes) == 4  # at 0, 2.5, 5 and 20


def test_a_revoked_key_is_refused_after_five_seconds_at_most(asked, authenticate, api_keys):
    created = api_keys.create(["events:write"])
    authenticate(created.secret)
    api_keys.revoke(created.api_key.key_id)
    asked.seconds = 2.4
    authenticate(created.secret)
    for asked.seconds in (2.5, 2.5, 5.0):
        with pytest.raises(Unauthorized):
            authenticate(created.secret)


def test_each_scope_is_a_question_of_its_own(asked, authenticate, api_keys):
    secret = api_keys.create(["events:write"]).secret
    authenticate(secret)
    for _ in range(2):
        with pytest.raises(InsufficientScope):
            authenticate(secret, "profiles:erase")
    authenticate(secret)
    assert asked.scopes == ["events:write", "profiles:erase", "profiles:erase"]


def test_a_refused_key_is_not_remembered(asked, authenticate, api_keys):
    secret = api_keys.create(["events:write"]).secret
    authenticate(secret)
    for number in range(20):
        with pytest.raises(Unauthorized):
            authenticate(f"sk_live_{number:043}")
    authenticate(secret)
    assert len(asked.scopes) == 21
    made = api_keys.create(["events:write"])  # one that an unknown key could not be yet
    authenticate(made.secret)


def test_the_use_of_a_remembered_key_is_noted_within_the_hour(asked, authenticate, api_keys, clock):
    secret = api_keys.create(["events:write"]).secret
    authenticate(secret)
    first = clock.now()
    clock.advance(hours=1)
    authenticate(secret)  # known for a moment still
    assert api_keys.list()[0].last_used_at == first
    asked.seconds = 2.5
    authenticate(secret)
    assert api_keys.list()[0].last_used_at == clock.now()


def test_a_store_that_fails_makes_no_key_known(asked, authenticate, api_keys):
    secret = api_keys.create(["events:write"]).secret
    authenticate(secret)
    asked.failure, asked.seconds = StorageUnavailable(), 2.5
    with pytest.raises(StorageUnavailable):
        authenticate(secret)


def test_one_caller_asks_again_while_the_others_go_on():
    recognised = RecognisedKeys(5.0, clock=lambda: seconds)
    answers = []

    async def ask(value, gate=None):
        if gate is not None:
            await gate.wait()
        answers.append(value)
        return value

    async def main():
        nonlocal seconds
        assert await recognised.get("key", "a", lambda: ask("first")) == "first"
        seconds, gate = 3.0, asyncio.Event()
        renewing = asyncio.create_task(recognised.get("key", "a", lambda: ask("new", gate)))
        await asyncio.sleep(0)
        assert await recognised.get("key", "a", lambda: ask("never")) == "first"
        gate.set()
        assert await renewing == "new"
        assert await recognised.get("key", "a", lambda: ask("never")) == "new"

    seconds = 0.0
    asyncio.run(main())
    assert answers == ["first", "new"]


def test_what_is_kept_is_bounded_and_is_no_key():
    recognised = RecognisedKeys(5.0, clock=lambda: 0.0, most=2)
    asked = []

    async def get(secret):
        async def find():
            asked.append(secret)
            return secret.upper()

        return await recognised.get(secret, "a", find)

    for secret in ("k1", "k2", "k3", "k3", "k2", "k1"):
        assert asyncio.run(get(secret)) == secret.upper()
    assert asked == ["k1", "k2", "k3", "k1"]
    kept = [name for name, _ in recognised._found]
    assert kept == [hashlib.sha256(secret.encode()).digest() for secret in ("k3", "k1")]


@pytest.mark.parametrize("seconds", [-1, 5.1, True, "5", None, float("nan")])
def test_more_than_five_seconds_is_no_setting(api_keys, storage, seconds):
    with pytest.raises(ConfigurationError, match="remember"):
        ApiKeyAuthenticator(api_keys, remember=seconds)
    with pytest.raises(ConfigurationError, match="remember"):
        AsyncApiKeyAuthenticator(AsyncApiKeys(AsyncMemoryStorage(storage)), remember=seconds)


def test_nothing_is_remembered_unless_asked_for(storage):
    keys = Asked(ApiKeys(storage), awaited=False)
    secret = keys.api_keys.create(["events:write"]).secret
    for _ in range(2):
        ApiKeyAuthenticator(keys).authenticate({"x-api-key": secret}, "events:write")
    assert len(keys.scopes) == 2

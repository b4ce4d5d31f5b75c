"""The contract of an adapter that keeps API Keys, as tests.

An author subclasses `ApiKeyContract` beside `StorageContract` and gives the same fixtures.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest

from segmentflow_core import ApiKeys, AsyncApiKeys
from segmentflow_core.errors import InsufficientScope, InvalidRequest, NotFound, Unauthorized
from segmentflow_core.testing.builders import FixedClock
from segmentflow_core.testing.callers import Blocking, is_asynchronous
from segmentflow_core.testing.contract.api_key_values import ApiKeyValueContract
from segmentflow_core.testing.contract.given import Given
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault, InjectedInterrupt

__all__ = ["ApiKeyContract"]

_WRITE = ("events:write",)


class ApiKeyContract(ApiKeyValueContract, Given):
    """Every promise about API Keys, one test each."""

    @pytest.fixture
    def new_api_keys(
        self, storage: Any, clock: FixedClock, request: pytest.FixtureRequest
    ) -> Callable[..., Any]:
        """Give a function that makes the facade, on the test's store unless told otherwise."""

        def make(over: Any = storage) -> Any:
            if is_asynchronous(storage):
                run_async = request.getfixturevalue("run_async")
                return Blocking(AsyncApiKeys(over, clock=clock), run_async)
            return ApiKeys(over, clock=clock)

        return make

    @pytest.fixture
    def api_keys(self, new_api_keys: Callable[..., Any]) -> Any:
        """Give the facade on the test's store."""
        return new_api_keys()

    def test_the_bearer_of_a_key_acts_for_its_organization(self, api_keys: Any) -> None:
        api_keys.create(_WRITE, organization_id="other")
        created = api_keys.create(_WRITE, label="shop", organization_id="acme")
        found = api_keys.authenticate(created.secret, "events:write")
        assert (found.key_id, found.organization_id) == (created.api_key.key_id, "acme")
        assert (found.label, found.scopes, found.test) == ("shop", _WRITE, False)

    def test_every_key_is_another_and_says_whether_it_is_for_tests(self, api_keys: Any) -> None:
        live, test = api_keys.create(_WRITE), api_keys.create(_WRITE, test=True)
        assert live.secret.startswith("sk_live_")
        assert test.secret.startswith("sk_test_")
        assert live.secret[8:] != test.secret[8:]
        assert [key.test for key in api_keys.list()] == [True, False]

    @pytest.mark.parametrize(
        "secret",
        [None, "", "sk_live_", "sk_live_" + "A" * 43, "sk_live_" + "A" * 44, "sk_live_" + "é" * 43],
    )
    def test_what_is_no_key_is_refused(self, api_keys: Any, secret: str | None) -> None:
        api_keys.create(_WRITE)
        with pytest.raises(Unauthorized) as refusal:
            api_keys.authenticate(secret, "events:write")
        assert refusal.value.envelope() == Unauthorized().envelope()

    def test_a_write_key_is_sent_to_the_ingest_api(self, api_keys: Any) -> None:
        with pytest.raises(Unauthorized, match="Ingest API"):
            api_keys.authenticate("wk_public", "events:write")

    def test_a_key_with_one_letter_changed_is_refused(self, api_keys: Any) -> None:
        secret = api_keys.create(_WRITE).secret
        changed = secret[:-2] + ("A" if secret[-2] != "A" else "B") + secret[-1]
        with pytest.raises(Unauthorized):
            api_keys.authenticate(changed, "events:write")

    def test_a_revoked_key_is_refused_like_an_unknown_one(
        self, api_keys: Any, clock: FixedClock
    ) -> None:
        created = api_keys.create(_WRITE)
        revoked = api_keys.revoke(created.api_key.key_id)
        with pytest.raises(Unauthorized) as refusal:
            api_keys.authenticate(created.secret, "events:write")
        assert refusal.value.envelope() == Unauthorized().envelope()
        assert revoked.revoked_at == clock.now()

    def test_revoking_twice_keeps_the_first_time(self, api_keys: Any, clock: FixedClock) -> None:
        key_id = api_keys.create(_WRITE).api_key.key_id
        first = api_keys.revoke(key_id)
        clock.advance(days=1)
        assert api_keys.revoke(key_id) == first
        assert api_keys.list() == [first]

    def test_a_scope_that_a_key_lacks_is_named(self, api_keys: Any) -> None:
        secret = api_keys.create(_WRITE).secret
        with pytest.raises(InsufficientScope) as refusal:
            api_keys.authenticate(secret, "journeys:write")
        assert refusal.value.details == {"required": ["journeys:write"]}

    def test_use_is_written_down_once_an_hour(self, api_keys: Any, clock: FixedClock) -> None:
        secret = api_keys.create(_WRITE).secret
        assert api_keys.list()[0].last_used_at is None
        first = clock.now()
        for minutes in (0, 30, 29):
            clock.advance(minutes=minutes)
            api_keys.authenticate(secret, "events:write")
            assert api_keys.list()[0].last_used_at == first
        clock.advance(minutes=1)
        api_keys.authenticate(secret, "events:write")
        assert api_keys.list()[0].last_used_at == first + timedelta(hours=1)

    def test_an_older_use_does_not_replace_a_later_one(
        self, new_api_keys: Callable[..., Any], clock: FixedClock
    ) -> None:
        secret = new_api_keys().create(_WRITE).secret
        new_api_keys().authenticate(secret, "events:write")
        first = clock.now()
        clock.advance(minutes=-90)
        new_api_keys().authenticate(secret, "events:write")
        assert new_api_keys().list()[0].last_used_at == first

    def test_organizations_see_and_revoke_their_own_keys_only(self, api_keys: Any) -> None:
        created = api_keys.create(_WRITE, organization_id="a")
        assert not api_keys.list(organization_id="b")
        with pytest.raises(NotFound):
            api_keys.revoke(created.api_key.key_id, organization_id="b")
        assert api_keys.authenticate(created.secret, "events:write").organization_id == "a"

    @pytest.mark.parametrize("key_id", ["nothing", "", "019bf964-302b-7a7f-add2-589343ef9f32"])
    def test_an_id_that_no_key_has_is_not_found(self, api_keys: Any, key_id: str) -> None:
        with pytest.raises(NotFound):
            api_keys.revoke(key_id)

    def test_keys_are_listed_newest_first_without_their_secret(self, api_keys: Any) -> None:
        created = [api_keys.create(_WRITE, label=str(number)) for number in range(3)]
        listed = api_keys.list()
        assert [key.label for key in listed] == ["2", "1", "0"]
        assert not any(item.secret in repr(listed) for item in created)

    def test_a_key_that_asks_for_nothing_or_the_unknown_is_not_made(self, api_keys: Any) -> None:
        with pytest.raises(InvalidRequest) as refusal:
            api_keys.create(("events:write", "canary"), label="\n")
        assert [v.path for v in refusal.value.violations] == ["/scopes/1", "/label"]
        assert "canary" not in str(refusal.value.envelope())
        with pytest.raises(InvalidRequest):
            api_keys.create(())
        assert not api_keys.list()

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    def test_a_failed_creation_leaves_no_key(
        self, storage: Any, new_api_keys: Callable[..., Any], after: bool
    ) -> None:
        faulty = new_api_keys(FaultyStorage(storage, 0, after=after))
        with pytest.raises(InjectedFault):
            faulty.create(_WRITE)
        assert not new_api_keys().list()

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("fault", [InjectedFault, InjectedInterrupt])
    def test_a_failed_revocation_leaves_the_key_as_it_was(
        self,
        storage: Any,
        new_api_keys: Callable[..., Any],
        clock: FixedClock,
        after: bool,
        fault: type[BaseException],
    ) -> None:
        """Whichever call fails; so does a failed note of its use."""
        api_keys = new_api_keys()
        created = api_keys.create(_WRITE)
        clock.advance(days=1)
        for method, argument in (
            ("authenticate", created.secret),
            ("revoke", created.api_key.key_id),
        ):
            before, fail_at = api_keys.list(), 0
            asked = (argument, *_WRITE) if method == "authenticate" else (argument,)
            while True:
                faulty = new_api_keys(FaultyStorage(storage, fail_at, after=after, fault=fault))
                try:
                    getattr(faulty, method)(*asked)
                except fault:
                    assert api_keys.list() == before
                    fail_at += 1
                    continue
                break
            assert fail_at >= 2
            assert api_keys.list() != before

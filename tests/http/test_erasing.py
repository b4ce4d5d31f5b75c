"""Erasing a person over HTTP."""

from __future__ import annotations

import asyncio

import pytest
from jsonschema import Draft202012Validator

from http_calls import said
from segmentflow_core import AsyncApiKeys, Limits
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    a_journey,
    a_request,
)
from segmentflow_http import (
    ApiKeyAuthenticator,
    AsyncApiKeyAuthenticator,
    Endpoint,
    KnownKeys,
    openapi_document,
)
from segmentflow_http.erasing import AT_MOST
from segmentflow_memory import AsyncMemoryStorage

NOBODY = "019bf964-302b-7000-8000-00000000dead"
OPERATION = openapi_document(Limits())["paths"]["/api/v1/profiles/{profileId}"]["delete"]
SCHEMA = {
    "$ref": "#/components/schemas/Erasure",
    "components": openapi_document(Limits())["components"],
}


@pytest.fixture
def profile_id(tracker):
    """Track the documented event, with a Journey that enrols."""
    tracker.journeys.publish([a_journey()])
    return tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY).profile_id


@pytest.fixture
def eraser(api_keys):
    return api_keys.create(["profiles:erase"])


@pytest.fixture
def delete(call, eraser):
    """Send DELETE with a key that may erase."""

    def delete(profile_id, query="", secret=eraser.secret):
        path = f"/api/v1/profiles/{profile_id}{query}"
        return call("DELETE", path, {"x-api-key": secret}, b"")

    return delete


def test_a_person_is_erased_and_again_changes_nothing(delete, tracker, profile_id, eraser):
    response = delete(profile_id)
    done = {"profileId": profile_id, "withdrawn": 1, "blocked": 0, "scrubbed": 2, "done": True}
    assert (response.status, said(response)) == (200, done)
    Draft202012Validator(SCHEMA).validate(said(response))
    assert tracker.records.profile(profile_id).scrubbed_at is not None
    again = delete(profile_id)
    nothing = {"withdrawn": 0, "blocked": 0, "scrubbed": 0}
    assert (again.status, said(again)) == (200, done | nothing)
    by = {record.by for record in tracker.records.audit() if record.subjects == (profile_id,)}
    assert by == {f"API Key {eraser.api_key.key_id}"}


@pytest.mark.parametrize(("query", "blocked"), [("?block=true", 2), ("?block=false", 0), ("", 0)])
def test_identities_are_blocked_where_the_query_says_so(delete, post, profile_id, query, blocked):
    assert said(delete(profile_id, query))["blocked"] == blocked
    refused = post(idempotency_key="another")
    if blocked:
        assert (refused.status, said(refused)["error"]) == (422, "identity_blocked")
        assert refused.headers["x-should-retry"] == "false"
        assert b"alex@example.com" not in refused.body
    else:
        assert refused.status == 202
        assert said(refused)["profileId"] != profile_id
    assert post().headers["idempotent-replayed"] == "true"


def test_one_request_scrubs_so_much_and_a_repeat_goes_on(delete, tracker, profile_id):
    # Of each event the record itself, its key and what it entered are scrubbed.
    request = a_request(profile={"email": "alex@example.com"}, data={"n": 1}, referenceId="r")
    calls = [(request, f"key {number}") for number in range(AT_MOST // 2)]
    tracker.track_many(calls)
    first = delete(profile_id)
    assert (first.status, said(first)["done"], said(first)["scrubbed"]) == (202, False, AT_MOST)
    Draft202012Validator(SCHEMA).validate(said(first))
    second = delete(profile_id)
    assert (second.status, said(second)["done"], said(second)["scrubbed"]) == (200, True, 2)


def test_the_one_that_stayed_is_erased_by_the_id_of_the_one_that_went(delete, tracker, profile_id):
    goes = tracker.track(a_request(profile={"email": "b@example.com"}), "b").profile_id
    tracker.people.merge(profile_id, goes)
    assert said(delete(goes))["profileId"] == profile_id
    assert tracker.records.profile(profile_id).erased_at is not None


@pytest.mark.parametrize(
    ("query", "fault"),
    [
        ("?block=canary", "/query/block"),
        ("?block=", "/query/block"),
        ("?block=True", "/query/block"),
        ("?block=true&block=true", "/query/block"),
        ("?canary=1", "/query"),
    ],
)
def test_a_query_that_breaks_a_rule_erases_nobody(delete, tracker, profile_id, query, fault):
    response = delete(profile_id, query)
    assert response.status == 400
    assert [each["path"] for each in said(response)["details"]["violations"]] == [fault]
    assert b"canary" not in response.body
    assert tracker.records.profile(profile_id).erased_at is None


@pytest.mark.parametrize("who", [NOBODY, "cus_123", "alex@example.com", "x"])
def test_only_the_id_of_a_profile_names_it(delete, tracker, profile_id, who):
    assert delete(who).status == 404
    assert tracker.records.profile(profile_id).erased_at is None


def test_an_external_id_that_looks_like_an_id_names_nobody(delete, tracker):
    who = {"email": "b@example.com", "externalId": NOBODY}
    tracker.track(a_request(profile=who), "b")
    assert delete(NOBODY).status == 404


def test_only_a_key_with_the_scope_erases(delete, api_keys, tracker, profile_id):
    for scopes in (["events:write"], ["profiles:read", "events:read"]):
        refused = delete(profile_id, secret=api_keys.create(scopes).secret)
        assert (refused.status, said(refused)["details"]) == (403, {"required": ["profiles:erase"]})
    other = api_keys.create(["profiles:erase"], organization_id="acme").secret
    assert delete(profile_id, secret=other).status == 404
    assert delete(profile_id, secret="").status == 401
    assert tracker.records.profile(profile_id).erased_at is None


def test_configured_keys_erase_only_where_they_are_told_to(tracker, profile_id):
    path, given = f"/api/v1/profiles/{profile_id}", {"x-api-key": "k" * 32}
    assert Endpoint(tracker, KnownKeys(["k" * 32]))("DELETE", path, given, b"").status == 403
    erasing = Endpoint(tracker, KnownKeys(["k" * 32], scopes=["profiles:erase"]))
    assert erasing("DELETE", path, given, b"").status == 200
    assert [record.by for record in tracker.records.audit()][:1] == [None]


def test_a_storage_that_keeps_no_people_says_nothing_of_it_to_callers(
    delete, storage, profile_id, caplog
):
    vars(storage._transaction).pop("people")
    assert delete(profile_id).status == 500


def test_the_document_has_both_answers_with_an_example():
    for status in ("200", "202"):
        content = OPERATION["responses"][status]["content"]["application/json"]
        assert content["schema"] == {"$ref": SCHEMA["$ref"]}
        Draft202012Validator(SCHEMA).validate(content["example"])
        assert content["example"]["done"] is (status == "200")
    (path, block) = OPERATION["parameters"]
    assert (path["name"], path["in"], block["name"], block["in"]) == (
        "profileId",
        "path",
        "block",
        "query",
    )
    assert block["schema"] == {"type": "boolean", "default": False}


def test_a_caller_says_who_it_is_for_the_record(storage, api_keys):
    created = api_keys.create(["profiles:erase"])
    given = {"x-api-key": created.secret}
    caller = ApiKeyAuthenticator(api_keys).authenticate(given, "profiles:erase")
    assert caller.by == f"API Key {created.api_key.key_id}"
    shared = AsyncApiKeyAuthenticator(AsyncApiKeys(AsyncMemoryStorage(storage)))
    assert asyncio.run(shared.authenticate(given, "profiles:erase")) == caller

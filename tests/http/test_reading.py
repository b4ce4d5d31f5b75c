"""Reading over HTTP: who a person is, and what became of her events."""

from __future__ import annotations

import json
import logging

import pytest
from jsonschema import Draft202012Validator

from http_calls import said
from segmentflow_core import Limits
from segmentflow_core.testing import DOCUMENTED_KEY, DOCUMENTED_REQUEST, a_journey, a_request
from segmentflow_core.wire import (
    event_document,
    explained_document,
    profile_document,
    story_document,
)
from segmentflow_http import KnownKeys, WsgiApp, openapi_document
from segmentflow_http.openapi_reading import ANSWERS
from segmentflow_http.reading import MAX_PAGE_BYTES
from segmentflow_http.routes import READING, shown_path

NOBODY = "019bf964-302b-7000-8000-00000000dead"
DOCUMENT = openapi_document(Limits())


@pytest.fixture
def receipt(tracker):
    """Track the documented event, with a Journey that enrols and one that skips."""
    where = {"path": "/event/total", "op": "gte", "value": 100}
    trigger = {"event": "order.created", "where": where}
    tracker.journeys.publish([a_journey(), a_journey("large", trigger=trigger)])
    return tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)


@pytest.fixture
def reader(api_keys):
    return api_keys.create(["events:read", "profiles:read"]).secret


@pytest.fixture
def get(call, reader):
    """Get a path with a key that may read."""

    def get(path, method="GET", secret=reader):
        return call(method, path, {"x-api-key": secret}, b"")

    return get


def paths(receipt):
    event, profile = receipt.event_id, receipt.profile_id
    return {
        "getEvent": f"/api/v1/events/{event}",
        "explainEvent": f"/api/v1/events/{event}/explanation",
        "findProfile": "/api/v1/profiles?email=alex@example.com",
        "getProfile": f"/api/v1/profiles/{profile}",
        "getStory": f"/api/v1/profiles/{profile}/events",
    }


def test_each_route_answers_with_the_documents_that_the_library_writes(get, tracker, receipt):
    records = tracker.records
    story = story_document(records.why(receipt.profile_id))
    profile = profile_document(records.profile(receipt.profile_id))
    expected = {
        "getEvent": event_document(records.event(receipt.event_id)),
        "explainEvent": explained_document(records.explain(receipt.event_id)),
        "findProfile": profile,
        "getProfile": profile,
        "getStory": {"events": story["events"], "before": None},
    }
    for operation, path in paths(receipt).items():
        response = get(path)
        assert (response.status, said(response)) == (200, expected[operation])
        name = ANSWERS[operation][1]
        schema = {"$ref": f"#/components/schemas/{name}", "components": DOCUMENT["components"]}
        Draft202012Validator(schema).validate(said(response))


def test_a_profile_is_found_by_either_identity(get, receipt):
    for query in ("email=ALEX@example.com", "externalId=cus_123", "email=%20alex%40example.com"):
        response = get(f"/api/v1/profiles?{query}")
        assert said(response)["profileId"] == receipt.profile_id


def test_one_journey_is_asked_about_by_the_query(get, receipt):
    where = paths(receipt)
    explained = said(get(where["explainEvent"] + "?journeyId=large"))
    assert [journey["journeyId"] for journey in explained["journeys"]] == ["large"]
    (event,) = said(get(where["getStory"] + "?journeyId=large"))["events"]
    (outcome,) = event["outcomes"]
    assert outcome["reason"] == "condition_not_met"
    assert outcome["explanation"]["where"]["found"] == 49


def test_a_story_comes_in_pages(get, tracker, receipt):
    second = tracker.track(a_request(), "2").event_id
    story = paths(receipt)["getStory"]
    page = said(get(story + "?limit=1"))
    assert ([event["eventId"] for event in page["events"]], page["before"]) == ([second], second)
    rest = said(get(f"{story}?limit=1&before={second}"))
    assert [event["eventId"] for event in rest["events"]] == [receipt.event_id]


def test_a_page_of_long_events_ends_before_it_gets_long_and_none_is_lost(get, tracker):
    text = "x" * 200_000
    long = [tracker.track(a_request(data={"x": text}), f"{n}") for n in range(12)]
    short = [tracker.track(a_request(), f"short {n}") for n in range(40)]
    story = f"/api/v1/profiles/{long[0].profile_id}/events"
    found, pages, query = [], [], "?limit=50"
    while query:
        response = get(story + query)
        page = said(response)
        found += [event["eventId"] for event in page["events"]]
        pages.append(len(response.body))
        query = page["before"] and f"?limit=50&before={page['before']}"
    assert found == [receipt.event_id for receipt in reversed(long + short)]
    assert len(pages) > 2
    assert max(pages) < MAX_PAGE_BYTES + 1000
    assert len(said(get(story + "?limit=40"))["events"]) == 40


@pytest.mark.parametrize(
    ("path", "fault"),
    [
        ("/api/v1/profiles", "/query"),
        ("/api/v1/profiles?email=a&externalId=b", "/query"),
        ("/api/v1/profiles?email=a&email=b", "/query/email"),
        ("/api/v1/profiles?secret=canary", "/query"),
        ("/api/v1/profiles?email=%ff", "/query"),
        ("/api/v1/profiles?email=a%00", "/query/email"),
        ("/api/v1/profiles?" + "email=a&" * 50, "/query"),
        (f"/api/v1/profiles/{NOBODY}?email=a", "/query"),
        (f"/api/v1/profiles/{NOBODY}/events?limit=0", "/query/limit"),
        (f"/api/v1/profiles/{NOBODY}/events?limit=101", "/query/limit"),
        (f"/api/v1/profiles/{NOBODY}/events?limit=%D9%A1", "/query/limit"),
        (f"/api/v1/profiles/{NOBODY}/events?before=canary", "/query/before"),
        (f"/api/v1/events/{NOBODY}?limit=1", "/query"),
    ],
)
def test_a_query_that_breaks_a_rule_is_refused_and_never_quoted(get, path, fault):
    response = get(path)
    assert response.status == 400
    assert [each["path"] for each in said(response)["details"]["violations"]] == [fault]
    assert b"canary" not in response.body


@pytest.mark.parametrize(
    "path",
    [
        f"/api/v1/events/{NOBODY}",
        "/api/v1/events/x",
        "/api/v1/events/",
        f"/api/v1/events/{NOBODY}/explanation",
        f"/api/v1/events/{NOBODY}/nothing",
        "/api/v1/profiles?email=nobody@example.com",
        "/api/v1/profiles?externalId=alex@example.com",
        f"/api/v1/profiles/{NOBODY}",
        "/api/v1/profiles/alex@example.com",
        f"/api/v1/profiles/{NOBODY}/events",
        "/api/v1/profiles/alex@example.com/events",
        "/api/v1/profiles/cus_123/events",
    ],
)
def test_what_is_not_there_is_not_found(get, receipt, path):
    assert get(path).status == 404


def test_a_journey_that_is_not_there_is_not_found(get, receipt):
    for operation in ("explainEvent", "getStory"):
        assert get(paths(receipt)[operation] + "?journeyId=none").status == 404


def test_another_organization_reads_nothing(get, api_keys, receipt):
    scopes = ["events:read", "profiles:read"]
    other = api_keys.create(scopes, organization_id="acme").secret
    for path in paths(receipt).values():
        assert get(path, secret=other).status == 404


@pytest.mark.parametrize("scope", ["events:write", "events:read", "profiles:read"])
def test_a_key_reads_what_its_scope_says(get, api_keys, receipt, scope):
    secret = api_keys.create([scope]).secret
    for route in READING:
        response = get(paths(receipt)[route.operation_id], secret=secret)
        assert response.status == (200 if route.scope == scope else 403)
        if route.scope != scope:
            assert said(response)["details"] == {"required": [route.scope]}


def test_nobody_reads_without_a_key(get, receipt):
    for path in paths(receipt).values():
        assert get(path, secret="").status == 401


def test_configured_keys_track_and_read_only_where_they_are_told_to(receipt, tracker):
    from segmentflow_http import Endpoint

    path = paths(receipt)["getProfile"]
    given = {"x-api-key": "k" * 32}
    assert Endpoint(tracker, KnownKeys(["k" * 32]))("GET", path, given, b"").status == 403
    reading = Endpoint(tracker, KnownKeys(["k" * 32], scopes=["profiles:read"]))
    assert reading("GET", path, given, b"").status == 200


def test_a_reading_path_has_its_methods(get, receipt):
    for operation, path in paths(receipt).items():
        methods = "GET, HEAD, OPTIONS"
        if operation == "getProfile":
            methods = f"DELETE, {methods}"
        assert get(path, "HEAD")[::2] == (200, b"")
        assert get(path, "OPTIONS").headers["allow"] == methods
        refused = get(path, "POST")
        assert (refused.status, refused.headers["allow"]) == (405, methods)


def test_a_server_that_cuts_the_query_off_gives_it_to_the_endpoint(endpoint, reader, receipt):
    answered: list[int] = []
    environ = {
        "REQUEST_METHOD": "GET",
        "PATH_INFO": "/api/v1/profiles",
        "QUERY_STRING": "externalId=cus_123",
        "HTTP_X_API_KEY": reader,
    }
    body = WsgiApp(endpoint)(environ, lambda status, _: answered.append(int(status[:3])))
    assert answered == [200]
    assert json.loads(b"".join(body))["profileId"] == receipt.profile_id


@pytest.mark.parametrize(
    ("path", "shown"),
    [
        ("/tracking/api/v1/profiles/canary/events", "/api/v1/profiles/{profileId}/events"),
        ("/api/v1/events/canary", "/api/v1/events/{eventId}"),
        ("/api/v1/events", "/api/v1/events"),
        ("/api/v1/canary", "-"),
    ],
)
def test_the_access_log_shows_the_route_and_never_the_id(path, shown):
    assert shown_path(path) == shown


def test_a_storage_that_finds_nothing_says_nothing_of_it_to_callers(get, storage, caplog):
    vars(storage._transaction).pop("finding")
    with caplog.at_level(logging.ERROR, logger="segmentflow.http"):
        response = get("/api/v1/profiles?email=alex@example.com")
    assert response.status == 500
    assert "configuration" in caplog.text.lower()

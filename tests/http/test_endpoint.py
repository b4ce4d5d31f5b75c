"""What the endpoint takes, its other routes, and that no answer shows what was sent."""

from __future__ import annotations

import json
import logging

import pytest

from http_calls import EVENTS, failing, said
from segmentflow_core import Limits, Tracker
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_http import Endpoint, KnownKeys
from segmentflow_http.messages import json_response
from segmentflow_memory import MemoryStorage

# --- accepted ------------------------------------------------------------------------


def test_the_documented_request_gets_the_documented_answer(post, tracker):
    status, headers, body = post()
    assert status == 202
    assert headers == {
        "content-type": "application/json",
        "content-length": str(len(body)),
        "cache-control": "no-store",
        "x-request-id": "r-1",
    }
    receipt = json.loads(body)
    assert list(receipt.items())[2:] == [
        ("matchedJourneys", 0),
        ("enrolledJourneys", 0),
        ("skippedJourneys", 0),
    ]
    event = tracker.records.event(receipt["eventId"])
    assert (event.profile_id, event.data["payment"]) == (
        receipt["profileId"],
        {"token": "[REDACTED]"},
    )


def test_a_replay_is_byte_identical_and_says_so(post, tracker, clock):
    tracker.journeys.publish({"journeys": [a_journey()]})
    first = post(a_request(redactedDataPaths=["/event/nothing"]))
    clock.advance(days=1)
    again = post(a_request(redactedDataPaths=["/event/nothing"]))
    assert again.body == first.body
    assert again.headers == {**first.headers, "idempotent-replayed": "true"}


def test_paths_that_name_nothing_are_counted_of_a_replay_too(post):
    request = a_request(data={"a": 1}, redactedDataPaths=["/event/b", "/event/a", "/event/c"])
    for _ in range(2):
        response = post(request)
        assert (response.status, response.headers["redaction-unmatched"]) == (202, "2")
    assert "redaction-unmatched" not in post().headers


@pytest.mark.parametrize(
    "content_type",
    [
        "application/json",
        "Application/JSON",
        "application/json;charset=utf-8",
        'application/json ; charset="UTF-8"',
        "application/json;",
    ],
)
def test_json_may_be_declared_in_every_way_that_means_utf_8(post, content_type):
    assert post(content_type=content_type).status == 202


def test_header_names_are_read_in_any_case(call, headers):
    shouted = [(name.upper().encode(), value.encode()) for name, value in headers.items()]
    body = json.dumps(DOCUMENTED_REQUEST).encode()
    assert call("POST", EVENTS, shouted, body).status == 202


def test_an_event_belongs_to_the_organization_of_the_key(call, headers, api_keys, tracker):
    other = api_keys.create(["events:write"], organization_id="acme").secret
    body = json.dumps(DOCUMENTED_REQUEST).encode()
    ours = said(call("POST", EVENTS, headers, body))
    theirs = said(call("POST", EVENTS, {**headers, "x-api-key": other}, body))
    assert ours["eventId"] != theirs["eventId"]
    assert ours["profileId"] != theirs["profileId"]
    (event,) = tracker.records.events(organization_id="acme")
    assert event.event_id == theirs["eventId"]


def test_a_query_is_ignored_and_a_prefix_belongs_to_the_path(tracker):
    endpoint = Endpoint(tracker, KnownKeys(["k" * 32]), prefix="/tracking/")
    assert endpoint("GET", "/tracking/healthz?deep=1", {}, b"").status == 200
    assert endpoint("GET", "/healthz", {}, b"").status == 404
    assert endpoint("DELETE", "/tracking/healthz", {}, b"").status == 405
    assert (
        "/tracking/api/v1/events"
        in said(endpoint("GET", "/tracking/openapi.json", {}, b""))["paths"]
    )


# --- the other routes ----------------------------------------------------------------


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
def test_health_touches_the_store(call, path):
    response = call("GET", path, {}, b"")
    assert (response.status, said(response)) == (200, {"status": "ok"})
    for error in (StorageUnavailable(), StorageUnavailable(details={"error": "SQLITE_FULL"})):
        response = failing(error)("GET", path, {}, b"")
        assert (response.status, said(response)["details"]) == (503, {})


def test_that_the_process_answers_is_said_without_asking_anybody():
    endpoint = failing(RuntimeError("asked"))
    named = {"x-request-id": "r-1"}
    response = endpoint("GET", "/livez", named, b"")
    assert (response.status, said(response)) == (200, {"status": "ok"})
    assert endpoint.refuse_early("GET", "/livez", named) == response
    assert endpoint.refuse_early("HEAD", "/livez", named) == response._replace(body=b"")
    assert endpoint.refuse_early("OPTIONS", "/livez", {}) is None
    assert endpoint.refuse_early("GET", "/healthz", {}) is None


def test_head_answers_as_get_without_the_body(call):
    for path in ("/healthz", "/readyz", "/livez", "/openapi.json"):
        named = {"x-request-id": "r-1"}
        got, head = call("GET", path, named, b""), call("HEAD", path, named, b"")
        assert head == got._replace(body=b"")
    for path in ("/nowhere", EVENTS):
        assert call("HEAD", path, {}, b"").body == b""
        assert call("HEAD", path, {}, b"").status in (404, 405)


def test_options_and_405_name_the_methods(call):
    options = call("OPTIONS", EVENTS, {}, b"")
    assert (options.status, options.headers["allow"]) == (204, "OPTIONS, POST")
    refused = call("GET", EVENTS, {}, b"")
    assert (refused.status, refused.headers["allow"]) == (405, "OPTIONS, POST")
    assert call("POST", "/healthz", {}, b"").headers["allow"] == "GET, HEAD, OPTIONS"


@pytest.mark.parametrize("path", ["", "/", "/api/v1/events/", "/API/v1/events", "//api/v1/events"])
def test_every_other_path_is_not_found(call, headers, path):
    assert call("POST", path, headers, b"{}").code == "not_found"


# --- secrets -------------------------------------------------------------------------


def test_no_answer_and_no_log_shows_what_was_sent(post, call, headers, tracker, caplog):
    caplog.set_level(logging.DEBUG)
    canary = "canary-9421"
    bodies = [
        a_request(data={"secret": canary}, redactedDataPaths=["/event/secret"]),
        a_request(event=canary, profile={"email": canary}),
        a_request(occurredAt=canary, redactedDataPaths=[canary], referenceId=[canary]),
        a_request(data=canary),
        {canary: canary} | a_request(redactedDataPaths=["/event/secret"], data={"secret": {}}),
    ]
    shown = [post(body, idempotency_key=str(n)) for n, body in enumerate(bodies)]
    shown += [post(b'{"canary-9421', idempotency_key=canary), post(x_api_key=canary)]
    shown += [post(content_type=canary), call("POST", f"/{canary}", headers, b"")]
    text = repr([(r.headers, r.body.replace(b'"path":"/canary-9421"', b"")) for r in shown])
    assert canary not in text
    assert canary not in caplog.text
    assert all(canary not in repr(event) for event in tracker.records.events())


# --- the idempotency key in quotes -----------------------------------------------------


@pytest.mark.parametrize(
    ("sent", "key"),
    [
        ('"k1"', "k1"),
        ('"a b"', "a b"),
        ('" k1 "', " k1 "),
        ('""k1""', '"k1"'),
        ('"""', '"'),
        ('"', '"'),
        ('"k1', '"k1'),
        ('k1"', 'k1"'),
        ('k"1', 'k"1'),
        ('"a\\"b"', 'a\\"b'),
        (f'"{"k" * 255}"', "k" * 255),
    ],
)
def test_one_pair_of_quotes_is_taken_off_the_idempotency_key(post, tracker, sent, key):
    receipt = said(post(idempotency_key=sent))
    assert tracker.track(DOCUMENTED_REQUEST, key).event_id == receipt["eventId"]


def test_nothing_in_quotes_is_no_key(post):
    for body in (DOCUMENTED_REQUEST, b"{"):
        response = post(body, idempotency_key='""')
        assert (response.status, response.code) == (400, "idempotency_key_required")


def test_a_quoted_key_is_held_to_the_rule_of_keys(post):
    response = post(idempotency_key=f'"{"k" * 256}"')
    assert (response.status, response.code) == (400, "invalid_request")


def test_a_placeholder_id_is_refused_unless_the_limits_allow_it():
    body = json.dumps(a_request(profile={"externalId": "undefined", "email": "a@example.com"}))
    headers = {"x-api-key": "k" * 32, "idempotency-key": "k", "content-type": "application/json"}

    def answer(**options):
        tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, **options)
        endpoint = Endpoint(tracker, KnownKeys(["k" * 32]))
        document = json.loads(endpoint("GET", "/openapi.json", {}, b"").body)
        schema = document["components"]["schemas"]["TrackRequest"]["properties"]["profile"]
        described = "not" in schema["properties"]["externalId"]
        return endpoint("POST", EVENTS, headers, body.encode()).status, described

    assert answer() == (400, True)
    assert answer(limits=Limits(allow_placeholder_ids=True)) == (202, False)


@pytest.mark.parametrize("event_id", ['a"b\\c', "é", "", "0" * 40, "AB"])
def test_an_answer_tells_its_event_whatever_ids_the_host_makes(event_id):
    answer = json_response(202, {"eventId": event_id, "profileId": "x"})
    assert answer.event_id == event_id
    assert json_response(200, {"eventId": event_id}).event_id is None
    assert json_response(202, {"done": False}).event_id is None

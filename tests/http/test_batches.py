"""`POST /api/v1/events/batch`: what it takes, what it answers, and that it shows nothing."""

from __future__ import annotations

import asyncio
import json
import logging
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from jsonschema import Draft202012Validator

from http_calls import Failing, failing, said
from segmentflow_core import AsyncApiKeys, AsyncTracker, Limits, Tracker
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    StorageRefused,
    StorageUnavailable,
)
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_http import (
    AsyncApiKeyAuthenticator,
    AsyncEndpoint,
    Endpoint,
    KnownKeys,
    openapi_document,
)
from segmentflow_http.routes import BATCH
from segmentflow_memory import AsyncMemoryStorage

KEY = "k" * 32
GIVEN = {"x-api-key": KEY, "content-type": "application/json"}


def event(key, **members):
    return {"idempotencyKey": key, **a_request(**members)}


@pytest.fixture
def post(call, secret):
    """Post a batch; keyword arguments change headers, and None leaves one out."""

    def post(*events, **changed):
        given = {**GIVEN, "x-api-key": secret}
        given |= {name.replace("_", "-"): value for name, value in changed.items()}
        sent = {name: value for name, value in given.items() if value is not None}
        raw = events[0] if events and isinstance(events[0], bytes) else None
        body = json.dumps({"events": list(events)}).encode() if raw is None else raw
        return call("POST", BATCH.path, sent, body)

    return post


def schema(name):
    document = openapi_document(Limits())
    return Draft202012Validator({**document, "$ref": f"#/components/schemas/{name}"})


def test_a_batch_may_be_tracked_in_a_thread_by_a_tracker_of_its_own(storage, tracker, secret):
    shared = AsyncMemoryStorage(storage)
    names = []

    async def in_thread(track):
        def named(given):
            names.append(threading.current_thread().name)
            return track(given)

        with ThreadPoolExecutor(1, thread_name_prefix="batches") as pool:
            return await asyncio.get_running_loop().run_in_executor(pool, named, tracker)

    endpoint = AsyncEndpoint(
        AsyncTracker(shared, fingerprint_key=FINGERPRINT_SECRET),
        AsyncApiKeyAuthenticator(AsyncApiKeys(shared)),
        in_thread=in_thread,
    )
    for body, status in (({"events": [event("1"), event("2")]}, 200), ({"events": 1}, 400)):
        given = {**GIVEN, "x-api-key": secret}
        raw = json.dumps(body).encode()
        assert asyncio.run(endpoint("POST", BATCH.path, given, raw)).status == status
    assert names == ["batches_0"] * 2
    assert len(tracker.records.events()) == 2


def test_a_long_event_is_checked_in_a_thread_and_a_short_one_where_it_came(
    storage, tracker, api_keys, secret
):
    shared = AsyncMemoryStorage(storage)
    asked = []

    def counted(name):
        async def in_thread(call):
            asked.append(name)
            return await asyncio.to_thread(call, tracker)

        return in_thread

    endpoint = AsyncEndpoint(
        AsyncTracker(shared, fingerprint_key=FINGERPRINT_SECRET),
        AsyncApiKeyAuthenticator(AsyncApiKeys(shared)),
        in_thread=counted("writes"),
        reads_in_thread=counted("reads"),
    )

    def called(key, **more):
        given = {**GIVEN, "x-api-key": secret, "idempotency-key": key}
        body = json.dumps(a_request(**more)).encode()
        return asyncio.run(endpoint("POST", "/api/v1/events", given, body))

    long = {"text": "x" * 20_000}
    told = [called("1"), called("2", data=long), called("2", data=long), called("3", other=long)]
    assert [response.status for response in told] == [202, 202, 202, 400]
    assert (told[1].body, "idempotent-replayed" in told[2].headers) == (told[2].body, True)
    keyless = said(called("", data=long, other=1))
    assert {each["path"] for each in keyless["details"]["violations"]} == {
        "/other",
        "/idempotencyKey",
    }
    assert asked == ["writes"] * 4
    reader = {"x-api-key": api_keys.create(["events:read"]).secret}
    for path, status in ((tracker.records.events()[0].event_id, 200), ("nobody", 404)):
        read = asyncio.run(endpoint("GET", f"/api/v1/events/{path}", reader, b""))
        assert read.status == status
    assert asked[4:] == ["reads"] * 2


def test_each_event_gets_its_own_result_in_order(post, tracker):
    tracker.journeys.publish({"journeys": [a_journey()]})
    response = post(
        event("1", redactedDataPaths=["/event/nothing", "/event/neither"]),
        event("2", profile={}),
        {"idempotencyKey": "3", **DOCUMENTED_REQUEST},
        event("1", redactedDataPaths=["/event/nothing", "/event/neither"]),
        event("1", event="other"),
        a_request(unknown=1),
    )
    assert (response.status, response.headers["content-type"]) == (200, "application/json")
    results = said(response)["results"]
    assert [result["status"] for result in results] == [202, 400, 202, 202, 409, 400]
    first, invalid, third, replay, conflict, keyless = results
    assert first["redactionUnmatched"] == 2
    assert replay == {**first, "idempotentReplayed": True}
    assert (first["receipt"]["matchedJourneys"], "idempotentReplayed" in first) == (1, False)
    (violation,) = invalid["error"]["details"]["violations"]
    assert (violation["path"], invalid["shouldRetry"]) == ("/events/1/profile", False)
    assert conflict["error"]["error"] == "idempotency_key_reuse"
    assert "/events/4/event" in conflict["error"]["details"]["changedPaths"]
    assert keyless["error"]["error"] == "idempotency_key_required"
    assert {v["path"] for v in keyless["error"]["details"]["violations"]} == {
        "/events/5/unknown",
        "/events/5/idempotencyKey",
    }
    recorded = {event.event_id for event in tracker.records.events()}
    assert recorded == {result["receipt"]["eventId"] for result in (first, third)}
    schema("BatchResults").validate(said(response))


def test_an_event_of_a_batch_is_the_event_that_it_is_alone(post, call, headers):
    alone = call("POST", "/api/v1/events", headers, json.dumps(DOCUMENTED_REQUEST).encode())
    key = headers["idempotency-key"]
    (result,) = said(post({"idempotencyKey": key, **DOCUMENTED_REQUEST}))["results"]
    assert result == {"status": 202, "receipt": said(alone), "idempotentReplayed": True}


def test_a_batch_may_be_empty_and_hold_a_thousand(post):
    assert said(post()) == {"results": []}
    assert len(said(post(*[{}] * 1000))["results"]) == 1000
    refused = post(*[{}] * 1001)
    assert (refused.status, refused.code) == (400, "invalid_request")
    assert said(refused)["details"]["violations"][0]["path"] == "/events"


@pytest.mark.parametrize(
    ("changed", "status", "code"),
    [
        ({"x_api_key": "wk_public"}, 401, "unauthorized"),
        ({"x_api_key": None}, 401, "unauthorized"),
        ({"content_type": "text/plain"}, 415, "unsupported_media_type"),
        ({"idempotency_key": "k"}, 400, "invalid_request"),
        ({"content_length": "99999999"}, 413, "payload_too_large"),
    ],
)
def test_a_batch_is_refused_as_a_whole_by_its_headers(post, tracker, changed, status, code):
    response = post(event("1"), **changed)
    assert (response.status, response.code) == (status, code)
    assert not tracker.records.events()


def test_it_needs_the_scope_to_write(call, api_keys):
    reader = api_keys.create(["events:read"]).secret
    response = call("POST", BATCH.path, {**GIVEN, "x-api-key": reader}, b'{"events":[]}')
    assert (response.status, said(response)["details"]) == (403, {"required": ["events:write"]})


def test_a_batch_that_cannot_be_read_is_refused_as_a_whole(post, tracker):
    good = json.dumps(event("1"))
    for text, path in (
        (f'{{"events":[{good}],"events":[{good}]}}', "/events"),
        (f'{{"events":[{good}],"dryRun":true}}', "/dryRun"),
        (f'{{"events":[{good}]', ""),
        (f"[{good}]", ""),
    ):
        response = post(text.encode())
        assert (response.status, response.code) == (400, "invalid_request")
        assert said(response)["details"]["violations"][0]["path"] == path
    assert not tracker.records.events()


def test_the_bytes_of_a_batch_and_of_each_event_are_bounded(tracker):
    endpoint = Endpoint(tracker, KnownKeys([KEY]), max_batch_bytes=2000)
    assert (endpoint.max_bytes, endpoint.max_bytes_at(BATCH.path)) == (256 * 1024, 2000)
    small = Endpoint(
        Tracker(Failing(StorageUnavailable()), fingerprint_key=FINGERPRINT_SECRET),
        KnownKeys([KEY]),
    )
    assert small.max_bytes == 1024 * 1024

    def answer(endpoint, size):
        body = json.dumps({"events": [event("1")]}).encode().ljust(size)
        return endpoint("POST", BATCH.path, GIVEN, body)

    assert answer(endpoint, 2000).status == 200
    refused = answer(endpoint, 2001)
    assert (refused.status, said(refused)["details"]) == (413, {"maxBytes": 2000})
    limited = Tracker(
        Failing(StorageUnavailable()),
        fingerprint_key=FINGERPRINT_SECRET,
        limits=Limits(max_bytes=100),
    )
    large = {"events": [event("1", data={"x": "y" * 100})]}
    body = json.dumps(large).encode()
    (result,) = said(Endpoint(limited, KnownKeys([KEY]))("POST", BATCH.path, GIVEN, body))[
        "results"
    ]
    assert (result["status"], result["error"]["details"]) == (413, {"maxBytes": 100})
    for wrong in (0, True):
        with pytest.raises(ConfigurationError):
            Endpoint(tracker, KnownKeys([KEY]), max_batch_bytes=wrong)


def test_a_store_that_fails_fails_the_batch_and_says_when_to_try_again():
    for error, status in ((StorageUnavailable("canary"), 503), (IdempotencyInProgress(), 409)):
        body = json.dumps({"events": [event("1"), event("2")]}).encode()
        response = failing(error)("POST", BATCH.path, GIVEN, body)
        assert (response.status, response.headers["x-should-retry"]) == (status, "true")
        assert "canary" not in repr(response)


@pytest.mark.parametrize("count", [1, 2, 3])
def test_what_the_store_refuses_is_the_answer_to_its_own_event_alone(caplog, count):
    body = json.dumps({"events": [event(str(number)) for number in range(count)]}).encode()
    refused = StorageRefused("canary", details={"error": "canary"})
    response = failing(refused)("POST", BATCH.path, GIVEN, body)
    assert (response.status, len(said(response)["results"])) == (200, count)
    for result in said(response)["results"]:
        assert (result["status"], result["shouldRetry"]) == (500, False)
        assert (result["error"]["error"], result["error"]["details"]) == ("internal_error", {})
    assert "StorageRefused" in caplog.text
    assert "canary" not in repr(response) + caplog.text


def test_other_methods_are_told_and_the_path_is_no_event(call):
    refused = call("GET", BATCH.path, {}, b"")
    assert (refused.status, refused.headers["allow"]) == (405, "OPTIONS, POST")
    assert call("OPTIONS", BATCH.path, {}, b"").headers["allow"] == "OPTIONS, POST"


def test_no_answer_and_no_log_shows_what_was_sent(post, tracker, caplog):
    caplog.set_level(logging.DEBUG)
    canary = "canary-9421"
    responses = [
        post(
            event("1", data={"secret": canary}, redactedDataPaths=["/event/secret"]),
            event("1", data={"secret": f"{canary}2"}, redactedDataPaths=["/event/secret"]),
            event(f"{canary}\n", event=canary, profile={"email": canary}),
            event(
                "2", data={"secret": {canary: float("nan")}}, redactedDataPaths=["/event/secret"]
            ),
            event("3", occurredAt=canary, redactedDataPaths=[canary], referenceId=[canary]),
            canary,
        ),
        post(f'{{"events":"{canary}"}}'.encode()),
        post(f'{{"events":[{{"event":"{canary}'.encode()),
        post(event("1"), x_api_key=canary),
        post(event("1"), idempotency_key=canary),
        post(event("1"), content_type=canary),
    ]
    shown = repr([(response.headers, response.body) for response in responses])
    assert canary not in shown
    assert canary not in caplog.text
    assert all(canary not in repr(event) for event in tracker.records.events())


def test_the_examples_of_the_document_are_what_is_answered(post):
    document = openapi_document(Limits(), max_batch_bytes=12_345)
    operation = document["paths"][BATCH.path]["post"]
    sent = operation["requestBody"]["content"]["application/json"]["example"]
    shown = operation["responses"]["200"]["content"]["application/json"]["example"]
    assert "12345" in document["components"]["schemas"]["Batch"]["description"]
    schema("BatchResults").validate(shown)
    assert schema("BatchedEvent").is_valid(sent["events"][0])
    assert not schema("Batch").is_valid(sent)
    results = said(post(*sent["events"]))["results"]
    for result, expected in zip(results, shown["results"], strict=True):
        assert {**result, "receipt": None} == {**expected, "receipt": None}

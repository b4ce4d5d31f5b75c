from __future__ import annotations

import asyncio
import json
import logging
import threading

import pytest

from segmentflow_core import Tracker
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET
from segmentflow_http import AsgiApp, AsyncEndpoint, Endpoint, KnownKeys
from segmentflow_http.access import log_answered
from segmentflow_http.authentication import Caller
from segmentflow_memory import MemoryStorage

EVENTS = "/api/v1/events"
BODY = json.dumps(DOCUMENTED_REQUEST).encode()


def scope(headers, method="POST", path=EVENTS, **more):
    raw = [(name.encode(), value.encode()) for name, value in headers.items()]
    return {"type": "http", "method": method, "path": path, "headers": raw, **more}


async def exchange(app, given, messages):
    """Send messages to the app; give what it sent, and the messages it did not read."""
    sent, left = [], list(messages)

    async def receive():
        return left.pop(0)

    async def send(message):
        sent.append(message)

    await app(given, receive, send)
    return sent, left


def body(*parts):
    return [
        {"type": "http.request", "body": part, "more_body": index < len(parts)}
        for index, part in enumerate(parts, 1)
    ]


@pytest.fixture(params=["sync", "async"])
def app(request, endpoint, async_endpoint):
    return AsgiApp(endpoint if request.param == "sync" else async_endpoint)


def run(app, given, messages):
    return asyncio.run(exchange(app, given, messages))


@pytest.mark.parametrize("closing", [True, False])
def test_a_server_about_to_stop_asks_for_the_connection_to_be_closed(endpoint, headers, closing):
    app = AsgiApp(endpoint, closing=lambda: closing)
    (start, _), _ = run(app, scope(headers), body(BODY))
    assert ((b"connection", b"close") in start["headers"]) is closing


@pytest.fixture
def held(async_endpoint):
    """Give an endpoint that answers POST when `go` is set, and sets `entered` before."""

    class Held(AsyncEndpoint):
        async def __call__(self, method, *request, **more):
            if method == "POST":
                self.entered.set()
                await self.go.wait()
            return await super().__call__(method, *request, **more)

    async_endpoint.__class__ = Held
    async_endpoint.entered, async_endpoint.go = asyncio.Event(), asyncio.Event()
    return async_endpoint


def test_beyond_its_bound_the_app_refuses_at_once_and_health_is_answered(held, headers):
    app = AsgiApp(held, max_requests=1)

    async def story():
        first = asyncio.create_task(exchange(app, scope(headers), body(BODY)))
        await held.entered.wait()
        refused, left = await exchange(app, scope(headers), body(BODY))
        healthy, _ = await exchange(app, scope({}, "GET", "/healthz"), body(b""))
        held.go.set()
        answered, _ = await first
        again, _ = await exchange(app, scope(headers), body(BODY))
        return refused, left, [healthy, answered, again]

    (start, sent), left, others = asyncio.run(story())
    assert [messages[0]["status"] for messages in others] == [200, 202, 202]
    assert (start["status"], json.loads(sent["body"])["error"]) == (503, "overloaded")
    assert {(b"retry-after", b"1"), (b"x-should-retry", b"true")} <= set(start["headers"])
    assert len(left) == 1  # its body was not read


def test_health_waits_for_no_thread_that_the_api_has(tracker, headers):
    entered, go = threading.Event(), threading.Event()

    class Slow:
        def authenticate(self, given, scope):
            entered.set()
            assert go.wait(60)
            return Caller("default")

    app = AsgiApp(Endpoint(tracker, Slow()), threads=1)

    async def story():
        calls = [asyncio.create_task(exchange(app, scope(headers), body(BODY))) for _ in "ab"]
        await asyncio.to_thread(entered.wait, 60)
        told = [
            await exchange(app, scope({}, "GET", path), body(b""))
            for path in ("/readyz", "/healthz", "/openapi.json", "/livez")
        ]
        go.set()
        return [sent for sent, _ in told + await asyncio.gather(*calls)]

    assert [start["status"] for start, _ in asyncio.run(story())] == [200] * 4 + [202] * 2
    app.close()


def test_requests_that_come_while_a_body_is_read_count_too(held, headers):
    app, sent = AsgiApp(held, max_requests=1), []

    async def story():
        others = []

        async def receive():
            others.append(asyncio.create_task(exchange(app, scope(headers), body(BODY))))
            await held.entered.wait()
            return body(BODY)[0]

        async def send(message):
            sent.append(message)

        await app(scope(headers), receive, send)
        held.go.set()
        return await others[0]

    (start, _), _ = asyncio.run(story())
    assert (start["status"], sent[0]["status"]) == (202, 503)


def test_a_client_that_leaves_is_not_worked_for(held, headers, tracker):
    app, sent = AsgiApp(held, max_requests=1), []

    async def story():
        messages = body(BODY)

        async def receive():
            if messages:
                return messages.pop()
            await held.entered.wait()
            return {"type": "http.disconnect"}

        async def send(message):
            sent.append(message)

        await app(scope(headers), receive, send)
        assert sent == []
        held.go.set()
        held.entered.clear()
        answered, _ = await exchange(app, scope(headers), body(BODY))
        return answered

    (start, _) = asyncio.run(story())
    assert start["status"] == 202
    assert b"idempotent-replayed" not in dict(start["headers"])
    assert len(tracker.records.events()) == 1


def test_an_app_that_is_cancelled_takes_its_answer_along(held, headers, tracker):
    app = AsgiApp(held)

    async def story():
        waiting = asyncio.Event()

        async def receive():
            if held.entered.is_set():
                await waiting.wait()
            return body(BODY)[0]

        request = asyncio.create_task(app(scope(headers), receive, None))
        await held.entered.wait()
        request.cancel()
        with pytest.raises(asyncio.CancelledError):
            await request
        held.go.set()

    asyncio.run(story())
    assert tracker.records.events() == []


def test_a_body_may_come_in_parts(app, headers):
    (start, sent), _ = run(app, scope(headers), body(BODY[:10], b"", BODY[10:]))
    assert start["status"] == 202
    assert (b"content-type", b"application/json") in start["headers"]
    assert json.loads(sent["body"])["matchedJourneys"] == 0


def test_a_body_is_read_no_further_than_the_limit(app, headers, tracker):
    part = b" " * 100_000
    (start, sent), left = run(app, scope(headers), body(*[part] * 10))
    assert (start["status"], len(left)) == (413, 7)
    assert json.loads(sent["body"])["error"] == "payload_too_large"
    assert not tracker.records.events()


def test_a_question_mark_that_was_sent_encoded_starts_no_query(app, headers, tracker):
    # A server decodes the path, and gives the query apart.
    (start, _), left = run(app, scope(headers, path=f"{EVENTS}?x"), body(BODY))
    assert (start["status"], len(left)) == (404, 1)
    (start, _), _ = run(app, scope(headers, query_string=b"x=%3F"), body(BODY))
    assert start["status"] == 202
    assert len(tracker.records.events()) == 1


def test_a_body_announced_too_large_is_not_read_at_all(app, headers):
    given = scope({**headers, "content-length": "9999999"})
    (start, _), left = run(app, given, body(BODY))
    assert (start["status"], len(left)) == (413, 1)


def test_a_client_that_leaves_before_it_is_done_is_not_answered(app, headers, tracker):
    half = {"type": "http.request", "body": BODY, "more_body": True}
    sent, _ = run(app, scope(headers), [half, {"type": "http.disconnect"}])
    assert sent == []
    assert not tracker.records.events()


def test_a_client_that_leaves_before_the_answer_is_recorded_all_the_same(app, headers, tracker):
    async def leave():
        messages = body(BODY)

        async def receive():
            return messages.pop(0)

        async def send(_message):
            raise OSError

        await app(scope(headers), receive, send)

    asyncio.run(leave())
    assert len(tracker.records.events()) == 1


def test_where_it_is_mounted_is_not_part_of_the_path(app, headers):
    given = scope(headers, path="/tracking" + EVENTS, root_path="/tracking")
    (start, _), _ = run(app, given, body(BODY))
    assert start["status"] == 202


def test_a_web_socket_is_closed_and_an_unknown_scope_left_alone(app):
    sent, _ = run(app, {"type": "websocket"}, [{"type": "websocket.connect"}])
    assert sent == [{"type": "websocket.close", "code": 1008}]
    assert run(app, {"type": "other"}, []) == ([], [])


def test_the_lifespan_ends_after_the_last_answer(endpoint, headers):
    ended = []
    app = AsgiApp(endpoint, on_shutdown=lambda: ended.append(True))
    life = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

    async def whole_life():
        await exchange(app, scope(headers), body(BODY))
        return await exchange(app, {"type": "lifespan"}, life)

    sent, _ = asyncio.run(whole_life())
    assert [message["type"] for message in sent] == [
        "lifespan.startup.complete",
        "lifespan.shutdown.complete",
    ]
    assert ended == [True]
    (start, _), _ = run(app, scope(headers), body(BODY))
    assert start["status"] == 202


class Slow(MemoryStorage):
    """A store whose transactions wait until as many as may run at once have come."""

    def __init__(self, at_once):
        super().__init__()
        self._barrier = threading.Barrier(at_once, timeout=30)
        self._count = threading.Lock()
        self.running = self.most = 0

    def run(self, work, **how):
        with self._count:
            self.running += 1
            self.most = max(self.most, self.running)
        self._barrier.wait()
        with self._count:
            self.running -= 1
        return super().run(work)


def test_no_more_calls_run_at_once_than_there_are_threads():
    storage = Slow(at_once=3)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    app = AsgiApp(Endpoint(tracker, KnownKeys(["k" * 32])), threads=3)

    async def many():
        sent = await asyncio.gather(
            *(
                exchange(
                    app,
                    scope(
                        {
                            "x-api-key": "k" * 32,
                            "idempotency-key": str(number),
                            "content-type": "application/json",
                        }
                    ),
                    body(BODY),
                )
                for number in range(9)
            )
        )
        return [messages[0]["status"] for messages, _ in sent]

    assert asyncio.run(many()) == [202] * 9
    assert storage.most == 3
    for wrong in ({"threads": 0}, {"max_requests": 0}):
        with pytest.raises(ConfigurationError):
            AsgiApp(Endpoint(tracker, KnownKeys(["k" * 32])), **wrong)


def test_the_access_log_tells_what_happened_and_nothing_of_what_was_sent(endpoint, headers, caplog):
    caplog.set_level(logging.INFO, "segmentflow.access")
    app = AsgiApp(endpoint, on_answered=log_answered)
    for _ in range(2):
        run(app, scope(headers), body(BODY))
    run(app, scope(headers), body(b"canary"))
    run(app, scope(headers, path="/canary", query_string=b"canary"), body(b""))
    run(app, scope(headers, method="CANARY"), body(b""))
    run(app, scope(headers, path="/healthz", method="HEAD"), body(b""))
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    assert [(line["method"], line["path"], line["status"], line["error"]) for line in lines] == [
        ("POST", EVENTS, 202, None),
        ("POST", EVENTS, 202, None),
        ("POST", EVENTS, 400, "invalid_request"),
        ("POST", "-", 404, "not_found"),
        ("-", EVENTS, 405, "method_not_allowed"),
        ("HEAD", "/healthz", 200, None),
    ]
    assert [line["replayed"] for line in lines[:3]] == [False, True, False]
    assert lines[0]["receivedBytes"] == len(BODY)
    assert "canary" not in caplog.text
    assert headers["x-api-key"] not in caplog.text
    assert headers["idempotency-key"] not in caplog.text


@pytest.mark.parametrize("stops", [True, False])
def test_a_request_that_a_stop_cuts_off_is_answered(held, headers, stops):
    told, sent = [], []
    app = AsgiApp(held, closing=lambda: stops, on_answered=told.append)

    async def story():
        answering = asyncio.create_task(collect(app, scope(headers), sent))
        await held.entered.wait()
        answering.cancel()
        with pytest.raises(asyncio.CancelledError):
            await answering

    async def collect(app, given, sent):
        messages = [{"type": "http.request", "body": BODY, "more_body": False}]

        async def receive():
            return messages.pop() if messages else await asyncio.Event().wait()

        async def send(message):
            sent.append(message)

        await app(given, receive, send)

    asyncio.run(story())
    if not stops:
        assert sent == told == []
        return
    assert (sent[0]["status"], told[0].error) == (503, "storage_unavailable")
    assert (b"connection", b"close") in sent[0]["headers"]
    assert (b"x-should-retry", b"true") in sent[0]["headers"]


def test_what_is_to_end_with_the_server_may_be_awaited(endpoint):
    ended = []

    async def end():
        ended.append("end")

    async def story():
        messages = [{"type": "lifespan.startup"}, {"type": "lifespan.shutdown"}]

        async def receive():
            return messages.pop(0)

        async def send(message):
            ended.append(message["type"])

        await AsgiApp(endpoint, on_shutdown=end)({"type": "lifespan"}, receive, send)

    asyncio.run(story())
    assert ended == ["lifespan.startup.complete", "end", "lifespan.shutdown.complete"]


@pytest.mark.parametrize("colour", ["endpoint", "async_endpoint"])
def test_the_access_log_says_who_called_and_what_was_recorded(
    request, api_keys, headers, caplog, colour
):
    caplog.set_level(logging.INFO, "segmentflow.access")
    created = api_keys.create(["events:write"], organization_id="acme")
    app = AsgiApp(request.getfixturevalue(colour), on_answered=log_answered)
    given = {**headers, "x-api-key": created.secret}
    there = {"client": ["203.0.113.7", 1234]}
    (_, sent), _ = run(app, scope(given, **there), body(BODY))
    run(app, scope(given, **there), body(b"{"))
    run(app, scope({**given, "x-api-key": "canary"}, **there), body(BODY))
    run(app, scope({}, method="GET", path="/livez"), body(b""))
    names = ("organizationId", "apiKeyId", "eventId", "client")
    lines = [json.loads(record.getMessage()) for record in caplog.records]
    known = ("acme", created.api_key.key_id)
    assert [tuple(line.get(name) for name in names) for line in lines] == [
        (*known, json.loads(sent["body"])["eventId"], "203.0.113.7"),
        (*known, None, "203.0.113.7"),
        (None, None, None, "203.0.113.7"),
        (None, None, None, None),
    ]


@pytest.mark.parametrize("method", ["POST", "GET"])
def test_a_request_of_two_lengths_is_refused_and_its_connection_closed(
    app, headers, tracker, method
):
    # RFC 9112, section 6.3: a proxy may have read the other length, and what follows as a request.
    path = EVENTS if method == "POST" else "/healthz"
    two = {**headers, "content-length": "4", "transfer-encoding": "chunked"}
    (start, sent), left = run(app, scope(two, method=method, path=path), body(BODY))
    assert (start["status"], len(left)) == (400, 1)
    assert (b"connection", b"close") in start["headers"]
    document = json.loads(sent["body"])
    assert document["details"]["violations"][0]["path"] == "/headers/transfer-encoding"
    for one in ({"content-length": str(len(BODY))}, {"transfer-encoding": "chunked"}):
        (start, _), _ = run(app, scope({**headers, **one}), body(BODY))
        assert (start["status"], (b"connection", b"close") in start["headers"]) == (202, False)


def test_headers_that_are_given_twice_are_all_named_and_change_nothing(app, headers, tracker):
    twice = scope(headers)
    twice["headers"] += [(b"idempotency-key", b"2"), (b"x-api-key", b"sk"), (b"accept", b"a")]
    (start, sent), _ = run(app, twice, body(BODY))
    paths = [each["path"] for each in json.loads(sent["body"])["details"]["violations"]]
    assert (start["status"], paths) == (400, ["/headers/idempotency-key", "/headers/x-api-key"])
    assert not list(tracker.records.events())
    lost = {**scope(headers), "path": "/nowhere"}
    lost["headers"] += [(b"content-length", b"4"), (b"content-length", b"5")]
    (start, _), _ = run(app, lost, body(BODY))
    assert start["status"] == 404


@pytest.mark.parametrize(
    ("root_path", "path", "url"),
    [
        ("", "/openapi.json", "/"),
        ("/tracking", "/tracking/openapi.json", "/tracking"),
        ("/behind", "/openapi.json", "/behind"),
        ("/a b/\u00fc", "/a b/\u00fc/openapi.json", "/a%20b/%C3%BC"),
    ],
)
def test_the_document_says_where_it_is_mounted(app, root_path, path, url):
    given = scope({}, method="GET", path=path, root_path=root_path)
    (start, sent), _ = run(app, given, body(b""))
    document = json.loads(sent["body"])
    assert document["servers"] == [{"url": url}]
    assert EVENTS in document["paths"]
    assert (b"content-length", str(len(sent["body"])).encode()) in start["headers"]


@pytest.mark.parametrize(
    ("secret", "status"), [("sk_test_" + "x" * 43, 401), ("wk_" + "x" * 40, 401), (None, 403)]
)
def test_a_body_in_parts_is_read_of_a_caller_who_is_known_and_may(
    app, headers, api_keys, secret, status
):
    reader = api_keys.create(["events:read"]).secret
    given = scope({**headers, "x-api-key": secret or reader})
    (start, _), left = run(app, given, body(BODY[:10], BODY[10:]))
    assert (start["status"], len(left)) == (status, 1)
    assert (b"x-request-id", b"r-1") in start["headers"]


def test_a_body_in_parts_to_a_path_for_anyone_is_read(app):
    (start, _), left = run(app, scope({}, "GET", "/openapi.json"), body(b"a", b"b"))
    assert (start["status"], left) == (200, [])

"""Every example host, served by its own framework, answers as the endpoint does."""

from __future__ import annotations

import asyncio
import importlib.util
import io
import json
from pathlib import Path
from wsgiref.util import setup_testing_defaults

import httpx
import pytest
from aiohttp.test_utils import TestServer
from django.urls import clear_url_caches

from segmentflow_core import AsyncTracker
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET
from segmentflow_http import ApiKeyAuthenticator
from segmentflow_memory import AsyncMemoryStorage

FOLDER = Path(__file__).parents[2] / "examples" / "hosts"
ASGI = ("starlette_app", "fastapi_app", "litestar_app", "plain_asgi")
WSGI = ("flask_app", "django_app", "plain_wsgi")
BODY = json.dumps(DOCUMENTED_REQUEST).encode()
EVENTS = "/tracking/api/v1/events"


def load(name, monkeypatch):
    """Import an example by its file, under a name that Django can find it by."""
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    monkeypatch.setitem(importlib.import_module("sys").modules, name, module)
    spec.loader.exec_module(module)
    return module


async def over_asgi(app, *message, **more):
    async with httpx.AsyncClient(transport=httpx.ASGITransport(app)) as client:
        return await client.request(*message, **more)


async def over_a_socket(app, method, url, **more):
    async with TestServer(app) as server, httpx.AsyncClient() as client:
        address = str(server.make_url("/")).rstrip("/")
        return await client.request(method, address + httpx.URL(url).raw_path.decode(), **more)


@pytest.fixture(params=[*ASGI, *WSGI, "aiohttp_app"])
def ask(request, storage, tracker, api_keys, monkeypatch):
    """Ask a host over HTTP."""
    create_app = load(request.param, monkeypatch).create_app
    clear_url_caches()  # Django keeps the routes of the app it has seen before
    authenticator = ApiKeyAuthenticator(api_keys)

    def ask(method, path, **more):
        url = f"http://host.test{path}"
        if request.param in WSGI:
            app = create_app(tracker, authenticator)
            with httpx.Client(transport=httpx.WSGITransport(app)) as client:
                return client.request(method, url, **more)
        if request.param in ASGI:
            return asyncio.run(over_asgi(create_app(tracker, authenticator), method, url, **more))
        async_storage = AsyncMemoryStorage(storage)
        async_tracker = AsyncTracker(async_storage, fingerprint_key=FINGERPRINT_SECRET)
        app = create_app(async_tracker, authenticator)
        return asyncio.run(over_a_socket(app, method, url, **more))

    return ask


def test_the_documented_request_is_accepted_and_replayed(ask, headers, tracker):
    first = ask("POST", EVENTS, headers=headers, content=BODY)
    again = ask("POST", EVENTS, headers=headers, content=BODY)
    assert (first.status_code, first.headers["content-type"]) == (202, "application/json")
    assert (again.status_code, again.content) == (202, first.content)
    assert ("idempotent-replayed" in first.headers, again.headers["idempotent-replayed"]) == (
        False,
        "true",
    )
    assert [event.event_id for event in tracker.records.events()] == [first.json()["eventId"]]


def test_refusals_come_through_unchanged(ask, headers, endpoint):
    for method, path, more, body in (
        ("POST", "/api/v1/events", {"x-api-key": "wk_public"}, BODY),
        ("POST", "/api/v1/events", {"content-type": "text/plain"}, BODY),
        ("POST", "/api/v1/events", {}, b'{"event": 1}'),
        ("POST", "/api/v1/events", {}, b" " * (256 * 1024 + 1)),
        ("PUT", "/api/v1/events", {}, b""),
        ("GET", "/elsewhere", {}, b""),
    ):
        given = {**headers, **more}
        answer = ask(method, f"/tracking{path}", headers=given, content=body)
        expected = endpoint(method, path, given, body)
        assert (answer.status_code, answer.content) == (expected.status, expected.body)
        for name, value in expected.headers.items():
            assert answer.headers[name] == value


def test_every_route_is_there_beside_the_hosts_own(ask):
    assert "the shop" in ask("GET", "/").text
    assert ask("GET", "/tracking/healthz").json() == {"status": "ok"}
    assert ask("HEAD", "/tracking/healthz").status_code == 200
    assert ask("GET", "/tracking/openapi.json").json()["openapi"] == "3.1.0"
    options = ask("OPTIONS", EVENTS)
    assert (options.status_code, options.headers["allow"]) == (204, "OPTIONS, POST")


def test_the_document_leads_back_to_the_host(ask):
    document = ask("GET", "/tracking/openapi.json").json()
    (server,) = document["servers"]
    (path,) = [path for path in document["paths"] if path.endswith("/healthz")]
    assert ask("GET", f"{server['url'].rstrip('/')}{path}").json() == {"status": "ok"}


def test_a_question_mark_that_was_sent_encoded_starts_no_query(ask, headers, tracker):
    answer = ask("POST", f"{EVENTS}%3Fx", headers=headers, content=BODY)
    assert (answer.status_code, tracker.records.events()) == (404, [])


@pytest.fixture(params=WSGI)
def call_wsgi(request, tracker, api_keys, monkeypatch):
    """Call a host as a WSGI server does; give the status and the answer's document."""
    app = load(request.param, monkeypatch).create_app(tracker, ApiKeyAuthenticator(api_keys))
    clear_url_caches()

    def call_wsgi(method, path, headers, body=b"", **more):
        content_type = headers.get("content-type", "")
        sent = {name: value for name, value in headers.items() if name != "content-type"}
        environ = {
            "REQUEST_METHOD": method,
            "SCRIPT_NAME": "",
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "wsgi.input": io.BytesIO(body),
            **{f"HTTP_{name.upper().replace('-', '_')}": value for name, value in sent.items()},
            "CONTENT_TYPE": content_type,
            **more,
        }
        setup_testing_defaults(environ)
        started = []
        answered = app(environ, lambda *given: started.append(given))
        return int(started[0][0].split()[0]), json.loads(b"".join(answered))

    return call_wsgi


def test_a_chunked_body_is_read_whole_or_refused(call_wsgi, headers, tracker):
    chunked = {"HTTP_TRANSFER_ENCODING": "chunked", "wsgi.input_terminated": True}
    longer = BODY.ljust(256 * 1024) + b"{"
    for body in (longer, longer * 2):
        status, document = call_wsgi("POST", EVENTS, headers, body, **chunked)
        assert (status, document["error"]) == (413, "payload_too_large")
    assert not tracker.records.events()
    status, _ = call_wsgi("POST", EVENTS, headers, BODY, **chunked)
    assert (status, len(tracker.records.events())) == (202, 1)
    del chunked["wsgi.input_terminated"]  # as a server that does not know where it ends
    status, document = call_wsgi("POST", EVENTS, headers, BODY, **chunked)
    assert (status, document["error"]) == (400, "invalid_request")
    (violation,) = document["details"]["violations"]
    assert violation["path"] == "/headers/transfer-encoding"


def test_a_host_may_be_mounted_itself(call_wsgi, headers):
    below = {"SCRIPT_NAME": "/shop", "CONTENT_LENGTH": str(len(BODY))}
    assert call_wsgi("POST", EVENTS, headers, BODY, **below)[0] == 202
    _, document = call_wsgi("GET", "/tracking/openapi.json", {}, SCRIPT_NAME="/shop")
    url = document["servers"][0]["url"]
    assert any(f"{url}{path}" == f"/shop{EVENTS}" for path in document["paths"])


@pytest.mark.parametrize("path", sorted(FOLDER.glob("*.py")), ids=lambda path: path.stem)
def test_an_example_is_short(path):
    assert len(path.read_text("utf-8").splitlines()) <= 60

from __future__ import annotations

import io
import json
from wsgiref.util import setup_testing_defaults
from wsgiref.validate import validator

import pytest

from segmentflow_core.testing import DOCUMENTED_REQUEST
from segmentflow_http import WsgiApp

EVENTS = "/api/v1/events"
BODY = json.dumps(DOCUMENTED_REQUEST).encode()


@pytest.fixture
def call(endpoint):
    """Call the app through the standard library's checker; give status, headers and body."""
    told = []

    def call(method, path, headers, body=b"", **more):
        environ = {
            "REQUEST_METHOD": method,
            "PATH_INFO": path,
            "QUERY_STRING": "",
            "SCRIPT_NAME": "",
            "wsgi.input": io.BytesIO(body),
            "CONTENT_LENGTH": str(len(body)),
            **more,
        }
        setup_testing_defaults(environ)
        for name, value in headers.items():
            key = name.upper().replace("-", "_")
            environ[key if key == "CONTENT_TYPE" else f"HTTP_{key}"] = value
        environ = {name: value for name, value in environ.items() if value is not None}
        started = []
        app = validator(WsgiApp(endpoint, on_answered=told.append))
        result = app(environ, lambda *given: started.append(given))
        body = b"".join(result)
        result.close()
        return started[0][0], dict(started[0][1]), body

    call.told = told
    return call


def test_the_documented_request_is_accepted_and_replayed(call, headers):
    first = call("POST", EVENTS, headers, BODY)
    again = call("POST", EVENTS, headers, BODY)
    assert first[0] == "202 Accepted"
    assert again == (first[0], {**first[1], "idempotent-replayed": "true"}, first[2])
    assert [(told.status, told.replayed) for told in call.told] == [(202, False), (202, True)]


def test_it_is_told_who_called_from_where_and_what_was_recorded(call, headers, api_keys):
    sent = call("POST", EVENTS, headers, BODY, REMOTE_ADDR="203.0.113.7")
    call("GET", "/livez", {}, b"", REMOTE_ADDR="")
    (kept,) = api_keys.list()
    event_id = json.loads(sent[2])["eventId"]
    assert [
        (told.organization_id, told.key_id, told.event_id, told.client) for told in call.told
    ] == [("default", kept.key_id, event_id, "203.0.113.7"), (None, None, None, None)]


def test_a_question_mark_that_was_sent_encoded_starts_no_query(call, headers, tracker):
    assert call("POST", f"{EVENTS}?x", headers, BODY)[0] == "404 Not Found"
    assert call("POST", EVENTS, headers, BODY, QUERY_STRING="x=%3F")[0] == "202 Accepted"
    assert len(tracker.records.events()) == 1


def test_a_key_that_the_server_joined_is_another_key(call, headers, tracker):
    once = call("POST", EVENTS, headers, BODY)
    key = headers["idempotency-key"]
    twice = call("POST", EVENTS, {**headers, "idempotency-key": f"{key},{key}"}, BODY)
    assert (once[0], twice[0]) == ("202 Accepted", "202 Accepted")
    assert len(tracker.records.events()) == 2


def test_a_body_too_large_is_refused_unread(call, headers):
    status, _, body = call("POST", EVENTS, headers, BODY, CONTENT_LENGTH="9999999")
    assert status.startswith("413")
    assert json.loads(body)["error"] == "payload_too_large"


def test_a_chunked_body_is_read_up_to_the_limit(call, headers):
    chunked = {"CONTENT_LENGTH": None, "wsgi.input_terminated": True}
    assert call("POST", EVENTS, headers, BODY, **chunked)[0].startswith("202")
    assert call("POST", EVENTS, headers, b" " * 300_000, **chunked)[0].startswith("413")


@pytest.mark.parametrize("chunked", [True, False])
def test_a_long_body_is_read_of_a_caller_who_is_known(call, headers, chunked):
    class Unread(io.BytesIO):
        def read(self, *_: object) -> bytes:
            raise AssertionError

    more = {"CONTENT_LENGTH": None, "wsgi.input_terminated": True} if chunked else {}
    unknown = {**headers, "x-api-key": "sk_test_" + "x" * 43}
    long = BODY.ljust(100_000)
    assert call("POST", EVENTS, unknown, long, **more, **{"wsgi.input": Unread()})[0][:3] == "401"
    assert call("POST", EVENTS, headers, long, **more)[0][:3] == "202"


def test_a_body_of_no_length_is_empty(call, headers):
    assert call("POST", EVENTS, headers, BODY, CONTENT_LENGTH=None)[0].startswith("400")
    assert call("GET", "/healthz", {}, CONTENT_LENGTH="")[0] == "200 OK"


def test_a_chunked_body_that_the_server_does_not_end_is_refused_with_the_reason(call, headers):
    # PEP 3333 knows no chunked body: without the server's word, the app cannot see its end.
    chunked = {"CONTENT_LENGTH": None, "HTTP_TRANSFER_ENCODING": "chunked"}
    status, answered, body = call("POST", EVENTS, headers, BODY, **chunked)
    assert (status, answered["x-should-retry"]) == ("400 Bad Request", "false")
    (violation,) = json.loads(body)["details"]["violations"]
    assert violation["path"] == "/headers/transfer-encoding"
    assert "content-length" in violation["message"]


def test_a_request_of_two_lengths_is_refused(call, headers):
    status, _, body = call("POST", EVENTS, headers, BODY, HTTP_TRANSFER_ENCODING="chunked")
    assert status == "400 Bad Request"
    assert b"/headers/transfer-encoding" in body


@pytest.mark.parametrize(
    ("script_name", "url"),
    [("", "/"), ("/tracking", "/tracking"), ("/a b/\u00c3\u00bc", "/a%20b/%C3%BC")],
)
def test_the_document_says_where_it_is_mounted(call, script_name, url):
    _, _, body = call("GET", "/openapi.json", {}, SCRIPT_NAME=script_name)
    document = json.loads(body)
    assert document["servers"] == [{"url": url}]
    assert EVENTS in document["paths"]


def test_a_hook_that_fails_hinders_no_answer(endpoint):
    started = []
    app = WsgiApp(endpoint, on_answered=lambda _: 1 / 0)
    environ = {"REQUEST_METHOD": "GET", "PATH_INFO": "/healthz"}
    assert app(environ, lambda *given: started.append(given)) == [b'{"status":"ok"}']
    assert started[0][0] == "200 OK"

"""What names a request: in its answer, in the access log, and in the log of failures."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import subprocess
import sys

import pytest

from http_calls import failing
from segmentflow_core.errors import StorageUnavailable
from segmentflow_http.access import Answered, log_answered, tell_answered
from segmentflow_http.asgi import AsgiApp
from segmentflow_http.failures import FailureLog

TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.mark.parametrize("name", ["a", "Root=1-67891233-abcdef012345678912345678", "x" * 128])
def test_an_id_that_is_sent_names_every_answer(call, headers, name):
    given = {**headers, "X-Request-Id": name}
    del given["x-request-id"]
    for method, path, body in (
        ("POST", "/api/v1/events", b"{"),
        ("GET", "/livez", b""),
        ("HEAD", "/healthz", b""),
        ("OPTIONS", "/api/v1/events", b""),
        ("GET", "/nowhere", b""),
    ):
        assert call(method, path, given, body).headers["x-request-id"] == name


@pytest.mark.parametrize("sent", [None, "", "x" * 129, "a b", "\u00e9", "a\nb", '"a"', "<a>"])
def test_an_id_is_made_where_none_is_sent_that_can_be_shown(call, sent):
    given = {} if sent is None else {"x-request-id": sent}
    made = [call("GET", "/livez", given, b"").headers["x-request-id"] for _ in range(2)]
    assert (len(set(made)), [len(each) for each in made]) == (2, [32, 32])


_FORKS = """
import os
from segmentflow_http.correlation import request_id_of
for _ in range(2):
    if not os.fork():
        print(request_id_of({}), flush=True)
        os._exit(0)
    os.wait()
print(request_id_of({}))
"""


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system has no fork")
def test_processes_of_one_server_make_ids_apart():
    made = subprocess.check_output([sys.executable, "-c", _FORKS], text=True).split()
    assert (len(made), len(set(made))) == (3, 3)


def test_an_id_given_twice_is_none(call):
    pairs = [("x-request-id", "a"), (b"X-Request-ID", b"b")]
    assert len(call("GET", "/livez", pairs, b"").headers["x-request-id"]) == 32


@pytest.mark.parametrize(
    ("sent", "known"),
    [
        (TRACE, TRACE),
        (TRACE.upper(), None),
        (TRACE + "-x", None),
        ("ff" + TRACE[2:], None),
        (f"00-{'0' * 32}-b7ad6b7169203331-01", None),
        (f"00-0af7651916cd43dd8448eb211c80319c-{'0' * 16}-01", None),
        ("canary", None),
        (None, None),
    ],
)
def test_the_trace_that_a_request_is_part_of_is_told(endpoint, caplog, sent, known):
    caplog.set_level(logging.INFO, "segmentflow.access")
    headers = {"x-request-id": "r-1"} | ({} if sent is None else {"traceparent": sent})
    response = endpoint("GET", "/livez", headers, b"")
    told: list[Answered] = []
    for hook in (told.append, log_answered):
        tell_answered(hook, ("GET", "/livez", headers), response, 0, 0.0)
    assert [(each.request_id, each.traceparent) for each in told] == [("r-1", known)]
    line = json.loads(caplog.records[-1].getMessage())
    assert (line["requestId"], line.get("traceparent")) == ("r-1", known)
    assert "canary" not in caplog.text


def test_what_a_host_refuses_itself_is_named_too(endpoint, headers):
    sent = []

    async def receive():
        return {"type": "http.request", "body": b" " * 300_000, "more_body": False}

    async def send(message):
        sent.append(message)

    scope = {
        "type": "http",
        "method": "POST",
        "path": "/api/v1/events",
        "headers": [(name.encode(), value.encode()) for name, value in headers.items()],
    }
    told = []
    asyncio.run(AsgiApp(endpoint, on_answered=told.append)(scope, receive, send))
    assert (sent[0]["status"], told[0].request_id) == (413, "r-1")
    assert (b"x-request-id", b"r-1") in sent[0]["headers"]


def test_a_failure_is_one_line_with_its_cause_and_the_requests_id(caplog):
    error = StorageUnavailable("canary", details={"error": "SQLITE_FULL", "at": "canary"})
    body = b'{"event":"x","profile":{"email":"a@example.com"}}'
    given = {"x-api-key": "k" * 32, "idempotency-key": "1", "content-type": "application/json"}
    failing(error)("POST", "/api/v1/events", {**given, "x-request-id": "r-1"}, body)
    (record,) = [each for each in caplog.records if each.name == "segmentflow.http"]
    line = record.getMessage()
    assert line.startswith("storage_unavailable: StorageUnavailable (SQLITE_FULL) at ")
    assert line.endswith("; request r-1")
    assert "canary" not in caplog.text


def test_many_failures_of_a_kind_are_counted_and_no_other_kind_waits_for_them(caplog):
    now = [0.0]
    log = FailureLog(clock=lambda: now[0], most=2)
    for number in range(5):
        log.failed(StorageUnavailable(), str(number))
    log.failed(ValueError("canary"), "other")
    log.failed(StorageUnavailable(details={"error": "no code of a database: canary"}), "6")
    now[0] = 1.0
    log.failed(StorageUnavailable(), "later")
    log.failed(StorageUnavailable(), "last")
    ends = [record.getMessage().partition("; request ")[2] for record in caplog.records]
    assert ends == ["0", "1", "other", "later; 4 more like it were not logged", "last"]
    assert "canary" not in caplog.text


def test_the_kinds_that_are_remembered_are_bounded(caplog):
    log = FailureLog(clock=lambda: 0.0, most=1)
    for number in range(1000):
        log.failed(StorageUnavailable(details={"error": f"E{number}"}), "r")
    assert len(caplog.records) == 1000
    assert len(log._lately) <= 100

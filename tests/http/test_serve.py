from __future__ import annotations

import json
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, suppress
from functools import partial
from urllib.parse import urlsplit

import httpx
import pytest

from http_serving import KEY, READERS, served
from segmentflow_cli import main
from segmentflow_core import Tracker
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    a_request,
)
from segmentflow_sql import open_storage

# What the command leaves in its environment for the processes that serve.
SET_BY_SERVE = (
    *("MAX_BATCH_BYTES", "READ_TIMEOUT", "REMEMBER_KEYS"),
    *("STORE_TIMEOUT", "GRACE", "METRICS_HOST", "METRICS_PORT", "OPEN_TELEMETRY"),
)
METRICS = re.compile(r"Metrics are at port (\d+)")
HEADERS = {"x-api-key": KEY, "idempotency-key": DOCUMENTED_KEY}


@pytest.fixture
def store(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    storage = open_storage(url)
    storage.create_all()
    storage.close()
    return url


def stored(url):
    storage = open_storage(url)
    events = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).records.events(limit=100_000)
    storage.close()
    return events


def killed(server):
    """Kill the process at once; return 0 where that is what ended it."""
    server.process.kill()
    return server.process.wait(60) + signal.SIGKILL


@pytest.mark.parametrize("without", READERS)
def test_the_documented_request_is_served_and_the_log_holds_no_part_of_it(store, without):
    with served(store, without=without) as server:
        url = f"{server.url}/api/v1/events"
        first = httpx.post(url, headers=HEADERS, json=DOCUMENTED_REQUEST)
        again = httpx.post(url, headers=HEADERS, json=DOCUMENTED_REQUEST)
        refused = httpx.post(url, headers={**HEADERS, "x-api-key": "canary"}, json="canary")
        assert httpx.get(f"{server.url}/healthz").json() == {"status": "ok"}
        assert httpx.get(f"{server.url}/canary?canary").status_code == 404
        server.stop()
    assert first.status_code == 202
    assert (again.content, again.headers["idempotent-replayed"]) == (first.content, "true")
    assert (refused.status_code, "server" in refused.headers) == (401, False)
    lines = [json.loads(line) for line in server.out]
    assert [(line["path"], line["status"], line["replayed"]) for line in lines] == [
        ("/api/v1/events", 202, False),
        ("/api/v1/events", 202, True),
        ("/api/v1/events", 401, False),
        ("/healthz", 200, False),
        ("-", 404, False),
    ]
    assert [line.get("organizationId") for line in lines[:3]] == ["default", "default", None]
    assert [line["client"] for line in lines] == ["127.0.0.1"] * 5
    logged = "".join(server.out + server.err)
    for secret in ("canary", "tok_live_abc", "alex", "ord_9421", KEY):
        assert secret not in logged


def test_a_key_of_the_store_works_until_it_is_revoked(store, capsys):
    def keys(*arguments):
        assert main(["keys", *arguments, "--store", store, "--json"]) == 0
        return json.loads(capsys.readouterr().out)

    created = keys("create", "--scope", "events:write")
    headers = {**HEADERS, "x-api-key": created["secret"]}
    with served(store, "--remember-keys", "0", key="") as server:
        url = f"{server.url}/api/v1/events"
        accepted = httpx.post(url, headers=headers, json=DOCUMENTED_REQUEST)
        assert keys("list")[0]["lastUsedAt"] is not None
        keys("revoke", created["keyId"], "--yes")
        refused = httpx.post(url, headers=headers, json=DOCUMENTED_REQUEST)
        server.stop()
    assert (accepted.status_code, refused.status_code) == (202, 401)
    assert created["secret"] not in "".join(server.out + server.err)


@pytest.mark.parametrize(
    ("workers", "ends"),
    [("1", lambda server: server.stop()), ("2", lambda server: server.stop()), ("1", killed)],
    ids=["stopped", "stopped with two workers", "killed"],
)
def test_every_202_before_the_end_under_load_is_in_the_store(store, workers, ends):
    acknowledged, enough = [], threading.Event()

    def send(worker):
        with httpx.Client(timeout=60) as client:
            for number in range(10_000):
                key = f"{worker}-{number}"
                try:
                    answer = client.post(
                        f"{server.url}/api/v1/events",
                        headers={"x-api-key": KEY, "idempotency-key": key},
                        json=a_request(referenceId=key),
                    )
                except httpx.TransportError:
                    return
                if answer.status_code == 202:
                    acknowledged.append(answer.json()["eventId"])
                if len(acknowledged) >= 40:
                    enough.set()

    with served(store, "--workers", workers) as server, ThreadPoolExecutor(6) as pool:
        sending = [pool.submit(send, worker) for worker in range(6)]
        assert enough.wait(60)
        assert ends(server) == 0
        for future in sending:
            future.result()
    assert len(acknowledged) >= 40
    assert set(acknowledged) <= {event.event_id for event in stored(store)}
    assert not any("Traceback" in line for line in server.err), "".join(server.err)


def test_several_workers_serve_one_store(store):
    with served(store, "--workers", "2") as server:
        url = f"{server.url}/api/v1/events"
        answers = [
            httpx.post(url, headers={**HEADERS, "idempotency-key": str(n)}, json=a_request())
            for n in range(6)
        ]
        server.stop()
    assert {answer.status_code for answer in answers} == {202}
    assert len(stored(store)) == 6


def test_the_limits_of_a_request_may_be_set(store):
    deep = a_request(data={"a": {"b": [1]}})
    with served(store, "--max-bytes", "1000", "--max-depth", "3", "--workers", "2") as server:
        url = f"{server.url}/api/v1/events"
        accepted = httpx.post(url, headers=HEADERS, json=a_request())
        large = httpx.post(url, headers=HEADERS, json=a_request(data={"a": "x" * 1000}))
        nested = httpx.post(url, headers=HEADERS, json=deep)
    assert accepted.status_code == 202
    assert (large.status_code, large.json()["details"]) == (413, {"maxBytes": 1000})
    assert nested.status_code == 400
    assert nested.json()["details"]["violations"][0]["path"] == "/data/a/b"


def test_what_is_redacted_may_be_set_and_what_names_nothing_refused(store, monkeypatch):
    monkeypatch.setenv("SEGMENTFLOW_REDACT", "/event/a/*")
    options = ("--redact-name", "PIN, with / and ,", "--refuse-unmatched", "--workers", "2")
    request = a_request(data={"a": [1], "pin, with / and ,": 2})
    with served(store, *options) as server:
        url = f"{server.url}/api/v1/events"
        accepted = httpx.post(url, headers=HEADERS, json=request)
        request["redactedDataPaths"] = ["/event/b"]
        refused = httpx.post(url, headers={**HEADERS, "idempotency-key": "2"}, json=request)
    assert accepted.status_code == 202
    assert refused.status_code == 400
    (event,) = stored(store)
    assert event.data == {"a": ["[REDACTED]"], "pin, with / and ,": "[REDACTED]"}


def test_a_request_may_hold_256_kib_and_nest_64_deep_unless_told_otherwise(store):
    def nested(depth):
        return json.loads('{"a":' * depth + "1" + "}" * depth)

    body = json.dumps(DOCUMENTED_REQUEST).encode()
    with served(store) as server:
        url = f"{server.url}/api/v1/events"
        headers = {**HEADERS, "content-type": "application/json"}
        largest = httpx.post(url, headers=headers, content=body.ljust(256 * 1024))
        larger = httpx.post(url, headers=headers, content=body.ljust(256 * 1024 + 1))
        answers = [
            httpx.post(
                url,
                headers={**HEADERS, "idempotency-key": str(depth)},
                json=a_request(data=nested(depth - 1)),
            ).status_code
            for depth in (64, 65)
        ]
    assert (largest.status_code, larger.status_code) == (202, 413)
    assert answers == [202, 400]


@pytest.mark.parametrize(
    ("option", "value"),
    [
        ("--max-batch-bytes", "0"),
        ("--read-timeout", "0"),
        ("--keep-alive", "-1"),
        ("--keep-alive", "PT0.5S"),
        ("--grace", "soon"),
        ("--remember-keys", "6"),
        ("--together", "129"),
        ("--writers", "0"),
        ("--max-requests", "0"),
        ("--max-bytes", "0"),
        ("--max-bytes", "x"),
        ("--max-depth", "0"),
        ("--max-depth", "129"),
    ],
)
def test_a_limit_that_asks_for_nothing_or_everything_is_wrong_usage(store, option, value, capsys):
    assert main(["serve", "--store", store, option, value]) == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("workers", ["1", "2"])
def test_a_request_that_is_cut_off_by_a_stop_is_one_line_of_the_log(store, workers):
    with served(store, "--grace", "0", "--workers", workers) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port)) as connection:
            start = f"POST /api/v1/events HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\n"
            connection.sendall(f"{start}expect: 100-continue\r\ncontent-length: 9\r\n\r\n".encode())
            assert b"100" in connection.recv(100)  # the app waits for the body
            assert server.stop() == 0
    logged = "".join(server.err)
    assert logged.count("A request was cut off") == 1
    assert "Traceback" not in logged


@pytest.mark.skipif(os.name == "nt", reason="pipes differ there: NOT TESTED")
def test_a_log_that_nobody_reads_stalls_neither_a_request_nor_a_stop(store):
    reading, writing = os.pipe()
    os.set_blocking(writing, False)
    with suppress(BlockingIOError):
        while os.write(writing, b" " * 4096):
            pass
    os.set_blocking(writing, True)
    with served(store, stdout=writing) as server:
        answers = [httpx.get(f"{server.url}/livez").status_code for _ in range(20)]
        assert server.stop() == 0
    os.close(reading)
    os.close(writing)
    assert answers == [200] * 20


@pytest.mark.parametrize("without", READERS)
def test_a_connection_that_sends_nothing_more_is_closed(store, without):
    head = f"POST /api/v1/events HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\n"
    whole = "GET /livez HTTP/1.1\r\nhost: a\r\n\r\n"
    nothing, half_a_head, half_a_body = "", f"{head}x-slow", f"{head}content-length: 9\r\n\r\n{{"
    sent = (nothing, half_a_head, half_a_body, whole, f"{whole}GET /livez")
    with (
        served(store, "--read-timeout", "5", "--keep-alive", "1", without=without) as server,
        ExitStack() as stack,
    ):
        address = urlsplit(server.url)
        connections = [
            stack.enter_context(socket.create_connection((address.hostname, address.port), 60))
            for _ in sent
        ]
        for connection, text in zip(connections, sent, strict=True):
            connection.sendall(text.encode())
        answers = [b"".join(iter(partial(each.recv, 65_536), b"")) for each in connections]
        server.stop()
    assert [answer.count(b"HTTP/1.1 200 ") for answer in answers] == [0, 0, 0, 1, 1]
    assert [bool(answer) for answer in answers[:3]] == [False, False, False]
    assert not any("Traceback" in line for line in server.err), "".join(server.err)


@pytest.mark.skipif(os.name == "nt", reason="there is no poll: NOT TESTED")
@pytest.mark.parametrize("without", READERS)
def test_a_connection_whose_answers_nobody_takes_away_is_closed(store, without):
    request = b"GET /openapi.json HTTP/1.1\r\nhost: a\r\n\r\n"
    with served(store, "--read-timeout", "2s", without=without) as server, socket.socket() as one:
        address = urlsplit(server.url)
        one.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        one.connect((address.hostname, address.port))
        one.sendall(request * 120)  # their answers are more than any buffer takes
        closed = select.poll()
        closed.register(one, 0)
        assert closed.poll(60_000)


def test_how_long_a_batch_may_be_is_a_setting(store):
    batch = {"events": [{"idempotencyKey": str(n), **a_request()} for n in range(9)]}
    headers = {"x-api-key": KEY}
    with served(store, "--max-batch-bytes", "500", "--workers", "2") as server:
        url = f"{server.url}/api/v1/events/batch"
        long = httpx.post(url, headers=headers, json=batch)
        short = httpx.post(url, headers=headers, json={"events": batch["events"][:2]})
    assert (long.status_code, long.json()["details"]) == (413, {"maxBytes": 500})
    assert [result["status"] for result in short.json()["results"]] == [202, 202]
    assert len(stored(store)) == 2


@pytest.mark.parametrize("without", READERS)
def test_the_connection_of_a_request_of_two_lengths_is_closed(store, without):
    start = f"POST /api/v1/events HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\ncontent-length: 3\r\n"
    hidden = "GET /healthz HTTP/1.1\r\nhost: a\r\n\r\n"
    with served(store, without=without) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
            request = f"{start}transfer-encoding: chunked\r\n\r\n0\r\n\r\n{hidden}"
            connection.sendall(request.encode())
            answers = b"".join(iter(lambda: connection.recv(65_536), b""))
    assert answers.startswith(b"HTTP/1.1 400 ")
    assert (answers.count(b"HTTP/1.1 "), b"connection: close" in answers) == (1, True)


@pytest.mark.parametrize("without", READERS)
def test_what_is_no_http_is_refused_in_the_words_of_the_api(store, without):
    with served(store, without=without) as server:
        address = urlsplit(server.url)
        with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
            connection.sendall(b"GET /livez canary\r\n\r\n")
            answer = b"".join(iter(lambda: connection.recv(65_536), b""))
    head, _, body = answer.decode().partition("\r\n\r\n")
    document = json.loads(body)
    assert (head.split("\r\n")[0], document["error"]) == (
        "HTTP/1.1 400 Bad Request",
        "invalid_request",
    )
    headers = dict(line.split(": ") for line in head.split("\r\n")[1:])
    assert headers["content-length"] == str(len(body.encode()))
    assert (headers["content-type"], headers["connection"], headers["x-should-retry"]) == (
        "application/json",
        "close",
        "false",
    )
    assert len(headers["x-request-id"]) == 32
    assert "canary" not in answer.decode() + "".join(server.err)


@pytest.mark.skipif(os.name == "nt", reason="there are no such signals: NOT TESTED")
@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("name", ["SIGTERM", "SIGINT"])
def test_told_to_stop_it_ends_with_status_0(store, workers, name):
    with served(store, "--workers", workers) as server:
        assert httpx.get(f"{server.url}/healthz").status_code == 200
        server.process.send_signal(getattr(signal, name))
        assert server.process.wait(60) == 0
    assert not any("Traceback" in line for line in server.err), "".join(server.err)


@pytest.mark.parametrize("workers", ["1", "2"])
@pytest.mark.parametrize("host", ["127.0.0.1", "no.such.host.invalid", "203.0.113.1", "a..b", ""])
def test_an_address_that_cannot_be_listened_on_is_refused_with_the_reason(
    store, host, workers, monkeypatch, capsys
):
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", FINGERPRINT_SECRET)
    for name in ("STORE", "THREADS", "TOGETHER", "WRITERS", "MAX_REQUESTS", *SET_BY_SERVE):
        monkeypatch.setenv(f"SEGMENTFLOW_{name}", "")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        arguments = ("--host", host, "--port", port, "--workers", workers)
        assert main(["serve", "--store", store, *arguments]) == 1
    err = capsys.readouterr().err
    assert err.startswith("invalid_configuration: Cannot listen on this host and port: ")


@pytest.mark.parametrize(
    ("environment", "why"),
    [
        ({"SEGMENTFLOW_API_KEYS": "short"}, "at least 32 characters"),
        ({"SEGMENTFLOW_API_KEYS": KEY, "SEGMENTFLOW_FINGERPRINT_KEY": ""}, "fingerprint secret"),
    ],
)
def test_a_wrong_set_up_is_said_before_anything_listens(
    store, environment, why, monkeypatch, capsys
):
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", FINGERPRINT_SECRET)
    names = ("STORE", "THREADS", "TOGETHER", "WRITERS", "MAX_REQUESTS", "MAX_BYTES")
    for name in (*names, *SET_BY_SERVE):
        monkeypatch.setenv(f"SEGMENTFLOW_{name}", "")
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    assert main(["serve", "--store", store]) == 1
    assert why in capsys.readouterr().err
    assert main(["serve", "--store", store, "--workers", "0"]) == 2


def test_the_command_works_without_the_server_being_installed(store):
    program = (
        "import sys; sys.modules['uvicorn'] = None\n"
        "from segmentflow_cli import main\n"
        f"sys.exit(main(['serve', '--store', {store!r}]))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "segmentflow-core[http]" in done.stderr


@pytest.mark.parametrize("workers", ["1", "2"])
def test_metrics_are_served_at_a_port_of_their_own(store, workers):
    options = ("--metrics-port", "0", "--open-telemetry", "--workers", workers)
    with served(store, *options) as server:
        sent = [
            httpx.post(
                f"{server.url}/api/v1/events",
                headers={**HEADERS, "idempotency-key": str(n)},
                json=a_request(),
            ).status_code
            for n in range(4)
        ]
        assert httpx.get(f"{server.url}/metrics").status_code == 404
        (port,) = {found[1] for line in server.err if (found := METRICS.search(line))}
        address = f"http://127.0.0.1:{port}"
        metrics = httpx.get(f"{address}/metrics").text
        assert httpx.get(f"{address}/").status_code == 404
        assert server.stop() == 0
    assert sent == [202] * 4
    counted = dict(line.rsplit(" ", 1) for line in metrics.splitlines() if line[0] != "#")
    labels = 'method="POST",route="/api/v1/events",status="202"'
    assert counted[f"segmentflow_request_seconds_count{{{labels}}}"] == "4.0"
    assert counted["segmentflow_tracked_total"] == "4.0"
    assert counted["segmentflow_gathered_events_count"] == "4.0"
    assert counted["segmentflow_requests_in_work"] == "0.0"
    assert "alex" not in metrics


def test_metrics_need_their_extra(store):
    program = (
        "import sys; sys.modules['prometheus_client'] = None\n"
        "from segmentflow_cli import main\n"
        f"sys.exit(main(['serve', '--store', {store!r}, '--metrics-port', '0']))"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, check=False
    )
    assert done.returncode == 1
    assert "segmentflow-core[observers]" in done.stderr

"""What comes over a connection of `segmentflow serve`, whichever parser reads it."""

from __future__ import annotations

import asyncio
import itertools
import json
import re
import socket
from urllib.parse import urlsplit

import pytest
import uvicorn
from uvicorn.server import ServerState

from http_serving import KEY, READERS, served
from segmentflow_cli import connections
from segmentflow_cli.serve import READ_TIMEOUT
from segmentflow_core.testing import DOCUMENTED_REQUEST
from segmentflow_sql import open_storage

BODY = json.dumps(DOCUMENTED_REQUEST).encode()
LENGTH = f"content-length: {len(BODY)}\r\n".encode()
CHUNKED = b"transfer-encoding: chunked\r\n"
LIVE = b"GET /livez HTTP/1.1\r\nhost: a\r\n"
LAST = b"connection: close\r\n\r\n"
STATUS = re.compile(rb"HTTP/1\.1 (\d+) ")


def post(*lines, key="k"):
    start = f"POST /api/v1/events HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\n"
    named = f"idempotency-key: {key}\r\n" if key else ""
    return f"{start}content-type: application/json\r\n{named}".encode() + b"".join(lines)


def chunks(extension=b"", trailer=b""):
    return b"%x%b\r\n%b\r\n0\r\n%b\r\n" % (len(BODY), extension, BODY, trailer)


ANSWERED = {
    "a body of a length": (post(LENGTH, LAST, BODY), [202]),
    "a body in chunks": (post(CHUNKED, LAST, chunks()), [202]),
    "an extension of a chunk": (post(CHUNKED, LAST, chunks(b";a=b")), [202]),
    "a trailer is no header": (
        post(CHUNKED, LAST, chunks(trailer=b"idempotency-key: t\r\n"), key=""),
        [400],
    ),
    "a body that is waited for": (
        post(LENGTH, b"expect: 100-continue\r\n", LAST, BODY),
        [100, 202],
    ),
    "one behind the other": (
        LIVE + b"\r\n" + post(LENGTH, b"\r\n", BODY) + LIVE + LAST,
        [200, 202, 200],
    ),
    "what follows the last is not read": (LIVE + LAST + LIVE + LAST, [200]),
    "no host before HTTP/1.1": (b"GET /livez HTTP/1.0\r\n\r\n", [200]),
    "another protocol is offered": (
        post(LENGTH, b"upgrade: h2c\r\nconnection: upgrade, close\r\n\r\n", BODY),
        [202],
    ),
    "WebSocket is offered": (
        LIVE + b"upgrade: websocket\r\nsec-websocket-version: 13\r\n"
        b"sec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\nconnection: upgrade, close\r\n\r\n",
        [200],
    ),
}
REFUSED = {
    "two lengths": post(LENGTH, CHUNKED, b"\r\n", chunks()),
    "lengths that differ": post(LENGTH, b"content-length: 1\r\n\r\n", BODY),
    "a length that is no number": post(b"content-length: +5\r\n\r\n12345"),
    "no host": b"GET /livez HTTP/1.1\r\n\r\n",
    "two hosts": LIVE + b"host: b\r\n\r\n",
    "compressed on the way": post(b"transfer-encoding: gzip, chunked\r\n\r\n", chunks()),
    "an unknown coding": post(b"transfer-encoding: identity\r\n\r\n", chunks()),
    "a chunk of no length": post(CHUNKED, b"\r\nzz\r\n"),
    "a chunk of another length": post(CHUNKED, b"\r\n3\r\nabcd\r\n0\r\n\r\n"),
    "a space before the colon": LIVE + b"x-a : b\r\n\r\n",
    "NUL in a header": LIVE + b"x-a: b\0\r\n\r\n",
    "HTTP/0.9": b"GET /livez\r\n\r\n",
    "TLS": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" * 9,
}
ENDLESS = {
    "an address": (b"GET /", b"x" * 1000),
    "a header": (LIVE + b"x-a: ", b"x" * 1000),
    "headers": (LIVE, b"x-a: b\r\n" * 100),
    "an extension of a chunk": (post(CHUNKED, b"\r\n1;"), b"x" * 1000),
    "trailers": (post(CHUNKED, b"\r\n0\r\n"), b"x-a: b\r\n" * 100),
}


@pytest.fixture(scope="module", params=READERS)
def server(request, tmp_path_factory):
    url = f"sqlite:///{tmp_path_factory.mktemp('serve') / 'store.db'}"
    storage = open_storage(url)
    storage.create_all()
    storage.close()
    with served(url, without=request.param) as server:
        yield server
    assert not any("Traceback" in line for line in server.err), "".join(server.err)


@pytest.fixture
def connection(server):
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        yield connection


def all_of(connection):
    """Give the statuses of all answers until the connection is closed."""
    received = b""
    while part := connection.recv(65_536):
        received += part
    return [int(status) for status in STATUS.findall(received)]


def send_for_ever(connection, part):
    while True:
        connection.sendall(part)


@pytest.mark.parametrize("case", ANSWERED)
def test_requests_are_answered_in_order(connection, case):
    sent, statuses = ANSWERED[case]
    connection.sendall(sent)
    assert all_of(connection) == statuses


@pytest.mark.parametrize("case", REFUSED)
def test_what_breaks_a_rule_is_refused_and_nothing_behind_it_read(connection, case):
    connection.sendall(REFUSED[case] + LIVE + LAST)
    assert all_of(connection) == [400]


@pytest.mark.parametrize("case", ["TLS", "a chunk of no length"])
def test_what_breaks_a_rule_takes_no_answer_of_those_before_it(connection, case):
    connection.sendall(post(LENGTH, b"\r\n", BODY) + REFUSED[case])
    assert all_of(connection) in ([202], [202, 400])


@pytest.mark.parametrize("case", ENDLESS)
def test_what_has_no_end_is_cut_off(connection, case):
    start, part = ENDLESS[case]
    connection.sendall(start)
    with pytest.raises(ConnectionError):
        send_for_ever(connection, part)


def test_a_body_in_the_smallest_chunks_is_no_fault(connection):
    connection.sendall(post(CHUNKED, LAST, key="small"))
    padded = BODY + b" " * 20_000
    for start in range(0, len(padded), 500):
        each = padded[start : start + 500]
        connection.sendall(b"".join(b"1\r\n%c\r\n" % byte for byte in each))
    connection.sendall(b"0\r\n\r\n")
    assert all_of(connection) == [202]


def test_a_caller_who_takes_no_answer_away_stops_nobody(connection, server):
    connection.settimeout(1)
    with pytest.raises((ConnectionError, TimeoutError)):
        send_for_ever(connection, (LIVE + b"\r\n") * 100)
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as another:
        another.sendall(LIVE + LAST)
        assert all_of(another) == [200]


class Pauses(asyncio.Transport):
    """A transport of nothing, that notes whether it is read from."""

    reads = True

    def pause_reading(self):
        self.reads = False

    def resume_reading(self):
        self.reads = True

    def is_closing(self):
        return False

    def close(self):
        self.reads = False


@pytest.mark.parametrize("without", READERS)
def test_of_a_body_no_more_is_read_than_a_little_until_somebody_asks(without, monkeypatch):
    monkeypatch.setenv(READ_TIMEOUT, "60")
    monkeypatch.setattr(connections, "find_spec", lambda name: None if name in without else name)

    async def story():
        asks, asked, left = asyncio.Event(), asyncio.Event(), asyncio.Event()
        answers = []

        async def app(scope, receive, send):
            await asks.wait()
            answers.append(await receive())
            asked.set()
            answers.append(await receive())
            left.set()

        config = uvicorn.Config(app, lifespan="off", log_config=None)
        config.load()
        connection = connections.new_connection(
            config=config, server_state=ServerState(), app_state={}
        )
        connection.connection_made(transport := Pauses())
        sent = iter(post(b"content-length: 100000\r\n\r\n", b" " * 50_000))
        taken = 0
        while transport.reads:
            into = connection.get_buffer(-1)
            into[:] = part = bytes(itertools.islice(sent, len(into)))
            connection.buffer_updated(len(part))
            taken += len(part)
        assert taken < 20_000
        asks.set()
        await asked.wait()
        assert transport.reads
        assert len(answers[0]["body"]) < 20_000
        connection.connection_lost(None)
        await left.wait()
        assert answers[1]["type"] == "http.disconnect"

    asyncio.run(story())

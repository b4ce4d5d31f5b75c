"""`segmentflow serve` over a database that does not answer."""

from __future__ import annotations

import json
import os
import socket
from contextlib import contextmanager
from urllib.parse import urlsplit

import httpx
import pytest

from http_serving import KEY, served
from segmentflow_core.testing import a_request
from segmentflow_sql import open_storage
from servers import Postgres

pytestmark = [
    pytest.mark.server_side,
    pytest.mark.skipif(os.name == "nt", reason="a process cannot be suspended there: NOT TESTED"),
]


@pytest.fixture(scope="module")
def postgres():
    server = Postgres(durable=False)
    storage = open_storage(server.url())
    storage.create_all()
    storage.close()
    yield server
    server.stop()


@contextmanager
def begun(server):
    """Send a request that the server has begun to answer."""
    body = json.dumps(a_request()).encode()
    head = (
        f"POST /api/v1/events HTTP/1.1\r\nhost: a\r\nx-api-key: {KEY}\r\nidempotency-key: last\r\n"
        f"content-type: application/json\r\nexpect: 100-continue\r\ncontent-length: {len(body)}"
    )
    address = urlsplit(server.url)
    with socket.create_connection((address.hostname, address.port), timeout=60) as connection:
        connection.sendall(f"{head}\r\n\r\n".encode())
        assert b"100" in connection.recv(100)
        connection.sendall(body)
        yield connection


def test_a_database_that_hangs_is_an_answer_and_stops_neither_health_nor_a_stop(postgres):
    def post(key):
        return httpx.post(
            f"{server.url}/api/v1/events",
            headers={"x-api-key": KEY, "idempotency-key": key},
            json=a_request(),
            timeout=60,
        )

    options = ("--store-timeout", "2", "--grace", "1", "--threads", "2")
    with served(postgres.url(), *options) as server:
        assert post("1").status_code == 202
        assert httpx.get(f"{server.url}/readyz").status_code == 200
        with postgres.suspended():
            hung = [post(str(n)) for n in range(2)]
            alive = httpx.get(f"{server.url}/livez", timeout=60)
            ready = httpx.get(f"{server.url}/readyz", timeout=60)
            with begun(server) as last:
                assert server.stop() == 0
                cut_off = b"".join(iter(lambda: last.recv(65_536), b""))
    assert [each.status_code for each in hung] == [503, 503]
    assert hung[0].json()["error"] == "storage_unavailable"
    assert (alive.status_code, ready.status_code) == (200, 503)
    logged = "".join(server.err)
    assert "TIMEOUT" in logged
    assert logged.count("leaves its work to it") == 1
    assert "Traceback" not in logged
    assert cut_off.startswith(b"HTTP/1.1 503 ")
    assert b"storage_unavailable" in cut_off

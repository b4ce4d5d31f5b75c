"""`segmentflow serve` beside a bare uvicorn app, and beside one that writes its rows by hand.

Each runs in a process of its own and is asked by the same plain sockets over kept-alive
connections. Where one machine runs all sides, the caller's own work is in the figures. The
bare app answers 202 and does nothing; the other does the same writes as `bench.sqlite` and
`bench.postgresql` do by hand, in threads, and checks, hashes, redacts and matches nothing.
"""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine
from tests.servers import Postgres

from bench import postgresql, sqlite
from bench.report import Line
from segmentflow_core import Tracker
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_journey
from segmentflow_sql import SqlStorage

__all__ = ["bare", "by_hand", "measure"]

_KEY = "sk_test_" + "0123456789" * 4 + "012"
_CONNECTIONS = (1, 8, 64)
_RUNNING = re.compile(r"running on http://([0-9.]+):([0-9]+)")
_keys = itertools.count()


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body and answer 202: what no endpoint can be quicker than."""
    if scope["type"] == "http":
        await _read(receive)
        await _accept(send)


_hands = threading.local()


async def by_hand(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body, write the rows of one event, and answer 202."""
    if scope["type"] == "http":
        json.loads(await _read(receive))
        await asyncio.to_thread(_write)
        await _accept(send)


def _write() -> None:
    if not hasattr(_hands, "own"):
        kind, _, place = os.environ["BENCH_BY_HAND"].partition(" ")
        _hands.own = sqlite.ByHand(Path(place)) if kind == "SQLite" else postgresql.ByHand(place)
    _hands.own.one()


async def _read(receive: Any) -> bytes:
    parts: list[bytes] = []
    more = True
    while more:
        message = await receive()
        parts.append(message.get("body", b""))
        more = message.get("more_body", False)
    return b"".join(parts)


async def _accept(send: Any) -> None:
    headers = [(b"content-type", b"application/json"), (b"content-length", b"2")]
    await send({"type": "http.response.start", "status": 202, "headers": headers})
    await send({"type": "http.response.body", "body": b"{}"})


def measure(*, quick: bool) -> Iterator[Line]:
    """Yield one line per store and number of connections."""
    requests = 400 if quick else 2000
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR", ".")) as folder:
        path = Path(folder).resolve() / "bench.db"
        yield from _measure("SQLite", f"sqlite:///{path}", str(path), requests)
    server = Postgres()
    try:
        with server.connect() as connection:
            connection.execute("CREATE DATABASE bench")
        url, conninfo = server.url("bench"), server.conninfo("bench")
        yield from _measure("PostgreSQL", url, conninfo, requests)
    finally:
        server.stop()


def _measure(kind: str, url: str, place: str, requests: int) -> Iterator[Line]:
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey()])
    tracker.track(DOCUMENTED_REQUEST, "first")
    storage.close()
    ours = [sys.executable, "-m", "segmentflow_cli", "serve", "--port", "0", "--store", url]
    plain = [sys.executable, "-m", "uvicorn", "--port", "0", "--no-access-log", "--lifespan", "off"]
    with (
        _running(ours) as served,
        _running([*plain, "bench.http:bare"]) as nothing,
        _running([*plain, "bench.http:by_hand"], BENCH_BY_HAND=f"{kind} {place}") as hand,
    ):
        for connections in _CONNECTIONS:
            for address in (served, nothing, hand):
                asyncio.run(_load(address, connections, requests // 10))
            rate, latencies = asyncio.run(_load(served, connections, requests))
            most, _ = asyncio.run(_load(nothing, connections, requests))
            theirs, _ = asyncio.run(_load(hand, connections, requests))
            p50, p99 = (latencies[int(len(latencies) * q)] * 1000 for q in (0.5, 0.99))
            name = f"serve on {kind}, {connections} connection{'s'[: connections > 1]}"
            beside = f"by hand {theirs:,.0f} /s, bare {most:,.0f} /s"
            detail = f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; {beside}"
            yield Line(name, f"{rate:,.0f} /s", detail, "", met=None)


@contextmanager
def _running(command: list[str], **more: str) -> Generator[tuple[str, int]]:
    environment = {
        **os.environ,
        **more,
        "SEGMENTFLOW_API_KEYS": _KEY,
        "SEGMENTFLOW_FINGERPRINT_KEY": FINGERPRINT_SECRET,
    }
    with subprocess.Popen(
        command,
        env=environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stderr is not None
        try:
            found = next(filter(None, map(_RUNNING.search, process.stderr)))
            yield found[1], int(found[2])
        finally:
            process.terminate()


async def _load(
    address: tuple[str, int], connections: int, requests: int
) -> tuple[float, list[float]]:
    """Send requests over so many connections; return the rate, and the latencies, sorted."""
    latencies: list[float] = []
    left = iter(range(requests))

    async def one_connection() -> None:
        reader, writer = await asyncio.open_connection(*address)
        for _ in left:
            message = _message()
            started = time.perf_counter()
            writer.write(message)
            head = await reader.readuntil(b"\r\n\r\n")
            length = re.search(rb"content-length: ([0-9]+)", head)
            assert head.startswith(b"HTTP/1.1 202"), head
            assert length is not None
            await reader.readexactly(int(length[1]))
            latencies.append(time.perf_counter() - started)
        writer.close()

    started = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        for _ in range(connections):
            group.create_task(one_connection())
    return requests / (time.perf_counter() - started), sorted(latencies)


def _message() -> bytes:
    body = json.dumps(DOCUMENTED_REQUEST).encode()
    head = (
        "POST /api/v1/events HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"x-api-key: {_KEY}\r\nidempotency-key: {next(_keys)}\r\n"
        f"content-length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body

"""`segmentflow serve` beside a bare uvicorn app, and beside one that writes its rows by hand.

Each runs in a process of its own and is asked by `bench.clients` about 1,000 Profiles. The
bare app answers 202 and does nothing; the other does the same writes as `bench.sqlite` and
`bench.postgresql` do by hand, in threads, and checks, hashes, redacts and matches nothing. With
more connections than requests are worked on, callers wait for a second only, and what counts is
how many events a second are accepted.
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
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from attrs import frozen
from sqlalchemy import create_engine
from tests.servers import Postgres

from bench import postgresql, sqlite
from bench.clients import KEY, PROFILES, Answers, call, call_for, request_about
from bench.report import Line, Point
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey
from segmentflow_sql import SqlStorage

__all__ = ["Served", "bare", "by_hand", "measure", "running"]

_CONNECTIONS = (1, 8, 64)
_CROWDS = (64, 256, 1000)
"""Connections whose callers wait for a second only; the first is what the others compare with."""

_RATES = {"SQLite": 2500, "PostgreSQL": 1500}
_P99 = 60.0
_RUNNING = re.compile(r"running on http://([0-9.]+):([0-9]+)")


async def bare(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body and answer 202: what no endpoint can be quicker than."""
    if scope["type"] == "http":
        await _read(receive)
        await _accept(send)


_hands = threading.local()
_threads = itertools.count()


async def by_hand(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """Read the body, write the rows of one event, and answer 202."""
    if scope["type"] == "http":
        json.loads(await _read(receive))
        await asyncio.to_thread(_write)
        await _accept(send)


def _write() -> None:
    if not hasattr(_hands, "own"):
        kind, _, place = os.environ["BENCH_BY_HAND"].partition(" ")
        # On PostgreSQL each thread has a Profile of its own, or they would wait for one row.
        email = f"p{next(_threads)}@example.com"
        _hands.own = (
            sqlite.ByHand(Path(place)) if kind == "SQLite" else postgresql.ByHand(place, email)
        )
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
    requests, seconds = (400, 1.0) if quick else (4000, 10.0)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR", ".")) as folder:
        path = Path(folder).resolve() / "bench.db"
        yield from _measure("SQLite", f"sqlite:///{path}", str(path), requests, seconds)
    server = Postgres()
    try:
        with server.connect() as connection:
            connection.execute("CREATE DATABASE bench")
        url, conninfo = server.url("bench"), server.conninfo("bench")
        yield from _measure("PostgreSQL", url, conninfo, requests, seconds)
    finally:
        server.stop()


def _measure(kind: str, url: str, place: str, requests: int, seconds: float) -> Iterator[Line]:
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey()])
    tracker.track_many([(request_about(number), f"first {number}") for number in range(PROFILES)])
    storage.close()
    ours = [sys.executable, "-m", "segmentflow_cli", "serve", "--port", "0", "--store", url]
    plain = [sys.executable, "-m", "uvicorn", "--port", "0", "--no-access-log", "--lifespan", "off"]
    with (
        running(ours) as served,
        running([*plain, "bench.http:bare"]) as nothing,
        running([*plain, "bench.http:by_hand"], BENCH_BY_HAND=f"{kind} {place}") as hand,
    ):
        for connections in _CONNECTIONS:
            for server in (served, nothing, hand):
                asyncio.run(call(server.address, connections, requests // 10))
            own, most, theirs = (
                asyncio.run(call(server.address, connections, requests))
                for server in (served, nothing, hand)
            )
            yield _steady(
                kind, connections, own, f"by hand {theirs.rate:,.0f} /s, bare {most.rate:,.0f} /s"
            )
        fewest: Answers | None = None
        for connections in _CROWDS:
            answers = asyncio.run(call_for(served.address, connections, seconds))
            yield _crowded(kind, connections, answers, fewest)
            fewest = fewest or answers


def _steady(kind: str, connections: int, answers: Answers, beside: str) -> Line:
    rate, p50, p99 = answers.rate, answers.at(0.5), answers.at(0.99)
    target, met = "", None
    if connections == _CONNECTIONS[-1]:
        target = f"≥ {_RATES[kind]:,} /s, p99 ≤ {_P99:g} ms"
        met = rate >= _RATES[kind] and p99 <= _P99
    return Line(
        f"serve on {kind}, {connections} connection{'s'[: connections > 1]}",
        f"{rate:,.0f} /s",
        f"p50 {p50:.1f} ms, p99 {p99:.1f} ms; {beside}",
        target,
        met,
        (
            Point("latency by load", f"serve on {kind}, median", connections, p50 / 1000),
            Point("latency by load", f"serve on {kind}, p99", connections, p99 / 1000),
            Point("rate by load", f"serve on {kind}", connections, rate),
        ),
    )


def _crowded(kind: str, connections: int, answers: Answers, fewest: Answers | None) -> Line:
    rate, p99 = answers.rate, answers.at(0.99)
    others = {name: count for name, count in sorted(answers.counts.items()) if name != "202"}
    told = ", ".join(f"{count:,} × {name}" for name, count in others.items()) or "no other answer"
    target, met = "", None
    if connections == _CROWDS[-1]:
        assert fewest is not None
        target = f"≥ that of {_CROWDS[0]}, {fewest.rate:,.0f} /s"
        met = rate >= fewest.rate
    name = f"serve on {kind}, {connections:,} callers who wait 1 s"
    points = [Point("rate by load", f"serve on {kind}, callers who wait 1 s", connections, rate)]
    if fewest is not None:
        points.append(Point("latency by load", f"serve on {kind}, p99", connections, p99 / 1000))
    return Line(
        name, f"{rate:,.0f} accepted /s", f"p99 {p99:.0f} ms; {told}", target, met, tuple(points)
    )


@frozen
class Served:
    """A server that runs: where it listens, and which process it is."""

    address: tuple[str, int]
    pid: int


@contextmanager
def running(command: list[str], **more: str) -> Generator[Served]:
    """Run a server until the block ends; it is there once the block begins."""
    environment = {
        **os.environ,
        **more,
        "SEGMENTFLOW_API_KEYS": KEY,
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
            yield Served((found[1], int(found[2])), process.pid)
        finally:
            process.terminate()

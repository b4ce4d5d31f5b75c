"""Callers of one process over 1,000 Profiles, gathered, and 64 of them against events by hand.

The hand-written side is that of `bench.sqlite` and `bench.postgresql`: its values are made
beforehand, and it checks, hashes, redacts and matches nothing. Its 64 threads share as many
connections as serve them best: one on SQLite, which writes one transaction at a time, and eight
on PostgreSQL. On SQLite all its events are about one Profile, whose pages are always at hand.
"""

from __future__ import annotations

import asyncio
import itertools
import os
import statistics
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from functools import partial
from pathlib import Path
from queue import SimpleQueue
from typing import Any

from attrs import frozen
from sqlalchemy import Engine, create_engine, text
from sqlalchemy.ext.asyncio import create_async_engine
from tests.servers import Postgres

from bench import postgresql, sqlite
from bench.clients import PROFILES, request_about
from bench.report import Line, Point, compared
from bench.timing import alternate
from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey
from segmentflow_gathering import AsyncGathering, Gathering
from segmentflow_sql import AsyncSqlStorage, SqlStorage

__all__ = ["measure"]

_CALLERS = 64
_MANY = (1, 8, 64, 256, 1000)
_P99 = 0.060
_numbers = itertools.count()


def _call() -> tuple[dict[str, Any], str]:
    """Return a request about the next of the Profiles, whose time moves on, and its key."""
    number = next(_numbers)
    return request_about(number % PROFILES), f"{os.getpid()} {number}"


@frozen
class _Load:
    """What many callers saw: events a second, and the latencies of their calls, sorted."""

    rate: float
    latencies: list[float]

    def at(self, quantile: float) -> float:
        return self.latencies[int(len(self.latencies) * quantile)]


def _with_threads(step: Callable[[], object], calls: int) -> _Load:
    latencies: list[float] = []
    start = threading.Barrier(_CALLERS + 1)

    def caller() -> None:
        start.wait()
        for _ in range(calls // _CALLERS):
            began = time.perf_counter()
            step()
            latencies.append(time.perf_counter() - began)

    threads = [threading.Thread(target=caller) for _ in range(_CALLERS)]
    for thread in threads:
        thread.start()
    start.wait()
    began = time.perf_counter()
    for thread in threads:
        thread.join()
    taken = time.perf_counter() - began
    assert len(latencies) == calls // _CALLERS * _CALLERS, "a caller failed"
    return _Load(len(latencies) / taken, sorted(latencies))


async def _with_tasks(tracker: AsyncTracker, calls: int, callers: int = _CALLERS) -> _Load:
    latencies: list[float] = []

    async def caller() -> None:
        for _ in range(max(calls // callers, 1)):
            began = time.perf_counter()
            await tracker.track(*_call())
            latencies.append(time.perf_counter() - began)

    began = time.perf_counter()
    await asyncio.gather(*(caller() for _ in range(callers)))
    return _Load(len(latencies) / (time.perf_counter() - began), sorted(latencies))


def measure(*, quick: bool) -> Iterator[Line]:
    """Yield lines for each store: threads, tasks, and what one caller alone pays for it."""
    calls, rounds = (640, 1) if quick else (3200, 5)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR", ".")) as folder:
        path = Path(folder).resolve() / "bench.db"
        urls = (f"sqlite:///{path}", f"sqlite+aiosqlite:///{path}")
        yield from _measure(
            "SQLite", urls, [partial(sqlite.ByHand, path)], 1, (calls, rounds), at_least=4
        )
    server = Postgres()
    try:
        with server.connect() as connection:
            connection.execute("CREATE DATABASE bench")
        url, conninfo = server.url("bench"), server.conninfo("bench")
        own = [f"p{number}@example.com" for number in range(8)]
        hands = [partial(postgresql.ByHand, conninfo, email) for email in own]
        yield from _measure("PostgreSQL", (url, url), hands, 2, (calls, rounds), at_least=2)
    finally:
        server.stop()


def _measure(
    kind: str,
    urls: tuple[str, str],
    hands: Sequence[Callable[[], Any]],
    writers: int,
    extent: tuple[int, int],
    *,
    at_least: float,
) -> Iterator[Line]:
    calls, rounds = extent
    engine = create_engine(urls[0])
    storage = SqlStorage(engine)
    _fill(storage, engine)
    free: SimpleQueue[Any] = SimpleQueue()
    for hand in hands:
        free.put(hand())

    def by_hand() -> None:
        mine = free.get()
        try:
            mine.one()
        finally:
            free.put(mine)

    gather = Gathering(writers=writers)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, gather=gather)
    plain = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    with asyncio.Runner() as runner:
        async_storage = AsyncSqlStorage(create_async_engine(urls[1]))
        async_tracker = AsyncTracker(
            async_storage,
            fingerprint_key=FINGERPRINT_SECRET,
            gather=AsyncGathering(writers=writers),
        )
        loads: dict[str, list[_Load]] = {"threads": [], "tasks": [], "hand": []}
        for _ in range(rounds):
            loads["threads"].append(_with_threads(lambda: tracker.track(*_call()), calls))
            loads["hand"].append(_with_threads(by_hand, max(calls // 4, _CALLERS)))
            loads["tasks"].append(runner.run(_with_tasks(async_tracker, calls)))
        for many in _MANY:
            of_all = [runner.run(_with_tasks(async_tracker, calls, many)) for _ in range(rounds)]
            yield _with_many(kind, many, of_all)
        runner.run(async_storage.close())
    theirs = statistics.median(load.rate for load in loads["hand"])
    for callers in ("threads", "tasks"):
        rate = statistics.median(load.rate for load in loads[callers])
        p50, p99 = (statistics.median(load.at(q) for load in loads[callers]) for q in (0.5, 0.99))
        yield Line(
            f"{_CALLERS} {callers} on {kind}, gathered, against hand-written",
            f"{rate / theirs:.2f} ×",
            f"{rate:,.0f} / {theirs:,.0f} a second; p50 {p50 * 1e3:.0f} ms, p99 {p99 * 1e3:.0f} ms",
            f"≥ {at_least:g} ×, p99 ≤ {_P99 * 1e3:g} ms",
            rate / theirs >= at_least and p99 <= _P99,
        )
    with_it, without = alternate(
        lambda: tracker.track(*_call()), lambda: plain.track(*_call()), calls // 20, 2 * rounds + 1
    )
    name = f"  one caller alone on {kind}, gathered against not"
    yield compared(name, with_it, without, at_most=1.1)
    while not free.empty():
        free.get().close()
    storage.close()


def _with_many(kind: str, callers: int, loads: Sequence[_Load]) -> Line:
    rate = statistics.median(load.rate for load in loads)
    p50, p99 = (statistics.median(load.at(q) for load in loads) for q in (0.5, 0.99))
    return Line(
        f"  {callers:,} task{'s'[: callers > 1]} on {kind}, gathered",
        f"{rate:,.0f} a second",
        f"p50 {p50 * 1e3:.1f} ms, p99 {p99 * 1e3:.1f} ms",
        "",
        None,
        (
            Point("latency by load", f"tasks on {kind}, median", callers, p50),
            Point("latency by load", f"tasks on {kind}, p99", callers, p99),
            Point("rate by load", f"tasks on {kind}", callers, rate),
        ),
    )


def _fill(storage: SqlStorage, engine: Engine) -> None:
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey()])
    tracker.track_many(
        [(request_about(number), f"first of {number}") for number in range(PROFILES)]
    )
    with engine.begin() as connection:
        # As the server does by itself, a minute later.
        connection.execute(text("ANALYZE"))

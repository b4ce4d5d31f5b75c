"""Tracking while half of a store's events go: ``python -m bench.retention [--events N]``.

Retention runs in a process of its own, as cron starts it. One caller tracks all the while, with a
short pause between its calls. What counts is the slowest hundredth of its calls, before and
during the run.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Generator, Iterable
from contextlib import contextmanager
from datetime import datetime, timedelta
from pathlib import Path

from sqlalchemy import create_engine
from tests.servers import Postgres

from segmentflow_core import People, Tracker
from segmentflow_core.people import RETAINED_AT_ONCE
from segmentflow_core.system import SystemClock
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage

__all__ = ["main", "requests_of", "url_of"]

_KEPT = timedelta(days=365)
_AT_ONCE = 2_000
_PAUSE = 0.005
_EACH = 10
"""How many events a Profile has; one of them enters a Journey."""


class _Ago:
    """A clock that is so much behind."""

    def __init__(self, behind: timedelta) -> None:
        self._behind = behind

    def now(self) -> datetime:
        return SystemClock().now() - self._behind


def _fill(storage: SqlStorage, count: int) -> None:
    """Record events, half of them before what is kept; complete what they enrol."""
    half = count // 2
    for part, behind in enumerate((_KEPT + timedelta(days=30), timedelta(days=30))):
        tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=_Ago(behind))
        tracker.journeys.publish([a_journey(reentry={"policy": "once"})])
        for start in range(0, half, _AT_ONCE):
            numbers = range(start, min(start + _AT_ONCE, half))
            tracker.track_many([(_request(n), f"{part} {n}") for n in numbers])
        while claimed := tracker.enrollments.claim(limit=_AT_ONCE):
            tracker.enrollments.complete_many([each.lease for each in claimed])


def _request(number: int) -> dict[str, object]:
    event = "order.created" if number % _EACH == 0 else "page.viewed"
    return a_request(
        event,
        profile={
            "email": f"{number // _EACH}@example.com",
            "properties": {"seen": number % _EACH // 4, "plan": "Pro"},
        },
        data={"orderId": f"ord_{number}", "total": number, "items": [{"sku": "a", "n": 1}]},
        referenceId=f"ord_{number}",
    )


def requests_of(numbers: Iterable[int]) -> list[dict[str, object]]:
    """Return the requests of these numbers: ten after one another are one person's."""
    return [_request(number) for number in numbers]


def _track(tracker: Tracker, name: str, until: float, process: object = None) -> list[float]:
    """Track until a time, or until a process ends; return how long each call took."""
    taken: list[float] = []
    number = 0
    while process.poll() is None if process is not None else time.perf_counter() < until:  # type: ignore[attr-defined]
        request = _request(number * 7)
        began = time.perf_counter()
        tracker.track(request, f"{name} {number}")
        taken.append(time.perf_counter() - began)
        number += 1
        time.sleep(_PAUSE)
    return taken


def _measure(name: str, url: str, count: int, at_once: int, seconds: float) -> None:
    engine = create_engine(url)
    storage = SqlStorage(engine)
    storage.create_all()
    began = time.perf_counter()
    _fill(storage, count)
    print(f"{name}: {count:,} events in {time.perf_counter() - began:.0f} s", flush=True)
    if url.startswith("postgresql"):
        with engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    _track(tracker, "warm", time.perf_counter() + 1)
    before = _track(tracker, "before", time.perf_counter() + seconds)
    command = [sys.executable, "-m", "bench.retention", "--retain", url, "--at-once", str(at_once)]
    began = time.perf_counter()
    with subprocess.Popen(command) as process:
        during = _track(tracker, "during", 0, process)
    elapsed = time.perf_counter() - began
    after = _track(tracker, "after", time.perf_counter() + seconds)
    for when, taken in (("before", before), ("during", during), ("after", after)):
        p50, p99 = statistics.median(taken), statistics.quantiles(taken, n=100)[98]
        print(
            f"  {when:6}  p50 {p50 * 1e3:6.2f} ms  p99 {p99 * 1e3:6.2f} ms  "
            f"max {max(taken) * 1e3:6.1f} ms  {len(taken):,} calls",
        )
    ratio = statistics.quantiles(during, n=100)[98] / statistics.quantiles(before, n=100)[98]
    print(
        f"  p99 during / before: {ratio:.2f} (target: 2); the run took {elapsed:.0f} s", flush=True
    )
    storage.close()


def _retain(url: str, at_once: int) -> None:
    storage = SqlStorage(create_engine(url))
    began = time.perf_counter()
    retained = People(storage).retain(events=_KEPT, enrollments=_KEPT, limit=at_once)
    taken = time.perf_counter() - began
    rate = retained.events / taken
    print(
        f"  removed {retained.events:,} events and {retained.enrollments:,} Enrollments, "
        f"{at_once} at once: {rate:,.0f} events a second",
        flush=True,
    )
    storage.close()


@contextmanager
def url_of(database: str) -> Generator[str]:
    """Give the URL of an empty store for as long as it is needed."""
    if database == "sqlite":
        with tempfile.TemporaryDirectory(dir=os.environ.get("SEGMENTFLOW_BENCH_DIR")) as folder:
            yield f"sqlite:///{Path(folder) / 'store.db'}"
        return
    server = Postgres()
    try:
        yield server.url()
    finally:
        server.stop()


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.retention", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="how many; half of them go")
    parser.add_argument("--seconds", type=float, default=10.0, help="how long before, and after")
    parser.add_argument("--at-once", type=int, default=RETAINED_AT_ONCE, help="of a transaction")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database alone")
    parser.add_argument("--retain", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.retain:
        _retain(options.retain, options.at_once)
        return
    for name in ("sqlite", "postgresql"):
        if options.only in (None, name):
            with url_of(name) as url:
                _measure(name, url, options.events, options.at_once, options.seconds)


if __name__ == "__main__":
    main()

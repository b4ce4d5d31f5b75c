"""Pausing a Journey in which many wait: ``python -m bench.pausing [--waiting N]``.

What waits in it came before what waits in another Journey. Timed are the calls that pause,
activate and archive it, and claims of what waits in the other one: before anything waits in it,
while it is paused, while it is archived, and once it is active again before any row followed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

from sqlalchemy import Connection, create_engine, insert, select

from bench.retention import url_of
from segmentflow_core import Tracker
from segmentflow_core.system import Uuid7Factory
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage, metadata

__all__ = ["main"]

_TARGET: Final = 100.0
_AT_ONCE: Final = 10_000
_enrollments: Final = metadata.tables["segmentflow_enrollments"]
_new_id: Final = Uuid7Factory().new_id


def _copy(connection: Connection, journey_id: str, count: int) -> None:
    """Let so many more wait in a Journey: copies of the one that does, each with its own id."""
    template = (
        connection.execute(select(_enrollments).where(_enrollments.c.journey_id == journey_id))
        .mappings()
        .one()
    )
    available_at: Any = template["available_at"]
    moment: Any = 1 if isinstance(available_at, int) else timedelta(microseconds=1)
    for start in range(1, count, _AT_ONCE):
        connection.execute(
            insert(_enrollments),
            [
                {**template, "enrollment_id": _new_id(), "available_at": available_at - n * moment}
                for n in range(start, min(start + _AT_ONCE, count))
            ],
        )


def _timed(call: Callable[[], object], calls: int) -> list[float]:
    taken: list[float] = []
    for _ in range(calls):
        began = time.perf_counter()
        call()
        taken.append((time.perf_counter() - began) * 1e3)
    return taken


def _measure(name: str, url: str, waiting: int, calls: int) -> None:
    engine = create_engine(url)
    storage = SqlStorage(engine)
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey("crowd")])
    tracker.track(a_request(), "crowd")
    tracker.journeys.publish([a_journey("crowd", status="paused"), a_journey("other")])
    tracker.track(a_request(), "other")
    with engine.begin() as connection:
        _copy(connection, "other", 5 * 3 * calls * 102)
    before: dict[int, float] = {}

    def claims(when: str) -> None:
        for limit in (1, 100):
            taken: list[Any] = []

            def claim(limit: int = limit, taken: list[Any] = taken) -> None:
                taken[:] = tracker.enrollments.claim(limit=limit)

            claim()
            median = statistics.median(_timed(claim, calls))
            assert [each.enrollment.journey_id for each in taken] == ["other"] * limit
            ratio = median / before.setdefault(limit, median)
            print(
                f"  claim of {limit:3} others, {when:30} {median:8.2f} ms  {ratio:5.2f} ×",
                flush=True,
            )

    claims("before anybody waits")
    began = time.perf_counter()
    with engine.begin() as connection:
        _copy(connection, "crowd", waiting)
    print(f"{name}: {waiting:,} wait, in {time.perf_counter() - began:.0f} s", flush=True)
    claims("while the crowd is paused")
    pauses, activations = [], []
    for _ in range(calls):
        activations += _timed(lambda: tracker.journeys.activate("crowd"), 1)
        pauses += _timed(lambda: tracker.journeys.pause("crowd"), 1)
    archivings = _timed(lambda: tracker.journeys.archive("crowd"), 1)
    for what, taken in (("pause", pauses), ("activate", activations), ("archive", archivings)):
        missed = "" if max(taken) < _TARGET else "MISSED: "
        print(
            f"  {what:10} median {statistics.median(taken):6.2f} ms  slowest {max(taken):6.2f} ms"
            f"  {missed}target {_TARGET:.0f} ms",
            flush=True,
        )
    claims("once the crowd is archived")
    tracker.journeys.activate("crowd")
    claims("once it is active again")
    page = _timed(lambda: tracker.enrollments.list(journey_id="crowd", limit=100), calls)
    print(f"  a page of the withdrawn              median {statistics.median(page):8.2f} ms")
    some = min(waiting, 20_000)
    began = time.perf_counter()
    followed = tracker.journeys.finish_archiving(at_most=some)
    print(
        f"  rows that follow: {followed / (time.perf_counter() - began):,.0f} a second", flush=True
    )
    claims("while rows follow")
    storage.close()


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.pausing", description=__doc__)
    parser.add_argument("--waiting", type=int, default=10_000, help="how many wait")
    parser.add_argument("--calls", type=int, default=15, help="how many calls of a kind")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database alone")
    options = parser.parse_args()
    for name in ("sqlite", "postgresql"):
        if options.only in (None, name):
            with url_of(name) as url:
                _measure(name, url, options.waiting, options.calls)


if __name__ == "__main__":
    main()

"""What one event costs as things grow: Journeys, Profiles, the request, the batch.

One event's time is measured beside that of the smallest of each, in turn. All but the batches are
on memory, so that nothing waits for a disk; the batches are on a SQLite file.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from sqlalchemy import create_engine

from bench.report import Line, Point
from bench.timing import alternate
from segmentflow_core import Tracker
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_memory import MemoryStorage
from segmentflow_sql import SqlStorage

__all__ = ["measure"]

_BATCHES: Final = (1, 10, 100, 1000)
_keys = map(str, itertools.count())
_At = Callable[[int], tuple[Callable[[], object], int]]
"""Returns a step for a size, and of how many events it is."""


def measure(*, quick: bool) -> Iterator[Line]:
    """Yield one line per size, each with a point of its plot."""
    calls = 200 if quick else 3000
    most = 10_000 if quick else 100_000
    decades = [10**power for power in range(1, len(str(most)))]
    yield from _grown("Journeys on other events", decades, _with_other_journeys, calls)
    yield from _grown("Journeys on the same event", [1, 2, 5, 10, 20], _with_journeys, calls)
    yield from _grown("Profiles", decades[1:], _with_profiles, calls)
    yield from _grown("bytes of data", [100, 1000, 10_000, 100_000], _with_bytes, calls // 10)
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR", ".")) as folder:
        storage = SqlStorage(create_engine(f"sqlite:///{Path(folder).resolve() / 'bench.db'}"))
        storage.create_all()
        tracker = _tracker(storage)
        yield from _grown(
            "events a batch, on SQLite", _BATCHES, lambda size: _batch(tracker, size), calls // 10
        )
        storage.close()


def _grown(what: str, sizes: Sequence[int], at: _At, calls: int) -> Iterator[Line]:
    smallest, events_of_smallest = at(sizes[0])
    for size in sizes:
        step, events = at(size)
        here, there = alternate(step, smallest, max(calls // events, 5), 3)
        per_event = here / events
        name = f"one event; {what}: {size:,}"
        detail = f"{per_event / (there / events_of_smallest):.2f} × that of {sizes[0]:,}"
        point = Point("cost by size", what, size, per_event)
        yield Line(name, f"{per_event * 1e6:,.1f} µs", detail, "", None, (point,))


def _tracker(storage: Any = None) -> Tracker:
    tracker = Tracker(storage or MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey()])
    return tracker


def _one(tracker: Tracker, request: Any = DOCUMENTED_REQUEST) -> tuple[Callable[[], object], int]:
    return (lambda: tracker.track(request, next(_keys))), 1


def _batch(tracker: Tracker, size: int) -> tuple[Callable[[], object], int]:
    return (
        lambda: tracker.track_many([(DOCUMENTED_REQUEST, next(_keys)) for _ in range(size)])
    ), size


def _with_other_journeys(count: int) -> tuple[Callable[[], object], int]:
    tracker = _tracker()
    others = [a_journey(f"other-{n}", trigger={"event": f"other.{n}"}) for n in range(count)]
    for start in range(0, count, 10_000):
        tracker.journeys.publish(others[start : start + 10_000])
    return _one(tracker)


def _with_journeys(count: int) -> tuple[Callable[[], object], int]:
    tracker = _tracker()
    tracker.journeys.publish([a_journey(f"more-{number}") for number in range(count - 1)])
    return _one(tracker)


def _with_profiles(count: int) -> tuple[Callable[[], object], int]:
    tracker = _tracker()
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        tracker.track_many(
            [
                (a_request("signed.up", profile={"email": f"p{n}@example.com"}), f"p{n}")
                for n in numbers
            ]
        )
    return _one(tracker)


def _with_bytes(count: int) -> tuple[Callable[[], object], int]:
    items = [{"sku": f"sku-{number}", "price": number / 4} for number in range(count // 32)]
    return _one(
        _tracker(), {**DOCUMENTED_REQUEST, "data": {**DOCUMENTED_REQUEST["data"], "items": items}}
    )

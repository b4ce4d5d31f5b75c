"""How soon a worker works on what was recorded: from the commit to the handler's first line.

The tracker and the worker are two processes of one machine, whose monotonic clock both read. The
commit is done when `track` returns.
"""

from __future__ import annotations

import statistics
import time
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from sqlalchemy import create_engine

from bench.workers.handling import JOURNEY, Hand, work
from bench.workers.killing import WorkFailed, processes
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage
from segmentflow_worker import wakes

__all__ = ["Latency", "measure_latency"]

_LEASE: Final = timedelta(minutes=1)
_PATIENCE: Final = 60.0


@frozen
class Latency:
    """How soon handlers began.

    Attributes:
        rate: how many events a second were to be tracked.
        reached: how many were.
        events: how many there were.
        p50: milliseconds from the commit to the handler's first line, of half of them.
        p95: of 95 in 100.
        longest: of all.
    """

    rate: int
    reached: float
    events: int
    p50: float
    p95: float
    longest: float


def measure_latency(url: str, folder: Path, *, rate: int, seconds: float) -> Latency:
    """Track at a rate, while one worker works, and compare the times that both noted.

    Args:
        url: of an empty store, its tables created.
        folder: where the worker notes.
        rate: events a second, evenly.
        seconds: how long.

    Raises:
        WorkFailed: the worker ended, or did not get all done.
    """
    storage = SqlStorage(create_engine(url))
    notifier: Any = getattr(storage, "notifier", lambda: None)()
    observers = [] if notifier is None else [wakes(notifier)]
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, observers=observers)
    tracker.journeys.publish([a_journey(JOURNEY)])
    lines = folder / "first-lines"
    lines.touch()
    worker = processes.Process(
        target=work, args=(Hand(url, _LEASE, first_lines=lines),), daemon=True
    )
    worker.start()
    try:
        _track(tracker, "warm up", 1)
        _begun(lines, 1, worker)
        started = time.monotonic()
        committed: dict[str, float] = {}
        for number in range(round(rate * seconds)):
            time.sleep(max(0.0, started + number / rate - time.monotonic()))
            event_id = _track(tracker, "event", number)
            committed[event_id] = time.monotonic()
        taken = time.monotonic() - started
        began = _begun(lines, len(committed) + 1, worker)
    finally:
        worker.terminate()
        worker.join()
        if notifier is not None:
            notifier.close()
        storage.close()
    waits = sorted((began[each] - at) * 1e3 for each, at in committed.items())
    cuts = statistics.quantiles(waits, n=100, method="inclusive")
    return Latency(rate, len(waits) / taken, len(waits), cuts[49], cuts[94], waits[-1])


def _track(tracker: Tracker, name: str, number: int) -> str:
    profile = {"email": f"{name.replace(' ', '-')}-{number}@example.com"}
    return tracker.track(a_request(profile=profile), f"{name} {number}").event_id


def _begun(lines: Path, count: int, worker: Any) -> dict[str, float]:
    """Wait until so many handlers have begun; return when each did, by its event."""
    deadline = time.monotonic() + _PATIENCE
    while len(noted := lines.read_text(encoding="ascii").split("\n")) <= count:
        if time.monotonic() > deadline or not worker.is_alive():
            raise WorkFailed("the worker does not get on")
        time.sleep(0.01)
    pairs = (line.split() for line in noted if line)
    return {event_id: float(at) for event_id, at in pairs}

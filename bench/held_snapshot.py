"""``python -m bench.held_snapshot``: claims while another session keeps an old snapshot.

A dump, a long report or a forgotten transaction keeps PostgreSQL from removing what has changed
since. Events are tracked at a rate, and one worker claims and completes what they enrol: first
so, and then beside a session that holds a snapshot. Compared is the median of a claim in each ten
seconds with the median before; beside it stands the cause, how many entries of the Enrollments'
indexes are read for one turn of the worker. Exit status 1 where claims grew beyond the bound.
"""

from __future__ import annotations

import argparse
import itertools
import statistics
import sys
import time
from collections.abc import Iterator, Sequence
from typing import Final

from sqlalchemy import Engine, create_engine, text

from bench.retention import url_of
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage

__all__ = ["main"]

_BOUND: Final = 1.5
_WINDOW: Final = 10.0
_CLAIMED: Final = 10
"""Enrollments of a claim."""

_ENTRIES_READ: Final = text(
    "SELECT sum(idx_tup_read) FROM pg_stat_user_indexes WHERE relname = 'segmentflow_enrollments'"
)
_numbers: Final = itertools.count()


def _turn(tracker: Tracker) -> float:
    """Track, claim and complete a few; return the milliseconds that the claim took."""
    tracker.track_many([(a_request(), str(next(_numbers))) for _ in range(_CLAIMED)])
    began = time.perf_counter()
    claimed = tracker.enrollments.claim(limit=_CLAIMED)
    taken = (time.perf_counter() - began) * 1e3
    assert len(claimed) == _CLAIMED
    tracker.enrollments.complete_many([each.lease for each in claimed])
    return taken


class _Watch:
    """Counts what the server has read of the Enrollments' indexes."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self._seen = self._read()

    def entries(self) -> int:
        """Return how many entries were read since the last time."""
        before, self._seen = self._seen, self._read()
        return self._seen - before

    def _read(self) -> int:
        with self._engine.connect() as connection:
            return int(connection.execute(_ENTRIES_READ).scalar_one())


def _windows(tracker: Tracker, rate: int, seconds: float) -> Iterator[Sequence[float]]:
    """Yield how long claims took, each ten seconds anew."""
    began = time.perf_counter()
    turns = 0
    taken: list[float] = []
    while (now := time.perf_counter() - began) < seconds:
        if now < turns * _CLAIMED / rate:
            time.sleep(turns * _CLAIMED / rate - now)
        taken.append(_turn(tracker))
        turns += 1
        if now // _WINDOW < (time.perf_counter() - began) // _WINDOW:
            yield taken
            taken = []


def _told(when: str, taken: Sequence[float], entries: int, before: float | None) -> float:
    median = statistics.median(taken)
    slow = statistics.quantiles(taken, n=20)[-1]
    ratio = 1.0 if before is None else median / before
    print(
        f"  {when:28} median {median:6.2f} ms  p95 {slow:6.2f} ms  {ratio:5.2f} ×"
        f"  {entries / len(taken):9,.0f} entries read",
        flush=True,
    )
    return median


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.held_snapshot", description=__doc__)
    parser.add_argument("--rate", type=int, default=300, help="events a second (300)")
    parser.add_argument("--seconds", type=float, default=60.0, help="how long it is held (60)")
    options = parser.parse_args()
    with url_of("postgresql") as url:
        engine = create_engine(url)
        storage = SqlStorage(engine)
        storage.create_all()
        tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
        tracker.journeys.publish([a_journey()])
        print(f"claims of {_CLAIMED} at {options.rate} events a second, PostgreSQL")
        watch = _Watch(create_engine(url))
        before = 0.0
        for last in _windows(tracker, options.rate, 2 * _WINDOW + 1):
            before = _told("before", last, watch.entries(), None)
        ratios: list[float] = []
        with engine.connect() as other:
            other.execution_options(isolation_level="REPEATABLE READ")
            other.execute(text("SELECT count(*) FROM segmentflow_events"))
            held = 0.0
            for taken in _windows(tracker, options.rate, options.seconds + 1):
                held += _WINDOW
                when = f"a snapshot held for {held:.0f} s"
                ratios.append(_told(when, taken, watch.entries(), before) / before)
            other.rollback()
        storage.close()
    missed = max(ratios) > _BOUND
    print(f"  {'MISSED: ' if missed else ''}target {_BOUND} ×")
    sys.exit(missed)


if __name__ == "__main__":
    main()

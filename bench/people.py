"""What is asked about one person of a large store: ``python -m bench.people [--events N]``.

Each call is about another person, who has ten events: who she is, her events, why she got what
she got, and her erasure. What counts is the slowest of them.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

from sqlalchemy import create_engine

from bench.retention import requests_of, url_of
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey
from segmentflow_sql import SqlStorage

__all__ = ["main"]

_AT_ONCE = 2_000
_EACH = 10
_TARGET = 50.0


def _fill(tracker: Tracker, count: int) -> None:
    tracker.journeys.publish([a_journey(reentry={"policy": "once"})])
    for start in range(0, count, _AT_ONCE):
        numbers = range(start, min(start + _AT_ONCE, count))
        tracker.track_many(list(zip(requests_of(numbers), map(str, numbers), strict=True)))


def _told(what: str, call: Callable[[str], object], people: Sequence[str]) -> None:
    taken: list[float] = []
    for who in people:
        began = time.perf_counter()
        call(who)
        taken.append(time.perf_counter() - began)
    median, worst = statistics.median(taken) * 1e3, max(taken) * 1e3
    missed = "" if worst <= _TARGET else "MISSED: "
    print(
        f"  {what:20} median {median:6.2f} ms  slowest {worst:6.2f} ms  "
        f"{missed}target {_TARGET:.0f} ms",
        flush=True,
    )


def _measure(name: str, url: str, count: int, calls: int) -> None:
    engine = create_engine(url)
    storage = SqlStorage(engine)
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    began = time.perf_counter()
    _fill(tracker, count)
    print(f"{name}: {count:,} events in {time.perf_counter() - began:.0f} s", flush=True)
    if engine.dialect.name == "postgresql":
        with engine.connect() as connection:
            connection.exec_driver_sql("ANALYZE")
    step = max(count // _EACH // (calls + 1), 1)
    emails = [f"{number * step}@example.com" for number in range(1, calls + 1)]
    records = tracker.records
    records.why(emails[0])  # the first call checks the tables
    ids = [records.find_profile(email=email).profile_id for email in emails]
    _told("find_profile", lambda who: records.find_profile(email=who), emails)
    _told("events of a Profile", lambda who: records.events(profile_id=who), ids)
    _told("why", records.why, emails)
    _told(
        "explain an event",
        records.explain,
        [records.events(profile_id=each, limit=1)[0].event_id for each in ids],
    )
    _told("erase", tracker.people.erase, emails)
    storage.close()


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.people", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000, help="how many the store has")
    parser.add_argument("--calls", type=int, default=50, help="how many persons are asked about")
    parser.add_argument("--only", choices=("sqlite", "postgresql"), help="one database alone")
    options = parser.parse_args()
    for name in ("sqlite", "postgresql"):
        if options.only in (None, name):
            with url_of(name) as url:
                _measure(name, url, options.events, options.calls)


if __name__ == "__main__":
    main()

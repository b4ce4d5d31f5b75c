"""Handing Enrollments over on SQLite and PostgreSQL: claims and completions, alone and in batches.

Each claim is one transaction and each completion another, as a worker makes them; a claim
for every Organization deals the work of four. Behind it lies a history of completed
Enrollments, which ought to cost nothing.
"""

from __future__ import annotations

import itertools
import os
import tempfile
from collections import deque
from collections.abc import Generator, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from sqlalchemy import create_engine
from tests.servers import Postgres

from bench.report import Line, rated, related
from bench.timing import alternate
from segmentflow_core import Lease, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage

__all__ = ["measure"]

_ORGANIZATIONS = [f"org-{number}" for number in range(4)]
_AT_ONCE = 10_000
_numbers = itertools.count()


class _Worker:
    """What one worker does, each half by itself."""

    def __init__(self, tracker: Tracker, batch: int, organization_id: str | None) -> None:
        self._tracker = tracker
        self._batch = batch
        self._organization_id = organization_id
        self._held: deque[Sequence[Lease]] = deque()

    def claim(self) -> None:
        claimed = self._tracker.enrollments.claim(
            limit=self._batch, organization_id=self._organization_id
        )
        assert len(claimed) == self._batch
        self._held.append([item.lease for item in claimed])

    def complete(self) -> None:
        self._tracker.enrollments.complete_many(self._held.popleft())

    def timed(self, calls: int, rounds: int) -> tuple[float, float]:
        """Return the seconds that one claim and one completion take."""
        share = 1 if self._organization_id else len(_ORGANIZATIONS)
        needed = self._batch * (calls * rounds + max(calls // 10, 1))
        for name in _ORGANIZATIONS[:share]:
            _enrol(self._tracker, needed // share + self._batch, name)
        claim, complete = alternate(self.claim, self.complete, calls, rounds)
        _finish_everything(self._tracker)
        return claim, complete


def _enrol(tracker: Tracker, count: int, organization_id: str) -> None:
    for start in range(0, count, _AT_ONCE):
        tracker.track_many(
            [(a_request(), str(next(_numbers))) for _ in range(min(_AT_ONCE, count - start))],
            organization_id=organization_id,
        )


def _finish_everything(tracker: Tracker) -> None:
    while claimed := tracker.enrollments.claim(limit=_AT_ONCE, organization_id=None):
        tracker.enrollments.complete_many([item.lease for item in claimed])


@contextmanager
def _tracker(url: str) -> Generator[Tracker]:
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    for name in _ORGANIZATIONS:
        tracker.journeys.publish([a_journey()], organization_id=name)
    yield tracker
    storage.close()


def measure(*, quick: bool) -> Iterator[Line]:
    """Yield one line per measurement."""
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR", ".")) as folder:
        yield from _measure("SQLite", f"sqlite:///{Path(folder) / 'bench.db'}", quick=quick)
    server = Postgres()
    try:
        with server.connect() as connection:
            connection.execute("CREATE DATABASE hand_over")
        yield from _measure("PostgreSQL", server.url("hand_over"), quick=quick)
    finally:
        server.stop()


def _measure(name: str, url: str, *, quick: bool) -> Iterator[Line]:
    history = 10_000 if quick else 100_000
    calls, rounds = (50, 3) if quick else (100, 7)
    with _tracker(url) as tracker:
        # Untimed: SQLite's log is then as long as it gets, and is written over from here on.
        _enrol(tracker, _AT_ONCE, _ORGANIZATIONS[0])
        _finish_everything(tracker)
        before: dict[int, float] = {}
        for batch, calls_of in ((1, calls), (100, calls // 5)):
            claim, complete = _Worker(tracker, batch, _ORGANIZATIONS[0]).timed(calls_of, rounds)
            before[batch] = claim
            yield rated(f"Enrollments claimed {batch} at a time on {name}", claim / batch)
            yield rated(f"  completed {batch} at a time", complete / batch)
        claim, _ = _Worker(tracker, 100, None).timed(calls // 5, rounds)
        yield related("  a claim of 100 for every Organization against one", claim, before[100])
        _enrol(tracker, history, _ORGANIZATIONS[0])
        _finish_everything(tracker)
        for batch, calls_of in ((1, calls), (100, calls // 5)):
            claim, _ = _Worker(tracker, batch, _ORGANIZATIONS[0]).timed(calls_of, rounds)
            yield related(
                f"  a claim of {batch} behind {history:,} more completed",
                claim,
                before[batch],
            )

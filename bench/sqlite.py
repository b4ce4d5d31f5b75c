"""Tracking on SQLite against code written by hand: the same rows, the same durability.

The hand-written side takes the key, reads the Profile, reads the listening Journeys and
writes the same columns with sqlite3 alone; its values are made beforehand, so it does no
checking, hashing, redaction or matching at all.
"""

from __future__ import annotations

import itertools
import json
import os
import sqlite3
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from sqlalchemy import create_engine

from bench.colours import both_colours
from bench.report import Line, compared
from bench.timing import alternate
from segmentflow_core import Tracker
from segmentflow_core.domain.idempotency_key import key_digest
from segmentflow_core.system import Uuid7Factory
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_journey
from segmentflow_sql import SqlStorage

__all__ = ["ByHand", "measure"]

_BATCH = 100
_ID = Uuid7Factory().new_id
_numbers = itertools.count()


def _key() -> str:
    return f"{os.getpid()} {next(_numbers)}"


class ByHand:
    """What a careful programmer would write for this one event."""

    def __init__(self, path: Path) -> None:
        self._connection = sqlite3.connect(
            path, isolation_level=None, timeout=30, check_same_thread=False
        )
        self._connection.execute("PRAGMA journal_mode = WAL")
        self._connection.execute("PRAGMA synchronous = FULL")
        read = self._connection.execute
        self._claim = read("SELECT * FROM segmentflow_claims LIMIT 1").fetchone()
        self._event = read("SELECT * FROM segmentflow_events LIMIT 1").fetchone()
        self._enrollment = read("SELECT * FROM segmentflow_enrollments LIMIT 1").fetchone()
        self._profile = read("SELECT * FROM segmentflow_profiles LIMIT 1").fetchone()
        self._version = read("SELECT * FROM segmentflow_profile_versions LIMIT 1").fetchone()
        self._number = self._profile[2]
        self._data = json.loads(self._event[6])

    def one(self) -> None:
        self.many(1)

    def batch(self) -> None:
        self.many(_BATCH)

    def many(self, count: int) -> None:
        run, run_many = self._connection.execute, self._connection.executemany
        run("BEGIN IMMEDIATE")
        claims: list[tuple[Any, ...]] = []
        events: list[tuple[Any, ...]] = []
        enrollments: list[tuple[Any, ...]] = []
        for _ in range(count):
            event_id = _ID()
            digest = key_digest(self._claim[0], f"hand {_key()}")
            claims.append((self._claim[0], digest, *self._claim[2:4], event_id, *self._claim[5:]))
            data = json.dumps(self._data, separators=(",", ":"))
            self._number += 1
            place = (self._event[2], self._number, *self._event[4:6])
            rest = (*self._event[7:-1], digest[:4])
            events.append((self._event[0], event_id, *place, data, *rest))
            enrollments.append(
                (
                    self._enrollment[0],
                    _ID(),
                    *self._enrollment[2:5],
                    event_id,
                    self._number,
                    *self._enrollment[7:],
                )
            )
        run_many(f"{_insertion('claims', self._claim)} ON CONFLICT DO NOTHING", claims)
        run(
            "SELECT * FROM segmentflow_profiles AS p JOIN segmentflow_profile_versions "
            "USING (organization_id, profile_id, version) WHERE organization_id = ? AND "
            "(p.email = ? OR p.external_id = ?)",
            (self._profile[0], self._profile[4], self._profile[5]),
        ).fetchall()
        run(
            "SELECT * FROM segmentflow_journeys JOIN segmentflow_journey_versions "
            "USING (organization_id, journey_id, version) "
            "WHERE organization_id = ? AND event = ? AND status = 'active'",
            (self._profile[0], self._event[5]),
        ).fetchall()
        run(
            "UPDATE segmentflow_profiles SET number = ?, email_last = ?, "
            "email_last_received = ?, updated_at = ? WHERE organization_id = ? AND profile_id = ?",
            (self._number, *self._profile[7:9], self._profile[10], *self._profile[:2]),
        )
        run(
            "UPDATE segmentflow_profile_versions SET property_times = ? "
            "WHERE organization_id = ? AND profile_id = ? AND version = ?",
            (self._version[7], *self._version[:3]),
        )
        run_many(_insertion("events", self._event), events)
        run_many(_insertion("enrollments", self._enrollment), enrollments)
        run("COMMIT")

    def close(self) -> None:
        self._connection.close()


def _insertion(table: str, row: tuple[Any, ...]) -> str:
    return f"INSERT INTO segmentflow_{table} VALUES ({','.join('?' * len(row))})"


def measure(*, quick: bool) -> Iterator[Line]:
    """Yield one line per measurement."""
    calls, rounds = (100, 3) if quick else (300, 9)
    # A request whose time moves on: every event updates the Profile, on both sides.
    request = {name: value for name, value in DOCUMENTED_REQUEST.items() if name != "occurredAt"}
    with tempfile.TemporaryDirectory(dir=os.environ.get("BENCH_DIR", ".")) as folder:
        path = Path(folder) / "bench.db"
        storage = SqlStorage(create_engine(f"sqlite:///{path}"))
        storage.create_all()
        tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
        tracker.journeys.publish([a_journey()])
        tracker.track(request, "first")
        hand = ByHand(path)
        ours, theirs = alternate(lambda: tracker.track(request, _key()), hand.one, calls, rounds)
        yield compared("one event on SQLite against hand-written", theirs, ours, at_least=0.65)
        batch, by_hand = alternate(
            lambda: tracker.track_many([(request, _key()) for _ in range(_BATCH)]),
            hand.batch,
            max(calls // 20, 5),
            rounds,
        )
        yield compared(
            f"a batch of {_BATCH} on SQLite against our single events",
            ours,
            batch / _BATCH,
            at_least=7,
        )
        yield compared(
            f"a batch of {_BATCH} on SQLite against hand-written bulk", by_hand, batch, at_least=0.4
        )
        hand.close()
        yield compared(
            "one event on SQLite, asynchronous against synchronous",
            *both_colours(
                f"sqlite+aiosqlite:///{path}", tracker, request, _key, calls=calls, rounds=rounds
            ),
            at_most=1.5,
        )
        storage.close()

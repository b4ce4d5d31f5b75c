"""``python -m bench.profile``: where the time of one event goes, step by step.

The steps of the core are timed alone, one after the other; together they take less than
within a call, where each finds the caches as the others left them. On SQLite, the statements are
timed where the driver runs them, and what is left of a call is ours and the pool's.
"""

from __future__ import annotations

import itertools
import re
import sqlite3
import statistics
import tempfile
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine

from bench.timing import per_call
from segmentflow_core import Tracker
from segmentflow_core.domain.admission import Admission
from segmentflow_core.domain.canonical import canonical_json
from segmentflow_core.domain.conflict import unseen_digests
from segmentflow_core.domain.decision import decide
from segmentflow_core.domain.fingerprint import FingerprintKeys, fingerprint_canonical
from segmentflow_core.domain.idempotency_key import key_digest
from segmentflow_core.domain.item import item_for
from segmentflow_core.domain.request import DEFAULT_LIMITS, check_request
from segmentflow_core.domain.tracking import Known
from segmentflow_core.system import SystemClock, Uuid7Factory
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_journey
from segmentflow_core.usecases.record import Settings, prepare
from segmentflow_memory import MemoryStorage
from segmentflow_sql import SqlStorage

_CALLS = 2000
_ROUNDS = 7
_numbers = itertools.count()


def _median(step: Callable[[], object]) -> float:
    per_call(step, _CALLS // 10)
    return statistics.median(per_call(step, _CALLS) for _ in range(_ROUNDS))


def _core() -> Iterator[tuple[str, float]]:
    """Yield each step of one event on memory, in seconds."""
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    (published,) = tracker.journeys.publish([a_journey()])
    receipt = tracker.track(DOCUMENTED_REQUEST, "first")
    profile = tracker.records.profile(receipt.profile_id)
    keys = FingerprintKeys.of(FINGERPRINT_SECRET)
    clock, ids = SystemClock(), Uuid7Factory()
    settings = Settings(keys, DEFAULT_LIMITS, None, create_without_email=False)
    now = clock.now()
    valid = check_request(DOCUMENTED_REQUEST, "key")
    known = Known({}, (profile,), (published.journey,))
    items = [item_for(valid, "key", "default", ids.new_id(), keys)]
    steps: dict[str, Callable[[], object]] = {
        "one event on memory": lambda: tracker.track(DOCUMENTED_REQUEST, str(next(_numbers))),
        "  before the store is asked": lambda: prepare(
            [(DOCUMENTED_REQUEST, "key")], "default", settings, clock, ids, match_journeys=True
        ),
        "    the request against every rule": lambda: check_request(DOCUMENTED_REQUEST, "key"),
        "      of it: admitting each value": lambda: Admission(64, 2**18).admit(DOCUMENTED_REQUEST),
        "      of it: canonical form": lambda: canonical_json(valid.document),
        "    the fingerprint": lambda: fingerprint_canonical(valid.canonical, keys.current),
        "    what stands for the key": lambda: key_digest("default", "key"),
        "    one id": ids.new_id,
        "  the decision": lambda: decide(items, known, {}, keys=keys, now=now, new_id=ids.new_id),
        "    of it: redaction": lambda: valid.redaction.apply(valid.data),
        "    of it: the digests by path": lambda: unseen_digests(valid, keys.current, salt=b"x"),
    }
    for name, step in steps.items():
        yield name, _median(step)


def _name(sql: str) -> str:
    """Name a statement by its verb and the first table that stands in it."""
    found = re.search(r"segmentflow_\w+", sql)
    return sql.split(maxsplit=1)[0] + (f" {found[0]}" if found else "")


_spent: defaultdict[str, list[float]] = defaultdict(list)


class _TimedCursor(sqlite3.Cursor):
    def execute(self, sql: str, *arguments: Any) -> Any:
        started = time.perf_counter()
        try:
            return super().execute(sql, *arguments)
        finally:
            _spent[_name(sql)].append(time.perf_counter() - started)


class _TimedConnection(sqlite3.Connection):
    def cursor(self, factory: Any = _TimedCursor) -> Any:
        return super().cursor(factory)


def _sqlite() -> Iterator[tuple[str, float]]:
    """Yield one event on SQLite and each of its statements, in seconds."""
    request = {name: value for name, value in DOCUMENTED_REQUEST.items() if name != "occurredAt"}
    with tempfile.TemporaryDirectory(dir=".") as folder:
        url = f"sqlite:///{Path(folder) / 'profile.db'}"
        storage = SqlStorage(create_engine(url, connect_args={"factory": _TimedConnection}))
        storage.create_all()
        tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
        tracker.journeys.publish([a_journey()])
        for _ in range(100):
            tracker.track(request, str(next(_numbers)))
        _spent.clear()
        taken: list[float] = []
        for _ in range(_CALLS // 2):
            started = time.perf_counter()
            tracker.track(request, str(next(_numbers)))
            taken.append(time.perf_counter() - started)
        storage.close()
    statements = {name: statistics.median(times) for name, times in _spent.items()}
    whole = statistics.median(taken)
    yield "one event on SQLite", whole
    for name, seconds in statements.items():
        yield f"  {name}", seconds
    yield "  everything else: the core, rows, the pool", whole - sum(statements.values())


def main() -> None:
    """Measure and print the table."""
    table = Table("step", "µs", title="Where the time of one event goes")
    console = Console()
    with console.status("measuring"):
        for name, seconds in (*_core(), *_sqlite()):
            table.add_row(name, f"{seconds * 1e6:,.1f}")
    console.print(table)


if __name__ == "__main__":
    main()

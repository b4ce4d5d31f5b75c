"""``python -m bench.stored``: what one event takes of a store, indexes included.

The documented request, which one Journey enrols, again and again; one Profile, one transaction an
event. PostgreSQL's tables are vacuumed neither before nor after.
"""

from __future__ import annotations

import sqlite3
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine
from tests.servers import Postgres

from bench.report import Line
from segmentflow_core import Tracker
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_journey
from segmentflow_sql import SqlStorage

__all__ = ["measure"]

_RELATIONS = """SELECT sum(pg_relation_size(oid))::bigint FROM pg_class
WHERE relname LIKE 'segmentflow%' AND relkind IN ('r', 'i')"""


def _bytes_an_event(url: str, size: Callable[[], int], events: int) -> float:
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey()])
    for number in range(100):
        tracker.track(DOCUMENTED_REQUEST, f"order.created:first-{number:06}")
    before = size()
    for number in range(events):
        tracker.track(DOCUMENTED_REQUEST, f"order.created:ord_{number:06}")
    taken = size() - before
    storage.close()
    return taken / events


def _line(name: str, taken: float, most: int) -> Line:
    return Line(name, f"{taken:,.0f} bytes", "", f"≤ {most:,} bytes", taken <= most)


def _on_sqlite(events: int) -> float:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stored.db"

        def size() -> int:
            connection = sqlite3.connect(path)
            connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
            connection.close()
            return path.stat().st_size

        return _bytes_an_event(f"sqlite:///{path}", size, events)


def _on_postgresql(events: int) -> float:
    server = Postgres()
    try:
        with server.connect() as connection:
            connection.execute("CREATE DATABASE stored")

        def size() -> int:
            with server.connect("stored") as connection:
                ((total,),) = connection.execute(_RELATIONS).fetchall()
            return int(total)

        return _bytes_an_event(server.url("stored"), size, events)
    finally:
        server.stop()


def measure(*, quick: bool) -> Iterator[Line]:
    """Yield one line per measurement."""
    events = 1000 if quick else 5000
    yield _line("one event stored, SQLite", _on_sqlite(events), 1800)
    yield _line("one event stored, PostgreSQL", _on_postgresql(events), 1200)


def main() -> None:
    """Measure and print the table."""
    table = Table("work", "figure", "target", "met")
    for line in measure(quick=False):
        table.add_row(line.name, line.figure, line.target, "yes" if line.met else "NO")
    Console().print(table)


if __name__ == "__main__":
    main()

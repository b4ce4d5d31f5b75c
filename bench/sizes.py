"""How many bytes an event takes: ``python -m bench.sizes [--events N] [--request FILE]``.

Each event is one transaction, for a person who has ten of them, and no Journey listens. A table is
counted with its indexes. On PostgreSQL the write-ahead log is counted too, from a checkpoint on,
with `wal_compression` off and on.
"""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from sqlalchemy import Connection, Engine, create_engine
from sqlalchemy.exc import OperationalError

from bench.retention import url_of
from segmentflow_core import Tracker
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET
from segmentflow_sql import SqlStorage, metadata

__all__ = ["Sizes", "main", "measure", "write_ahead"]

_EACH: Final = 10
"""How many events a person has."""

_OF_TABLES: Final = {
    "sqlite": """
        SELECT m.tbl_name, sum(s.pgsize) FROM dbstat AS s
        JOIN sqlite_schema AS m ON m.name = s.name GROUP BY m.tbl_name""",
    "postgresql": """
        SELECT relname, pg_total_relation_size(oid) FROM pg_class
        WHERE relkind = 'r' AND starts_with(relname, 'segmentflow_')""",
}


@frozen
class Sizes:
    """What a number of events takes.

    Attributes:
        events: how many there are.
        tables: the bytes of each table, with its indexes.
    """

    events: int
    tables: dict[str, int]

    @property
    def an_event(self) -> float:
        """The bytes of all tables, for one event."""
        return sum(self.tables.values()) / self.events


def measure(engine: Engine, events: int, request: Mapping[str, Any]) -> Sizes:
    """Record events in an empty store, and look at its tables."""
    storage = SqlStorage(engine)
    storage.create_all()
    empty = _bytes_of_tables(engine)
    _record(storage, events, request)
    full = _bytes_of_tables(engine)
    return Sizes(events, {name: full[name] - empty[name] for name in full})


def write_ahead(events: int, request: Mapping[str, Any], compression: str) -> float:
    """Return how many bytes of PostgreSQL's log one event makes, from a checkpoint on.

    Args:
        events: how many there are before the checkpoint, and how many are recorded after it.
        request: of each.
        compression: the server's `wal_compression`.
    """
    with url_of("postgresql") as url:
        engine = create_engine(url)
        with engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            alone.exec_driver_sql(f"ALTER SYSTEM SET wal_compression = {compression}")
            alone.exec_driver_sql("SELECT pg_reload_conf()")
        engine.dispose()  # a new session has the setting
        storage = SqlStorage(engine)
        storage.create_all()
        _record(storage, events, request)
        with engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            alone.exec_driver_sql("CHECKPOINT")
            before = _position(alone)
            _record(storage, events, request, "more")
            made = _position(alone) - before
        engine.dispose()
        return made / events


def _record(
    storage: SqlStorage, events: int, request: Mapping[str, Any], name: str = "some"
) -> None:
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    for number, each in enumerate(_requests(events, request, name)):
        tracker.track(each, f"order.created:{name}_{number}")


def _requests(events: int, request: Mapping[str, Any], name: str) -> Iterator[dict[str, Any]]:
    for number in range(events):
        person = number // _EACH
        who = {"email": f"{name}{person}@example.com", "externalId": f"cus_{name}_{person}"}
        yield {**request, "profile": {**request["profile"], **who}}


def _bytes_of_tables(engine: Engine) -> dict[str, int]:
    with engine.connect() as connection:
        try:
            counted = connection.exec_driver_sql(_OF_TABLES[engine.dialect.name])
        except OperationalError:  # a SQLite that was built without dbstat
            pages = connection.exec_driver_sql("PRAGMA page_count").scalar_one()
            return {
                "all of them": pages * connection.exec_driver_sql("PRAGMA page_size").scalar_one()
            }
        found = {name: int(size) for name, size in counted}
    return {name: found[name] for name in metadata.tables}


def _position(connection: Connection) -> int:
    asked = connection.exec_driver_sql("SELECT pg_current_wal_insert_lsn() - '0/0'")
    return int(asked.scalar_one())


def _print(name: str, sizes: Sizes) -> None:
    print(f"{name}: {sizes.an_event:,.0f} bytes an event")
    for table, size in sorted(sizes.tables.items(), key=lambda each: -each[1]):
        if size:
            print(f"  {table:31} {size / sizes.events:7,.0f}")


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.sizes", description=__doc__)
    parser.add_argument("--events", type=int, default=5_000, help="how many are recorded")
    parser.add_argument("--request", type=Path, help="a request in JSON, in place of our own")
    parser.add_argument("--only", choices=tuple(_OF_TABLES), help="one database alone")
    options = parser.parse_args()
    request = json.loads(options.request.read_text("utf-8")) if options.request else None
    request = DOCUMENTED_REQUEST if request is None else request
    for name in _OF_TABLES:
        if options.only not in (None, name):
            continue
        with url_of(name) as url:
            engine = create_engine(url)
            _print(name, measure(engine, options.events, request))
            engine.dispose()
        if name == "postgresql":
            for compression in ("off", "on"):
                made = write_ahead(options.events, request, compression)
                print(
                    f"  write-ahead log, wal_compression {compression:3}: {made:,.0f}", flush=True
                )


if __name__ == "__main__":
    main()

"""``python -m bench.write_ahead``: how many bytes of PostgreSQL's write-ahead log an event makes.

The documented request for people who have ten events each, one transaction an event, no Journey.
The log is read from a checkpoint on, with `wal_compression` off and on.
"""

from __future__ import annotations

import argparse
from typing import Final

from sqlalchemy import Connection, create_engine

from bench.retention import url_of
from segmentflow_core import Tracker
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET
from segmentflow_sql import SqlStorage

__all__ = ["bytes_an_event", "main"]

_EACH: Final = 10
"""How many events a person has."""


def bytes_an_event(events: int, compression: str) -> float:
    """Return how many bytes of the log one event makes.

    Args:
        events: how many there are before the checkpoint, and how many are recorded after it.
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
        _record(storage, events, "some")
        with engine.connect() as connection:
            alone = connection.execution_options(isolation_level="AUTOCOMMIT")
            alone.exec_driver_sql("CHECKPOINT")
            before = _position(alone)
            _record(storage, events, "more")
            made = _position(alone) - before
        engine.dispose()
        return made / events


def _record(storage: SqlStorage, events: int, name: str) -> None:
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    for number in range(events):
        person = f"{name}{number // _EACH}"
        who = {"email": f"{person}@example.com", "externalId": f"cus_{person}"}
        request = {**DOCUMENTED_REQUEST, "profile": {**DOCUMENTED_REQUEST["profile"], **who}}
        tracker.track(request, f"order.created:{name}_{number}")


def _position(connection: Connection) -> int:
    asked = connection.exec_driver_sql("SELECT pg_current_wal_insert_lsn() - '0/0'")
    return int(asked.scalar_one())


def main() -> None:
    """Measure, and print what was measured."""
    parser = argparse.ArgumentParser(prog="python -m bench.write_ahead", description=__doc__)
    parser.add_argument("--events", type=int, default=5_000, help="how many, before and after")
    options = parser.parse_args()
    for compression in ("off", "on"):
        made = bytes_an_event(options.events, compression)
        print(f"wal_compression {compression:3}: {made:,.0f} bytes an event", flush=True)


if __name__ == "__main__":
    main()

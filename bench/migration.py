"""``python -m bench.migration --events 100000``: bring a store of 0.1.0 to version 2.

Adds events to the stores that are kept of 0.1.0, each with its key, every second one with an
Enrollment, ten of a Profile, then migrates in a process of its own. Prints the seconds that
took and the most memory that the process used; a server's memory is not in it.

With ``--kills 100`` it kills the process at moments of chance instead, and counts the stores that
were then neither as before nor as a migration makes them: exit status 1 where there was one.
"""

from __future__ import annotations

import argparse
import json
import random
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
from attrs import frozen
from tests.servers import Postgres
from tests.stores.plain_rows import Rows, exact, postgresql_rows, sqlite_rows

__all__ = ["Stores", "main", "on_postgresql", "on_sqlite", "profile_id"]

_KEPT = Path(__file__).parents[1] / "tests" / "stores" / "0.1.0"
_START = datetime(2026, 1, 1, tzinfo=UTC)
_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_DATA = {"orderId": "ord_9421", "total": 49, "payment": {"token": "[REDACTED]"}}
_MEMBERS = {
    "": ("event", "referenceId", "occurredAt"),
    "/profile": ("email", "externalId"),
    "/data": _DATA,
}
_PATHS = {
    f"{above}/{name}": "0123456789abcdef" for above, names in _MEMBERS.items() for name in names
}
_OUTCOMES = [["order-confirmation", 1, "enrolled", None], ["other", 1, "skipped", "too_late"]]
_MIGRATE = """
import resource, sys, time
from segmentflow_sql import open_storage
storage = open_storage(sys.argv[1])
idle = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print("ready", flush=True)
started = time.perf_counter()
storage.migrate()
seconds = time.perf_counter() - started
most = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(f"{seconds:.2f} s, {most // 1024} MiB at most, {idle // 1024} MiB before")
"""


def _id(kind: int, number: int) -> str:
    return str(UUID(int=(kind << 112) | (7 << 76) | (8 << 60) | number))


def profile_id(who: int) -> str:
    """Return the id of a Profile that was added: of her events, ten in a row."""
    return _id(2, who)


def _rows(count: int) -> Iterator[tuple[str, list[tuple[Any, ...]]]]:
    """Yield rows by table, a thousand events at a time; instants as datetimes, JSON as text."""
    for start in range(0, count, 1000):
        numbers = range(start, min(start + 1000, count))
        events, claims, profiles, enrollments = [], [], [], []
        for number in numbers:
            who, of_them = divmod(number, 10)
            moment = _START + timedelta(seconds=number)
            event_id, whose = _id(1, number), profile_id(who)
            identity = {"email": f"alex-{who}@example.com", "externalId": f"cus_{who}"}
            properties = {"firstName": "Alex", "plan": "Pro", "orders": of_them // 3}
            profile = json.dumps({**identity, "properties": properties}, separators=(",", ":"))
            shared = (json.dumps(_DATA), profile, "ord_9421", moment, moment, json.dumps(_OUTCOMES))
            events.append(("bench", event_id, whose, "order.created", *shared))
            fingerprint = ("hmac-sha256/jcs/1", "bench", f"{number:064x}", json.dumps(_PATHS))
            expires = moment + timedelta(days=30)
            key = ("bench", "events.track", f"order.created:{number}", event_id)
            claims.append((*key, *fingerprint, moment, expires))
            if number % 2:
                entry = ("order-confirmation", 1, whose, event_id)
                state: tuple[Any, ...] = (None, moment, "pending", moment, 0, None, None, None)
                if number % 4 == 1:
                    state = (event_id, moment, "completed", None, 1, None, None, moment)
                enrollments.append(("bench", _id(3, number), *entry, *state))
            if of_them == 9:
                times = {name: [0, 0] for name in properties}
                written = (json.dumps(properties, separators=(",", ":")), json.dumps(times))
                profiles.append(("bench", whose, *identity.values(), *written, moment, moment))
        yield from (
            ("events", events),
            ("claims", claims),
            ("profiles", profiles),
            ("enrollments", enrollments),
        )


def _micro(value: Any) -> Any:
    if isinstance(value, datetime):
        return (value - _EPOCH) // timedelta(microseconds=1)
    return value


def _sqlite(folder: str, count: int) -> str:
    file = shutil.copy(_KEPT / "store.sqlite3", folder)
    connection = sqlite3.connect(file)
    for table, rows in _rows(count):
        if rows:
            places = ", ".join("?" * len(rows[0]))
            statement = f"INSERT INTO segmentflow_{table} VALUES ({places})"
            connection.executemany(statement, [[_micro(value) for value in row] for row in rows])
    connection.commit()
    connection.close()
    return f"sqlite:///{file}"


def _postgresql(server: Postgres, count: int) -> str:
    with server.connect() as connection:
        connection.execute("CREATE DATABASE bench")
    with psycopg.connect(server.conninfo("bench")) as connection:
        connection.execute((_KEPT / "postgresql.sql").read_bytes())
    with psycopg.connect(server.conninfo("bench")) as connection:
        for table, rows in _rows(count):
            with connection.cursor().copy(f"COPY segmentflow_{table} FROM STDIN".encode()) as copy:
                for row in rows:
                    copy.write_row(row)
    with server.connect("bench") as connection:
        connection.execute("VACUUM ANALYZE")
    return server.url("bench")


def _migrated(url: str) -> str:
    done = subprocess.run(
        [sys.executable, "-c", _MIGRATE, url], check=True, capture_output=True, text=True
    )
    return done.stdout.splitlines()[-1]


@frozen
class Stores:
    """Stores of 0.1.0, one after the other, to do with as one likes.

    Attributes:
        fresh: makes the next one, always the same, in place of the last one; returns its URL.
        rows: returns all that it holds.
    """

    fresh: Callable[[], str]
    rows: Callable[[], Rows]


def _kill(stores: Stores, kills: int) -> str:
    """Kill migrations of fresh stores at moments of chance; say how each store was left."""
    url = stores.fresh()
    before = exact(stores.rows())
    seconds = float(_migrated(url).partition(" ")[0])
    after = exact(stores.rows())
    found: Counter[str] = Counter()
    url = stores.fresh()
    for _ in range(kills):
        process = subprocess.Popen([sys.executable, "-c", _MIGRATE, url], stdout=subprocess.PIPE)
        assert process.stdout is not None
        process.stdout.readline()  # it is ready
        with suppress(subprocess.TimeoutExpired):
            process.wait(random.uniform(0, seconds * 1.1))
        process.kill()
        process.communicate()
        left = exact(stores.rows())
        found["as before" if left == before else "migrated" if left == after else "BROKEN"] += 1
        if left != before:
            url = stores.fresh()
    _migrated(url)
    found["BROKEN"] += exact(stores.rows()) != after
    return ", ".join(f"{count} {how}" for how, count in found.items() if count)


def on_sqlite(folder: str, count: int) -> Stores:
    """Return stores with so many events more, each a SQLite file in a folder."""
    made = Path(_sqlite(folder, count).removeprefix("sqlite:///"))
    store = made.with_name("killed.sqlite3")

    def fresh() -> str:
        for name in made.parent.glob("killed.sqlite3*"):
            name.unlink()
        shutil.copy(made, store)
        return f"sqlite:///{store}"

    return Stores(fresh, lambda: sqlite_rows(store))


def on_postgresql(server: Postgres, count: int) -> Stores:
    """Return stores with so many events more, each a database of a server."""
    _postgresql(server, count)

    def fresh() -> str:
        with server.connect() as connection:
            connection.execute("DROP DATABASE IF EXISTS killed WITH (FORCE)")
            connection.execute("CREATE DATABASE killed TEMPLATE bench")
        return server.url("killed")

    return Stores(fresh, lambda: postgresql_rows(server.conninfo("killed")))


def main() -> int:
    """Make both stores, migrate them or kill that, and print what came of it."""
    parser = argparse.ArgumentParser(prog="python -m bench.migration", description=__doc__)
    parser.add_argument("--events", type=int, default=100_000)
    parser.add_argument("--kills", type=int, default=0)
    options = parser.parse_args()
    count, kills = options.events, options.kills
    server = Postgres(durable=True)
    try:
        with tempfile.TemporaryDirectory() as folder:
            if kills:
                found = [_kill(on_sqlite(folder, count), kills)]
                found.append(_kill(on_postgresql(server, count), kills))
            else:
                found = [_migrated(_sqlite(folder, count))]
                found.append(_migrated(_postgresql(server, count)))
    finally:
        server.stop()
    for name, what in zip(("SQLite", "PostgreSQL"), found, strict=True):
        print(f"{name}, {count:,} events: {what}")
    return int("BROKEN" in "".join(found))


if __name__ == "__main__":
    sys.exit(main())

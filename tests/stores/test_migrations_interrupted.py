"""A migration from version 1 that fails or is killed, or that many processes start at once."""

from __future__ import annotations

import signal
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress

import psycopg
import pytest

from segmentflow_core.errors import StorageUnavailable
from segmentflow_sql import open_storage
from segmentflow_sql.exchange import Session
from segmentflow_sql.postgresql import PsycopgConnection
from segmentflow_sql.sqlite import SqliteConnection
from stores.plain_rows import postgresql_rows, sqlite_rows

pytestmark = pytest.mark.once

STORES = ("sqlite", "postgresql")


@pytest.fixture(params=STORES)
def store(request):
    """Give the URL of a store of 0.1.0, and a function that reads all of its rows."""
    if request.param == "sqlite":
        file = request.getfixturevalue("sqlite_file")
        return f"sqlite:///{file}", lambda: sqlite_rows(file)
    postgres, name = map(request.getfixturevalue, ("postgres", "postgresql_database"))
    return postgres.url(name), lambda: postgresql_rows(postgres.conninfo(name))


class Fails:
    """Lets one statement of a migration fail: before it runs, or after it has."""

    def __init__(self, at: int, *, after: bool) -> None:
        self.at = at
        self.after = after
        self.count = 0

    @contextmanager
    def installed(self, monkeypatch):
        for kind in (SqliteConnection, PsycopgConnection):
            monkeypatch.setattr(kind, "exchange", self._around(kind.exchange))
        try:
            yield
        finally:
            monkeypatch.undo()

    def _around(self, exchange):
        async def failing(connection: Session, calls):
            writes = [call for call in calls if self._writes(call.statement.text)]
            self.count += len(writes)
            fails = bool(writes) and self.count - len(writes) <= self.at < self.count
            if fails and not self.after:
                raise StorageUnavailable(details={"error": "planted"})
            found = await exchange(connection, calls)
            if fails:
                raise StorageUnavailable(details={"error": "planted"})
            return found

        return failing

    @staticmethod
    def _writes(text: str) -> bool:
        return not text.startswith(("SELECT", "SET ", "COMMIT", "ROLLBACK"))


def migrated(url: str):
    storage = open_storage(url)
    try:
        return storage.migrate()
    finally:
        storage.close()


def is_stopped(url: str, fails: Fails, monkeypatch) -> bool:
    """Migrate while one statement fails; say whether that stopped the migration."""
    with fails.installed(monkeypatch), suppress(StorageUnavailable):
        migrated(url)
        return False
    return True


def test_what_fails_at_any_statement_leaves_the_store_as_it_was(store, monkeypatch):
    url, rows = store
    before = rows()
    statement = 0
    while is_stopped(url, Fails(statement, after=False), monkeypatch):
        assert rows() == before, statement
        assert is_stopped(url, Fails(statement, after=True), monkeypatch)
        assert rows() == before, statement
        statement += 1
    assert statement > 25
    assert migrated(url).steps == ()
    assert rows()["segmentflow_schema"] == [{"version": 2}]


KILLED = """
import os, signal, sys
from segmentflow_sql import open_storage
from segmentflow_sql.{module} import {kind}

exchange, left = {kind}.exchange, int(sys.argv[2])

async def killing(connection, calls):
    global left
    found = await exchange(connection, calls)
    left -= 1
    if not left:
        os.kill(os.getpid(), signal.SIGKILL)
    return found

{kind}.exchange = killing
open_storage(sys.argv[1]).migrate()
"""
KINDS = {
    "sqlite": {"module": "sqlite", "kind": "SqliteConnection"},
    "postgresql": {"module": "postgresql", "kind": "PsycopgConnection"},
}


def test_a_process_killed_while_it_migrates_leaves_the_store_as_it_was(store):
    url, rows = store
    before = rows()
    script = KILLED.format(**KINDS[url.partition(":")[0].partition("+")[0]])
    for exchanges in (15, 24, 33):
        process = subprocess.run([sys.executable, "-c", script, url, str(exchanges)], check=False)
        assert process.returncode == -signal.SIGKILL, exchanges
        assert rows() == before, exchanges
    assert migrated(url).found == 1
    assert rows()["segmentflow_schema"] == [{"version": 2}]


MIGRATING = """
import sys
from segmentflow_sql import open_storage
storage = open_storage(sys.argv[1])
storage.migrate()
print(len(storage.run(lambda transaction: transaction.journeys.list("default"))))
"""


def test_of_many_processes_one_migrates_and_the_others_wait(store):
    url, rows = store
    command = [sys.executable, "-c", MIGRATING, url]
    with ThreadPoolExecutor(5) as pool:
        runs = [pool.submit(subprocess.check_output, command) for _ in range(5)]
        assert len({run.result() for run in runs}) == 1
    assert rows()["segmentflow_schema"] == [{"version": 2}]


def test_threads_of_one_process_migrate_once(store):
    url, rows = store
    storage = open_storage(url)
    with ThreadPoolExecutor(4) as pool:
        reports = [run.result() for run in [pool.submit(storage.migrate) for _ in range(4)]]
    storage.close()
    assert {report.version for report in reports} == {2}
    assert rows()["segmentflow_schema"] == [{"version": 2}]


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_whoever_waited_finds_nothing_to_do_at_every_isolation_level(
    postgres, postgresql_database, level
):
    conninfo = postgres.conninfo(postgresql_database)
    url = postgres.url(postgresql_database)
    with psycopg.connect(conninfo) as admin:
        admin.execute(
            f"ALTER DATABASE {postgresql_database} SET default_transaction_isolation"
            f" = '{level.lower()}'"
        )
    storages = [open_storage(url) for _ in range(4)]
    with ThreadPoolExecutor(4) as pool:
        for run in [pool.submit(storage.migrate) for storage in storages]:
            run.result()
    for storage in storages:
        storage.close()
    assert postgresql_rows(conninfo)["segmentflow_schema"] == [{"version": 2}]


def test_what_still_uses_the_tables_is_said_to_be_in_the_way(
    postgres, postgresql_database, monkeypatch
):
    monkeypatch.setattr("segmentflow_sql.migrations.running._FOR_WRITERS", 0.05)
    conninfo = postgres.conninfo(postgresql_database)
    before = postgresql_rows(conninfo)
    with psycopg.connect(conninfo) as other:
        other.execute("SELECT count(*) FROM segmentflow_events")
        with pytest.raises(StorageUnavailable, match="Stop every process") as refusal:
            migrated(postgres.url(postgresql_database))
        assert refusal.value.details == {"error": "tables_in_use"}
    assert postgresql_rows(conninfo) == before

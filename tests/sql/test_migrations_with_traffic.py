"""From version 2 on, a migration runs while others write: proven on one that no release ships."""

from __future__ import annotations

import asyncio
import shutil
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.pool import NullPool

from next_library import AsyncNextSqlStorage, NextSqlStorage
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.testing import a_request
from segmentflow_sql import SqlStorage, open_storage
from segmentflow_sql.postgresql import PsycopgConnection
from segmentflow_sql.sqlite import SqliteConnection
from store_trackers import a_tracker
from stores.made_by_0_1_0 import MADE

STORES = ("sqlite", "postgresql")


class Store:
    """A store of version 2 with 50 events; how to open it, and what is in it."""

    def __init__(self, url, connect):
        self.url = url
        self.connect = connect

    def ask(self, question):
        connection = self.connect()
        try:
            return connection.execute(question).fetchall()
        finally:
            connection.close()

    @property
    def state(self):
        """Its version, how many events it has, how many of them are filled, and its index."""
        ((version,),) = self.ask("SELECT version FROM segmentflow_schema")
        ((count, filled),) = self.ask("SELECT count(*), count(channel) FROM segmentflow_events")
        return version, count, filled


@pytest.fixture(params=STORES)
def store(request, tmp_path):
    if request.param == "sqlite":
        file = tmp_path / "store.sqlite3"
        store = Store(f"sqlite:///{file}", lambda: sqlite3.connect(file))
    else:
        postgres, name = request.getfixturevalue("postgres"), request.getfixturevalue("shop")
        conninfo = postgres.conninfo(name)
        store = Store(postgres.url(name), lambda: psycopg.connect(conninfo, autocommit=True))
    storage = open_storage(store.url)
    storage.create_all()
    tracker = a_tracker(storage)
    for number in range(50):
        tracker.track(a_request(), f"before {number}")
    storage.close()
    return store


@pytest.fixture
def opened():
    """Give a function that opens a store with this library, or the next one."""
    storages = []

    def opened(store, kind=NextSqlStorage, **options):
        storages.append(kind(create_engine(store.url, **options)))
        return storages[-1]

    yield opened
    for storage in storages:
        storage.close()


def test_the_next_library_works_with_the_tables_of_this_one(store, opened):
    storage = opened(store)
    storage.create_all()
    tracker = a_tracker(storage)
    tracker.track(a_request(), "with the tables of before")
    report = storage.migrate(dry_run=True)
    assert [step.rows for step in report.steps] == [None, 51, None]
    assert storage.migrate() == report
    tracker.track(a_request(), "without opening the store anew")
    assert store.state == (3, 52, 51)
    assert storage.migrate().steps == ()


def test_this_library_refuses_the_tables_of_the_next_one(store, opened):
    opened(store).migrate()
    with pytest.raises(ConfigurationError, match="They are newer"):
        a_tracker(opened(store, SqlStorage)).records.events()


def test_what_both_libraries_write_while_the_tables_change_is_stored(store, opened):
    started = threading.Barrier(5, timeout=60)
    done = threading.Event()

    def write(kind, name):
        tracker = a_tracker(opened(store, kind))
        tracker.track(a_request(), f"{name} first")
        started.wait()
        count = 1
        while not done.is_set() or count < 5:
            tracker.track(a_request(), f"{name} {count}")
            count += 1
        return count

    kinds = (SqlStorage, SqlStorage, NextSqlStorage, NextSqlStorage)
    with ThreadPoolExecutor(len(kinds)) as pool:
        runs = [pool.submit(write, kind, str(n)) for n, kind in enumerate(kinds)]
        try:
            started.wait()
            opened(store).migrate()
        finally:
            done.set()
        written = sum(run.result() for run in runs)
    version, count, filled = store.state
    assert (version, count) == (3, 50 + written)
    assert filled >= 50


def test_a_lock_that_is_not_free_holds_nobody_up(postgres, shop, opened):
    """What comes after a statement that waits for a lock waits behind it: it gives up soon."""
    store = Store(postgres.url(shop), lambda: psycopg.connect(postgres.conninfo(shop)))
    tracker = a_tracker(opened(store, SqlStorage))
    tracker.track(a_request(), "before")
    reader = store.connect()
    reader.execute("SELECT count(*) FROM segmentflow_events")
    waiting = (
        "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'ALTER TABLE%' AND state != 'idle'"
    )
    with ThreadPoolExecutor(1) as pool:
        migrating = pool.submit(opened(store).migrate)
        watcher = psycopg.connect(postgres.conninfo(shop), autocommit=True)
        while watcher.execute(waiting).fetchone() == (0,):
            assert not migrating.done()
        for number in range(5):
            tracker.track(a_request(), f"while the lock is held {number}")
        assert not migrating.done()
        reader.close()
        migrating.result()
        watcher.close()
    assert store.state[:2] == (3, 6)


@pytest.mark.parametrize("options", [{}, {"poolclass": NullPool}], ids=["pooled", "new"])
def test_many_migrate_at_once(store, opened, options):
    """Also where each step has a new connection, which reads the catalog before it waits.

    An index that is built beside writers waits for everybody who has read before.
    """
    storages = [opened(store, **options) for _ in range(4)]
    with ThreadPoolExecutor(len(storages)) as pool:
        for run in [pool.submit(storage.migrate, wait=60) for storage in storages]:
            assert run.result().version == 3
    assert store.state == (3, 50, 50)


def test_who_waited_for_too_long_is_told_for_whom(postgres, shop, opened):
    store = Store(postgres.url(shop), lambda: psycopg.connect(postgres.conninfo(shop)))
    with store.connect() as other:
        other.execute("LOCK TABLE segmentflow_schema IN SHARE ROW EXCLUSIVE MODE")
        with pytest.raises(StorageUnavailable, match="Another process migrates") as caught:
            opened(store).migrate(wait=0.01)
    assert caught.value.details == {"error": "being_migrated"}
    assert opened(store).migrate().version == 3


class Stopped(Exception):
    """A migration was stopped on purpose."""


def stopped_after(monkeypatch, exchanges):
    """Let every exchange fail once so many are made."""
    left = [exchanges]
    for kind in (SqliteConnection, PsycopgConnection):

        def around(exchange):
            async def failing(connection, calls):
                left[0] -= 1
                if left[0] < 0 and not calls[0].statement.text.startswith("ROLLBACK"):
                    raise StorageUnavailable(details={"error": "planted"})
                return await exchange(connection, calls)

            return failing

        monkeypatch.setattr(kind, "exchange", around(kind.exchange))


def test_what_is_stopped_anywhere_goes_on_where_it_stopped(store, opened, monkeypatch):
    seen = set()
    exchanges = 0
    while store.ask("SELECT version FROM segmentflow_schema") == [(2,)]:
        with monkeypatch.context() as patch, suppress(StorageUnavailable):
            stopped_after(patch, exchanges)
            opened(store).migrate()
        exchanges += 1
        a_tracker(opened(store, NextSqlStorage)).track(a_request(), "again and again")
        with suppress(sqlite3.OperationalError, psycopg.errors.UndefinedColumn):
            seen.add(store.state)
    assert {(2, 51, 20), (2, 51, 40), (2, 51, 51)} <= seen
    assert store.state == (3, 51, 51)


def test_a_part_of_an_index_that_a_killed_run_left_is_built_anew(postgres, shop, opened):
    store = Store(postgres.url(shop), lambda: psycopg.connect(postgres.conninfo(shop)))
    with psycopg.connect(postgres.conninfo(shop)) as connection:
        connection.execute("ALTER TABLE segmentflow_events ADD COLUMN channel TEXT")
        connection.execute(
            "CREATE INDEX segmentflow_events_channel"
            " ON segmentflow_events (organization_id, channel)"
        )
        connection.execute(
            "UPDATE pg_index SET indisvalid = false"
            " WHERE indexrelid = 'segmentflow_events_channel'::regclass"
        )
    opened(store).migrate()
    valid = (
        "SELECT indisvalid FROM pg_index WHERE indexrelid = 'segmentflow_events_channel'::regclass"
    )
    assert store.ask(valid) == [(True,)]


def test_the_way_back_leads_to_the_tables_of_before(store, opened):
    storage = opened(store)
    storage.migrate()
    back = storage.migrate(to=2)
    assert (back.found, back.version) == (3, 2)
    storage = opened(store, SqlStorage)
    assert storage.migrate().steps == ()
    a_tracker(storage).track(a_request(), "after the way back")
    assert opened(store).migrate().version == 3
    assert store.state == (3, 51, 51)


def test_the_script_says_what_is_run_in_no_transaction(store, opened):
    script = opened(store).migration_sql()
    assert "-- From version 2 to 3" in script
    assert ("CREATE INDEX CONCURRENTLY" in script) == store.url.startswith("postgresql")
    assert "while it returns 20 rows" in script
    assert store.ask("SELECT version FROM segmentflow_schema") == [(2,)]


def test_a_store_of_0_1_0_comes_up_to_version_3_at_once(tmp_path, opened):
    file = shutil.copy(MADE / "store.sqlite3", tmp_path)
    store = Store(f"sqlite:///{file}", lambda: sqlite3.connect(file))
    report = opened(store).migrate()
    assert {step.version for step in report.steps} == {2, 3}
    version, count, filled = store.state
    assert (version, count) == (3, filled)


def test_an_asynchronous_storage_migrates_with_traffic_too(store):
    scheme, _, rest = store.url.partition("://")
    url = f"sqlite+aiosqlite://{rest}" if scheme == "sqlite" else store.url

    async def migrate():
        storage = AsyncNextSqlStorage(create_async_engine(url))
        reports = await asyncio.gather(storage.migrate(), storage.migrate())
        await storage.close()
        return reports

    assert {report.version for report in asyncio.run(migrate())} == {3}
    assert store.state == (3, 50, 50)

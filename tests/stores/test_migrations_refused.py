"""Stores that cannot be migrated, what is said of each, and that nothing was changed."""

from __future__ import annotations

import asyncio
import sqlite3
from contextlib import closing

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core.colour import drive
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_sql import AsyncSqlStorage, SqlStorage, open_storage
from segmentflow_sql.installation import require
from stores.plain_rows import postgresql_rows, sqlite_rows

STORES = ("sqlite", "postgresql")


class Store:
    """A store of 0.1.0: where it is, its rows, and a way to change it by hand."""

    def __init__(self, url, rows, run):
        self.url = url
        self.rows = rows
        self.run = run


@pytest.fixture(params=STORES)
def store(request):
    if request.param == "sqlite":
        file = request.getfixturevalue("sqlite_file")

        def run(statement):
            with closing(sqlite3.connect(file)) as connection, connection:
                connection.execute(statement)

        return Store(f"sqlite:///{file}", lambda: sqlite_rows(file), run)
    postgres, name = map(request.getfixturevalue, ("postgres", "postgresql_database"))
    conninfo = postgres.conninfo(name)

    def run_there(statement):
        with psycopg.connect(conninfo) as connection:
            connection.execute(statement)

    return Store(postgres.url(name), lambda: postgresql_rows(conninfo), run_there)


def refusal_of(store, kind=ConfigurationError, **options):
    before = store.rows()
    storage = open_storage(store.url)
    with pytest.raises(kind) as refusal:
        storage.migrate(**options)
    storage.close()
    assert store.rows() == before
    assert refusal.value.__context__ is None
    return refusal.value


def test_a_dry_run_says_what_would_be_done_and_does_nothing(store):
    before = store.rows()
    storage = open_storage(store.url)
    report = storage.migrate(dry_run=True)
    assert (report.found, report.version) == (1, 2)
    counts = {step.name: step.rows for step in report.steps}
    assert counts["Number the events of each Profile"] == len(before["segmentflow_events"])
    assert all(step.sql for step in report.steps)
    assert store.rows() == before
    assert storage.migrate() == report
    assert storage.migrate(dry_run=True).steps == ()
    storage.close()


@pytest.mark.parametrize(
    ("by_hand", "words"),
    [
        ("ALTER TABLE segmentflow_events ADD COLUMN number BIGINT", "events.number is too many"),
        ("ALTER TABLE segmentflow_enrollments DROP COLUMN token", "enrollments.token is missing"),
        ("CREATE TABLE segmentflow_identities (kind TEXT)", "identities is too many"),
        ("DROP TABLE segmentflow_profiles", "profiles.organization_id is missing"),
    ],
)
def test_a_half_migrated_store_is_refused_by_what_is_wrong_with_it(store, by_hand, words):
    store.run(by_hand)
    refusal = refusal_of(store)
    assert words in refusal.message
    assert "Nothing was changed" in refusal.message
    assert refusal.details == {"found": 1, "expected": 2}
    assert words in refusal_of(store, dry_run=True).message


def test_views_on_the_tables_are_named(store):
    store.run("CREATE VIEW shop_events AS SELECT event_id, profile FROM segmentflow_events")
    refusal = refusal_of(store)
    assert "Drop them, migrate, and create them again" in refusal.message
    assert refusal.details == {"dependents": ["shop_events"]}
    store.run("DROP VIEW shop_events")
    storage = open_storage(store.url)
    storage.migrate()
    storage.close()


def test_a_store_that_is_newer_is_refused(store):
    store.run("UPDATE segmentflow_schema SET version = 3")
    refusal = refusal_of(store)
    assert "They are newer: install a newer version" in refusal.message
    assert refusal.details == {"found": 3, "expected": 2}
    storage = open_storage(store.url)
    for use in (storage.create_all, lambda: storage.run(lambda _: None)):
        with pytest.raises(ConfigurationError, match="They are newer"):
            use()
    storage.close()


def test_an_empty_store_is_told_of_init(postgres, new_database, tmp_path):
    there = sqlite3.connect(tmp_path / "empty.sqlite3")
    there.execute("CREATE TABLE shop (number INTEGER)")
    there.close()
    urls = (
        f"sqlite:///{tmp_path / 'empty.sqlite3'}",
        f"sqlite:///{tmp_path / 'none.sqlite3'}",
        "sqlite://",
        postgres.url(new_database()),
    )
    for url in urls:
        storage = open_storage(url)
        with pytest.raises(ConfigurationError, match="segmentflow init"):
            storage.migrate()
        storage.close()
    assert not (tmp_path / "none.sqlite3").exists()


def test_there_is_no_way_back_from_version_2(store):
    storage = open_storage(store.url)
    storage.migrate()
    storage.close()
    refusal = refusal_of(store, to=1)
    assert "no way back from version 2" in refusal.message
    assert "idempotency keys" in refusal.message
    assert "versions 1 to 2" in refusal_of(store, to=3).message


def test_a_file_that_may_only_be_read_is_left_as_it_is(sqlite_file):
    url = f"sqlite:///file:{sqlite_file}?mode=ro&uri=true"
    storage = open_storage(url)
    with pytest.raises(ConfigurationError, match="may not be written to") as refusal:
        storage.migrate()
    assert refusal.value.details["error"].startswith("SQLITE_READONLY")
    storage.close()
    assert sqlite_rows(sqlite_file)["segmentflow_schema"] == [{"version": 1}]


def test_a_database_that_may_only_be_read_is_left_as_it_is(postgres, postgresql_database):
    engine = create_engine(
        postgres.url(postgresql_database),
        connect_args={"options": "-c default_transaction_read_only=on"},
    )
    storage = SqlStorage(engine)
    with pytest.raises((ConfigurationError, StorageUnavailable), match=r"read.only") as refusal:
        storage.migrate()
    assert refusal.value.details == {"error": "25006"}
    storage.close()
    rows = postgresql_rows(postgres.conninfo(postgresql_database))
    assert rows["segmentflow_schema"] == [{"version": 1}]


@pytest.fixture
def application(postgres, postgresql_database):
    """Give a role that may read and write, and owns nothing."""
    with psycopg.connect(postgres.conninfo(postgresql_database)) as admin:
        admin.execute("CREATE ROLE shop_app LOGIN")
        admin.execute(
            "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA public TO shop_app"
        )
    yield "shop_app"
    with psycopg.connect(postgres.conninfo(postgresql_database)) as admin:
        admin.execute("DROP OWNED BY shop_app; DROP ROLE shop_app")


def test_who_may_use_the_profiles_may_use_their_versions(
    postgres, postgresql_database, application
):
    engine = create_engine(
        postgres.url(postgresql_database), connect_args={"options": f"-c role={application}"}
    )
    storage = SqlStorage(engine)
    with pytest.raises(ConfigurationError, match="privileges") as refusal:
        storage.migrate()
    assert refusal.value.details == {"error": "42501"}
    owner = open_storage(postgres.url(postgresql_database))
    owner.migrate()
    owner.close()
    read = storage.run(lambda transaction: transaction.events.list("default", 5, None))
    assert len(read) == 5
    storage.close()


def test_what_0_1_0_would_write_fails_once_the_store_is_migrated(store):
    columns = {
        table: list(rows[0]) for table, rows in store.rows().items() if table in WRITTEN_BY_TRACKING
    }
    storage = open_storage(store.url)
    storage.migrate()
    storage.close()
    for table, names in columns.items():
        nothing = ", ".join(["NULL"] * len(names))
        with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedColumn)):
            store.run(f"INSERT INTO {table} ({', '.join(names)}) VALUES ({nothing})")


WRITTEN_BY_TRACKING = {"segmentflow_claims", "segmentflow_profiles", "segmentflow_events"}


@pytest.mark.parametrize("kind", STORES)
def test_an_asynchronous_storage_migrates_alike(kind, request):
    if kind == "sqlite":
        file = request.getfixturevalue("sqlite_file")
        url, rows = f"sqlite+aiosqlite:///{file}", lambda: sqlite_rows(file)
    else:
        postgres, name = map(request.getfixturevalue, ("postgres", "postgresql_database"))
        url, rows = postgres.url(name), lambda: postgresql_rows(postgres.conninfo(name))

    async def both():
        storage = AsyncSqlStorage(create_async_engine(url))
        planned = await storage.migrate(dry_run=True)
        assert planned.steps
        reports = await asyncio.gather(storage.migrate(), storage.migrate())
        assert planned in reports
        await storage.close()

    asyncio.run(both())
    assert rows()["segmentflow_schema"] == [{"version": 2}]


def test_what_needs_newer_tables_is_refused_by_name(store):
    storage = open_storage(store.url)
    storage.migrate()
    with pytest.raises(ConfigurationError, match="Erasing a Profile needs tables of version 3"):
        storage.run(lambda t: drive(require(t.connection, 3, "Erasing a Profile")))
    storage.run(lambda t: drive(require(t.connection, 2, "Erasing a Profile")))
    storage.close()

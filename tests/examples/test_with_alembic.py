"""A host's Alembic keeps the library's tables: `examples/with_alembic` on both databases."""

from __future__ import annotations

import asyncio
import re
import shutil
from pathlib import Path

import psycopg
import pytest
from alembic import command
from alembic.config import Config
from alembic.migration import MigrationContext
from alembic.operations import Operations
from sqlalchemy import create_engine, inspect, text
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import Tracker
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage
from segmentflow_sql.alembic import upgrade
from stores.made_by_0_1_0 import MADE

EXAMPLE = Path(__file__).parents[2] / "examples" / "with_alembic"


@pytest.fixture(params=["postgresql", "sqlite"])
def new_engine(request, tmp_path):
    """Give a function that makes an empty database and an engine for it."""
    engines = []

    def create():
        if request.param == "sqlite":
            url = f"sqlite:///{tmp_path / f'shop{len(engines)}.db'}"
        else:
            postgres, new_database = map(request.getfixturevalue, ("postgres", "new_database"))
            url = postgres.url(new_database())
        engines.append(create_engine(url))
        return engines[-1]

    yield create
    for engine in engines:
        engine.dispose()


@pytest.fixture
def engine(new_engine):
    return new_engine()


@pytest.fixture
def alembic(engine, tmp_path):
    """Give the example's own settings, in a copy that migrations may be written to."""
    host = shutil.copytree(EXAMPLE, tmp_path / "host")
    config = Config(host / "alembic.ini")
    point(config, engine)
    return config


def point(config, engine):
    url = engine.url.render_as_string(hide_password=False)
    config.set_main_option("sqlalchemy.url", url.replace("%", "%%"))


@pytest.fixture
def migrated(alembic):
    command.revision(alembic, "Create the tables", autogenerate=True)
    command.upgrade(alembic, "head")
    return alembic


def test_a_generated_migration_makes_a_store_that_works(migrated, engine):
    storage = SqlStorage(engine)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish({"journeys": [a_journey(reentry={"policy": "once"})]})
    receipt = tracker.track(a_request(), "key")
    assert tracker.records.event(receipt.event_id).outcomes[0].outcome == "enrolled"
    storage.create_all()
    assert tracker.track(a_request(), "key") == receipt


def test_the_second_look_finds_no_difference(migrated):
    command.check(migrated)


def test_the_migrations_tables_are_those_of_create_all(migrated, engine, new_engine):
    other = new_engine()
    SqlStorage(other).create_all()
    assert described(engine) == described(other)


def test_a_store_that_create_all_made_is_found_complete(alembic, engine):
    SqlStorage(engine).create_all()
    script = command.revision(alembic, "Add the shop", autogenerate=True)
    created = re.findall(r"create_table\('(\w+)'", Path(script.path).read_text(encoding="utf-8"))
    assert created == ["shop_order"]
    command.upgrade(alembic, "head")
    command.check(alembic)


@pytest.mark.parametrize("new_engine", ["sqlite"], indirect=True)
def test_a_migration_that_was_generated_on_sqlite_serves_postgresql(
    migrated, postgres, new_database
):
    expected, found = (create_engine(postgres.url(new_database())) for _ in range(2))
    SqlStorage(expected).create_all()
    point(migrated, found)
    command.upgrade(migrated, "head")
    assert described(found) == described(expected)
    command.check(migrated)
    for engine in (expected, found):
        engine.dispose()


def test_a_downgrade_takes_the_tables_away(migrated, engine):
    command.downgrade(migrated, "base")
    assert inspect(engine).get_table_names() == ["alembic_version"]


DESCRIPTION = {
    "sqlite": "SELECT name, sql FROM sqlite_master WHERE tbl_name LIKE 'segmentflow_%'",
    "postgresql": """
        SELECT format('%s.%s', attrelid::regclass, attname),
               format('%s %s %s', format_type(atttypid, atttypmod), attnotnull, collname)
        FROM pg_attribute LEFT JOIN pg_collation ON pg_collation.oid = attcollation
        WHERE attrelid::regclass::text LIKE 'segmentflow_%' AND attnum > 0
        UNION ALL
        SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'segmentflow_%'
    """,
}


def described(engine):
    """Give what the database itself says of each of our tables, columns and indexes."""
    with engine.connect() as connection:
        found = connection.execute(text(DESCRIPTION[engine.dialect.name])).all()
    assert found
    return {name: re.sub(r"\s+", " ", str(what)) for name, what in found}


# --- a store of 0.1.0 ---------------------------------------------------------------------


@pytest.fixture
def old_engine(engine, postgres_or_none):
    """Give an engine for a store that version 0.1.0 made."""
    if engine.dialect.name == "sqlite":
        shutil.copy(MADE / "store.sqlite3", engine.url.database)
    else:
        with psycopg.connect(postgres_or_none.conninfo(engine.url.database)) as connection:
            connection.execute((MADE / "postgresql.sql").read_bytes())
    return engine


@pytest.fixture
def postgres_or_none(request, engine):
    return None if engine.dialect.name == "sqlite" else request.getfixturevalue("postgres")


def written(alembic, name="upgrade_to_2.py"):
    """Put the example's migration among the host's."""
    versions = Path(alembic.get_main_option("script_location")) / "versions"
    versions.mkdir()
    shutil.copy(versions.parent / name, versions / name)


def test_a_migration_of_the_hosts_brings_a_store_of_0_1_0_up(alembic, old_engine):
    written(alembic)
    command.upgrade(alembic, "head")
    storage = SqlStorage(old_engine)
    assert storage.migrate().steps == ()
    with pytest.raises(ConfigurationError, match="no way back"):
        command.downgrade(alembic, "base")
    found = SqlStorage(old_engine).run(lambda t: t.events.list("default", 100, None))
    assert len(found) > 50
    names = inspect(old_engine).get_table_names()
    assert "segmentflow_identities" in names
    assert [name for name in names if "_1_" in name] == []
    script = command.revision(alembic, "Add the shop", autogenerate=True)
    found = re.findall(r"op\.(\w+)\('(\w+)'", Path(script.path).read_text(encoding="utf-8"))
    assert found == [("create_table", "shop_order"), ("drop_table", "shop_order")]


def test_a_migration_of_the_hosts_that_fails_changes_nothing(alembic, old_engine):
    with old_engine.begin() as connection:
        connection.execute(text("ALTER TABLE segmentflow_claims ADD COLUMN extra INTEGER"))
    before = described(old_engine)
    written(alembic)
    with pytest.raises(ConfigurationError, match=r"claims\.extra is too many"):
        command.upgrade(alembic, "head")
    assert described(old_engine) == before


def test_the_sql_is_printed_where_it_takes_no_python(alembic, old_engine, capsys):
    written(alembic)
    if old_engine.dialect.name == "sqlite":
        with pytest.raises(ConfigurationError, match="functions of Python's"):
            command.upgrade(alembic, "head", sql=True)
        return
    capsys.readouterr()
    command.upgrade(alembic, "head", sql=True)
    script = capsys.readouterr().out
    with old_engine.connect() as connection:
        connection.connection.driver_connection.execute(script.encode())
        connection.connection.driver_connection.commit()
    assert SqlStorage(old_engine).migrate().steps == ()


def test_an_asynchronous_engine_of_the_hosts_migrates_alike(old_engine):
    """Alembic's template for asynchronous hosts runs migrations by `run_sync`."""
    url = old_engine.url
    if url.get_backend_name() == "sqlite":
        url = url.set(drivername="sqlite+aiosqlite")

    async def migrate():
        engine = create_async_engine(url)
        async with engine.begin() as connection:
            await connection.run_sync(by_hand)
        await engine.dispose()

    def by_hand(connection):
        context = MigrationContext.configure(connection)
        upgrade(Operations(context), to=2)

    asyncio.run(migrate())
    assert SqlStorage(old_engine).migrate().steps == ()

"""A host's Alembic keeps the library's tables: `examples/with_alembic` on both databases."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import create_engine, inspect, text

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage

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

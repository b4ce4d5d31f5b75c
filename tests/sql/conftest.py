"""Databases with our tables, PgBouncer in front of them, and who may change the server."""

from __future__ import annotations

import asyncio
import contextlib

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_sql import AsyncSqlStorage, SqlStorage, metadata
from servers import PgBouncer, pgbouncer_program
from store_trackers import a_tracker, create_store


@pytest.fixture(scope="session")
def _shared_database(postgres):
    return create_store(postgres, "shared")


@pytest.fixture(scope="session")
def _emptied(postgres, _shared_database):
    """Give a function that empties our tables, on a connection that is kept until it breaks."""
    tables = [table for table in metadata.tables if table != "segmentflow_schema"]
    emptying = ";".join(f"DELETE FROM {table}" for table in tables)
    kept = []

    def empty():
        if kept:
            with contextlib.suppress(psycopg.OperationalError):
                kept[0].execute(emptying)
                return
            kept.pop().close()
        kept.append(postgres.connect(_shared_database))
        kept[0].execute(emptying)

    yield empty
    for connection in kept:
        connection.close()


@pytest.fixture
def database(_emptied, _shared_database):
    """Give the name of a database with our tables, all of them empty."""
    _emptied()
    return _shared_database


@pytest.fixture(scope="session")
def pgbouncer(postgres, tmp_path_factory):
    program = pgbouncer_program()
    if program is None:
        pytest.skip("PgBouncer is not installed: nothing was tested through it")
    bouncer = PgBouncer(tmp_path_factory.mktemp("pgbouncer"), postgres, program)
    yield bouncer
    bouncer.stop()


@pytest.fixture
def runner():
    """Give one event loop for a whole test: pooled connections outlive a call."""
    with asyncio.Runner() as runner:
        yield runner


@pytest.fixture
def shop(new_database, postgres):
    """Give the name of a database of the test's own, with our tables."""
    name = new_database()
    storage = SqlStorage(create_engine(postgres.url(name)))
    storage.create_all()
    storage.close()
    return name


@pytest.fixture
def admin(postgres):
    """Give a function that runs SQL as the server's owner, in a database."""

    def run(sql, database="postgres"):
        with postgres.connect(database) as connection:
            return connection.execute(sql)

    return run


@pytest.fixture(params=["sync", "async"])
def tracking(request, postgres, shop, runner):
    """Give a way to track on a pool of connections, in either colour."""
    if request.param == "sync":
        storage = SqlStorage(create_engine(postgres.url(shop), pool_size=4))
        yield a_tracker(storage).track
        storage.close()
    else:
        storage = AsyncSqlStorage(create_async_engine(postgres.url(shop), pool_size=4))
        tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
        yield lambda *call: runner.run(tracker.track(*call))
        runner.run(storage.close())
    assert storage._engine.pool.checkedout() == 0


@pytest.fixture(scope="session")
def _crowded_database(postgres):
    """Give the name of a store with 20,000 rows in each table, from months."""
    name = create_store(postgres, "crowded")
    with postgres.connect(name) as connection:
        for table, values in {
            "profiles": "'default', gen_random_uuid(), 1, 1, n || '@example.com', 'x' || n, 0, 0, "
            "0, now(), now()",
            "profile_versions": "'default', gen_random_uuid(), 1, n || '@example.com', 'x' || n, "
            "'{}', '{}', '{}', 1",
            "identities": "'default', 'email', n || '@example.net', gen_random_uuid()",
            "events": "'default', gen_random_uuid(), gen_random_uuid(), 1, 1, 'common', '{}', n, "
            "now(), timestamptz '2025-06-01' + n * interval '20 minutes', '[]'",
            "claims (organization_id, key_digest, event_id)": "'default', n, gen_random_uuid()",
            "journeys": "'default', 'j' || n, 'common', 'active', 1, n % 2",
            "enrollments (organization_id, enrollment_id, journey_id, version, profile_id, "
            "event_id, event_number, entry_key, entered_at, era, status, attempts)": "'default', "
            "gen_random_uuid(), 'welcome', 1, gen_random_uuid(), gen_random_uuid(), 1, n, now(), "
            "0, 'completed', 1",
        }.items():
            connection.execute(
                f"INSERT INTO segmentflow_{table} "
                f"SELECT {values} FROM generate_series(1, 20000) AS n"
            )
        connection.execute("ANALYZE")
    return name


@pytest.fixture
def crowded(postgres, _crowded_database):
    """Give a connection to a store with so many rows that indexes are worth while: to plan on."""
    with postgres.connect(_crowded_database) as connection:
        yield connection

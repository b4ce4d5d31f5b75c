"""An empty database of ours for each test, and PgBouncer in front of it."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import create_engine

from segmentflow_sql import SqlStorage, metadata
from servers import PgBouncer, pgbouncer_program


@pytest.fixture(scope="session")
def _shared_database(postgres):
    with postgres.connect() as connection:
        connection.execute("CREATE DATABASE shared")
    storage = SqlStorage(create_engine(postgres.url("shared")))
    storage.create_all()
    storage.close()
    return "shared"


@pytest.fixture
def database(postgres, _shared_database):
    """Give the name of a database with our tables, all of them empty."""
    tables = [table for table in metadata.tables if table != "segmentflow_schema"]
    with postgres.connect(_shared_database) as connection:
        connection.execute(";".join(f"DELETE FROM {table}" for table in tables))
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

"""A migration within a transaction of the host's own, which the host commits or undoes."""

from __future__ import annotations

import asyncio
import sqlite3

import aiosqlite
import psycopg
import pytest

from segmentflow_core.errors import ConfigurationError
from segmentflow_sql import AsyncSqlStorage, SqlStorage
from stores.plain_rows import postgresql_rows, sqlite_rows


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request):
    """Give functions that connect in either colour, and one that reads the rows."""
    if request.param == "sqlite":
        file = request.getfixturevalue("sqlite_file")
        return (
            lambda: sqlite3.connect(file),
            lambda: aiosqlite.connect(file),
            lambda: sqlite_rows(file),
        )
    postgres, name = map(request.getfixturevalue, ("postgres", "postgresql_database"))
    conninfo = postgres.conninfo(name)
    return (
        lambda: psycopg.connect(conninfo),
        lambda: psycopg.AsyncConnection.connect(conninfo),
        lambda: postgresql_rows(conninfo),
    )


def test_the_host_commits_or_undoes_what_was_migrated(store):
    connect, _, rows = store
    before = rows()
    connection = connect()
    report = SqlStorage.bound_to(connection).migrate()
    assert (report.found, report.version) == (1, 2)
    connection.rollback()
    assert rows() == before
    SqlStorage.bound_to(connection).migrate()
    connection.commit()
    assert rows()["segmentflow_schema"] == [{"version": 2}]
    assert SqlStorage.bound_to(connection).migrate().steps == ()
    connection.rollback()
    connection.close()


def test_an_asynchronous_host_migrates_alike(store):
    _, connect, rows = store

    async def migrate():
        connection = await connect()
        await AsyncSqlStorage.bound_to(connection).migrate()
        await connection.commit()
        await connection.close()

    asyncio.run(migrate())
    assert rows()["segmentflow_schema"] == [{"version": 2}]


def test_what_is_refused_leaves_the_hosts_transaction_usable(store):
    connect, _, rows = store
    connection = connect()
    connection.execute("ALTER TABLE segmentflow_claims ADD COLUMN extra INTEGER")
    with pytest.raises(ConfigurationError, match=r"claims\.extra is too many"):
        SqlStorage.bound_to(connection).migrate()
    connection.execute("ALTER TABLE segmentflow_claims DROP COLUMN extra")
    SqlStorage.bound_to(connection).migrate()
    connection.commit()
    connection.close()
    assert rows()["segmentflow_schema"] == [{"version": 2}]

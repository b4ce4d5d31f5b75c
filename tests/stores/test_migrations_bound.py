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


@pytest.fixture(params=["sqlite", "postgresql"])
def empty(request, tmp_path):
    """Give functions that connect to an empty database in either colour."""
    if request.param == "sqlite":
        return lambda: sqlite3.connect(tmp_path / "a.db"), lambda: aiosqlite.connect(
            tmp_path / "b.db"
        )
    postgres, new_database = map(request.getfixturevalue, ("postgres", "new_database"))
    first, second = (postgres.conninfo(new_database()) for _ in range(2))
    return lambda: psycopg.connect(first), lambda: psycopg.AsyncConnection.connect(second)


def test_the_host_commits_or_undoes_what_was_created(empty):
    connect, connect_async = empty
    version = "SELECT version FROM segmentflow_schema"
    connection = connect()
    storage = SqlStorage.bound_to(connection)
    storage.create_all()
    connection.rollback()
    with pytest.raises((sqlite3.OperationalError, psycopg.errors.UndefinedTable)):
        connection.execute(version)
    connection.rollback()
    for _ in range(2):
        storage.create_all()
    assert storage.migrate().steps == ()
    connection.execute("UPDATE segmentflow_schema SET version = 99")
    with pytest.raises(ConfigurationError, match="99"):
        storage.create_all()
    assert connection.execute(version).fetchone() == (99,)
    connection.rollback()
    connection.close()

    async def create():
        connection = await connect_async()
        await AsyncSqlStorage.bound_to(connection).create_all()
        await connection.commit()
        cursor = await connection.execute(version)
        found = await cursor.fetchone()
        await connection.close()
        return found

    assert asyncio.run(create()) == (2,)

"""In the host's own transaction, by sqlite3 or aiosqlite: an order and its event, or neither."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import aiosqlite
import pytest

from segmentflow_core import AsyncTracker
from segmentflow_core.colour import drive
from segmentflow_core.errors import (
    ConfigurationError,
)
from segmentflow_core.ports import Intent
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage
from shop import async_bound, bound


def test_tasks_that_share_an_aiosqlite_connection_take_turns_on_it(path):
    async def call():
        async with aiosqlite.connect(path) as connection:
            await connection.execute("INSERT INTO orders VALUES (1)")
            storage = AsyncSqlStorage.bound_to(connection)
            tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
            calls = [tracker.track(a_request(), f"order:{n}") for n in range(20)]
            receipts = await asyncio.gather(*calls)
            await connection.commit()
            return {receipt.event_id for receipt in receipts}

    acknowledged = asyncio.run(call())
    with sqlite3.connect(path) as connection:
        recorded = connection.execute("SELECT event_id FROM segmentflow_events").fetchall()
    connection.close()
    assert acknowledged == {event_id for (event_id,) in recorded}
    assert len(acknowledged) == 20


def test_threads_that_share_a_sqlite3_connection_take_turns_on_it(path):
    connection = sqlite3.connect(path, check_same_thread=False)
    connection.execute("INSERT INTO orders VALUES (1)")
    tracker = bound(connection)
    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(lambda n: tracker.track(a_request(), f"order:{n}"), range(60)))
    connection.commit()
    recorded = connection.execute("SELECT event_id FROM segmentflow_events").fetchall()
    connection.close()
    assert {receipt.event_id for receipt in receipts} == {event_id for (event_id,) in recorded}


def test_a_key_is_taken_before_anything_is_written(path):
    """A host's transaction may have begun by reading: it locks nobody out until then."""
    connection = sqlite3.connect(path, isolation_level=None)
    other = sqlite3.connect(path, isolation_level=None, timeout=0)
    connection.execute("BEGIN")
    intent = Intent(("key",), (), (), (), datetime.now(UTC))

    def take_key(transaction):
        other.execute("BEGIN IMMEDIATE")
        other.execute("ROLLBACK")
        drive(transaction.tracking.load("default", intent))
        with pytest.raises(sqlite3.OperationalError, match="locked"):
            other.execute("BEGIN IMMEDIATE")

    SqlStorage.bound_to(connection).run(take_key)
    connection.rollback()
    other.close()
    connection.close()


def test_a_plain_sqlite3_connection_takes_part(path):
    connection = sqlite3.connect(path)
    connection.row_factory = sqlite3.Row
    receipt = bound(connection).track(a_request(), "order:1")
    connection.execute("INSERT INTO orders VALUES (1)")
    connection.rollback()
    assert bound(connection).track(a_request(), "order:1").event_id != receipt.event_id
    connection.execute("INSERT INTO orders VALUES (2)")
    connection.commit()
    assert [tuple(row) for row in connection.execute("SELECT * FROM orders")] == [(2,)]
    assert len(bound(connection).records.events()) == 1
    connection.close()


def test_a_sqlite3_connection_in_autocommit_mode_needs_a_transaction(path):
    connection = sqlite3.connect(path, isolation_level=None)
    with pytest.raises(ConfigurationError, match="open transaction"):
        bound(connection).track(a_request(), "order:1")
    connection.execute("BEGIN")
    bound(connection).track(a_request(), "order:1")
    connection.execute("ROLLBACK")
    connection.execute("BEGIN")
    assert not bound(connection).track(a_request(), "order:1").replayed
    connection.execute("COMMIT")
    connection.close()


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")
def test_an_aiosqlite_connection_with_autocommit_needs_a_transaction(path):
    """Its commit would do nothing, and what was recorded would go with the connection."""

    async def call():
        async with aiosqlite.connect(path, autocommit=True) as connection:
            storage = AsyncSqlStorage.bound_to(connection)
            tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
            with pytest.raises(ConfigurationError, match="open transaction"):
                await tracker.track(a_request(), "order:1")

    asyncio.run(call())


def test_a_sqlite3_connection_that_gives_no_text_is_refused(path):
    connection = sqlite3.connect(path)
    connection.text_factory = bytes
    with pytest.raises(ConfigurationError, match="text_factory"):
        bound(connection).track(a_request(), "order:1")
    connection.close()


def test_a_plain_aiosqlite_connection_takes_part(path):
    async def host():
        async with aiosqlite.connect(path) as connection:
            undone = await async_bound(connection).track(a_request(), "order:1")
            await connection.rollback()
            receipt = await async_bound(connection).track(a_request(), "order:1")
            await connection.commit()
            return undone, receipt

    undone, receipt = asyncio.run(host())
    assert undone.event_id != receipt.event_id
    assert not receipt.replayed

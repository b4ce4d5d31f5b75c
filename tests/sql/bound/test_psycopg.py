"""In the host's own transaction, by psycopg: an order row and its event, both or neither."""

from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from psycopg.rows import dict_row

from segmentflow_core.colour import drive, settle
from segmentflow_core.errors import (
    ConfigurationError,
    StorageUnavailable,
)
from segmentflow_core.testing import a_journey, a_request
from segmentflow_sql import SqlStorage
from shop import a_tracker, async_bound, bound


def test_a_host_that_has_read_before_an_entry_does_not_enter_within_its_cooldown(conninfo):
    """Its snapshot does not show the entry; that the Profile was marked by it does."""
    with psycopg.connect(conninfo) as other, psycopg.connect(conninfo) as host:
        tracker = bound(other)
        tracker.track(a_request("known"), "known")
        reentry = {"policy": "cooldown", "duration": "PT1H"}
        tracker.journeys.publish([a_journey(reentry=reentry)])
        other.commit()
        host.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        host.execute("SELECT count(*) FROM orders")
        assert tracker.track(a_request(), "first").enrolled_journeys == 1
        other.commit()
        with pytest.raises(StorageUnavailable):
            bound(host).track(a_request(), "second")
        host.execute("INSERT INTO orders VALUES (1)")
        host.rollback()
        assert bound(host).track(a_request(), "second").enrolled_journeys == 0


def test_a_host_without_rights_on_our_tables_keeps_its_transaction(conninfo):
    with psycopg.connect(conninfo, autocommit=True) as owner:
        owner.execute("CREATE ROLE guest")
        owner.execute("GRANT ALL ON orders TO guest")
    try:
        with psycopg.connect(conninfo) as host:
            host.execute("SET ROLE guest")
            with pytest.raises(ConfigurationError) as refusal:
                bound(host).track(a_request(), "order:1")
            assert refusal.value.details == {"error": "42501"}
            host.execute("INSERT INTO orders VALUES (1)")
        with psycopg.connect(conninfo) as host:
            assert host.execute("SELECT * FROM orders").fetchall() == [(1,)]
    finally:
        with psycopg.connect(conninfo, autocommit=True) as owner:
            owner.execute("DROP OWNED BY guest")
            owner.execute("DROP ROLE guest")


@pytest.mark.parametrize("use", ["copy", "stream"])
def test_a_psycopg_connection_in_a_copy_or_a_stream_is_refused_and_not_waited_for(conninfo, use):
    with psycopg.connect(conninfo) as host:
        host.execute("INSERT INTO orders VALUES (1), (2)")
        tracker = a_tracker(SqlStorage.bound_to(host, wait=0.01))
        cursor = host.cursor()
        if use == "copy":
            with cursor.copy("COPY orders TO STDOUT") as copy:
                with pytest.raises(ConfigurationError):
                    tracker.track(a_request(), "order:1")
                assert len(list(copy)) == 2
        else:
            for _ in cursor.stream("SELECT * FROM orders"):
                with pytest.raises(ConfigurationError):
                    tracker.track(a_request(), "order:1")
        assert not tracker.track(a_request(), "order:1").replayed


def test_threads_that_share_a_psycopg_connection_take_turns_on_it(conninfo):
    with psycopg.connect(conninfo) as host:
        tracker = bound(host)
        tracker.track(a_request(), "first")

        def track(number):
            return tracker.track(a_request(), f"order:{number}").replayed

        def read(_):
            return host.execute("SELECT count(*) FROM orders").fetchone() != (0,)

        with ThreadPoolExecutor(4) as pool:
            done = [pool.submit(call, n) for n in range(50) for call in (track, read)]
        assert not any(call.result() for call in done)


def test_the_hosts_transaction_begins_as_its_connection_is_set(conninfo):
    with psycopg.connect(conninfo) as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.read_only = connection.deferrable = True
        assert list(bound(connection).records.events()) == []
        for setting in ("isolation", "read_only", "deferrable"):
            (value,) = connection.execute(f"SHOW transaction_{setting}").fetchone()
            assert value in ("serializable", "on")
        with pytest.raises(ConfigurationError) as refusal:
            bound(connection).track(a_request(), "key")
        assert refusal.value.details == {"error": "25006"}


@pytest.mark.parametrize("colour", ["synchronous", "asynchronous"])
def test_statements_that_are_prepared_no_longer_are_no_failure_of_the_host(conninfo, colour):
    """As behind a pooler, that gives each transaction another server's connection."""

    async def host(connection, tracker):
        for number in range(3):
            await settle(tracker.track(a_request(), f"key {number}"))
            await settle(connection.commit())
            await settle(connection.execute("DEALLOCATE ALL"))
        return await settle(tracker.records.events())

    async def async_host():
        async with await psycopg.AsyncConnection.connect(conninfo) as connection:
            return await host(connection, async_bound(connection))

    if colour == "asynchronous":
        events = asyncio.run(async_host())
    else:
        with psycopg.connect(conninfo) as connection:
            events = drive(host(connection, bound(connection)))
    assert len(events) == 3


def test_a_plain_psycopg_connection_takes_part(conninfo):
    with psycopg.connect(conninfo, row_factory=dict_row) as connection:
        connection.execute("INSERT INTO orders VALUES (1)")
        receipt = bound(connection).track(a_request(), "order:1")
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT number FROM orders").fetchall() == [(1,)]
        assert bound(connection).track(a_request(), "order:1") == receipt
        connection.rollback()


def test_a_psycopg_connection_that_has_not_begun_is_begun_and_not_committed(conninfo):
    with psycopg.connect(conninfo) as connection:
        bound(connection).track(a_request(), "order:1")
        connection.execute("INSERT INTO orders VALUES (1)")
        connection.rollback()
        assert connection.execute("SELECT count(*) FROM orders").fetchall() == [(0,)]
        assert list(bound(connection).records.events()) == []


def test_psycopgs_transaction_block_takes_part_in_autocommit_mode(conninfo):
    with psycopg.connect(conninfo, autocommit=True) as connection:
        with pytest.raises(ConfigurationError, match="open transaction"):
            bound(connection).track(a_request(), "order:1")
        with connection.transaction(force_rollback=True):
            bound(connection).track(a_request(), "order:1")
        with connection.transaction():
            assert not bound(connection).track(a_request(), "order:1").replayed
        with connection.transaction():
            assert bound(connection).track(a_request(), "order:1").replayed


def test_a_failed_transaction_of_psycopg_is_refused_as_such(conninfo):
    with psycopg.connect(conninfo) as connection:
        with pytest.raises(psycopg.errors.UndefinedTable):
            connection.execute("SELECT * FROM nowhere")
        with pytest.raises(ConfigurationError, match="has failed"):
            bound(connection).track(a_request(), "order:1")
        connection.rollback()
        with connection.pipeline(), pytest.raises(ConfigurationError, match="pipeline"):
            bound(connection).track(a_request(), "order:1")


def test_a_plain_async_psycopg_connection_takes_part(conninfo):
    async def host():
        async with await psycopg.AsyncConnection.connect(conninfo) as connection:
            await connection.execute("INSERT INTO orders VALUES (1)")
            return await async_bound(connection).track(a_request(), "order:1")

    receipt = asyncio.run(host())
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT number FROM orders").fetchall() == [(1,)]
        assert bound(connection).track(a_request(), "order:1") == receipt


def test_a_cancelled_call_leaves_the_hosts_transaction_usable(conninfo):
    async def host():
        async with await psycopg.AsyncConnection.connect(conninfo) as connection:
            await connection.execute("INSERT INTO orders VALUES (1)")
            tracker = async_bound(connection)
            for steps in range(50):
                task = asyncio.ensure_future(tracker.track(a_request(), f"order:{steps}"))
                for _ in range(steps):
                    await asyncio.sleep(0)
                if not task.cancel():
                    break
                with pytest.raises(asyncio.CancelledError):
                    await task
            cursor = await connection.execute("SELECT number FROM orders")
            assert await cursor.fetchall() == [(1,)]
            return await tracker.track(a_request(), "order:last")

    receipt = asyncio.run(host())
    with psycopg.connect(conninfo) as connection:
        assert bound(connection).track(a_request(), "order:last") == receipt
        connection.rollback()

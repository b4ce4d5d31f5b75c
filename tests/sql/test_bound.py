"""In the host's own transaction: an order row and its event, both or neither."""

from __future__ import annotations

import asyncio
import sqlite3
import sys
from concurrent.futures import ThreadPoolExecutor

import aiosqlite
import psycopg
import pytest
from psycopg.rows import dict_row
from sqlalchemy import Column, Integer, MetaData, Table, create_engine, insert, select
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.colour import drive
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    ProfileEmailRequired,
    StorageUnavailable,
)
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage

ORDERS = Table("orders", MetaData(), Column("number", Integer, primary_key=True))


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        postgres, new_database = (
            request.getfixturevalue(name) for name in ("postgres", "new_database")
        )
        url = postgres.url(new_database())
    engine = create_engine(url)
    storage = SqlStorage(engine)
    storage.create_all()
    ORDERS.create(engine)
    storage.close()
    return url


@pytest.fixture
def engine(url):
    engine = create_engine(url)
    yield engine
    assert engine.pool.checkedout() == 0
    engine.dispose()


@pytest.fixture
def conninfo(postgres, new_database):
    name = new_database()
    engine = create_engine(postgres.url(name))
    SqlStorage(engine).create_all()
    ORDERS.create(engine)
    engine.dispose()
    return postgres.conninfo(name)


@pytest.fixture
def path(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    SqlStorage(engine).create_all()
    ORDERS.create(engine)
    engine.dispose()
    return tmp_path / "shop.db"


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


def bound(connection):
    return a_tracker(SqlStorage.bound_to(connection))


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


def test_a_refused_binding_leaves_the_hosts_connection_as_it_was(engine):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with pytest.raises(ConfigurationError):
            bound(connection).track(a_request(), "order:1")
        assert not connection.in_transaction()


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


def orders(engine):
    with engine.connect() as connection:
        return list(connection.scalars(select(ORDERS.c.number)))


# --- SQLAlchemy ---------------------------------------------------------------------------------


def test_an_order_and_its_event_commit_together(engine):
    with engine.begin() as connection:
        connection.execute(insert(ORDERS).values(number=1))
        receipt = bound(connection).track(a_request(), "order:1")
    assert orders(engine) == [1]
    assert a_tracker(SqlStorage(engine)).track(a_request(), "order:1") == receipt


def test_the_hosts_rollback_undoes_the_event_and_frees_its_key(engine):
    with engine.connect() as connection:
        connection.execute(insert(ORDERS).values(number=1))
        undone = bound(connection).track(a_request(), "order:1")
        connection.rollback()
    tracker = a_tracker(SqlStorage(engine))
    assert (orders(engine), list(tracker.records.events())) == ([], [])
    receipt = tracker.track(a_request(), "order:1")
    assert not receipt.replayed
    assert receipt.event_id != undone.event_id


def test_the_event_may_come_first_and_nothing_is_committed_by_it(engine):
    with engine.connect() as connection:
        bound(connection).track(a_request(), "order:1")
        with engine.connect() as other:
            assert other.exec_driver_sql("SELECT count(*) FROM segmentflow_events").all() == [(0,)]
        connection.commit()
    assert len(a_tracker(SqlStorage(engine)).records.events()) == 1


def test_a_refusal_leaves_the_hosts_transaction_usable(engine):
    with engine.begin() as connection:
        connection.execute(insert(ORDERS).values(number=1))
        tracker = bound(connection)
        with pytest.raises(ProfileEmailRequired):
            tracker.track(a_request(profile={"externalId": "unknown"}), "order:1")
        connection.execute(insert(ORDERS).values(number=2))
        tracker.track(a_request(), "order:1")
    assert orders(engine) == [1, 2]
    assert len(a_tracker(SqlStorage(engine)).records.events()) == 1


def test_a_failure_in_the_middle_leaves_the_hosts_transaction_usable(engine):
    class Bug(Exception):
        pass

    def work(transaction):
        drive(transaction.events.list("default", 1))
        raise Bug

    with engine.begin() as connection:
        connection.execute(insert(ORDERS).values(number=1))
        with pytest.raises(Bug):
            SqlStorage.bound_to(connection).run(work)
        connection.execute(insert(ORDERS).values(number=2))
    assert orders(engine) == [1, 2]


def test_an_error_of_the_database_leaves_the_hosts_transaction_usable(url, engine):
    missing = "SELECT number FROM orders"
    with engine.begin() as connection:
        connection.exec_driver_sql("ALTER TABLE segmentflow_events RENAME TO elsewhere")
        connection.execute(insert(ORDERS).values(number=1))
        with pytest.raises(ConfigurationError, match="not as this library needs them"):
            bound(connection).track(a_request(), "order:1")
        connection.exec_driver_sql("ALTER TABLE elsewhere RENAME TO segmentflow_events")
        assert connection.exec_driver_sql(missing).all() == [(1,)]
        assert not bound(connection).track(a_request(), "order:1").replayed
    assert orders(engine) == [1]


@pytest.mark.parametrize("version", [None, 99])
def test_a_store_without_tables_or_of_another_version_is_named_as_such(url, engine, version):
    with engine.begin() as connection:
        if version is None:
            connection.exec_driver_sql("DROP TABLE segmentflow_schema")
        else:
            connection.exec_driver_sql(f"UPDATE segmentflow_schema SET version = {version}")
        connection.exec_driver_sql("DROP TABLE segmentflow_claims")
        connection.execute(insert(ORDERS).values(number=1))
        with pytest.raises(ConfigurationError, match=r"no tables yet|another version"):
            bound(connection).track(a_request(), "order:1")
    assert orders(engine) == [1]


def test_two_events_in_one_transaction_see_each_other(engine):
    with engine.begin() as connection:
        first = bound(connection).track(a_request(), "order:1")
        second = bound(connection).track(a_request(), "order:2")
        again = bound(connection).track(a_request(), "order:1")
    assert first.profile_id == second.profile_id
    assert again.replayed


def test_a_lost_race_is_the_hosts_to_try_again(postgres, new_database):
    """The bound call may not run again by itself: its transaction is not its own."""
    engine = create_engine(postgres.url(new_database()), isolation_level="REPEATABLE READ")
    SqlStorage(engine).create_all()
    with engine.connect() as connection:
        connection.exec_driver_sql("SELECT 1").all()  # the snapshot is taken here
        a_tracker(SqlStorage(engine)).track(a_request(), "key")
        with pytest.raises(StorageUnavailable) as failure:
            bound(connection).track(a_request(), "key")
        assert failure.value.__context__ is None
        assert connection.exec_driver_sql("SELECT 1").all() == [(1,)]
        connection.rollback()
        assert bound(connection).track(a_request(), "key").replayed
    engine.dispose()


def test_the_hosts_own_settings_are_given_back(postgres, new_database):
    engine = create_engine(postgres.url(new_database()))
    SqlStorage(engine).create_all()
    with engine.begin() as connection:
        connection.exec_driver_sql("SET LOCAL lock_timeout = '77s'")
        bound(connection).track(a_request(), "key")
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "77s"
        with pytest.raises(ProfileEmailRequired):
            bound(connection).track(a_request(profile={"externalId": "unknown"}), "other")
        assert connection.exec_driver_sql("SHOW lock_timeout").scalar_one() == "77s"
    engine.dispose()


def test_the_hosts_transaction_begins_as_its_connection_is_set(conninfo):
    with psycopg.connect(conninfo) as connection:
        connection.isolation_level = psycopg.IsolationLevel.SERIALIZABLE
        connection.read_only = connection.deferrable = True
        assert list(bound(connection).records.events()) == []
        for setting in ("isolation", "read_only", "deferrable"):
            (value,) = connection.execute(f"SHOW transaction_{setting}").fetchone()
            assert value in ("serializable", "on")
        with pytest.raises(ConfigurationError, match="read only") as refusal:
            bound(connection).track(a_request(), "key")
        assert refusal.value.details == {"error": "25006"}


def test_statements_that_are_prepared_no_longer_are_no_failure_of_the_host(conninfo):
    """As behind a pooler, that gives each transaction another server's connection."""
    with psycopg.connect(conninfo) as connection:
        for number in range(3):
            bound(connection).track(a_request(), f"key {number}")
            connection.commit()
            connection.execute("DEALLOCATE ALL")
        assert len(bound(connection).records.events()) == 3


def test_statements_that_are_prepared_no_longer_are_no_failure_of_an_async_host(conninfo):
    async def host():
        async with await psycopg.AsyncConnection.connect(conninfo) as connection:
            for number in range(3):
                await async_bound(connection).track(a_request(), f"key {number}")
                await connection.commit()
                await connection.execute("DEALLOCATE ALL")
            return await async_bound(connection).records.events()

    assert len(asyncio.run(host())) == 3


def test_a_held_key_is_waited_for_within_the_bound(postgres, new_database):
    engine = create_engine(postgres.url(new_database()))
    SqlStorage(engine).create_all()
    with engine.connect() as holder, engine.connect() as other:
        bound(holder).track(a_request(), "key")
        impatient = a_tracker(SqlStorage.bound_to(other, wait=0.05))
        with pytest.raises(IdempotencyInProgress):
            impatient.track(a_request(), "key")
        holder.commit()
        assert impatient.track(a_request(), "key").replayed
    engine.dispose()


# --- plain drivers --------------------------------------------------------------------------------


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


@pytest.mark.parametrize("connection", [None, object(), "sqlite:///x.db"])
def test_what_is_no_connection_is_refused(connection):
    for storage in (SqlStorage, AsyncSqlStorage):
        with pytest.raises(ConfigurationError, match="SQLAlchemy"):
            storage.bound_to(connection)


# --- asynchronous hosts ---------------------------------------------------------------------------


def async_bound(connection):
    return AsyncTracker(AsyncSqlStorage.bound_to(connection), fingerprint_key=FINGERPRINT_SECRET)


def test_an_async_host_commits_and_rolls_back_both(url, engine):
    async def host():
        async_engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
        async with async_engine.connect() as connection:
            await async_bound(connection).track(a_request(), "order:1")
            await connection.execute(insert(ORDERS).values(number=1))
            await connection.rollback()
            await connection.execute(insert(ORDERS).values(number=2))
            with pytest.raises(ProfileEmailRequired):
                await async_bound(connection).track(
                    a_request(profile={"externalId": "unknown"}), "order:2"
                )
            receipt = await async_bound(connection).track(a_request(), "order:1")
            await connection.commit()
        assert async_engine.pool.checkedout() == 0
        await async_engine.dispose()
        return receipt

    receipt = asyncio.run(host())
    assert not receipt.replayed
    assert orders(engine) == [2]
    assert a_tracker(SqlStorage(engine)).track(a_request(), "order:1") == receipt


def test_a_plain_async_psycopg_connection_takes_part(conninfo):
    async def host():
        async with await psycopg.AsyncConnection.connect(conninfo) as connection:
            await connection.execute("INSERT INTO orders VALUES (1)")
            return await async_bound(connection).track(a_request(), "order:1")

    receipt = asyncio.run(host())
    with psycopg.connect(conninfo) as connection:
        assert connection.execute("SELECT number FROM orders").fetchall() == [(1,)]
        assert bound(connection).track(a_request(), "order:1") == receipt


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

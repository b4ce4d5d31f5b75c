"""In the host's own transaction, by SQLAlchemy: an order row and its event, both or neither."""

from __future__ import annotations

import asyncio

import pytest
from sqlalchemy import create_engine, insert
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core.colour import drive
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    ProfileEmailRequired,
    StorageUnavailable,
)
from segmentflow_core.testing import a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage
from shop import ORDERS, a_tracker, async_bound, bound, orders


def test_a_refused_binding_leaves_the_hosts_connection_as_it_was(engine):
    with engine.connect().execution_options(isolation_level="AUTOCOMMIT") as connection:
        with pytest.raises(ConfigurationError):
            bound(connection).track(a_request(), "order:1")
        assert not connection.in_transaction()


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


@pytest.mark.parametrize("connection", [None, object(), "sqlite:///x.db"])
def test_what_is_no_connection_is_refused(connection):
    for storage in (SqlStorage, AsyncSqlStorage):
        with pytest.raises(ConfigurationError, match="SQLAlchemy"):
            storage.bound_to(connection)


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

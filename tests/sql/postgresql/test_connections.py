"""Connections to PostgreSQL: lost, broken, used up, and set by the host."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine, event

from segmentflow_core import Tracker
from segmentflow_core.colour import drive
from segmentflow_core.errors import ConfigurationError, StorageRefused, StorageUnavailable
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    a_request,
)
from segmentflow_sql import SqlStorage, open_storage


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


def test_a_server_that_is_not_there_is_unavailable():
    storage = open_storage("postgresql://postgres@127.0.0.1:1/nothing")
    with pytest.raises(StorageUnavailable) as failure:
        a_tracker(storage).records.events()
    assert failure.value.__context__ is None
    storage.close()


def test_a_pool_with_nothing_left_to_give_is_unavailable(postgres, database):
    engine = create_engine(postgres.url(database), pool_size=1, max_overflow=0, pool_timeout=0)
    storage = SqlStorage(engine)
    with engine.connect(), pytest.raises(StorageUnavailable) as failure:
        a_tracker(storage).records.events()
    assert failure.value.__context__ is None
    assert a_tracker(storage).records.events() == []
    storage.close()


def test_a_work_that_swallowed_a_failure_is_not_committed(storage):
    def work(transaction):
        with pytest.raises(StorageRefused):
            drive(transaction.events.list("default", limit=-1))
        return "as if nothing had been"

    with pytest.raises(StorageRefused):
        storage.run(work)


def test_a_connection_that_broke_while_it_was_pooled_is_replaced(postgres, database, storage):
    tracker = a_tracker(storage)
    first = tracker.track(a_request(), "key")
    with postgres.connect(database) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert tracker.track(a_request(), "key") == first


def test_a_pool_full_of_broken_connections_is_gone_through(postgres, database):
    """However many there are: as after a restart of the server."""
    engine = create_engine(postgres.url(database), pool_size=60)
    storage = SqlStorage(engine)
    first = a_tracker(storage).track(a_request(), "key")
    everyone = threading.Barrier(60)
    with ThreadPoolExecutor(60) as pool:
        for use in [pool.submit(storage.run, lambda _: everyone.wait()) for _ in range(60)]:
            use.result()
    assert engine.pool.checkedin() == 60
    with postgres.connect(database) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert a_tracker(storage).track(a_request(), "key") == first
    storage.close()


def test_a_pool_that_empties_statements_behind_our_back_does_no_harm(postgres, database):
    """As a pooler would, that gives each transaction another server's connection."""
    engine = create_engine(postgres.url(database))

    @event.listens_for(engine, "checkin")
    def discard(driver, record):
        if driver is not None:
            autocommit, driver.autocommit = driver.autocommit, True
            driver.execute("DISCARD ALL", prepare=False)
            driver.autocommit = autocommit

    storage = SqlStorage(engine)
    tracker = a_tracker(storage)
    receipts = [tracker.track(a_request(), str(number)) for number in range(5)]
    assert len({receipt.event_id for receipt in receipts}) == 5
    storage.close()


def test_preparing_can_be_turned_off_as_psycopg_has_it(postgres, database):
    engine = create_engine(postgres.url(database), connect_args={"prepare_threshold": None})
    storage = SqlStorage(engine)
    a_tracker(storage).track(a_request(), "key")
    with engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements")
        assert kept.scalar_one() == 0
    storage.close()


def test_a_client_encoding_that_cannot_hold_every_name_is_refused(postgres, database):
    engine = create_engine(postgres.url(database), connect_args={"client_encoding": "latin1"})
    storage = SqlStorage(engine)
    with pytest.raises(ConfigurationError, match="UTF8"):
        a_tracker(storage).records.events()
    assert engine.pool.checkedout() == 0
    storage.close()

"""Connections to SQLite: who waits for whom, whose transaction is open, one shared by threads."""

from __future__ import annotations

import sqlite3
import sys
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine
from sqlalchemy.pool import QueuePool, StaticPool

from segmentflow_core import ApiKeys, Tracker
from segmentflow_core.colour import drive
from segmentflow_core.errors import (
    ConfigurationError,
    ProfileEmailRequired,
    StorageUnavailable,
)
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    a_journey,
    a_request,
)
from segmentflow_sql import SqlStorage


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


class InterruptedCursor(sqlite3.Cursor):
    """Is interrupted between running a statement and reading what it returns, when armed."""

    armed = False

    def fetchall(self):
        if type(self).armed and self.description is not None:
            type(self).armed = False
            raise KeyboardInterrupt
        return super().fetchall()


class InterruptibleConnection(sqlite3.Connection):
    def cursor(self, factory=InterruptedCursor):
        return super().cursor(factory)


def test_an_interrupted_call_keeps_nobody_out_while_its_traceback_is_held(storage, path):
    engine = create_engine(f"sqlite:///{path}", connect_args={"factory": InterruptibleConnection})
    interrupted = SqlStorage(engine)
    tracker = a_tracker(interrupted)
    tracker.track(a_request(), "warm up")
    InterruptedCursor.armed = True
    with pytest.raises(KeyboardInterrupt) as held:
        tracker.track(a_request(), "key")
    impatient = SqlStorage(create_engine(f"sqlite:///{path}"), wait=0.05)
    assert a_tracker(impatient).track(a_request(), "other")
    impatient.close()
    assert not tracker.track(a_request(), "key").replayed
    assert held.traceback
    interrupted.close()


@pytest.fixture
def writer(path):
    """Give a connection that another program writes with at this moment."""
    writer = sqlite3.connect(path, isolation_level=None)
    writer.execute("BEGIN IMMEDIATE")
    yield writer
    writer.execute("ROLLBACK")
    writer.close()


def test_who_only_reads_waits_for_no_writer(storage, path, request):
    receipt = a_tracker(storage).track(a_request(), "key")
    keys = ApiKeys(storage)
    secret = keys.create(["events:write"]).secret
    request.getfixturevalue("writer")
    impatient = SqlStorage(create_engine(f"sqlite:///{path}"), wait=0.01)
    tracker = a_tracker(impatient)
    assert tracker.records.event(receipt.event_id).profile_id == receipt.profile_id
    assert tracker.explain(a_request()).event == "order.created"
    assert ApiKeys(impatient).authenticate(secret, "events:write").organization_id == "default"
    for write in (
        lambda: tracker.track(a_request(), "other key"),
        tracker.records.purge_keys,
        lambda: tracker.journeys.publish([a_journey()]),
    ):
        with pytest.raises(StorageUnavailable):
            write()
    impatient.close()


def test_a_concurrent_writer_is_waited_for_no_longer_than_the_bound(storage, path):
    impatient = SqlStorage(create_engine(f"sqlite:///{path}"), wait=0)
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    with pytest.raises(StorageUnavailable) as busy:
        a_tracker(impatient).track(a_request(), "key")
    assert busy.value.details == {"error": "SQLITE_BUSY"}
    assert str(path) in busy.value.message
    holder.execute("ROLLBACK")
    holder.close()
    assert not a_tracker(impatient).track(a_request(), "key").replayed
    impatient.close()


def test_tables_cannot_be_created_while_another_writer_holds_the_store(path):
    holder = sqlite3.connect(path, isolation_level=None)
    holder.execute("BEGIN EXCLUSIVE")
    holder.execute("CREATE TABLE orders (id)")
    impatient = SqlStorage(create_engine(f"sqlite:///{path}"), wait=0.05)
    with pytest.raises(StorageUnavailable):
        impatient.create_all()
    holder.execute("COMMIT")
    holder.close()
    impatient.create_all()
    impatient.close()


def test_a_store_in_memory_works_within_its_one_connection():
    storage = SqlStorage(create_engine("sqlite://"))
    storage.create_all()
    assert not a_tracker(storage).track(a_request(), "key").replayed
    assert a_tracker(storage).track(a_request(), "key").replayed
    storage.close()


def test_threads_share_a_store_in_memory_by_its_cache():
    url = "sqlite:///file:shared?mode=memory&cache=shared&uri=true"
    threads = {"check_same_thread": False}
    storage = SqlStorage(create_engine(url, poolclass=QueuePool, connect_args=threads), wait=30)
    keeper = storage._engine.connect()
    storage.create_all()
    tracker = a_tracker(storage)
    with ThreadPoolExecutor(4) as pool:
        receipts = list(pool.map(lambda n: tracker.track(a_request(), f"key {n % 5}"), range(40)))
    assert len({receipt.event_id for receipt in receipts}) == len(tracker.records.events()) == 5
    keeper.close()
    storage.close()


needs_autocommit = pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")


@needs_autocommit
@pytest.mark.parametrize("autocommit", [False, True])
def test_an_engine_may_say_how_its_connections_commit(tmp_path, autocommit):
    engine = create_engine(
        f"sqlite:///{tmp_path / 'store.db'}", connect_args={"autocommit": autocommit}
    )
    storage = SqlStorage(engine)
    storage.create_all()
    tracker = a_tracker(storage)
    receipt = tracker.track(a_request(), "key")
    with pytest.raises(ProfileEmailRequired):
        tracker.track(a_request(profile={"externalId": "unknown"}), "other")
    assert tracker.track(a_request(), "key") == receipt
    with engine.connect() as connection:
        assert connection.connection.driver_connection.autocommit is autocommit
    storage.close()


@needs_autocommit
def test_a_host_that_keeps_a_transaction_open_commits_the_event(storage, path):
    connection = sqlite3.connect(path, autocommit=False)
    bound = a_tracker(SqlStorage.bound_to(connection))
    bound.track(a_request(), "key")
    connection.rollback()
    assert a_tracker(storage).records.events() == []
    receipt = bound.track(a_request(), "key")
    connection.commit()
    connection.close()
    assert a_tracker(storage).track(a_request(), "key") == receipt


@needs_autocommit
def test_a_host_that_commits_each_statement_needs_a_transaction(path, storage):
    connection = sqlite3.connect(path, autocommit=True)
    bound = a_tracker(SqlStorage.bound_to(connection))
    with pytest.raises(ConfigurationError, match="open transaction"):
        bound.track(a_request(), "key")
    connection.execute("BEGIN")
    assert not bound.track(a_request(), "key").replayed
    connection.execute("COMMIT")
    connection.close()


@pytest.fixture
def shared_memory():
    """Give storage in memory whose one connection every thread uses."""
    engine = create_engine(
        "sqlite://", poolclass=StaticPool, connect_args={"check_same_thread": False}
    )
    storage = SqlStorage(engine, wait=30)
    storage.create_all()
    yield storage
    storage.close()


def test_threads_take_turns_on_the_one_connection_of_a_store_in_memory(shared_memory):
    # Of a busy machine each must be able to wait for seven others.
    tracker, another = (a_tracker(SqlStorage(shared_memory._engine, wait=60)) for _ in range(2))
    start = threading.Barrier(8)

    def client(number):
        start.wait()
        mine = tracker if number % 2 else another
        return [mine.track(a_request(), f"key {key}") for key in range(40)]

    with ThreadPoolExecutor(8) as pool:
        receipts = list(pool.map(client, range(8)))
    assert all(each == receipts[0] for each in receipts)
    assert {e.event_id for e in tracker.records.events()} == {r.event_id for r in receipts[0]}


def test_a_turn_is_waited_for_no_longer_than_the_bound(shared_memory):
    impatient = a_tracker(SqlStorage(shared_memory._engine, wait=0.05))

    def work(transaction):
        refused = pytest.raises(StorageUnavailable, match="only connection")
        with ThreadPoolExecutor(1) as pool, refused:
            pool.submit(impatient.track, a_request(), "key").result()

    shared_memory.run(work)
    assert not impatient.track(a_request(), "key").replayed


@pytest.mark.parametrize("poolclass", [StaticPool, None], ids=["one connection", "one a thread"])
def test_an_interruption_does_not_lose_a_store_in_memory(poolclass):
    storage = SqlStorage(create_engine("sqlite://", poolclass=poolclass))
    storage.create_all()
    receipt = a_tracker(storage).track(a_request(), "key")

    def work(transaction):
        drive(transaction.events.list("default", 1))
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        storage.run(work)
    assert a_tracker(storage).track(a_request(), "key") == receipt
    storage.close()

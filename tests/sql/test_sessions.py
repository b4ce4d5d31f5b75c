"""Sessions that fail over, end or are cancelled: the calls go on, or who has to act is told."""

from __future__ import annotations

import asyncio
import gc
import logging
import threading
import time
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_http import Endpoint, KnownKeys
from segmentflow_sql import AsyncSqlStorage, SqlStorage, open_storage
from store_trackers import a_tracker, tracked


def health(tracker):
    return Endpoint(tracker, KnownKeys(["k" * 32]))("GET", "/healthz", {}, b"").status


TERMINATE = (
    "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
    "WHERE datname = '{}' AND pid <> pg_backend_pid()"
)


# --- a failover ----------------------------------------------------------------------------------


def test_sessions_that_are_read_only_after_a_failover_are_replaced(admin, shop, tracking):
    tracking(a_request(), "before")
    admin(f"ALTER DATABASE {shop} SET default_transaction_read_only = on")
    admin(TERMINATE.format(shop))
    back = threading.Timer(
        0.3, admin, [f"ALTER DATABASE {shop} RESET default_transaction_read_only"]
    )
    back.start()
    assert not tracking(a_request(), "meanwhile").replayed
    back.join()
    assert tracking(a_request(), "before").replayed


def test_health_says_whether_the_store_takes_writes(admin, shop, postgres, monkeypatch):
    monkeypatch.setattr("segmentflow_sql.attempts._MAX_RUNS", 3)
    storage = SqlStorage(create_engine(postgres.url(shop)))
    tracker = a_tracker(storage)
    assert health(tracker) == 200
    admin(f"ALTER DATABASE {shop} SET default_transaction_read_only = on")
    storage._engine.dispose()
    assert tracker.records.events() == []  # it can be reached, and is read only
    assert health(tracker) == 503
    with pytest.raises(StorageUnavailable, match="read-only") as failure:
        tracker.track(a_request(), "key")
    assert failure.value.details == {"error": "25006"}
    assert failure.value.__context__ is None
    admin(f"ALTER DATABASE {shop} RESET default_transaction_read_only")
    assert health(tracker) == 200
    storage.close()


def test_an_engine_that_is_set_to_read_only_is_told_so(shop, postgres):
    engine = create_engine(postgres.url(shop))
    with engine.connect() as connection:
        connection.connection.driver_connection.read_only = True
        with pytest.raises(ConfigurationError, match="set to read only"):
            a_tracker(SqlStorage.bound_to(connection)).track(a_request(), "key")
    engine.dispose()


def test_a_sqlite_file_that_is_opened_to_read_takes_no_writes_and_health_says_so(tmp_path):
    storage = open_storage(f"sqlite:///{tmp_path / 'store.db'}")
    storage.create_all()
    storage.close()
    uri = f"sqlite:///file:{tmp_path / 'store.db'}?mode=ro&uri=true"
    storage = open_storage(uri)
    tracker = a_tracker(storage)
    assert tracker.records.events() == []
    assert health(tracker) == 503
    with pytest.raises(ConfigurationError, match="may not be written to") as refusal:
        tracker.track(a_request(), "key")
    assert str(tmp_path / "store.db") in refusal.value.message
    storage.close()


# --- sessions that end ---------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_sessions_that_are_ended_again_and_again_cost_nobody_an_event_or_the_log_a_line(
    request, shop, postgres, caplog, colour
):
    admin, runner = map(request.getfixturevalue, ("admin", "runner"))
    url = postgres.url(shop)
    stop = threading.Event()

    def terminate():
        while not stop.wait(0.02):
            admin(TERMINATE.format(shop))

    numbers = range(150)
    with ThreadPoolExecutor(5) as threads:
        terminating = threads.submit(terminate)
        try:
            if colour == "sync":
                storage = SqlStorage(create_engine(url))
                tracker = a_tracker(storage)
                receipts = list(threads.map(lambda n: tracker.track(a_request(), f"{n}"), numbers))
            else:
                storage = AsyncSqlStorage(create_async_engine(url))
                tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
                receipts = runner.run(tracked(tracker, numbers))
        finally:
            stop.set()
        terminating.result()
    assert len({receipt.event_id for receipt in receipts}) == len(numbers)
    said = [record for record in caplog.records if record.levelno >= logging.WARNING]
    assert said == []
    assert storage._engine.pool.checkedout() == 0
    storage.close() if colour == "sync" else runner.run(storage.close())


@pytest.mark.parametrize("code", ["25P03", "57P05"])
def test_a_session_that_the_server_has_timed_out_is_replaced(admin, shop, tracking, code):
    setting = {
        "25P03": "idle_in_transaction_session_timeout",
        "57P05": "idle_session_timeout",
    }[code]
    admin(f"ALTER DATABASE {shop} SET {setting} = 50")
    tracking(a_request(), "first")
    time.sleep(0.2)
    assert not tracking(a_request(), "second").replayed


# --- plans ---------------------------------------------------------------------------------------


def test_a_table_whose_columns_change_is_planned_anew_at_once(admin, shop, tracking, monkeypatch):
    first = tracking(a_request(), "key")
    monkeypatch.setattr("segmentflow_sql.attempts._MAX_RUNS", 1)
    for kind in ("text", "varchar(300)"):
        admin(f"ALTER TABLE segmentflow_events ALTER event TYPE {kind}", shop)
        admin(f"ALTER TABLE segmentflow_profiles ALTER email TYPE {kind}", shop)
        assert tracking(a_request(), "key") == first
        assert not tracking(a_request(), f"key {kind}").replayed


def test_a_host_whose_tables_change_has_no_failure(admin, shop, postgres):
    engine = create_engine(postgres.url(shop))
    with engine.connect() as connection:
        for kind in ("text", "varchar(300)"):
            tracker = a_tracker(SqlStorage.bound_to(connection))
            assert not tracker.track(a_request(), f"key {kind}").replayed
            assert len(tracker.records.events()) > 0
            connection.commit()
            admin(f"ALTER TABLE segmentflow_events ALTER event TYPE {kind}", shop)
        assert len(a_tracker(SqlStorage.bound_to(connection)).records.events()) == 2
    engine.dispose()


# --- cancelled while connecting ------------------------------------------------------------------


def an_engine(made, postgres, database):
    """Return an asynchronous engine, made in one of the ways there are."""

    async def connect():
        return await psycopg.AsyncConnection.connect(postgres.conninfo(database))

    if made == "by URL":
        return create_async_engine(postgres.url(database), pool_size=5, max_overflow=95)
    url, options = "postgresql+psycopg://", {"pool_size": 5, "max_overflow": 95}
    if made == "by async_creator":
        return create_async_engine(url, async_creator=connect, **options)
    engine = create_async_engine(
        url,
        creator=lambda: engine.dialect.dbapi.connect(postgres.conninfo(database)),
        **options,
    )
    return engine


@pytest.mark.parametrize("made", ["by URL", "by async_creator", "by creator"])
def test_calls_that_are_cancelled_while_they_connect_leave_no_session(
    admin, shop, postgres, runner, made
):
    engine = an_engine(made, postgres, shop)
    storage = AsyncSqlStorage(engine)
    tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    held = []

    async def nothing(_transaction):
        pass

    async def storm():
        # Not by a tracker: it has its errors forget the session that was being made.
        calls = [asyncio.ensure_future(storage.run(nothing)) for _ in range(40)]
        for steps, call in enumerate(calls):
            for _ in range(steps % 7):
                await asyncio.sleep(0)
            call.cancel()
        await asyncio.wait(calls)
        held.extend(calls)  # with all that their tracebacks hold

    gc.disable()
    try:
        runner.run(storm())
        assert engine.pool.checkedout() == 0
        count = f"SELECT count(*) FROM pg_stat_activity WHERE datname = '{shop}'"
        deadline = time.monotonic() + 10
        while admin(count).fetchone()[0] > engine.pool.checkedin():
            assert time.monotonic() < deadline
            time.sleep(0.05)
    finally:
        gc.enable()
    assert not runner.run(tracker.track(a_request(), "after")).replayed
    runner.run(storage.close())


def test_what_a_host_does_when_its_engine_connects_is_still_done(shop, postgres, runner):
    engine = create_async_engine(postgres.url("nowhere"))
    storage = AsyncSqlStorage(engine)

    @event.listens_for(engine.sync_engine, "do_connect")
    def connect(dialect, record, arguments, options):
        options["dbname"] = shop

    for _ in range(2):
        tracker = AsyncTracker(AsyncSqlStorage(engine), fingerprint_key=FINGERPRINT_SECRET)
        assert runner.run(tracker.records.events()) == []
        runner.run(storage.close())

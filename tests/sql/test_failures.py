"""A database that fails over, restarts, refuses or is set up wrongly: who is told what."""

from __future__ import annotations

import asyncio
import gc
import logging
import sqlite3
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.colour import driven, settle
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    SegmentflowError,
    StorageRefused,
    StorageUnavailable,
)
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_http import Endpoint, KnownKeys
from segmentflow_sql import AsyncSqlStorage, SqlStorage, open_storage
from segmentflow_sql.waiting import Turns


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


def health(tracker):
    return Endpoint(tracker, KnownKeys(["k" * 32]))("GET", "/healthz", {}, b"").status


@pytest.fixture
def shop(new_database, postgres):
    """Give the name of a database of the test's own, with our tables."""
    name = new_database()
    storage = SqlStorage(create_engine(postgres.url(name)))
    storage.create_all()
    storage.close()
    return name


@pytest.fixture
def admin(postgres):
    """Give a function that runs SQL as the server's owner, in a database."""

    def run(sql, database="postgres"):
        with postgres.connect(database) as connection:
            return connection.execute(sql)

    return run


@pytest.fixture(params=["sync", "async"])
def tracking(request, postgres, shop, runner):
    """Give a way to track on a pool of connections, in either colour."""
    if request.param == "sync":
        storage = SqlStorage(create_engine(postgres.url(shop), pool_size=4))
        yield a_tracker(storage).track
        storage.close()
    else:
        storage = AsyncSqlStorage(create_async_engine(postgres.url(shop), pool_size=4))
        tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
        yield lambda *call: runner.run(tracker.track(*call))
        runner.run(storage.close())
    assert storage._engine.pool.checkedout() == 0


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


async def tracked(tracker, numbers):
    busy = asyncio.Semaphore(4)

    async def one(number):
        async with busy:
            return await tracker.track(a_request(), f"{number}")

    return await asyncio.gather(*map(one, numbers))


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


def test_calls_that_are_cancelled_while_they_connect_leave_no_session(
    admin, shop, postgres, runner
):
    engine = create_async_engine(postgres.url(shop), pool_size=5, max_overflow=95)
    storage = AsyncSqlStorage(engine)
    tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    held = []

    async def storm():
        calls = [asyncio.ensure_future(tracker.track(a_request(), f"{n}")) for n in range(40)]
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


# --- what the store refuses ----------------------------------------------------------------------

POISONED = a_request("poison")


@pytest.fixture(params=["postgresql-value", "postgresql-rule", "sqlite"])
def poisoned(request, tmp_path):
    """Give a storage whose tables will not hold the event named "poison"."""
    if request.param == "sqlite":
        path = tmp_path / "store.db"
        storage = SqlStorage(create_engine(f"sqlite:///{path}"))
        storage.create_all()
        with sqlite3.connect(path) as connection:
            connection.execute(
                "CREATE TRIGGER rule BEFORE INSERT ON segmentflow_events WHEN NEW.event = 'poison' "
                "BEGIN SELECT RAISE(ABORT, 'canary'); END"
            )
        connection.close()
    else:
        shop, postgres, admin = map(request.getfixturevalue, ("shop", "postgres", "admin"))
        rule = (
            "CHECK (event <> 'poison')"
            if request.param == "postgresql-rule"
            else "CHECK (event <> 'poison' OR 1 / (length(event) - 6) > 0)"  # 22012
        )
        admin(f"ALTER TABLE segmentflow_events ADD {rule}", shop)
        storage = SqlStorage(create_engine(postgres.url(shop)))
    yield storage
    assert storage._engine.pool.checkedout() == 0
    storage.close()


def test_what_the_store_refuses_is_final_and_one_items_own(poisoned):
    tracker = a_tracker(poisoned)
    calls = [(a_request(), f"{number}") for number in range(25)]
    calls[7] = calls[19] = (POISONED, "poisoned")
    results = tracker.track_many(calls)
    refused = [at for at, result in enumerate(results) if isinstance(result, SegmentflowError)]
    assert refused == [7, 19]
    for at in refused:
        assert isinstance(results[at], StorageRefused)
        assert results[at].should_retry is False
        assert "canary" not in str(results[at])
        assert results[at].details["error"] in {"22012", "23514", "SQLITE_CONSTRAINT_TRIGGER"}
    assert len(tracker.records.events()) == 23
    again = tracker.track_many(calls)
    assert [getattr(each, "replayed", None) for each in again].count(True) == 23
    began = time.monotonic()
    with pytest.raises(StorageRefused) as refusal:
        tracker.track(POISONED, "poisoned")
    assert time.monotonic() - began < 2
    assert refusal.value.__context__ is None


@pytest.mark.parametrize("encoding", ["SQL_ASCII", "LATIN1"])
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_database_that_cannot_hold_every_text_is_refused(
    admin, postgres, runner, encoding, colour
):
    name = f"in_{encoding}_{colour}".lower()
    admin(
        f"CREATE DATABASE {name} ENCODING '{encoding}' TEMPLATE template0 "
        "LC_COLLATE 'C' LC_CTYPE 'C'"
    )
    options = {"client_encoding": "utf8"} if encoding == "LATIN1" else {}
    if colour == "sync":
        storage = SqlStorage(create_engine(postgres.url(name), connect_args=options))
        tracker = a_tracker(storage)
        uses = (storage.create_all, tracker.records.events)
    else:
        storage = AsyncSqlStorage(create_async_engine(postgres.url(name), connect_args=options))
        asynchronous = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
        uses = (
            lambda: runner.run(storage.create_all()),
            lambda: runner.run(asynchronous.records.events()),
        )
    for use in uses:
        with pytest.raises(ConfigurationError, match="UTF8") as refusal:
            use()
        assert refusal.value.details == {"found": encoding, "expected": "UTF8"}
        assert f'"{name}"' in refusal.value.message
    assert storage._engine.pool.checkedout() == 0
    storage.close() if colour == "sync" else runner.run(storage.close())


def test_a_locked_table_says_nothing_about_a_key(admin, shop, postgres, monkeypatch):
    monkeypatch.setattr("segmentflow_sql.attempts._MAX_RUNS", 2)
    storage = SqlStorage(create_engine(postgres.url(shop)), wait=0.05)
    tracker = a_tracker(storage)
    tracker.track(a_request(), "warm")
    with postgres.connect(shop) as other:
        other.execute("BEGIN; LOCK TABLE segmentflow_claims IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StorageUnavailable):
            tracker.track(a_request(), "fresh")
        other.execute("ROLLBACK")
        with other.transaction():
            a_tracker(SqlStorage.bound_to(other)).track(a_request(), "held")
            with pytest.raises(IdempotencyInProgress):
                tracker.track(a_request(), "held")
    storage.close()


# --- wrongly set up ------------------------------------------------------------------------------


def refusal_of(url):
    storage = open_storage(url)
    try:
        for use in (storage.create_all, a_tracker(storage).records.events):
            with pytest.raises((ConfigurationError, StorageUnavailable)) as refusal:
                use()
        return refusal.value
    finally:
        storage.close()


@pytest.mark.parametrize(
    ("url", "final", "code", "words"),
    [
        (
            "{scheme}://postgres:canary@/none?host={host}",
            True,
            "3D000",
            '"none" at {host}',
        ),
        ("postgres://postgres:canary@/none?host={host}", True, "3D000", "does not exist"),
        ("{scheme}://nobody:canary@/postgres?host={host}", True, "28000", 'user "nobody"'),
        ("{scheme}://u:canary@/shop?host=/no/where", False, "08001", "at /no/where cannot be"),
        ("{scheme}://u:canary@127.0.0.1:1/shop", False, "08001", '"shop" at 127.0.0.1:1 cannot'),
        ("{scheme}://u:canary@no.invalid/shop", False, "08001", "at no.invalid cannot be"),
        ("{scheme}://u:can@canary/x@127.0.0.1:1/shop", False, "08001", "cannot be reached"),
    ],
)
def test_a_database_that_cannot_be_connected_to_is_named(postgres, url, final, code, words):
    names = {"host": postgres.host, "scheme": "postgresql"}
    refusal = refusal_of(url.format(**names))
    assert isinstance(refusal, ConfigurationError if final else StorageUnavailable)
    assert refusal.should_retry is (None if final else True)
    assert refusal.details == {"error": code}
    assert words.format(**names) in refusal.message
    assert "canary" not in str(refusal)
    assert refusal.__context__ is None


def test_a_wrong_password_is_said_and_not_shown(postgres, admin):
    """The server trusts everybody, so its words are put into the driver's mouth."""
    import psycopg

    from segmentflow_sql.connecting import explained

    url = create_engine("postgresql+psycopg://alex:canary@db.internal:5433/shop").url
    error = psycopg.OperationalError(
        'connection failed: FATAL:  password authentication failed for user "alex"'
    )
    refusal = explained(error, url)
    assert isinstance(refusal, ConfigurationError)
    assert refusal.details == {"error": "28P01"}
    assert refusal.message == (
        'The database "shop" at db.internal:5433 does not take the password of user "alex".'
    )
    too_many = psycopg.OperationalError("FATAL:  sorry, too many clients already")
    assert explained(too_many, url).should_retry


def test_a_session_without_a_search_path_is_told_so(admin, shop, postgres):
    admin(f"ALTER DATABASE {shop} SET search_path = ''")
    storage = open_storage(postgres.url(shop))
    with pytest.raises(ConfigurationError, match="search_path") as refusal:
        storage.create_all()
    assert refusal.value.details == {"error": "3F000"}
    assert f'"{shop}"' in refusal.value.message
    with pytest.raises(ConfigurationError, match="no tables yet") as refusal:
        a_tracker(storage).records.events()
    assert "(none)" in refusal.value.message or '""' in refusal.value.message
    storage.close()


def test_a_statement_timeout_that_is_too_short_is_named(admin, shop, postgres):
    storage = open_storage(postgres.url(shop))
    tracker = a_tracker(storage)
    tracker.records.events()
    storage._engine.dispose()
    admin(f"ALTER DATABASE {shop} SET statement_timeout = 1")
    with postgres.connect(shop) as other:
        other.execute("BEGIN; LOCK TABLE segmentflow_claims IN ACCESS EXCLUSIVE MODE")
        with pytest.raises(StorageUnavailable, match="statement_timeout") as failure:
            tracker.track(a_request(), "key")
        other.execute("ROLLBACK")
    assert failure.value.details == {"error": "57014"}
    storage.close()


def test_a_sqlite_file_in_no_folder_is_named(tmp_path):
    path = tmp_path / "none" / "store.db"
    storage = open_storage(f"sqlite:///{path}")
    with pytest.raises(ConfigurationError, match="folder does not exist") as refusal:
        storage.create_all()
    assert str(path) in refusal.value.message
    with pytest.raises(ConfigurationError, match="no tables yet") as refusal:
        a_tracker(storage).records.events()
    assert str(path) in refusal.value.message
    storage.close()


@pytest.mark.parametrize("given", ["x", None, 1, object()])
def test_what_is_no_engine_or_connection_is_told_what_is_needed(given):
    with pytest.raises(ConfigurationError, match="SqlStorage needs an engine"):
        SqlStorage(given)
    with pytest.raises(ConfigurationError, match="AsyncSqlStorage needs an asynchronous engine"):
        AsyncSqlStorage(given)
    for storage in (SqlStorage, AsyncSqlStorage):
        with pytest.raises(ConfigurationError, match="bound to a connection of SQLAlchemy"):
            storage.bound_to(given)


def test_an_engine_is_no_connection_and_a_connection_no_engine():
    engine = create_engine("sqlite://")
    with pytest.raises(ConfigurationError, match="bound to a connection"):
        SqlStorage.bound_to(engine)
    with engine.connect() as connection:
        with pytest.raises(ConfigurationError, match="needs an engine"):
            SqlStorage(connection)
        with pytest.raises(ConfigurationError, match="needs"):
            AsyncSqlStorage.bound_to(connection)
    with pytest.raises(ConfigurationError, match="needs an engine"):
        SqlStorage(create_async_engine("sqlite+aiosqlite://"))
    engine.dispose()


# --- turns ---------------------------------------------------------------------------------------


def test_writers_of_a_sqlite_file_come_in_turn(tmp_path):
    """SQLite's own busy handler lets a caller wait for as long as it is unlucky."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    # Two storages, so that nothing but the file is shared.
    storages = [SqlStorage(create_engine(url)) for _ in range(2)]
    storages[0].create_all()
    stop = threading.Event()
    order = []

    def write(number):
        tracker = a_tracker(storages[number % 2])
        for count in range(60):
            if stop.is_set():
                return
            tracker.track(a_request(), f"{number} {count}")
            order.append(number)
        stop.set()

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(write, range(4)))
    counts = [order.count(number) for number in range(4)]
    assert min(counts) > 30
    for storage in storages:
        storage.close()


def test_a_task_and_a_thread_take_turns_on_one_file(tmp_path, runner):
    path = tmp_path / "store.db"
    storage = SqlStorage(create_engine(f"sqlite:///{path}"), wait=30)
    storage.create_all()
    asynchronous = AsyncSqlStorage(create_async_engine(f"sqlite+aiosqlite:///{path}"), wait=30)
    tracker = AsyncTracker(asynchronous, fingerprint_key=FINGERPRINT_SECRET)
    with ThreadPoolExecutor(1) as pool:
        theirs = pool.submit(
            lambda: [a_tracker(storage).track(a_request(), f"t{n}") for n in range(60)]
        )
        mine = runner.run(tracked(tracker, range(60)))
        assert len({r.event_id for r in [*mine, *theirs.result()]}) == 120
    runner.run(asynchronous.close())
    storage.close()


def test_who_waits_too_long_for_a_turn_is_told_that_the_store_is_busy(tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    impatient = a_tracker(SqlStorage(create_engine(url), wait=0.05))
    impatient.records.events()

    async def holding(transaction):
        await settle(transaction.idempotency.purge(datetime(2026, 1, 1, tzinfo=UTC), 1))
        work_inside()

    def work_inside():
        with ThreadPoolExecutor(1) as pool, pytest.raises(StorageUnavailable) as busy:
            pool.submit(impatient.track, a_request(), "fresh").result()
        assert busy.value.details == {"error": "SQLITE_BUSY"}
        assert "store.db" in busy.value.message

    storage.run(driven(holding))
    assert not impatient.track(a_request(), "fresh").replayed
    storage.close()


def test_turns_are_given_in_the_order_they_were_asked_for():
    turns, order = Turns(), []
    assert turns.acquire(0)

    def wait(number):
        assert turns.acquire(10)
        order.append(number)
        turns.release()

    threads = [threading.Thread(target=wait, args=(number,)) for number in range(5)]
    for place, thread in enumerate(threads, 1):
        thread.start()
        while len(turns._line) < place:
            time.sleep(0.001)
    assert not turns.acquire(0.01)
    turns.release()
    for thread in threads:
        thread.join()
    assert order == list(range(5))
    assert turns.take_at_once()


def test_a_cancelled_task_passes_its_turn_on(runner):
    turns = Turns()

    async def scenario():
        assert turns.take_at_once()
        first, second = (asyncio.ensure_future(turns.acquire_on_loop()) for _ in range(2))
        await asyncio.sleep(0)
        turns.release()  # to the first, which is cancelled before it hears of it
        first.cancel()
        await asyncio.wait([first])
        await asyncio.wait_for(second, 5)
        turns.release()
        assert turns.take_at_once()

    runner.run(scenario())


def test_turns_of_a_loop_that_is_closed_are_passed_on():
    turns = Turns()
    assert turns.take_at_once()
    loop = asyncio.new_event_loop()
    waiting = loop.create_task(turns.acquire_on_loop())
    loop.run_until_complete(asyncio.sleep(0))
    loop.close()
    turns.release()
    assert turns.take_at_once()
    del waiting

from __future__ import annotations

import json
import logging
import os
import re
import signal
import sqlite3
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.pool import QueuePool, StaticPool

from segmentflow_core import ApiKeys, Tracker
from segmentflow_core.colour import drive
from segmentflow_core.errors import (
    ConfigurationError,
    ProfileEmailRequired,
    StorageUnavailable,
)
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    StorageContract,
    a_journey,
    a_request,
)
from segmentflow_sql import SqlStorage, metadata, open_storage
from segmentflow_sql.statements import all_statements, statements_for


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def storage(path):
    storage = open_storage(f"sqlite:///{path}")
    storage.create_all()
    yield storage
    assert storage._engine.pool.checkedout() == 0
    storage.close()


class TestSqliteStorage(StorageContract):
    @pytest.fixture
    def storage(self, path):
        storage = SqlStorage(create_engine(f"sqlite:///{path}"), wait=30)
        storage.create_all()
        yield storage
        assert storage._engine.pool.checkedout() == 0
        storage.close()

    @pytest.fixture
    def other_storage(self, storage, path):
        other = SqlStorage(create_engine(f"sqlite:///{path}"), wait=30)
        yield other
        other.close()

    @pytest.fixture
    def impatient_storage(self, storage, path):
        impatient = SqlStorage(create_engine(f"sqlite:///{path}"), wait=0.05)
        yield impatient
        impatient.close()


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


def test_the_database_survives_a_power_cut_by_its_settings(storage, path):
    storage.run(lambda transaction: None)
    pooled = storage._engine.raw_connection()
    try:
        read = pooled.driver_connection.execute
        assert read("PRAGMA journal_mode").fetchone() == ("wal",)
        assert read("PRAGMA synchronous").fetchone() == (2,)
    finally:
        pooled.close()


def test_the_secret_is_nowhere_in_the_files_or_the_logs(storage, path, caplog):
    caplog.set_level(logging.DEBUG)
    a_tracker(storage).track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert set(files) == {"store.db", "store.db-wal", "store.db-shm"}
    assert b"ord_9421" in files["store.db"] + files["store.db-wal"]
    assert not any(b"tok_live_abc" in content for content in files.values())
    assert "tok_live_abc" not in caplog.text


def test_a_store_without_tables_is_named_as_such_and_not_created(path):
    with pytest.raises(ConfigurationError, match="no tables yet"):
        a_tracker(open_storage(f"sqlite:///{path}")).records.events()
    assert not path.exists()


def test_a_store_of_another_version_is_refused(storage, path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE segmentflow_schema SET version = 99")
    connection.close()
    other = open_storage(f"sqlite:///{path}")
    for use in (other.create_all, a_tracker(other).records.events):
        with pytest.raises(ConfigurationError) as refusal:
            use()
        assert refusal.value.details == {"found": 99, "expected": 1}
    other.close()


def test_create_all_may_be_called_again(storage):
    receipt = a_tracker(storage).track(a_request(), "key")
    storage.create_all()
    assert a_tracker(storage).track(a_request(), "key") == receipt


def test_the_hosts_own_metadata_can_create_the_tables(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'host.db'}")
    metadata.create_all(engine)
    storage = SqlStorage(engine)
    storage.create_all()
    assert a_tracker(storage).track(a_request(), "key").matched_journeys == 0
    storage.close()


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
    tracker = a_tracker(shared_memory)
    another = a_tracker(SqlStorage(shared_memory._engine, wait=30))
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
        with (
            ThreadPoolExecutor(1) as pool,
            pytest.raises(StorageUnavailable, match="only connection"),
        ):
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


def test_an_error_of_the_driver_shows_its_code_and_nothing_it_was_writing(storage, path):
    tracker = a_tracker(storage)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE segmentflow_events")
    connection.close()
    with pytest.raises(ConfigurationError) as failure:
        tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    assert failure.value.details == {"error": "SQLITE_ERROR"}
    assert str(path) in failure.value.message
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "store.db"
    path.write_bytes(b"no database at all" * 100)
    storage = open_storage(f"sqlite:///{path}")
    with pytest.raises(ConfigurationError, match="no database of SQLite's") as refusal:
        storage.create_all()
    assert str(path) in refusal.value.message
    storage.close()


def test_an_engine_for_something_else_is_refused():
    with pytest.raises(ConfigurationError):
        SqlStorage(create_engine("sqlite+aiosqlite://"))
    with pytest.raises(ConfigurationError):
        open_storage("nonsense")


def test_a_batch_costs_as_many_reads_as_one_event(storage):
    """A list is one parameter: only claims and rows are written one by one."""
    reads: list[str] = []
    storage.run(lambda transaction: None)

    @event.listens_for(storage._engine, "checkout")
    def trace(driver, record, proxy):
        driver.set_trace_callback(
            lambda sql: reads.append(sql) if sql.startswith("SELECT") else None
        )

    counts = []
    for size in (1, 200):
        reads.clear()
        calls = [
            (a_request(profile={"email": f"{size}-{n}@example.com"}), f"{size}-{n}")
            for n in range(size)
        ]
        a_tracker(storage).track_many(calls)
        counts.append(len(reads))
    assert counts[0] == counts[1] > 0


_PAIRS = 200
_PROGRAM = textwrap.dedent(
    """
    import json, random, sys
    from sqlalchemy import create_engine
    from segmentflow_core import Tracker
    from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
    from segmentflow_sql import SqlStorage

    url, seed, count = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
    storage = SqlStorage(create_engine(url), wait=60)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    numbers = list(range(count))
    random.Random(seed).shuffle(numbers)
    print("ready", flush=True)
    sys.stdin.readline()
    for number in numbers:
        request = a_request(
            data={"number": number}, profile={"email": f"p{number % 20}@example.com"}
        )
        receipt = tracker.track(request, f"key {number}")
        print(json.dumps([number, receipt.event_id, receipt.profile_id]), flush=True)
    """
)


def start(path: Path, seed: int, count: int) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-c", _PROGRAM, f"sqlite:///{path}", str(seed), str(count)],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    )


def begin(processes: list[subprocess.Popen[str]]) -> None:
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.stdin.write("go\n")
        process.stdin.close()
        process.stdin = None


def test_eight_processes_with_the_same_pairs_make_one_event_each(storage, path):
    processes = [start(path, seed, _PAIRS) for seed in range(8)]
    begin(processes)
    answers = [process.communicate(timeout=300)[0].splitlines() for process in processes]
    assert [process.returncode for process in processes] == [0] * 8
    receipts = [{number: rest for number, *rest in map(json.loads, a)} for a in answers]
    assert all(receipt == receipts[0] for receipt in receipts)
    assert len(receipts[0]) == _PAIRS
    events = a_tracker(storage).records.events(limit=_PAIRS * 8)
    assert {e.event_id for e in events} == {event_id for event_id, _ in receipts[0].values()}
    assert len(events) == _PAIRS
    assert len({e.profile_id for e in events}) == 20


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="needs SIGKILL")
def test_a_killed_process_loses_nothing_it_acknowledged_and_leaves_no_key_stuck(storage, path):
    acknowledged = {}
    for attempt in range(5):
        process = start(path, seed=attempt, count=_PAIRS)
        begin([process])
        for _ in range(5 + 3 * attempt):
            number, event_id, _ = json.loads(process.stdout.readline())
            assert acknowledged.setdefault(number, event_id) == event_id
        os.kill(process.pid, signal.SIGKILL)
        for line in process.communicate()[0].splitlines():
            if line.endswith("]"):
                number, event_id, _ = json.loads(line)
                assert acknowledged.setdefault(number, event_id) == event_id
    survivor = start(path, seed=99, count=_PAIRS)
    begin([survivor])
    final = {n: e for n, e, _ in map(json.loads, survivor.communicate(timeout=300)[0].splitlines())}
    assert survivor.returncode == 0
    assert len(final) == _PAIRS
    assert acknowledged.items() <= final.items()
    stored = a_tracker(storage).records.events(limit=_PAIRS * 8)
    assert sorted(e.event_id for e in stored) == sorted(final.values())


def statements_that_look_something_up():
    """Return every statement but those that list, and those of workers, which have tests."""
    known = statements_for("sqlite")
    groups = (known.tracking, known.journeys, known.records, known.api_keys)
    found = [statement for group in groups for statement in all_statements(group)]
    return [statement for statement in found if not statement.name.startswith("list_")]


@pytest.mark.parametrize(
    "statement", statements_that_look_something_up(), ids=lambda each: each.name
)
def test_no_statement_reads_more_than_an_index_leads_it_to(storage, path, statement):
    """Every look-up goes by more than the Organization, whatever its size."""
    connection = sqlite3.connect(path)
    arguments = ["[]"] * len(statement.parameters)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", arguments)]
    connection.close()
    for step in plan:
        if "SCAN" in step:
            assert re.search(r"SCAN (each_\w+|anon_\d+|CONSTANT ROW)", step), plan
        elif step.startswith("SEARCH"):
            assert "(organization_id=?)" not in step, plan


_CREATE = textwrap.dedent(
    """
    import sys
    from segmentflow_sql import open_storage

    print("ready", flush=True)
    sys.stdin.readline()
    open_storage(sys.argv[1]).create_all()
    """
)


def test_many_processes_may_create_one_store_at_once(path):
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CREATE, f"sqlite:///{path}"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    begin(processes)
    for process in processes:
        process.communicate(timeout=60)
    assert [process.returncode for process in processes] == [0] * 8
    storage = open_storage(f"sqlite:///{path}")
    assert not a_tracker(storage).track(a_request(), "key").replayed
    storage.close()

"""Many workers on one database, killed and blocked; and what a claim reads to find its work."""

from __future__ import annotations

import json
import re
import sqlite3
import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from types import SimpleNamespace

import psycopg
import pytest
from sqlalchemy import create_engine

from segmentflow_core import Enrollments, EnrollmentStatus, Tracker
from segmentflow_core.colour import drive
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_sql import SqlStorage
from segmentflow_sql.statements import statements_for
from store_trackers import create_store
from workers import KilledWorkers

ISOLATION_LEVELS = ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"]


@pytest.fixture
def opened():
    """Give a function that opens a database for the test, its tables made."""
    storages = []

    def open_(url, **options):
        storage = SqlStorage(create_engine(url, **options), wait=60)
        storages.append(storage)
        storage.create_all()
        return storage

    yield open_
    for storage in storages:
        assert storage._engine.pool.checkedout() == 0
        storage.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    """Give the URL of an empty database of either kind."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    postgres = request.getfixturevalue("postgres")
    return postgres.url(request.getfixturevalue("database"))


def a_tracker(storage, clock=None):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)


def enrol(tracker, count, organization_id="default"):
    """Let that many Profiles enter a Journey; return the Enrollments' ids in their order."""
    tracker.journeys.publish([a_journey()], organization_id=organization_id)
    calls = [(a_request(profile={"email": f"p{n}@example.com"}), f"key {n}") for n in range(count)]
    tracker.track_many(calls, organization_id=organization_id)
    listed = tracker.enrollments.list(limit=count, organization_id=organization_id)
    return [enrollment.enrollment_id for enrollment in listed][::-1]


def ids(claimed):
    return [item.enrollment.enrollment_id for item in claimed]


# --- workers that die -----------------------------------------------------------------------


@pytest.mark.once
def test_eight_workers_killed_at_random_complete_every_enrollment_once_and_lose_none(url, opened):
    clock = FixedClock()
    tracker = a_tracker(opened(url), clock)
    names = [f"org-{number}" for number in range(4)]
    entered = [identifier for name in names for identifier in enrol(tracker, 2500, name)]
    workers = KilledWorkers(url, clock.now(), seed=3)
    workers.run(8, kills=24, pause=300)
    assert workers.killed == 24
    assert len(set(workers.completed)) == len(workers.completed)
    stored = [
        e for name in names for e in tracker.enrollments.list(limit=9999, organization_id=name)
    ]
    assert {enrollment.status for enrollment in stored} == {EnrollmentStatus.COMPLETED}
    assert sorted(enrollment.enrollment_id for enrollment in stored) == sorted(entered)
    assert set(workers.completed) <= set(entered)


def asking_for(kin):
    """Return the options of an engine whose database is one of PostgreSQL's kin."""
    return {"execution_options": {"segmentflow_database": kin}}


# --- the clock of leases --------------------------------------------------------------------


def test_leases_go_by_the_clock_of_the_server(postgres, database, opened):
    """Read to the microsecond, in a transaction that a host began long ago too."""
    storage = opened(postgres.url(database))
    enrol(a_tracker(storage), 1)
    with postgres.connect(database) as connection:

        def now():
            return connection.execute("SELECT clock_timestamp()").fetchone()[0]

        before = now()
        (claimed,) = Enrollments(storage).claim(lease=timedelta(hours=1))
        assert before <= claimed.enrollment.lease_until - timedelta(hours=1) <= now()
        engine = create_engine(postgres.url(database))
        with engine.begin() as host:
            bound = SqlStorage.bound_to(host)
            bound.run(lambda transaction: drive(transaction.now()))
            before = now()
            told = bound.run(lambda transaction: drive(transaction.now()))
            assert before <= told <= now()
        engine.dispose()


def test_a_sqlite_file_has_no_clock_but_the_machines(opened, tmp_path):
    storage = opened(f"sqlite:///{tmp_path / 'store.db'}")
    assert not storage.run(lambda transaction: hasattr(transaction, "now"))


# --- workers that meet ----------------------------------------------------------------------


class InSteps:
    """A storage without calls of its own: it locks, and saves what the core decides."""

    def __init__(self, storage):
        self._storage = storage

    def run(self, work, **how):
        return self._storage.run(lambda transaction: work(StepsOnly(transaction)), **how)


class StepsOnly:
    def __init__(self, inner):
        self._inner = inner
        steps = inner.hand_over
        self.hand_over = SimpleNamespace(waiting=steps.waiting, lock=steps.lock, save=steps.save)

    def __getattr__(self, name):
        return getattr(self._inner, name)


@pytest.mark.parametrize("way", [lambda storage: storage, InSteps], ids=["by itself", "in steps"])
@pytest.mark.parametrize("organization_id", ["org-0", None])
def test_workers_that_claim_at_once_each_get_as_many_as_they_asked_for(
    url, opened, organization_id, way
):
    """There is just enough: nobody may take more than that, nor hold more for a moment."""
    tracker = a_tracker(way(opened(url, pool_size=8)))
    if organization_id is None:
        entered = [each for n in range(4) for each in enrol(tracker, 20, f"org-{n}")]
    else:
        entered = enrol(tracker, 80, organization_id)
    start = threading.Barrier(8)

    def claim(_):
        start.wait()
        return ids(tracker.enrollments.claim(limit=10, organization_id=organization_id))

    with ThreadPoolExecutor(8) as pool:
        taken = list(pool.map(claim, range(8)))
    assert [len(mine) for mine in taken] == [10] * 8
    assert sorted(each for mine in taken for each in mine) == sorted(entered)


@pytest.mark.parametrize("kin", ["citus", "cockroachdb"])
def test_workers_that_ask_each_organization_by_itself_leave_nothing_behind(
    postgres, database, opened, kin
):
    """Together they get everything once, though nobody sees what others take."""
    tracker = a_tracker(opened(postgres.url(database), pool_size=8, **asking_for(kin)))
    entered = [each for n in range(4) for each in enrol(tracker, 20, f"org-{n}")]
    start = threading.Barrier(8)

    def claim_all(_):
        start.wait()
        taken = []
        while some := ids(tracker.enrollments.claim(limit=7, organization_id=None)):
            taken += some
        return taken

    with ThreadPoolExecutor(8) as pool:
        taken = [each for mine in pool.map(claim_all, range(8)) for each in mine]
    assert sorted(taken) == sorted(entered)


@pytest.mark.parametrize("kin", ["postgresql", "citus"])
def test_leases_of_many_organizations_are_finished_in_one_call(postgres, database, opened, kin):
    tracker = a_tracker(opened(postgres.url(database), **asking_for(kin)))
    entered = [enrol(tracker, count, f"org-{count}") for count in (1, 2, 5)]
    claimed = tracker.enrollments.claim(organization_id=None, limit=100)
    leases = [item.lease for item in claimed]
    tracker.enrollments.extend_many(leases[:6])
    assert len(tracker.enrollments.complete_many(leases)) == sum(map(len, entered))
    for count, names in zip((1, 2, 5), entered, strict=True):
        for enrollment_id in names:
            found = tracker.enrollments.get(enrollment_id, organization_id=f"org-{count}")
            assert found.status is EnrollmentStatus.COMPLETED


@pytest.fixture
def holding(postgres, database):
    """Give a function that locks Enrollments as a transaction in the midst of a change does."""
    connection = postgres.connect(database)
    connection.execute("BEGIN")

    def hold(identifiers):
        found = connection.execute(
            "SELECT enrollment_id FROM segmentflow_enrollments "
            "WHERE enrollment_id = ANY(%s) FOR UPDATE",
            (identifiers,),
        )
        assert found.rowcount == len(identifiers)

    yield hold
    connection.close()


@pytest.mark.parametrize("isolation_level", ISOLATION_LEVELS)
def test_a_claim_passes_over_what_is_being_changed_and_does_not_wait(
    postgres, database, opened, holding, isolation_level
):
    tracker = a_tracker(opened(postgres.url(database), isolation_level=isolation_level))
    entered = enrol(tracker, 6)
    holding([entered[0], entered[2]])
    assert ids(tracker.enrollments.claim(limit=3)) == [entered[1], entered[3], entered[4]]
    assert ids(tracker.enrollments.claim(organization_id=None, limit=3)) == [entered[5]]
    assert tracker.enrollments.claim() == []


@pytest.mark.parametrize("kin", ["postgresql", "citus"])
def test_what_one_organization_cannot_give_another_one_gives(
    postgres, database, opened, holding, kin
):
    tracker = a_tracker(opened(postgres.url(database), **asking_for(kin)))
    held, free = (enrol(tracker, 6, name) for name in ("held", "free"))
    holding(held[:5])
    taken = ids(tracker.enrollments.claim(organization_id=None, limit=6))
    assert sorted(taken) == sorted([held[5], *free[:5]])


def test_a_claim_for_all_locks_nothing_that_it_does_not_take(postgres, database, opened):
    tracker = a_tracker(opened(postgres.url(database)))
    entered = [enrol(tracker, 6, name) for name in "abc"]
    statement = statements_for("postgresql").hand_over.claim_enrollments[False, False]
    places = {
        "now": "now()",
        "lease_until": "now()",
        "token": "NULL",
        "turn": "0",
        "limit": "4",
        "max_attempts": "9",
    }
    with postgres.connect(database) as connection:
        connection.execute(f"PREPARE claim AS {statement.text}")
        connection.execute("BEGIN")
        given = ", ".join(places[name] for name in statement.parameters)
        taken = connection.execute(f"EXECUTE claim({given})").fetchall()
        assert len(taken) == 4
        others = tracker.enrollments.claim(organization_id=None, limit=100)
        assert len(others) == sum(map(len, entered)) - 4
        connection.execute("ROLLBACK")


# --- what a call reads ----------------------------------------------------------------------


def statements(database):
    """Return every statement of the hand-over, and what an operator lists, by name."""
    known, records = statements_for(database).hand_over, statements_for(database).records
    found = {
        f"claim of {'one' if organization else 'all'}{', one Journey' if journey else ''}": each
        for (organization, journey), each in known.claim_enrollments.items()
    }
    for journey, each in (known.waiting_organizations or {}).items():
        found[f"list of who waits{', one Journey' if journey else ''}"] = each
    for name in ("complete", "release", "extend"):
        both = getattr(known, f"{name}_enrollments")
        found |= {f"{name} one": both.one, f"{name} many": both.many}
    return found | {
        "revive": known.revive_enrollments,
        "read one": records.get_enrollment,
        "list what is open": records.list_open_enrollments,
    }


@pytest.mark.parametrize("name", statements("sqlite"))
def test_no_call_on_sqlite_reads_history(tmp_path, opened, name):
    path = tmp_path / "store.db"
    opened(f"sqlite:///{path}")
    statement = statements("sqlite")[name]
    lists = ("rows", "enrollment_ids")
    given = ["[]" if parameter in lists else 1 for parameter in statement.parameters]
    connection = sqlite3.connect(path)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", given)]
    connection.close()
    reads = [step for step in plan if step.startswith(("SEARCH", "SCAN"))]
    for step in reads:
        assert re.search(
            r"INDEX segmentflow_enrollments_available\b"
            r"|INDEX segmentflow_enrollments_open \(organization_id=\? AND status=\?"
            r"|PRIMARY KEY \(organization_id=\? AND (enrollment|journey)_id=\?\)"
            r"|SCAN (CONSTANT ROW|organizations|known|standing|lines|taken)$"
            r"|SCAN (\(subquery-\d+\)|each_.*)$",
            step,
        ), plan


LINE = "available (organization_id=? AND journey_id=? AND era=?"


@pytest.mark.parametrize(
    ("name", "steps"),
    [
        (
            "claim of one",
            [
                "available (organization_id=?)",
                "available (organization_id=? AND journey_id>?)",
                f"{LINE} AND available_at<?)",
                f"{LINE} AND available_at>? AND available_at<?)",
            ],
        ),
        ("claim of one, one Journey", [f"{LINE} AND available_at<?)"]),
        (
            "list of who waits",
            [
                "available (organization_id>?)",
                "available (organization_id=? AND journey_id>?)",
                f"{LINE})",
            ],
        ),
        ("list of who waits, one Journey", ["available (organization_id>?)", f"{LINE})"]),
    ],
)
def test_a_claim_on_sqlite_goes_along_the_lines(tmp_path, opened, name, steps):
    path = tmp_path / "store.db"
    opened(f"sqlite:///{path}")
    statement = statements("sqlite")[name]
    connection = sqlite3.connect(path)
    rows = connection.execute(
        f"EXPLAIN QUERY PLAN {statement.text}", [1 for _ in statement.parameters]
    )
    plan = [row[3] for row in rows]
    connection.close()
    for wanted in steps:
        assert any(wanted in step for step in plan), plan


def complete_many(connection, template, count):
    """Put copies of a completed Enrollment and its event into the store."""
    for table, identifier in (("enrollments", "enrollment_id"), ("events", "event_id")):
        _, _, *rest = [
            name
            for (name,) in connection.execute(
                "SELECT column_name FROM information_schema.columns "
                "WHERE table_name = %s ORDER BY ordinal_position",
                (f"segmentflow_{table}",),
            )
        ]
        connection.execute(
            f"INSERT INTO segmentflow_{table} SELECT organization_id, gen_random_uuid(), "
            f"{', '.join(rest)} FROM segmentflow_{table}, generate_series(1, {count}) "
            f"WHERE {identifier} = %s",
            (getattr(template, identifier),),
        )


@pytest.fixture(scope="module")
def long_history(postgres):
    """Give a database with four Enrollments that wait, and many completed ones."""
    name = create_store(postgres, "long_history")
    storage = SqlStorage(create_engine(postgres.url(name)))
    tracker = a_tracker(storage)
    enrol(tracker, 5)
    (first,) = tracker.enrollments.claim(limit=1)
    done = tracker.enrollments.complete(first.lease)
    storage.close()
    with postgres.connect(name) as connection:
        complete_many(connection, done, 20_000)
        yield connection


@pytest.mark.server_side
def test_a_worker_that_began_on_an_empty_store_reads_no_history_later(
    postgres, new_database, opened
):
    """Its server's plans are not those it made for a few rows."""
    name = new_database()
    opened(postgres.url(name))
    with psycopg.connect(postgres.conninfo(name)) as connection:
        tracker = a_tracker(SqlStorage.bound_to(connection))
        enrol(tracker, 50)
        for _ in range(20):
            (claimed,) = tracker.enrollments.claim(limit=1)
            done = tracker.enrollments.complete(claimed.lease)
        connection.commit()
        with postgres.connect(name) as other:
            complete_many(other, done, 10_000)
        before = rows_read(connection)
        first, *others = (item.lease for item in tracker.enrollments.claim(limit=20))
        tracker.enrollments.complete(first)
        tracker.enrollments.complete_many(others)
        assert rows_read(connection) - before < 150


def rows_read(connection):
    """Say how many rows the connection has read since its last commit, and some time before."""
    ((count,),) = connection.execute(
        "SELECT sum(seq_tup_read + idx_tup_fetch) FROM pg_stat_xact_user_tables"
    )
    return count


SOME_ID = "019bf964-302b-7000-8000-000000000001"
GIVEN = {
    "organization_id": "'default'",
    "journey_id": "'welcome'",
    "now": "now()",
    "available_at": "now()",
    "completed_at": "now()",
    "lease_until": "now()",
    "token": "NULL",
    "turn": "7",
    "limit": "10",
    "count": "10",
    "max_attempts": "9",
    "uncounted": "0",
    "last_failure": "'no answer'",
    "status": "'dead'",
    "before": "NULL",
    "enrollment_id": f"'{SOME_ID}'",
    "enrollment_ids": f"'{{{SOME_ID}}}'",
    "rows": f"'{json.dumps([['default', SOME_ID, SOME_ID]] * 10)}'",
    "value_0": "'default'",
    "value_1": f"'{SOME_ID}'",
    "value_2": f"'{SOME_ID}'",
}


@pytest.mark.server_side
@pytest.mark.parametrize("mode", ["force_custom_plan", "force_generic_plan"])
@pytest.mark.parametrize("analyzed", [False, True], ids=["not analyzed", "analyzed"])
@pytest.mark.parametrize(
    ("kin", "name"),
    [(kin, name) for kin in ("postgresql", "citus") for name in statements(kin)],
)
def test_no_call_on_postgresql_reads_history(long_history, kin, name, analyzed, mode):
    """Whatever the server knows of the tables, and whether it plans for the values or not."""
    connection = long_history
    statement = statements(kin)[name]
    given = ", ".join([GIVEN[each] for each in statement.parameters])
    with connection.transaction(force_rollback=True):
        if analyzed:
            connection.execute("ANALYZE segmentflow_enrollments, segmentflow_events")
        connection.execute(f"SET LOCAL plan_cache_mode = {mode}")
        connection.execute(f"PREPARE statement AS {statement.text}")
        rows = connection.execute(f"EXPLAIN (ANALYZE, TIMING OFF) EXECUTE statement({given})")
        plan = "\n".join(line for (line,) in rows)
        connection.execute("DEALLOCATE statement")
    # Of Journeys there are few here: one page, which is as well read by whatever leads to it.
    assert not re.search(r"Seq Scan on segmentflow_(?!journeys\b)\w+", plan), plan
    for index in re.findall(r"Scan (?:Backward )?using (\w+)", plan):
        known = ("_pkey", "_available", "_open", "_journeys_listening")
        assert index.endswith(known), plan
    removed = map(int, re.findall(r"Rows Removed by (?:Join )?Filter: (\d+)", plan))
    assert max(removed, default=0) < 20, plan

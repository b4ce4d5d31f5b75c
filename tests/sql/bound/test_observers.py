"""Observers of a tracker in a host's transaction: told after the host's commit, or never."""

from __future__ import annotations

import asyncio
import sqlite3
import warnings
from functools import partial

import psycopg
import pytest
from sqlalchemy import create_engine, event, insert
from sqlalchemy.exc import IntegrityError, OperationalError, SAWarning
from sqlalchemy.ext.asyncio import create_async_engine
from sqlalchemy.orm import Session

from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.errors import ProfileEmailRequired
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage
from shop import ORDERS

NOBODY = {"event": "order.created", "profile": {"externalId": "nobody"}}


class Heard(list):
    """Notes what an observer is told, by kind and by event or code."""

    def __getattr__(self, name):
        if name.startswith("_"):
            raise AttributeError(name)
        return lambda told: self.append((name, getattr(told, "event_id", None) or told.code))


def observed(connection, *heard):
    storage = SqlStorage.bound_to(connection)
    return storage, Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, observers=heard)


def events(engine):
    tracker = Tracker(SqlStorage(engine), fingerprint_key=FINGERPRINT_SECRET)
    return [recorded.event_id for recorded in tracker.records.events()]


def test_nothing_is_told_before_the_hosts_commit_and_all_of_it_after(engine):
    heard, never = Heard(), Heard()
    with engine.begin() as connection:
        _, tracker = observed(connection, heard)
        receipt = tracker.track(a_request(), "1")
        tracker.track(a_request(), "1")
        with pytest.raises(ProfileEmailRequired):
            tracker.track(NOBODY, "2")
        assert heard == []
    told = ("tracked", receipt.event_id), ("replayed", receipt.event_id)
    assert heard == [*told, ("refused", "profile_email_required")]
    with engine.connect() as connection:
        _, tracker = observed(connection, never)
        tracker.track(a_request(), "3")
        connection.rollback()
        connection.execute(insert(ORDERS).values(number=1))
        connection.commit()
    assert never == []


def test_where_the_connection_is_kept_the_next_transaction_tells_of_the_one_before(engine):
    heard = Heard()
    with engine.connect() as connection:
        _, tracker = observed(connection, heard)
        first = tracker.track(a_request(), "1")
        connection.commit()
        second = tracker.track(a_request(), "2")
        assert heard == [("tracked", first.event_id)]
        connection.rollback()
    with engine.connect() as connection:
        connection.execute(insert(ORDERS).values(number=1))
        connection.commit()
    assert heard == [("tracked", first.event_id)]
    assert second.event_id not in events(engine)


def test_what_a_savepoint_took_back_is_never_told(engine):
    heard = Heard()
    with engine.begin() as connection:
        connection.execute(insert(ORDERS).values(number=1))
        _, tracker = observed(connection, heard)
        kept = [tracker.track(a_request(), "1").event_id]
        undone = connection.begin_nested()
        tracker.track(a_request(), "2")
        with connection.begin_nested():
            tracker.track(a_request(), "3")
        undone.rollback()
        with connection.begin_nested():
            kept.append(tracker.track(a_request(), "4").event_id)
    assert [event_id for _, event_id in heard] == kept
    assert sorted(events(engine)) == sorted(kept)


def test_what_was_tracked_within_an_older_savepoint_goes_with_it(engine):
    heard = Heard()
    with Session(engine) as session, session.begin():
        session.execute(insert(ORDERS).values(number=1))
        older = session.begin_nested()
        observed(session.connection(), heard)[1].track(a_request(), "1")
        older.rollback()
        kept = observed(session.connection(), heard)[1].track(a_request(), "2").event_id
    assert heard == [("tracked", kept)]
    assert events(engine) == [kept]


def test_a_savepoint_that_is_rolled_back_takes_those_within_it_along(engine):
    """A step that never ended its own savepoint: the database undoes both at once."""
    heard = Heard()
    with engine.begin() as connection:
        connection.execute(insert(ORDERS).values(number=1))
        _, tracker = observed(connection, heard)
        kept = [tracker.track(a_request(), "1").event_id]
        outer = connection.begin_nested()
        tracker.track(a_request(), "2")
        inner = connection.begin_nested()
        tracker.track(a_request(), "3")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            outer.rollback()
        assert inner.is_active
        kept.append(tracker.track(a_request(), "4").event_id)
    assert [event_id for _, event_id in heard] == kept
    assert sorted(events(engine)) == sorted(kept)


def test_a_savepoint_that_is_released_takes_those_within_it_along(engine):
    heard = Heard()
    with engine.begin() as connection:
        connection.execute(insert(ORDERS).values(number=1))
        _, tracker = observed(connection, heard)
        undone = connection.begin_nested()
        outer = connection.begin_nested()
        connection.begin_nested()
        tracker.track(a_request(), "1")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore", SAWarning)
            outer.commit()
            undone.rollback()
        kept = tracker.track(a_request(), "2").event_id
    assert heard == [("tracked", kept)]
    assert events(engine) == [kept]


@pytest.mark.parametrize(
    ("setting", "undoing"),
    [
        ("SAVEPOINT step", "ROLLBACK TO step"),
        ("savepoint Step", "rollback transaction to savepoint STEP;"),
        ('/* order */ SAVEPOINT "a step"', '-- undo\n ROLLBACK TO "a step"'),
    ],
)
def test_savepoints_as_sql_are_heard_too(engine, setting, undoing):
    heard = Heard()
    with engine.begin() as connection:
        connection.execute(insert(ORDERS).values(number=1))
        _, tracker = observed(connection, heard)
        kept = [tracker.track(a_request(), "1").event_id]
        connection.exec_driver_sql(setting)
        for key in "23":
            tracker.track(a_request(), key)
            connection.exec_driver_sql(undoing)
        kept.append(tracker.track(a_request(), "4").event_id)
        connection.exec_driver_sql("SAVEPOINT kept")
        kept.append(tracker.track(a_request(), "5").event_id)
        connection.exec_driver_sql("RELEASE SAVEPOINT kept")
    assert [event_id for _, event_id in heard] == kept
    assert sorted(events(engine)) == sorted(kept)


def test_a_savepoint_that_the_database_does_not_know_takes_nothing_back(tmp_path):
    heard = Heard()
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    SqlStorage(engine).create_all()
    with engine.begin() as connection:
        connection.exec_driver_sql("CREATE TABLE more (number)")
        connection.exec_driver_sql("INSERT INTO more VALUES (1)")
        kept = observed(connection, heard)[1].track(a_request(), "1").event_id
        with pytest.raises(OperationalError):
            connection.exec_driver_sql("ROLLBACK TO nowhere")
    assert heard == [("tracked", kept)]
    engine.dispose()


def test_a_commit_that_fails_is_not_told(engine):
    """The database checks at the commit what the host deferred."""
    on_sqlite = engine.dialect.name == "sqlite"

    @event.listens_for(engine, "connect")
    def enforce(connection, _record):
        if on_sqlite:
            connection.execute("PRAGMA foreign_keys = ON")

    engine.dispose()
    with engine.begin() as connection:
        deferred = "REFERENCES orders (number) DEFERRABLE INITIALLY DEFERRED"
        connection.exec_driver_sql(f"CREATE TABLE lines (of_order integer {deferred})")
    heard = Heard()

    def place_an_order_of_nothing():
        with engine.begin() as connection:
            connection.exec_driver_sql("INSERT INTO lines VALUES (7)")
            observed(connection, heard)[1].track(a_request(), "1")

    for _ in range(2):
        with pytest.raises(IntegrityError):
            place_an_order_of_nothing()
    with engine.begin() as connection:
        kept = observed(connection, heard)[1].track(a_request(), "1").event_id
    assert (heard, events(engine)) == ([("tracked", kept)], [kept])


def test_an_observer_that_raises_keeps_no_other_from_hearing(engine):
    class Raises:
        def __getattr__(self, name):
            return self.refuse

        def refuse(self, told):
            raise ValueError(told)

    heard = Heard()
    with engine.begin() as connection:
        _, tracker = observed(connection, Raises(), heard)
        receipt = tracker.track(a_request(), "1")
    assert heard == [("tracked", receipt.event_id)]


def test_two_transactions_on_one_connection_of_the_driver_are_told_apart(url):
    """The pool gives the same connection again: what one has told is not told by the other."""
    engine = create_engine(url, pool_size=1, max_overflow=0)
    heard = [Heard(), Heard()]
    receipts = []
    for number, each in enumerate(heard):
        with engine.begin() as connection:
            receipts.append(observed(connection, each)[1].track(a_request(), f"{number}"))
    assert heard == [[("tracked", receipt.event_id)] for receipt in receipts]
    engine.dispose()


def test_an_engine_tells_in_the_place_of_one_that_is_gone():
    """A pool may have the `id` of an older one, whose listeners live on in what replaced it."""
    told = []
    for number in range(1_000):
        engine = create_engine("sqlite://")
        with engine.begin() as connection:
            SqlStorage.bound_to(connection).after_commit(partial(told.append, number))
            connection.exec_driver_sql("SELECT 1")
        engine.dispose()
    assert told == list(range(1_000))


def test_an_engine_that_was_disposed_of_is_listened_to_once(engine):
    for _ in range(3):
        with engine.connect() as connection:
            SqlStorage.bound_to(connection).after_commit(str)
        engine.dispose()
    with engine.connect() as connection:
        SqlStorage.bound_to(connection).after_commit(str)
    heard = [listener.__module__ for listener in engine.pool.dispatch.checkin]
    assert heard.count("segmentflow_sql.commits") == 1


def test_an_asynchronous_connection_tells_too(url):
    heard, never = Heard(), Heard()

    def tracker(connection, to):
        storage = AsyncSqlStorage.bound_to(connection)
        return AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET, observers=[to])

    async def call():
        engine = create_async_engine(url.replace("sqlite:", "sqlite+aiosqlite:"))
        async with engine.begin() as connection:
            receipt = await tracker(connection, heard).track(a_request(), "1")
            assert heard == []
        async with engine.connect() as connection:
            await tracker(connection, never).track(a_request(), "2")
            await connection.rollback()
        await engine.dispose()
        return receipt.event_id

    event_id = asyncio.run(call())
    assert (heard, never) == ([("tracked", event_id)], [])


@pytest.mark.parametrize("kind", ["sqlite3", "psycopg"])
def test_of_a_drivers_own_connection_the_host_says_that_it_has_committed(kind, request):
    if kind == "sqlite3":
        connection = sqlite3.connect(request.getfixturevalue("path"))
        connection.execute("INSERT INTO orders VALUES (1)")
    else:
        connection = psycopg.connect(request.getfixturevalue("conninfo"))
    heard = Heard()
    storage, tracker = observed(connection, heard)
    receipt = tracker.track(a_request(), "1")
    connection.commit()
    assert heard == []
    storage.committed()
    storage.committed()
    connection.close()
    assert heard == [("tracked", receipt.event_id)]

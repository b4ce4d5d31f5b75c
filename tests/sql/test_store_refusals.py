"""What a store refuses or holds back: who is told what, and whose item fails."""

from __future__ import annotations

import sqlite3
import time

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker
from segmentflow_core.colour import drive, settle
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    SegmentflowError,
    StorageRefused,
    StorageUnavailable,
)
from segmentflow_core.ports import Intent
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage
from store_trackers import a_tracker

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


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server_side)])
def storage(request, tmp_path):
    if request.param == "sqlite":
        storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"))
    else:
        shop, postgres = map(request.getfixturevalue, ("shop", "postgres"))
        storage = SqlStorage(create_engine(postgres.url(shop)))
    storage.create_all()
    yield storage
    assert storage._engine.pool.checkedout() == 0
    storage.close()


def test_a_text_that_no_encoding_has_is_refused_and_the_connection_goes_on(storage):
    async def ask(transaction):
        await settle(transaction.api_keys.list("default"))  # the transaction has begun
        return await settle(transaction.api_keys.lock("default", "\ud800canary"))

    for _ in range(2):
        with pytest.raises(StorageRefused) as refusal:
            storage.run(lambda transaction: drive(ask(transaction)))
        assert (refusal.value.details, refusal.value.should_retry) == (
            {"error": "UnicodeEncodeError"},
            False,
        )
        assert refusal.value.__context__ is None
        assert "canary" not in str(refusal.value)
    assert a_tracker(storage).track(a_request(), "after").event_id


def test_a_batch_that_asks_for_nothing_is_answered_within_a_transaction(storage):
    nothing = Intent((), (), (), (), FixedClock().now(), None)

    async def ask(transaction):
        await settle(transaction.api_keys.list("default"))  # the transaction has begun
        return await settle(transaction.tracking.load("default", nothing))

    known = storage.run(lambda transaction: drive(ask(transaction)))
    assert (dict(known.taken), list(known.profiles), list(known.journeys)) == ({}, [], [])

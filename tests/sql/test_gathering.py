"""Gathered calls on real databases: what is held elsewhere keeps its own call waiting, alone."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker, Receipt, Tracker
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_gathering import AsyncGathering, Gathering
from segmentflow_sql import AsyncSqlStorage, SqlStorage

HELD = "held"
OTHERS = [f"other {number}" for number in range(19)]


def somebody(name):
    return a_request(profile={"email": f"{name.replace(' ', '-')}@example.com"})


@pytest.fixture
def elsewhere(postgres, database):
    """Give `track` in a host's transaction, what commits it, and the database that it is in."""
    engine = create_engine(postgres.url(database))
    storage = SqlStorage(engine)
    Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).track(somebody(HELD), "known")
    with engine.connect() as connection:
        bound = SqlStorage.bound_to(connection)
        track = Tracker(bound, fingerprint_key=FINGERPRINT_SECRET).track
        yield track, connection.commit, database
    storage.close()


def together(tracker, calls):
    return [asyncio.ensure_future(tracker.track(*call)) for call in calls]


@pytest.mark.server_side
@pytest.mark.parametrize(
    ("what", "before"),
    [("key", 0), ("profile", 0), ("key", 1), ("profile", 1)],
    ids=["a key, at once", "a Profile, at once", "a key, among others", "a Profile, among others"],
)
def test_of_twenty_tasks_only_the_one_waits_whose_key_or_profile_is_held_elsewhere(
    postgres, runner, elsewhere, what, before
):
    hold, commit, database = elsewhere
    hold(somebody(HELD), HELD if what == "key" else "another")
    storage = AsyncSqlStorage(create_async_engine(postgres.url(database), pool_size=25), wait=600)
    tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET, gather=AsyncGathering())

    async def story():
        names = [*OTHERS[:before], HELD, *OTHERS[before:]]
        others = together(tracker, [(somebody(name), name) for name in names])
        held = others.pop(before)
        async with asyncio.timeout(60):
            receipts = await asyncio.gather(*others)
        assert not held.done()
        commit()
        return [*receipts, await held]

    receipts = runner.run(story())
    assert len({receipt.event_id for receipt in receipts}) == 20
    assert receipts[-1].replayed is (what == "key")
    runner.run(storage.close())


@pytest.mark.server_side
def test_of_twenty_threads_only_the_one_waits_whose_key_is_held_elsewhere(postgres, elsewhere):
    hold, commit, database = elsewhere
    hold(somebody(HELD), HELD)
    storage = SqlStorage(create_engine(postgres.url(database), pool_size=25), wait=600)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, gather=Gathering())
    start = threading.Barrier(20)

    def track(name):
        start.wait()
        return tracker.track(somebody(name), name)

    with ThreadPoolExecutor(20) as pool:
        held, *others = [pool.submit(track, name) for name in (HELD, *OTHERS)]
        try:
            receipts = [other.result(60) for other in others]
            waits = not held.done()
        finally:
            commit()
        assert waits
        assert held.result(60).replayed
    assert len({receipt.event_id for receipt in receipts}) == 19
    storage.close()


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server_side)])
def urls(request, tmp_path):
    """Give the URL of a store for each colour."""
    if request.param == "sqlite":
        path = tmp_path / "store.db"
        storage = SqlStorage(create_engine(f"sqlite:///{path}"))
        storage.create_all()
        storage.close()
        return f"sqlite:///{path}", f"sqlite+aiosqlite:///{path}"
    url = request.getfixturevalue("postgres").url(request.getfixturevalue("database"))
    return url, url


def with_duplicates(count):
    """Return calls of which each key comes three times, at a distance."""
    names = [f"{number % count}" for number in range(3 * count)]
    return [(somebody(name), name) for name in names]


@pytest.mark.parametrize("writers", [1, 4])
def test_every_key_of_many_tasks_is_one_event(urls, runner, writers):
    storage = AsyncSqlStorage(create_async_engine(urls[1]), wait=60)
    gather = AsyncGathering(writers=writers)
    tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET, gather=gather)

    async def story():
        receipts = await asyncio.gather(*together(tracker, with_duplicates(40)))
        return receipts, await tracker.records.events(limit=1000)

    receipts, events = runner.run(story())
    assert [r.event_id for r in receipts[:40]] == [r.event_id for r in receipts[40:80]]
    assert {event.event_id for event in events} == {r.event_id for r in receipts}
    assert len(events) == 40
    assert sum(not receipt.replayed for receipt in receipts) == 40
    runner.run(storage.close())


def test_every_key_of_many_threads_is_one_event(urls):
    storage = SqlStorage(create_engine(urls[0], pool_size=16), wait=60)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, gather=Gathering(writers=2))
    with ThreadPoolExecutor(16) as pool:
        receipts = list(pool.map(lambda call: tracker.track(*call), with_duplicates(40)))
    events = tracker.records.events(limit=1000)
    assert {event.event_id for event in events} == {r.event_id for r in receipts}
    assert (len(events), sum(not receipt.replayed for receipt in receipts)) == (40, 40)
    storage.close()


@pytest.mark.server_side
def test_where_every_session_ends_under_gathered_calls_nothing_acknowledged_is_lost(
    postgres, database, runner
):
    storage = AsyncSqlStorage(create_async_engine(postgres.url(database)), wait=60)
    tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET, gather=AsyncGathering())
    acknowledged, ended = {}, asyncio.Event()

    async def client(number):
        for count in range(200):
            key = f"{number} {count}"
            try:
                receipt = await tracker.track(somebody(str(number)), key)
            except StorageUnavailable:
                continue
            acknowledged[key] = receipt
            if ended.is_set():
                return
            if len(acknowledged) >= 100 and not ended.is_set():
                ended.set()
                postgres.terminate(database)

    async def story():
        async with asyncio.timeout(120):
            await asyncio.gather(*map(client, range(20)))
        again = [await tracker.track(somebody(k.split()[0]), k) for k in acknowledged]
        return again, await tracker.records.events(limit=10_000)

    again, events = runner.run(story())
    assert again == list(acknowledged.values())
    assert all(isinstance(receipt, Receipt) and receipt.replayed for receipt in again)
    assert {r.event_id for r in again} <= {event.event_id for event in events}
    runner.run(storage.close())

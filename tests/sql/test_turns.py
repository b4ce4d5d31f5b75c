"""Writers of one SQLite file take turns, in the order they asked."""

from __future__ import annotations

import asyncio
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker
from segmentflow_core.colour import driven, settle
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage
from segmentflow_sql.waiting import Turns
from store_trackers import a_tracker, tracked


def test_writers_of_a_sqlite_file_come_in_turn(tmp_path):
    """SQLite's own busy handler lets a caller wait for as long as it is unlucky."""
    url = f"sqlite:///{tmp_path / 'store.db'}"
    # Two storages, so that nothing but the file is shared.
    storages = [SqlStorage(create_engine(url), wait=60) for _ in range(2)]
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
    other = SqlStorage(create_engine(url), wait=0.05)
    impatient = a_tracker(other)
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
    other.close()
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

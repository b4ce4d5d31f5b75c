"""Cancelled anywhere, a call leaves nothing behind; many at once on one event loop."""

from __future__ import annotations

import asyncio
import gc
import sys

import pytest
from sqlalchemy import create_engine, event
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.errors import ConfigurationError, IdempotencyKeyReuse, StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage


@pytest.fixture(params=["postgresql", "sqlite"])
def urls(request, tmp_path):
    """Give the URLs of one store, for an asynchronous and for a synchronous engine."""
    if request.param == "sqlite":
        path = tmp_path / "store.db"
        storage = SqlStorage(create_engine(f"sqlite:///{path}"))
        storage.create_all()
        storage.close()
        return f"sqlite+aiosqlite:///{path}", f"sqlite:///{path}"
    postgres, database = (request.getfixturevalue(name) for name in ("postgres", "database"))
    return postgres.url(database), postgres.url(database)


@pytest.fixture
def storage(urls, runner):
    storage = AsyncSqlStorage(create_async_engine(urls[0]), wait=30)
    yield storage
    assert storage._engine.pool.checkedout() == 0
    runner.run(storage.close())


@pytest.fixture
def witness(urls):
    """Give a tracker of its own on the same store, to see what is there."""
    storage = SqlStorage(create_engine(urls[1]), wait=30)
    yield Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    storage.close()


def a_tracker(storage):
    return AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)


def test_a_transaction_that_has_ended_is_not_ended_again(storage, runner):
    """aiosqlite takes as long for it as for a statement."""
    resets = []
    event.listen(storage._engine.pool, "reset", lambda *told: resets.append(told[-1]))
    runner.run(a_tracker(storage).track(a_request(), "1"))
    with pytest.raises(IdempotencyKeyReuse):
        runner.run(a_tracker(storage).track(a_request(data={"other": 1}), "1"))
    assert [reset.transaction_was_reset for reset in resets] == [True] * len(resets)
    assert len(resets) >= 2


@pytest.mark.skipif(sys.version_info < (3, 12), reason="new in Python 3.12")
def test_an_engine_whose_connections_keep_a_transaction_open_is_refused(tmp_path, runner):
    url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
    storage = AsyncSqlStorage(create_async_engine(url, connect_args={"autocommit": False}))
    with pytest.raises(ConfigurationError, match="autocommit"):
        runner.run(storage.create_all())
    runner.run(storage.close())


async def cancel_after(steps, coroutine):
    """Cancel a call after so many turns of the loop; say whether it had ended before."""
    task = asyncio.ensure_future(coroutine)
    for _ in range(steps):
        await asyncio.sleep(0)
        if task.done():
            break
    finished = not task.cancel()
    try:
        await task
    except asyncio.CancelledError:
        _HELD.append(task)
        return False
    return finished


_HELD: list[asyncio.Task] = []
"""What was cancelled, with all that its traceback holds: nobody may be kept out by it."""


@pytest.mark.parametrize("cancellations", [2, 5])
def test_a_call_cancelled_again_and_again_keeps_no_connection(urls, runner, cancellations):
    storage = AsyncSqlStorage(create_async_engine(urls[0]), wait=30)
    tracker = a_tracker(storage)
    runner.run(tracker.track(a_request(), "first"))

    async def cancel(steps):
        task = asyncio.ensure_future(tracker.track(a_request(), f"key {steps}"))
        for _ in range(steps):
            await asyncio.sleep(0)
        for _ in range(cancellations):
            task.cancel()
            await asyncio.sleep(0)
        await asyncio.wait([task])
        _HELD.append(task)
        checked_out = storage._engine.pool.checkedout()
        # It leaves an open connection to the next one, which then need not connect.
        await tracker.track(a_request(), f"after {steps}")
        return checked_out

    assert {runner.run(cancel(steps)) for steps in [*range(30), *range(30, 200, 7)]} == {0}
    runner.run(storage.close())


@pytest.fixture(autouse=True)
def forget_what_was_cancelled():
    yield
    _HELD.clear()


def test_a_call_cancelled_anywhere_leaves_nothing_or_everything(storage, witness, runner):
    """Cancelled after more and more turns of the loop, until one call ends undisturbed."""
    tracker = a_tracker(storage)
    runner.run(tracker.journeys.publish({"journeys": [a_journey(reentry={"policy": "once"})]}))
    for steps in [*range(30), *(int(30 * 1.3**power) for power in range(50))]:
        key = f"key {steps}"
        request = a_request(profile={"email": f"p{steps}@example.com"}, data={"key": key})
        finished = runner.run(cancel_after(steps, tracker.track(request, key)))
        assert storage._engine.pool.checkedout() == 0
        recorded = [
            event for event in witness.records.events(limit=1000) if event.data["key"] == key
        ]
        entered = [
            e
            for e in witness.enrollments.list(limit=1000)
            if recorded and e.event_id == recorded[0].event_id
        ]
        assert len(recorded) == len(entered) <= 1
        receipt = witness.track(request, key)
        assert receipt.replayed is bool(recorded)
        if finished:
            break
    assert finished
    assert steps > 2
    gc.collect()


def test_a_call_that_waits_for_a_lock_can_be_cancelled(postgres, database, runner):
    storage = AsyncSqlStorage(create_async_engine(postgres.url(database)), wait=30)
    engine = create_engine(postgres.url(database))
    holder = engine.connect()
    held = Tracker(SqlStorage.bound_to(holder), fingerprint_key=FINGERPRINT_SECRET)
    held.track(a_request(), "key")

    async def cancel_while_it_waits():
        duplicate = asyncio.ensure_future(a_tracker(storage).track(a_request(), "key"))
        await asyncio.to_thread(postgres.wait_for_a_waiter, database)
        duplicate.cancel()
        with pytest.raises(asyncio.CancelledError):
            await duplicate

    runner.run(cancel_while_it_waits())
    assert storage._engine.pool.checkedout() == 0
    holder.rollback()
    assert not runner.run(a_tracker(storage).track(a_request(), "key")).replayed
    holder.close()
    engine.dispose()
    runner.run(storage.close())


def test_many_calls_at_once_on_one_loop_make_one_event_a_key_and_one_profile(
    storage, witness, runner
):
    tracker = a_tracker(storage)

    async def at_once():
        calls = [tracker.track(a_request(), f"key {number % 10}") for number in range(60)]
        return await asyncio.gather(*calls)

    receipts = runner.run(at_once())
    assert len({receipt.event_id for receipt in receipts}) == 10
    assert len({receipt.profile_id for receipt in receipts}) == 1
    assert len(witness.records.events()) == 10


@pytest.fixture
def in_memory(runner):
    storage = AsyncSqlStorage(create_async_engine("sqlite+aiosqlite://"), wait=30)
    runner.run(storage.create_all())
    yield storage
    runner.run(storage.close())


def test_calls_take_turns_on_the_one_connection_of_a_store_in_memory(in_memory, runner):
    tracker = a_tracker(in_memory)

    async def at_once():
        calls = [tracker.track(a_request(), f"key {number % 10}") for number in range(40)]
        return await asyncio.gather(*calls)

    receipts = runner.run(at_once())
    assert len({receipt.event_id for receipt in receipts}) == 10
    assert len(runner.run(tracker.records.events())) == 10
    with asyncio.Runner() as another:
        assert len({receipt.event_id for receipt in another.run(at_once())}) == 10


def test_a_turn_is_waited_for_no_longer_than_the_bound(in_memory, runner):
    impatient = a_tracker(AsyncSqlStorage(in_memory._engine, wait=0.05))

    async def work(transaction):
        with pytest.raises(StorageUnavailable, match="only connection"):
            await impatient.track(a_request(), "key")

    runner.run(in_memory.run(work))
    assert not runner.run(impatient.track(a_request(), "key")).replayed


def test_a_cancelled_call_does_not_lose_a_store_in_memory(in_memory, runner):
    tracker = a_tracker(in_memory)
    receipt = runner.run(tracker.track(a_request(), "key"))
    for steps in range(100):
        if runner.run(cancel_after(steps, tracker.track(a_request(), f"key {steps}"))):
            break
        assert runner.run(tracker.track(a_request(), "key")) == receipt
    assert steps > 2


def test_a_store_without_tables_is_named_as_such_and_not_created(tmp_path, runner):
    storage = AsyncSqlStorage(create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'none.db'}"))
    with pytest.raises(ConfigurationError, match="no tables yet"):
        runner.run(a_tracker(storage).records.events())
    assert not (tmp_path / "none.db").exists()
    runner.run(storage.create_all())
    assert runner.run(a_tracker(storage).records.events()) == []
    runner.run(storage.close())


def test_a_server_that_is_not_there_is_unavailable(runner):
    engine = create_async_engine("postgresql+psycopg://postgres@127.0.0.1:1/nothing")
    with pytest.raises(StorageUnavailable) as failure:
        runner.run(a_tracker(AsyncSqlStorage(engine)).records.events())
    assert failure.value.__context__ is None


def test_a_synchronous_engine_is_refused():
    with pytest.raises(ConfigurationError, match="asynchronous"):
        AsyncSqlStorage(create_engine("sqlite://"))

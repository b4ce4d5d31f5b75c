from __future__ import annotations

import asyncio
import threading

import pytest

from segmentflow_cli.readiness import Readiness
from segmentflow_cli.threaded import ThreadedStorage
from segmentflow_core import AsyncRecords, AsyncTracker
from segmentflow_core.errors import NotFound, StorageUnavailable
from segmentflow_core.ports.gathering import NotAnswered
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_gathering import AsyncGathering
from segmentflow_memory import MemoryStorage


class Held(MemoryStorage):
    """A store in memory whose transactions wait until they are let in."""

    def __init__(self):
        super().__init__()
        self.entered, self.let_in = threading.Event(), threading.Event()
        self.hints = []

    def run(self, work, **how):
        self.hints.append(how)
        self.entered.set()
        assert self.let_in.wait(60)
        return super().run(work, **how)


@pytest.fixture
def held():
    return Held()


@pytest.fixture
def threaded(held):
    threaded = ThreadedStorage(held, 2)
    yield threaded
    held.let_in.set()
    threaded.close()


def a_tracker(storage):
    return AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET, gather=AsyncGathering())


def test_while_a_transaction_waits_the_event_loop_goes_on(held, threaded):
    async def story():
        tracker = a_tracker(threaded)
        calls = [asyncio.ensure_future(tracker.track(a_request(), f"{n}")) for n in range(3)]
        while not held.entered.is_set():  # noqa: ASYNC110 - set by a thread, which a loop is not
            await asyncio.sleep(0)
        held.let_in.set()
        receipts = await asyncio.gather(*calls)
        return receipts, await tracker.records.events()

    receipts, events = asyncio.run(story())
    assert {event.event_id for event in events} == {receipt.event_id for receipt in receipts}
    assert len(events) == 3


def test_what_the_storage_is_told_and_says_comes_through(held, threaded):
    held.let_in.set()
    tracker = a_tracker(threaded)
    with pytest.raises(NotFound):
        asyncio.run(tracker.records.find_profile("nobody"))
    assert held.hints == [{"reads_only": True}]


def test_a_call_that_is_cancelled_leaves_everything_or_nothing(held, threaded):
    async def story():
        tracker = a_tracker(threaded)
        call = asyncio.ensure_future(tracker.track(a_request(), "key"))
        while not held.entered.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0)
        call.cancel()
        with pytest.raises(asyncio.CancelledError):
            await call
        held.let_in.set()
        return await tracker.track(a_request(), "key"), await tracker.records.events()

    receipt, events = asyncio.run(story())
    assert [event.event_id for event in events] == [receipt.event_id]


def test_a_store_that_hangs_is_waited_for_so_long_and_what_has_not_begun_never_does(held):
    threaded = ThreadedStorage(held, 1, 0.05)

    async def story():
        calls = [AsyncRecords(threaded).events() for _ in range(3)]
        return await asyncio.gather(*calls, return_exceptions=True)

    failures = asyncio.run(story())
    held.let_in.set()
    threaded.close()
    assert [type(failure) for failure in failures] == [NotAnswered] * 3
    assert {str(failure.details["error"]) for failure in failures} == {"TIMEOUT"}
    assert len(held.hints) == 1


def test_a_timeout_of_the_stores_own_is_not_ours():
    class Late(MemoryStorage):
        def run(self, work, **how):
            raise TimeoutError

    threaded = ThreadedStorage(Late(), 1, 60)
    with pytest.raises(TimeoutError):
        asyncio.run(AsyncRecords(threaded).events())
    threaded.close()


def test_those_who_ask_at_once_whether_the_store_takes_writes_ask_it_once(held):
    threaded = ThreadedStorage(held, 1)
    readiness = Readiness(threaded)

    async def story():
        asking = [asyncio.ensure_future(readiness()) for _ in range(3)]
        while not held.entered.is_set():  # noqa: ASYNC110
            await asyncio.sleep(0)
        asking[0].cancel()
        held.let_in.set()
        first = await asyncio.gather(*asking, return_exceptions=True)
        await readiness()
        return first

    first = asyncio.run(story())
    threaded.close()
    assert [type(answer) for answer in first] == [asyncio.CancelledError, type(None), type(None)]
    assert len(held.hints) == 2


def test_a_store_that_takes_no_write_is_told_to_each_who_asks():
    class Away(MemoryStorage):
        def run(self, work, **how):
            raise StorageUnavailable

    threaded = ThreadedStorage(Away(), 1)
    readiness = Readiness(threaded)

    async def story():
        return await asyncio.gather(readiness(), readiness(), return_exceptions=True)

    answers = asyncio.run(story())
    threaded.close()
    assert [type(answer) for answer in answers] == [StorageUnavailable] * 2


def test_work_that_waits_for_anything_else_is_refused(held, threaded):
    held.let_in.set()

    async def work(transaction):
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="awaited"):
        asyncio.run(threaded.run(work))

from __future__ import annotations

import asyncio
import threading

import pytest

from segmentflow_cli.threaded import ThreadedStorage
from segmentflow_core import AsyncTracker
from segmentflow_core.errors import NotFound
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


def test_work_that_waits_for_anything_else_is_refused(held, threaded):
    held.let_in.set()

    async def work(transaction):
        await asyncio.sleep(0)

    with pytest.raises(RuntimeError, match="awaited"):
        asyncio.run(threaded.run(work))

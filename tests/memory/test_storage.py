from __future__ import annotations

import asyncio
import pickle
import threading

import pytest

from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    Capabilities,
    StorageContract,
    a_request,
)
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage, open_storage
from watched_locks import WatchedLock

# Nothing survives the process, and an asynchronous transaction never suspends.
SYNCHRONOUS = Capabilities(durable=False)
ASYNCHRONOUS = Capabilities(durable=False, open_transactions=False)


class TestMemoryStorage(StorageContract):
    capabilities = SYNCHRONOUS

    @pytest.fixture
    def storage(self):
        storage = MemoryStorage(wait=60)
        storage._lock = WatchedLock()
        return storage

    @pytest.fixture
    def somebody_waits(self, storage):
        return lambda: storage._lock.is_waited_for


class TestAsyncMemoryStorage(StorageContract):
    capabilities = ASYNCHRONOUS

    @pytest.fixture
    def storage(self):
        return AsyncMemoryStorage()


class Awaited:
    """A transaction, or a part of one, whose methods have to be awaited."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Awaited(found)

        async def method(*args):
            return found(*args)

        return method


class AwaitedStorage:
    """The memory store as an adapter that is asynchronous all through."""

    def __init__(self):
        self._storage = AsyncMemoryStorage()

    async def run(self, work, **how):
        return await self._storage.run(lambda transaction: work(Awaited(transaction)))


@pytest.mark.same_values
class TestAwaitedStorage(StorageContract):
    capabilities = ASYNCHRONOUS

    @pytest.fixture
    def storage(self):
        return AwaitedStorage()


def test_a_caller_that_waited_too_long_is_told_to_try_again():
    storage = MemoryStorage(wait=0)
    inside, leave = threading.Event(), threading.Event()

    def hold(transaction):
        inside.set()
        leave.wait(10)

    holder = threading.Thread(target=storage.run, args=(hold,))
    holder.start()
    inside.wait(10)
    with pytest.raises(StorageUnavailable, match="Try again"):
        storage.run(lambda transaction: None)
    leave.set()
    holder.join()
    assert storage.run(lambda transaction: "free again") == "free again"


def test_work_that_waits_for_something_else_is_refused():
    async def work(transaction):
        await asyncio.sleep(0)

    with pytest.raises(StorageUnavailable):
        asyncio.run(AsyncMemoryStorage().run(work))


def test_a_memory_url_has_no_name():
    assert isinstance(open_storage("memory://"), MemoryStorage)
    assert isinstance(open_storage("memory:"), MemoryStorage)
    with pytest.raises(ConfigurationError):
        open_storage("memory://something")


# --- key claims ---------------------------------------------------------------------------------


def test_where_an_event_is_gone_its_call_is_replayed():
    storage = MemoryStorage()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    first = tracker.track(a_request(), "key")
    del storage._tables.events.rows["default", first.event_id]
    again, other, healthy = tracker.track_many(
        [(a_request(), "key"), (a_request("other"), "key"), (a_request(), "healthy")]
    )
    assert (again, again.replayed, healthy.replayed) == (first, True, False)
    assert other.details == {"changedPaths": [""], "redactedPaths": []}


def test_no_table_holds_a_key():
    storage = MemoryStorage()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.track(a_request(), "canary")
    tracker.track_many([(a_request(), "canary"), (a_request("other"), "canary")])
    tables = storage._tables
    held = [tables.key_claims.rows, tables.profiles.rows, tables.events.rows]
    assert all(held)
    assert b"canary" not in pickle.dumps(held)


def test_both_colours_may_share_a_store():
    storage = MemoryStorage()
    receipt = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).track(a_request(), "key")
    tracker = AsyncTracker(AsyncMemoryStorage(storage), fingerprint_key=FINGERPRINT_SECRET)
    again = asyncio.run(tracker.track(a_request(), "key"))
    assert (again, again.replayed) == (receipt, True)

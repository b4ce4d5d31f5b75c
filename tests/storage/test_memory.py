from __future__ import annotations

import asyncio
import threading

import pytest

from segmentflow_core import ConfigurationError, IdempotencyInProgress, StorageUnavailable
from segmentflow_core.testing import StorageContract
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage, open_storage


class TestMemoryStorage(StorageContract):
    @pytest.fixture
    def storage(self):
        return MemoryStorage()


class TestAsyncMemoryStorage(StorageContract):
    @pytest.fixture
    def storage(self):
        return AsyncMemoryStorage()

    @pytest.fixture
    def run_async(self):
        return asyncio.run


def test_a_caller_that_waited_too_long_is_told_to_try_again():
    storage = MemoryStorage(wait=0)
    inside, leave = threading.Event(), threading.Event()

    def hold(transaction):
        inside.set()
        leave.wait(10)

    holder = threading.Thread(target=storage.run, args=(hold,))
    holder.start()
    inside.wait(10)
    with pytest.raises(IdempotencyInProgress):
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
    with pytest.raises(ConfigurationError):
        open_storage("memory://something")

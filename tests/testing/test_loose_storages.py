"""The contract passes a storage that keeps to no more than the ports say of what they return."""

from __future__ import annotations

import pytest

from loose_storages import LooseStorage
from segmentflow_core.testing import Capabilities, StorageContract
from segmentflow_core.testing.api_keys import ApiKeyContract
from watched_locks import WatchedLock


@pytest.mark.deep
class TestLoose(ApiKeyContract, StorageContract):
    capabilities = Capabilities(durable=False)

    @pytest.fixture
    def storage(self):
        storage = LooseStorage(wait=60)
        storage._lock = WatchedLock()
        return storage

    @pytest.fixture
    def somebody_waits(self, storage):
        return lambda: storage._lock.is_waited_for

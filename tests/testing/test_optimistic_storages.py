"""The contract passes storages that lock nothing and run work again, in both colours."""

from __future__ import annotations

import pytest

from optimistic_storages import AsyncOptimisticStorage, OptimisticStorage
from segmentflow_core.testing import Capabilities, StorageContract


class Optimistic(StorageContract):
    capabilities = Capabilities(durable=False)


@pytest.mark.same_values
class TestOptimistic(Optimistic):
    @pytest.fixture
    def storage(self):
        return OptimisticStorage()


@pytest.mark.same_rules
class TestOptimisticAsync(Optimistic):
    @pytest.fixture
    def storage(self):
        return AsyncOptimisticStorage()


@pytest.mark.same_values
class TestReadsFirst(Optimistic):
    @pytest.fixture
    def storage(self):
        return OptimisticStorage(reads_first=True)


@pytest.mark.same_rules
class TestReadsFirstAsync(Optimistic):
    @pytest.fixture
    def storage(self):
        return AsyncOptimisticStorage(reads_first=True)

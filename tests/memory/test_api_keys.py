from __future__ import annotations

import pytest

from segmentflow_core.testing.api_keys import ApiKeyContract
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


class TestMemoryApiKeys(ApiKeyContract):
    @pytest.fixture
    def storage(self):
        return MemoryStorage()


class TestAsyncMemoryApiKeys(ApiKeyContract):
    @pytest.fixture
    def storage(self):
        return AsyncMemoryStorage()

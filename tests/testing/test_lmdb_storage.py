"""A storage that was written by the documentation alone, in LMDB, passes the contract."""

from __future__ import annotations

import asyncio

import pytest

from segmentflow_core.testing import StorageContract
from segmentflow_core.testing.api_keys import ApiKeyContract

pytest.importorskip("lmdb", reason="No wheel of lmdb for this Python: its storage is not tested.")

from lmdb_storage import AsyncLmdbStorage, LmdbStorage


class TestLmdbStorage(ApiKeyContract, StorageContract):
    @pytest.fixture
    def storage(self, tmp_path):
        return LmdbStorage(tmp_path / "store")

    @pytest.fixture
    def other_storage(self, tmp_path):
        return LmdbStorage(tmp_path / "store")

    @pytest.fixture
    def impatient_storage(self, tmp_path):
        return LmdbStorage(tmp_path / "store", wait=0.01)


class TestAsyncLmdbStorage(ApiKeyContract, StorageContract):
    @pytest.fixture
    def run_async(self):
        with asyncio.Runner() as runner:
            yield runner.run

    @pytest.fixture
    def storage(self, tmp_path):
        return AsyncLmdbStorage(tmp_path / "store")

    @pytest.fixture
    def other_storage(self, tmp_path):
        return AsyncLmdbStorage(tmp_path / "store")

    @pytest.fixture
    def impatient_storage(self, tmp_path):
        return AsyncLmdbStorage(tmp_path / "store", wait=0.01)

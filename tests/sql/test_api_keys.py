from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core.testing.api_keys import ApiKeyContract
from segmentflow_sql import AsyncSqlStorage, SqlStorage


class TestSqliteApiKeys(ApiKeyContract):
    @pytest.fixture
    def storage(self, tmp_path):
        storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"))
        storage.create_all()
        yield storage
        storage.close()


class TestPostgresqlApiKeys(ApiKeyContract):
    @pytest.fixture
    def storage(self, postgres, database):
        storage = SqlStorage(create_engine(postgres.url(database)))
        yield storage
        storage.close()


class TestPostgresqlAsyncApiKeys(ApiKeyContract):
    @pytest.fixture
    def storage(self, postgres, database, run_async):
        storage = AsyncSqlStorage(create_async_engine(postgres.url(database)))
        yield storage
        run_async(storage.close())

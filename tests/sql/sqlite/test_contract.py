"""The contract on SQLite's files."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

import opened_elsewhere
from segmentflow_core.testing import (
    StorageContract,
)
from segmentflow_sql import SqlStorage
from sqlite_line import SqliteLine


class TestSqliteStorage(StorageContract):
    @pytest.fixture
    def storage(self, path):
        storage = SqlStorage(create_engine(f"sqlite:///{path}"), wait=30)
        storage.create_all()
        yield storage
        assert storage._engine.pool.checkedout() == 0
        storage.close()

    @pytest.fixture
    def open_elsewhere(self, path):
        return opened_elsewhere.synchronous(f"sqlite:///{path}")

    @pytest.fixture
    def line(self):
        return SqliteLine()

    @pytest.fixture
    def line_storage(self, storage, line, path):
        factory = {"factory": line.connection}
        engine = create_engine(f"sqlite:///{path}", connect_args=factory)
        distant = SqlStorage(engine, wait=30)
        yield distant
        assert engine.pool.checkedout() == 0
        distant.close()

    @pytest.fixture
    def other_storage(self, storage, path):
        other = SqlStorage(create_engine(f"sqlite:///{path}"), wait=30)
        yield other
        other.close()

    @pytest.fixture
    def impatient_storage(self, storage, path):
        impatient = SqlStorage(create_engine(f"sqlite:///{path}"), wait=0.05)
        yield impatient
        impatient.close()

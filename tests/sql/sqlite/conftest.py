"""A store in a file, closed again with every connection given back."""

from __future__ import annotations

import pytest

from segmentflow_sql import open_storage


@pytest.fixture
def path(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def storage(path):
    storage = open_storage(f"sqlite:///{path}")
    storage.create_all()
    yield storage
    assert storage._engine.pool.checkedout() == 0
    storage.close()

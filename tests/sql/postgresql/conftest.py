"""A store on PostgreSQL, closed again with every connection given back."""

from __future__ import annotations

import pytest

from segmentflow_sql import open_storage


@pytest.fixture
def storage(postgres, database):
    storage = open_storage(postgres.url(database, scheme="postgresql"))
    yield storage
    assert storage._engine.pool.checkedout() == 0
    storage.close()

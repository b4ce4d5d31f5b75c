"""Stores of the host: on both databases, or of one of them, with its table beside ours."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine

from segmentflow_sql import SqlStorage
from shop import ORDERS


@pytest.fixture(params=["postgresql", "sqlite"])
def url(request, tmp_path):
    if request.param == "sqlite":
        url = f"sqlite:///{tmp_path / 'shop.db'}"
    else:
        postgres, new_database = (
            request.getfixturevalue(name) for name in ("postgres", "new_database")
        )
        url = postgres.url(new_database())
    engine = create_engine(url)
    storage = SqlStorage(engine)
    storage.create_all()
    ORDERS.create(engine)
    storage.close()
    return url


@pytest.fixture
def engine(url):
    engine = create_engine(url)
    yield engine
    assert engine.pool.checkedout() == 0
    engine.dispose()


@pytest.fixture
def conninfo(postgres, new_database):
    name = new_database()
    engine = create_engine(postgres.url(name))
    SqlStorage(engine).create_all()
    ORDERS.create(engine)
    engine.dispose()
    return postgres.conninfo(name)


@pytest.fixture
def path(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'shop.db'}")
    SqlStorage(engine).create_all()
    ORDERS.create(engine)
    engine.dispose()
    return tmp_path / "shop.db"

"""How hypothesis runs, and a PostgreSQL server for the tests that need one."""

from __future__ import annotations

import itertools
import os

import pytest
from hypothesis import settings

pytest_plugins = ["pytester"]

_numbers = itertools.count()

# No test asserts how long something took; and what CI tried once, it tries again.
settings.register_profile("here", deadline=None)
settings.register_profile("ci", deadline=None, derandomize=True)
settings.load_profile("ci" if os.environ.get("CI") else "here")


@pytest.fixture(scope="session")
def postgres():
    # Here, so that the examples in docstrings need nothing that only servers need.
    from servers import Postgres

    # What asks for more than a test that is over needs has a server of its own.
    server = Postgres(durable=False)
    yield server
    server.stop()


@pytest.fixture
def new_database(postgres):
    """Give a function that creates an empty database, without any tables, and says its name."""

    def create() -> str:
        name = f"own_{next(_numbers)}"
        with postgres.connect() as connection:
            connection.execute(f"CREATE DATABASE {name}")
        return name

    return create

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


# What a store makes of values does not depend on who else is there: one class of those that
# differ in isolation, in a pooler or in how work is run tries them all.
_OF_VALUES = (
    "ValueContract",
    "KeyContract",
    "ListContract",
    "BoundaryContract",
    "NeighbourContract",
)


def pytest_collection_modifyitems(config, items):
    again = [
        item
        for item in items
        if item.get_closest_marker("same_values")
        and item.function.__qualname__.startswith(_OF_VALUES)
    ]
    if again:
        config.hook.pytest_deselected(items=again)
        left_out = set(again)
        items[:] = [item for item in items if item not in left_out]


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

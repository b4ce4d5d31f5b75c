"""How hypothesis runs, and a PostgreSQL server for the tests that need one."""

from __future__ import annotations

import itertools
import os
from types import FunctionType

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
_OF_VALUES = {
    "Boundary",
    "EarlierEntry",
    "Key",
    "List",
    "Many",
    "Neighbour",
    "Removal",
    "SameIds",
    "Value",
}
# What depends on who else is there, and on how work is run.
_OF_OTHERS = {
    "Atomicity",
    "CancellingRace",
    "Exchange",
    "HistoryRace",
    "Idempotency",
    "Lock",
    "Outage",
    "Overlap",
    "PausingRace",
    "PeopleRace",
    "Process",
    "Race",
    "SharedClaim",
    "Stateful",
}


def pytest_pycollect_makeitem(collector, name, obj):
    """Leave out what a class of the contract leaves to the class beside it."""
    if type(obj) is not FunctionType:
        return None
    subject, is_of_contract, _ = obj.__qualname__.partition("Contract.test_")
    if is_of_contract and name.startswith("test_") and not _is_tried(collector, subject):
        return []
    return None


def _is_tried(of, subject):
    alike = of.get_closest_marker("same_rules")
    if alike is not None:
        return subject in {*_OF_OTHERS, *alike.args}
    return of.get_closest_marker("same_values") is None or subject not in _OF_VALUES


def pytest_collection_modifyitems(items):
    # The long ones first, so that none of them is what everybody waits for in the end.
    items.sort(key=lambda item: item.get_closest_marker("once") is None)


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_auto_num_workers(config):
    """Of two workers on two cores, one often waits for a disk or a server."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    return (cores or 1) * 3 // 2


@pytest.hookimpl(tryfirst=True)
def pytest_cmdline_main(config):
    if getattr(config.option, "numprocesses", None) and config.option.dist == "no":
        config.option.dist = "worksteal"


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

"""A storage with connections of its own in a database of Django's, for commands."""

from __future__ import annotations

from collections.abc import Generator
from contextlib import contextmanager
from typing import Any, Final

from django.db import connections
from sqlalchemy import URL, Engine, create_engine

from segmentflow_core.errors import ConfigurationError
from segmentflow_sql import SqlStorage

__all__ = ["opened"]

_DJANGOS_OWN: Final = ("context", "cursor_factory", "prepare_threshold")
"""Of what Django gives psycopg, what makes its connections convert values as Django wants them."""


@contextmanager
def opened(using: str) -> Generator[SqlStorage]:
    """Give a storage in the database of an alias, and close it afterwards.

    It has connections of its own: a worker claims while handlers use Django's.

    Raises:
        ConfigurationError: the database is of a kind without this storage, or only in memory.
    """
    storage = SqlStorage(_engine(connections[using]))
    try:
        yield storage
    finally:
        storage.close()


def _engine(connection: Any) -> Engine:
    if connection.vendor == "sqlite":
        if connection.is_in_memory_db():
            raise ConfigurationError("Nobody else can open a SQLite database in memory.")
        return create_engine(URL.create("sqlite", database=str(connection.settings_dict["NAME"])))
    if connection.vendor != "postgresql":
        raise ConfigurationError(f"There is no storage for the kind {connection.vendor}.")
    import psycopg  # noqa: PLC0415 - SQLite needs none

    given = connection.get_connection_params()
    arguments = {name: value for name, value in given.items() if name not in _DJANGOS_OWN}
    return create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(**arguments))

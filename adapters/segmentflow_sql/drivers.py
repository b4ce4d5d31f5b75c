"""Which engine or connection this is, and how transactions run on what is behind it.

Knows SQLAlchemy's dialects and the drivers' classes of connections. Imports no driver but
the standard library's until it is needed.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final, TypeAlias

from sqlalchemy import URL, Dialect, Engine, create_engine, event, make_url
from sqlalchemy import Connection as SqlalchemyConnection
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.util import asbool

from segmentflow_core.errors import ConfigurationError
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_sql.kin import KIN
from segmentflow_sql.sqlite import Sqlite
from segmentflow_sql.waiting import Waiting, check_wait

if TYPE_CHECKING:
    from segmentflow_sql.postgresql import Postgresql

__all__ = ["Database", "database_of_connection", "database_of_engine", "open_engine"]

Database: TypeAlias = "Sqlite | Postgresql"

_DRIVERS: Final = {
    False: (("sqlite", "pysqlite"), ("postgresql", "psycopg"), ("cockroachdb", "psycopg")),
    True: (("sqlite", "aiosqlite"), ("postgresql", "psycopg"), ("cockroachdb", "psycopg")),
}
"""What can be spoken to, by whether it is asynchronous."""

_OPTION: Final = "segmentflow_database"
"""An execution option of a host's engine: which of PostgreSQL's kin is behind it."""


_SQLITE_DRIVERS: Final = ("sqlite", "sqlite+pysqlite")
_SQLITE_OPTIONS: Final = (
    *("cached_statements", "check_same_thread", "detect_types"),
    *("isolation_level", "timeout", "uri"),
)
"""What SQLAlchemy takes out of a URL's query for SQLite's driver."""

_CONNECT_SECONDS: Final = 10
_SILENT_MILLISECONDS: Final = 30_000
"""After which what a network does not deliver breaks the connection (RFC 5482)."""


def database_of_engine(given: Any, wait: float, waiting: Waiting) -> Database:
    """Say how to speak to what is behind a SQLAlchemy engine, in its own way.

    Raises:
        ConfigurationError: it is no engine, or of the other colour, another database or driver;
            or its options name a database that is unknown here; or `wait` breaks its rule.
    """
    check_wait(wait)
    engine = getattr(given, "sync_engine", given)
    dialect = engine.dialect if isinstance(engine, Engine) else None
    whose = "AsyncSqlStorage" if waiting.asynchronous else "SqlStorage"
    asked = engine.get_execution_options() if isinstance(engine, Engine) else {}
    return _database_of(dialect, whose, wait, waiting, asked)


def _database_of(
    dialect: Dialect | None, whose: str, wait: float, waiting: Waiting, asked: Mapping[str, Any]
) -> Database:
    asynchronous = waiting.asynchronous
    known = _DRIVERS[asynchronous]
    if (
        dialect is None
        or dialect.is_async is not asynchronous
        or (dialect.name, dialect.driver) not in known
    ):
        kind = "an asynchronous engine" if asynchronous else "an engine"
        names = " or ".join("+".join(pair) for pair in known[:2])
        raise ConfigurationError(f"{whose} needs {kind} of SQLAlchemy's for {names}.")
    if dialect.name == "sqlite":
        return Sqlite(wait, waiting)
    return _postgresql(wait, asked.get("isolation_level"), asked.get(_OPTION, dialect.name))


def _postgresql(wait: float, level: str | None = None, name: str = "postgresql") -> Postgresql:
    from segmentflow_sql.postgresql import Postgresql  # noqa: PLC0415 - SQLite needs no psycopg

    for database in KIN:
        if database == name:
            return Postgresql(wait, level, database)
    raise ConfigurationError(f"The option {_OPTION} must be one of {', '.join(KIN)}.")


def database_of_connection(connection: Any, wait: float, waiting: Waiting) -> Database:
    """Say how to speak to a host's connection, of SQLAlchemy or of a driver.

    Raises:
        ConfigurationError: it is none that we know, or `wait` breaks its rule.
    """
    check_wait(wait)
    asynchronous = waiting.asynchronous
    inner = getattr(connection, "sync_connection", None) or connection
    if isinstance(inner, SqlalchemyConnection):
        # A connection's own isolation level is set on its driver already.
        asked = {_OPTION: inner.get_execution_options().get(_OPTION, inner.dialect.name)}
        return _database_of(inner.dialect, "Bound storage", wait, waiting, asked)
    if isinstance(connection, _loaded_kind("aiosqlite" if asynchronous else "sqlite3")):
        return Sqlite(wait, waiting)
    name = "AsyncConnection" if asynchronous else "Connection"
    if isinstance(connection, _loaded_kind("psycopg", name)):
        return _postgresql(wait)
    known = "psycopg 3 or aiosqlite" if asynchronous else "psycopg 3 or sqlite3"
    raise ConfigurationError(f"Storage can be bound to a connection of SQLAlchemy, {known}.")


def _loaded_kind(module: str, name: str = "Connection") -> tuple[type[Any], ...]:
    """Return a driver's class of connections; none while the driver is not loaded."""
    loaded = sys.modules.get(module)
    return () if loaded is None else (getattr(loaded, name),)


@forgets_locals
def open_engine(url: str) -> Engine:
    """Return an engine for a SQLAlchemy URL, whose faults never show what stands in the URL.

    Raises:
        ConfigurationError: the URL cannot be used, or its driver is not installed.
    """
    engine, is_taken = None, True
    # A ValueError of theirs would show the part of the URL that it is about.
    with suppress(ArgumentError, ImportError, SQLAlchemyError, ValueError):
        parsed = make_url(url)
        # An execution option, which a URL has no other place for; no driver knows it.
        asked = {name: value for name, value in parsed.query.items() if name == _OPTION}
        parsed = parsed.difference_update_query([_OPTION])
        if parsed.drivername in ("postgresql", "postgres"):
            parsed = parsed.set(drivername="postgresql+psycopg")
        is_taken = _takes_query(parsed)
        if is_taken:
            engine = create_engine(parsed, execution_options=asked, connect_args=_bounds(parsed))
    if not is_taken:
        raise ConfigurationError(
            "The store's URL has an option that SQLite's driver does not take. It takes "
            f"{', '.join(_SQLITE_OPTIONS)}; SQLite's own, such as mode, need uri=true."
        )
    if engine is None:
        raise _unusable_url()
    event.listen(engine, "do_connect", _connected)
    return engine


def _takes_query(url: URL) -> bool:
    """Say whether SQLite's driver hears of all that a URL asks: SQLAlchemy only warns of more.

    With ``uri=true`` the rest goes to SQLite itself.
    """
    if url.drivername not in _SQLITE_DRIVERS or asbool(url.query.get("uri", False)):
        return True
    return url.query.keys() <= set(_SQLITE_OPTIONS)


def _bounds(url: URL) -> dict[str, Any]:
    """Return how long to wait for a server that is not there, where the URL does not say."""
    if url.get_backend_name() == "sqlite":
        return {}
    bounds = {"connect_timeout": _CONNECT_SECONDS, "tcp_user_timeout": _SILENT_MILLISECONDS}
    if "PGCONNECT_TIMEOUT" in os.environ:
        del bounds["connect_timeout"]
    return {name: value for name, value in bounds.items() if name not in url.query}


@forgets_locals
def _connected(dialect: Dialect, _record: Any, arguments: Any, options: Any) -> Any:
    """Connect, unless the driver finds that what stands in the URL can be no argument of it."""
    with suppress(OverflowError, TypeError, ValueError):
        return dialect.connect(*arguments, **options)
    raise _unusable_url()


def _unusable_url() -> ConfigurationError:
    return ConfigurationError("The store's URL cannot be used, or its driver is missing.")

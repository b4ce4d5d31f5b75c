"""Connecting: what is done to an engine's new connections, and why there are none.

Knows SQLAlchemy's events, and what the drivers say of a connection that failed. Their words
choose among ours, and are never passed on; nor is anything of a URL but the host, the
database, the user and the file.
"""

from __future__ import annotations

import asyncio
import os
import re
import sqlite3
from collections.abc import Awaitable, Callable
from pathlib import Path
from threading import Thread
from typing import Any, Final

from sqlalchemy import URL, Dialect, Engine
from sqlalchemy.exc import TimeoutError as NoneLeft

from segmentflow_core.errors import ConfigurationError, SegmentflowError, StorageUnavailable
from segmentflow_sql.listening import listen_once
from segmentflow_sql.server import check_encoding
from segmentflow_sql.waiting import ON_LOOP

__all__ = ["explained", "passes_soon", "place_of_url", "watch_connecting"]

_PATIENCE: Final = 10.0
"""How many seconds a cancelled call goes on connecting, before the attempt is given up."""


def watch_connecting(engine: Engine) -> None:
    """See to it that no connection is lost while it is made, and none that cannot be used.

    Args:
        engine: SQLAlchemy's; where it is asynchronous, the synchronous one within.
    """
    dialect = engine.dialect
    dbapi: Any = dialect.dbapi
    if dialect.is_async and not isinstance(dbapi.connect, _Connect):
        # Below all that an engine can be given: its own arguments, a creator, listeners.
        dbapi.connect = _Connect(dbapi.connect, _connect_of(dialect))
    if dialect.name == "postgresql":
        # Before the dialect asks for the server's version, of which it makes no text there.
        listen_once(engine.pool, "connect", _refuse_no_encoding, first=True)


def _refuse_no_encoding(connection: Any, _record: Any) -> None:
    if connection.info.parameter_status("server_encoding") == "SQL_ASCII":
        check_encoding(connection)


class _Connect:
    """The driver's `connect` as a dialect calls it, by `_ToTheEnd`."""

    def __init__(self, connect: Callable[..., Any], default: Callable[..., Awaitable[Any]]) -> None:
        self._connect = connect
        self._default = default

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        options["async_creator_fn"] = _ToTheEnd(options.get("async_creator_fn") or self._default)
        return self._connect(*arguments, **options)


def _connect_of(dialect: Dialect) -> Callable[..., Awaitable[Any]]:
    """Return how the dialect would connect."""
    if dialect.name == "postgresql":
        from psycopg import AsyncConnection  # noqa: PLC0415 - SQLite needs no psycopg

        return AsyncConnection.connect
    return _connect_aiosqlite


def _connect_aiosqlite(*arguments: Any, **options: Any) -> Awaitable[Any]:
    import aiosqlite  # noqa: PLC0415 - only an asynchronous host needs it

    connection = aiosqlite.connect(*arguments, **options)
    # As the dialect does it: the thread of a connection must not keep the process alive.
    for thread in (connection, getattr(connection, "_thread", None)):
        if isinstance(thread, Thread):
            thread.daemon = True
    return connection


class _ToTheEnd:
    """Connects in a task of its own.

    Cancelled halfway, the drivers leave a session at the server, or a thread with an open file,
    until Python collects what the cancelled call has left.
    """

    def __init__(self, connect: Callable[..., Awaitable[Any]]) -> None:
        self._connect = connect

    async def __call__(self, *arguments: Any, **options: Any) -> Any:
        async def connected() -> Any:
            return await self._connect(*arguments, **options)

        connecting = asyncio.ensure_future(connected())
        try:
            await asyncio.wait([connecting])
        except asyncio.CancelledError:
            await ON_LOOP.to_its_end(_closed_once_connected(connecting))
            raise
        return connecting.result()


async def _closed_once_connected(connecting: asyncio.Future[Any]) -> None:
    await asyncio.wait([connecting], timeout=_PATIENCE)
    if not connecting.done():
        connecting.cancel()
        await asyncio.wait([connecting])
    if not connecting.cancelled() and connecting.exception() is None:
        await connecting.result().close()


# --- why there is no connection ---------------------------------------------------------------

_UNREACHABLE: Final = "08001"
_REASONS: Final = (
    ("too many clients", "53300", "has no connection left to give"),
    ("remaining connection slots", "53300", "has no connection left to give"),
    ("too many connections", "53300", "has no connection left to give"),
    ("starting up", "57P03", "is starting up"),
    ("shutting down", "57P03", "is shutting down"),
    ("in recovery mode", "57P03", "is recovering"),
    ("not yet accepting", "57P03", "is not yet accepting connections"),
    ("Connection refused", _UNREACHABLE, "cannot be reached: nothing listens there"),
    ("No such file", _UNREACHABLE, "cannot be reached: there is no such socket"),
    ("resolve host", _UNREACHABLE, "cannot be reached: nobody knows this host's address"),
    ("translate host", _UNREACHABLE, "cannot be reached: nobody knows this host's address"),
    ("timeout", _UNREACHABLE, "cannot be reached: it did not answer in time"),
)
"""What PostgreSQL or libpq says; what that means, which may pass."""

_FINAL_REASONS: Final = (
    (r"password authentication failed", "28P01", "does not take the password of user {user}"),
    (r"no password supplied", "28P01", "wants a password for user {user}, and none is given"),
    (r"no pg_hba\.conf entry", "28000", "lets nobody in from here as user {user}"),
    (r"authentication failed|not permitted to log in", "28000", "does not let user {user} in"),
    (r"permission denied for database", "42501", "does not let user {user} in"),
    (r"role .+ does not exist", "28000", "does not know user {user}"),
    (r"^invalid (connection option|URI)", "08001", "is not asked: the URL has an unknown option"),
    (r"database .+ does not exist", "3D000", "does not exist: create it, or correct the URL"),
)
"""What PostgreSQL says; what that means, which will not pass by itself."""


def explained(error: BaseException, url: URL) -> SegmentflowError:
    """Say why there is no connection: what was looked for, where, and what to do.

    Args:
        error: of the driver or of SQLAlchemy's pool.
        url: the engine's.
    """
    if isinstance(error, SegmentflowError):
        return error
    if isinstance(error, NoneLeft):
        return StorageUnavailable(
            "Every connection of the engine's pool is in use. Try again.",
            details={"error": "pool_timeout"},
        )
    place = place_of_url(url)
    if url.get_backend_name() == "sqlite":
        return _file_fault(error, place, url)
    said = str(error).partition("\n")[0]
    for words, code, meaning in _REASONS:
        if words in said:
            return StorageUnavailable(f"The {place} {meaning}.", details={"error": code})
    for pattern, code, meaning in _FINAL_REASONS:
        if re.search(pattern, said):
            why = meaning.format(user=f'"{url.username or ""}"')
            return ConfigurationError(f"The {place} {why}.", details={"error": code})
    why = "refuses the connection" if "FATAL" in said else "cannot be reached"
    return StorageUnavailable(f"The {place} {why}.", details={"error": _UNREACHABLE})


_SOON: Final = (
    *("starting up", "shutting down", "in recovery mode", "not yet accepting"),
    *("closed the connection", "terminating connection", "connection is closed", "is lost"),
)


def passes_soon(error: BaseException) -> bool:
    """Say whether the server was there, and broke off while it was connected to."""
    code = getattr(error, "sqlstate", None) or ""
    return code.startswith(("08", "57P")) or any(words in str(error) for words in _SOON)


def _file_fault(error: BaseException, place: str, url: URL) -> SegmentflowError:
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    details = {"error": name}
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    file = Path(url.database or "")
    if code == sqlite3.SQLITE_CANTOPEN and not url.query:
        if not file.absolute().parent.is_dir():
            return ConfigurationError(
                f"The {place} cannot be created: its folder does not exist.", details=details
            )
        at = file if file.exists() else file.absolute().parent
        if file.is_dir() or not os.access(at, os.R_OK | os.W_OK):
            return ConfigurationError(f"The {place} may not be opened.", details=details)
    return StorageUnavailable(f"The {place} cannot be opened.", details=details)


def place_of_url(url: URL) -> str:
    """Say which store a URL means: never a password."""
    if url.get_backend_name() == "sqlite":
        path = url.database or ":memory:"
        in_memory = path == ":memory:" or path.startswith("file:")
        return f"database {path}" if in_memory else f"file {Path(path).absolute()}"
    if any("@" in (part or "") for part in (url.username, url.host, url.database)):
        return "database of this URL, whose password may need its @ written as %40,"
    hosts = url.host or url.query.get("host") or "this machine's socket"
    host = hosts if isinstance(hosts, str) else ",".join(hosts)
    port = f":{url.port}" if url.port else ""
    return f'database "{url.database or url.username or ""}" at {host}{port}'

"""SQLite through the standard library's driver, or aiosqlite for an asynchronous host.

One transaction at a time writes: it starts with BEGIN IMMEDIATE, so that a concurrent
duplicate waits before it has read anything, for no longer than `wait`, and then finds the
claim. An error of the driver never leaves this module, because it may hold what was being written.

The two drivers have the same methods; those of aiosqlite are awaited.
"""

from __future__ import annotations

import random
import sqlite3
import time
from contextlib import suppress
from typing import Any, Final

from segmentflow_core.colour import settle
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    StorageUnavailable,
)
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, DatabaseKind, LostRace, Rows, Session, plain
from segmentflow_sql.statements import statements_for
from segmentflow_sql.waiting import Waiting

__all__ = ["KIND", "Sqlite", "SqliteConnection"]

KIND: Final = DatabaseKind(statements_for("sqlite"), rows.SQLITE)
_OLDEST: Final = (3, 35)
"""The first with RETURNING (SQLite release 3.35.0 of 2021-03-12)."""

_BEGIN: Final = plain("BEGIN IMMEDIATE")
_BEGIN_READING: Final = plain("BEGIN")
_UNDO: Final = "ROLLBACK"
_COMMIT: Final = [plain("COMMIT")]
_ROLLBACK: Final = [plain(_UNDO)]
_SAVEPOINT: Final = plain("SAVEPOINT segmentflow")
_RELEASE: Final = [plain("RELEASE SAVEPOINT segmentflow")]
_ROLLBACK_TO: Final = [plain("ROLLBACK TO SAVEPOINT segmentflow"), *_RELEASE]

_MODE: Final = "PRAGMA journal_mode"
_WAL: Final = [("wal",)]


class Sqlite:
    """How transactions run on SQLite.

    Args:
        wait: seconds a transaction waits for a concurrent writer.
        waiting: the colour's ways to wait.
    """

    driver_errors: Final = (sqlite3.Error,)
    one_creator: Final[list[Call]] = []
    """A writer is alone here anyway."""

    def __init__(self, wait: float, waiting: Waiting) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise ConfigurationError("SQLite 3.35 or newer is needed.")
        self._wait = wait
        self._waiting = waiting

    async def prepare(self, driver: Any) -> None:
        """Set up a new pooled connection to survive a power cut, and to wait.

        Two that change a new file's mode at once are told "busy" without any wait, so
        this tries again within the bound.
        """
        if self._waiting.asynchronous and await self._autocommit(driver) is False:
            raise ConfigurationError(
                "An asynchronous engine's connections must not have autocommit=False."
            )
        always_open = _hold_back(driver)
        failure: Exception
        deadline = time.monotonic() + self._wait
        try:
            await _run(driver, f"PRAGMA busy_timeout = {round(self._wait * 1000)}")
            await _run(driver, "PRAGMA synchronous = FULL")
            while await _run(driver, _MODE) != _WAL:
                try:
                    await _run(driver, f"{_MODE} = WAL")
                    break
                except sqlite3.OperationalError as error:
                    if not _is_busy(error) or time.monotonic() > deadline:
                        raise
                await self._waiting.sleep(_jitter())
            if always_open:
                driver.autocommit = False
            return
        except sqlite3.Error as error:
            failure = _meaning(error, takes_keys=False)
        raise failure

    def owned(self, driver: Any) -> SqliteConnection:
        """Start a transaction of our own on a pooled connection."""
        always_open = _hold_back(driver)
        return SqliteConnection(driver, [_BEGIN], _COMMIT, _ROLLBACK, always_open=always_open)

    async def bound(self, driver: Any) -> SqliteConnection:
        """Take part in a host's transaction, up to a savepoint.

        Raises:
            ConfigurationError: there is no transaction, and none that the driver would begin.
        """
        opening = _savepoint(driver, await self._autocommit(driver))
        return SqliteConnection(driver, opening, _RELEASE, _ROLLBACK_TO)

    async def _autocommit(self, driver: Any) -> object:
        """Return the driver's `autocommit`; None before Python 3.12.

        aiosqlite does not pass it on: the connection inside is asked, in its own thread.
        """
        if self._waiting.asynchronous:
            return await driver._execute(getattr, driver._conn, "autocommit", None)
        return getattr(driver, "autocommit", None)


async def _run(driver: Any, sql: str) -> list[Any]:
    cursor = await settle(driver.execute(sql))
    return list(await settle(cursor.fetchall()))


def _jitter() -> float:
    return random.uniform(0.001, 0.02)  # noqa: S311 - no secret


def _hold_back(driver: Any) -> bool:
    """Keep a driver from opening transactions by itself; say whether it did.

    Since Python 3.12 `autocommit=False` keeps one open at all times, which could not be
    told to write from its start.
    """
    always_open = getattr(driver, "autocommit", None) is False
    if always_open:
        driver.autocommit = True
    return always_open


def _savepoint(driver: Any, autocommit: object) -> list[Call]:
    if driver.text_factory is not str:
        raise ConfigurationError("The host's connection must give text as str (text_factory).")
    if driver.in_transaction:
        return [_SAVEPOINT]
    if driver.isolation_level is None or autocommit is True:
        # The outermost savepoint of a connection in autocommit mode commits when released.
        raise ConfigurationError("Bound storage needs an open transaction.")
    # As the driver itself would, before the first write.
    return [_BEGIN, _SAVEPOINT]


class SqliteConnection(Session):
    """One transaction on a connection of either driver.

    Args:
        driver: a connection of sqlite3 or aiosqlite.
        opening: as for `Session`.
        closing: as for `Session`.
        undoing: as for `Session`.
        always_open: whether the driver is to open transactions by itself again, afterwards.
    """

    def __init__(
        self,
        driver: Any,
        opening: list[Call],
        closing: list[Call],
        undoing: list[Call],
        *,
        always_open: bool = False,
    ) -> None:
        super().__init__(KIND, driver, opening, closing, undoing)
        self._always_open = always_open
        self._touched = False
        self._takes_keys = False
        self._began_reading = False
        self._cursor: Any = None

    @property
    def _is_open(self) -> bool:
        """Whether there is anything that SQLite has not undone already."""
        return self._touched and bool(self._driver.in_transaction)

    def leave(self) -> None:
        """Give the connection back as it was found."""
        if self._always_open:
            self._driver.autocommit = False

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        """Run what is pending and `calls`; return the rows of `calls`."""
        sent = self._to_send(calls)
        failure: Exception
        try:
            self._cursor = cursor = await settle(self._driver.cursor())
            cursor.row_factory = None  # whatever a host has set
            found: list[Rows] = []
            for call in sent:
                await settle(cursor.execute(call.statement.text, call.arguments))
                found.append(await settle(cursor.fetchall()) if call.statement.readers else [])
            return found[len(sent) - len(calls) :]
        except sqlite3.Error as error:
            failure = self._failed(error)
        # Outside the handler, so that the driver's error does not become the context.
        raise failure

    def _to_send(self, calls: list[Call]) -> list[Call]:
        sent = [*self.pending, *calls]
        if calls and sent[0] is _BEGIN and all(_reads(call) for call in sent[1:]):
            # A transaction that only reads need not wait for a writer.
            sent[0] = _BEGIN_READING
            self._began_reading = True
        self.pending.clear()
        self._touched = True
        self._takes_keys = any(call.statement.takes_keys for call in sent)
        return sent

    def _failed(self, error: sqlite3.Error) -> Exception:
        # Busy after it began by reading: another transaction wrote first, so run again.
        lost = self._began_reading and _is_busy(error)
        self._failure = LostRace() if lost else _meaning(error, takes_keys=self._takes_keys)
        return self._failure

    async def abandon(self) -> None:
        """Undo what an interruption left, before the connection is closed.

        Closing does not: a statement that was not read to its end keeps the transaction
        open, and every writer out, while the traceback of the interruption holds its cursor.
        On aiosqlite this waits its turn behind what still runs.
        """
        with suppress(sqlite3.Error, ValueError):  # ValueError: aiosqlite's, closed already
            if self._cursor is not None:
                await settle(self._cursor.close())
            await settle(self._driver.execute(_UNDO))


def _reads(call: Call) -> bool:
    return call.statement.text.startswith("SELECT")


def _meaning(error: sqlite3.Error, *, takes_keys: bool) -> Exception:
    # A cache shared by connections locks tables at once, and knows no busy timeout. A host
    # that has read before another one wrote can write no more: no waiting helps.
    if isinstance(error, sqlite3.IntegrityError) or _is(error, sqlite3.SQLITE_LOCKED):
        return LostRace()
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY_SNAPSHOT:
        return LostRace()
    if takes_keys and _is_busy(error):
        return IdempotencyInProgress()
    # The name of the code, such as SQLITE_FULL, holds nothing of what was written.
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StorageUnavailable(details={"error": name})


def _is_busy(error: sqlite3.Error) -> bool:
    return _is(error, sqlite3.SQLITE_BUSY) or _is(error, sqlite3.SQLITE_LOCKED)


def _is(error: sqlite3.Error, primary: int) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == primary

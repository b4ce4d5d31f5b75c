"""SQLite through the standard library's driver, or aiosqlite for an asynchronous host.

One transaction at a time writes: it starts with BEGIN IMMEDIATE, so that a concurrent
duplicate waits at the door, for no longer than `wait`, and then finds the claim. An
error of the driver never leaves this module, because it may hold what was being written.
"""

from __future__ import annotations

import asyncio
import random
import sqlite3
import time
from contextlib import suppress
from typing import Any, Final

from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    StorageUnavailable,
)
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, DatabaseKind, LostRace, Rows
from segmentflow_sql.statements import Statement, statements_for

__all__ = ["AiosqliteConnection", "Sqlite", "Sqlite3Connection"]

KIND: Final = DatabaseKind(statements_for("sqlite"), rows.SQLITE)
_OLDEST: Final = (3, 35)
"""The first with RETURNING (SQLite release 3.35.0 of 2021-03-12)."""


def _plain(text: str) -> Call:
    return Call(Statement("", text, (), ()), ())


_BEGIN: Final = _plain("BEGIN IMMEDIATE")
_BEGIN_READING: Final = _plain("BEGIN")
_UNDO: Final = "ROLLBACK"
_COMMIT: Final = [_plain("COMMIT")]
_ROLLBACK: Final = [_plain(_UNDO)]
_SAVEPOINT: Final = _plain("SAVEPOINT segmentflow")
_RELEASE: Final = [_plain("RELEASE SAVEPOINT segmentflow")]
_ROLLBACK_TO: Final = [_plain("ROLLBACK TO SAVEPOINT segmentflow"), *_RELEASE]


class Sqlite:
    """How transactions run on SQLite.

    Args:
        wait: seconds a transaction waits for a concurrent writer.
    """

    kind: Final = KIND
    driver_errors: Final = (sqlite3.Error,)
    one_creator: Final[list[Call]] = []
    """A writer is alone here anyway."""

    def __init__(self, wait: float) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise ConfigurationError("SQLite 3.35 or newer is needed.")
        self._wait = wait

    def prepare(self, driver: Any) -> None:
        """Set up a new pooled connection to survive a power cut, and to wait.

        Two that change a new file's mode at once are told "busy" without any wait, so
        this tries again within the bound.
        """
        always_open = _hold_back(driver)
        failure: Exception
        deadline = time.monotonic() + self._wait
        try:
            for pragma in self._pragmas():
                driver.execute(pragma)
            while driver.execute(_MODE).fetchone() != _WAL:
                try:
                    driver.execute(f"{_MODE} = WAL")
                    break
                except sqlite3.OperationalError as error:
                    if not _is_busy(error) or time.monotonic() > deadline:
                        raise
                time.sleep(_jitter())
            if always_open:
                driver.autocommit = False
            return
        except sqlite3.Error as error:
            failure = _meaning(error, claims=False)
        raise failure

    async def prepare_async(self, driver: Any) -> None:
        """As `prepare`, on an asynchronous connection."""
        if await _autocommit(driver) is False:
            raise ConfigurationError(
                "An asynchronous engine's connections must not have autocommit=False."
            )
        failure: Exception
        deadline = time.monotonic() + self._wait
        try:
            for pragma in self._pragmas():
                await driver.execute_fetchall(pragma)
            while tuple(await driver.execute_fetchall(_MODE)) != (_WAL,):
                try:
                    await driver.execute_fetchall(f"{_MODE} = WAL")
                    break
                except sqlite3.OperationalError as error:
                    if not _is_busy(error) or time.monotonic() > deadline:
                        raise
                await asyncio.sleep(_jitter())
            return
        except sqlite3.Error as error:
            failure = _meaning(error, claims=False)
        raise failure

    def _pragmas(self) -> tuple[str, ...]:
        return (f"PRAGMA busy_timeout = {round(self._wait * 1000)}", "PRAGMA synchronous = FULL")

    def owned(self, driver: Any) -> Sqlite3Connection:
        """Start a transaction of our own on a pooled connection."""
        always_open = _hold_back(driver)
        return Sqlite3Connection(driver, [_BEGIN], _COMMIT, _ROLLBACK, always_open=always_open)

    def owned_async(self, driver: Any) -> AiosqliteConnection:
        """As `owned`, on an asynchronous connection."""
        return AiosqliteConnection(driver, [_BEGIN], _COMMIT, _ROLLBACK)

    def bound(self, driver: Any) -> Sqlite3Connection:
        """Take part in a host's transaction, up to a savepoint.

        Raises:
            ConfigurationError: there is no transaction, and none that the driver would begin.
        """
        opening = _savepoint(driver, getattr(driver, "autocommit", None))
        return Sqlite3Connection(driver, opening, _RELEASE, _ROLLBACK_TO)

    async def bound_async(self, driver: Any) -> AiosqliteConnection:
        """As `bound`, on an asynchronous connection."""
        opening = _savepoint(driver, await _autocommit(driver))
        return AiosqliteConnection(driver, opening, _RELEASE, _ROLLBACK_TO)


_MODE: Final = "PRAGMA journal_mode"
_WAL: Final = ("wal",)


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


async def _autocommit(driver: Any) -> object:
    """Ask the connection inside, in its own thread: aiosqlite does not pass this one on."""
    return await driver._execute(getattr, driver._conn, "autocommit", None)


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


class _Session:
    """What both colours of a connection share.

    Args:
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
        self.pending = opening
        self.again = False
        self._driver = driver
        self._always_open = always_open
        self._closing = closing
        self._undoing = undoing
        self._failure: Exception | None = None
        self._ended = False
        self._touched = False
        self._claims = False
        self._began_reading = False
        self._cursor: Any = None

    def leave(self) -> None:
        """Give the connection back as it was found."""
        if self._always_open:
            self._driver.autocommit = False

    def _taken(self, calls: list[Call]) -> list[Call]:
        sent = [*self.pending, *calls]
        if calls and sent[0] is _BEGIN and all(_reads(call) for call in sent[1:]):
            # Whoever only looks need not wait for a writer.
            sent[0] = _BEGIN_READING
            self._began_reading = True
        self.pending.clear()
        self._touched = True
        self._claims = any(call.statement.name.startswith("take_claims") for call in sent)
        return sent

    def _failed(self, error: sqlite3.Error) -> Exception:
        # Whoever wants to write after all has lost a race against a writer of that moment.
        lost = self._began_reading and _is_busy(error)
        self._failure = LostRace() if lost else _meaning(error, claims=self._claims)
        return self._failure


class Sqlite3Connection(_Session):
    """The synchronous one."""

    def exchange(self, calls: list[Call]) -> list[Rows]:
        """Run what is pending and `calls`; return the rows of `calls`."""
        sent = self._taken(calls)
        failure: Exception
        try:
            self._cursor = cursor = self._driver.cursor()
            cursor.row_factory = None  # whatever a host has set
            run = cursor.execute
            found = [run(call.statement.text, call.arguments).fetchall() for call in sent]
            return found[len(sent) - len(calls) :]
        except sqlite3.Error as error:
            failure = self._failed(error)
        # Outside the handler: the driver's error must not ride along as the context.
        raise failure

    def commit(self) -> None:
        """End the transaction, or our part of it; what failed before, fails here again."""
        if self._failure is not None:
            raise self._failure
        self.exchange(self._closing)
        self._ended = True

    def rollback(self) -> None:
        """Undo the transaction, or our part of it, where SQLite has not done so already."""
        self.pending.clear()
        if self._touched and not self._ended and self._driver.in_transaction:
            self.exchange(self._undoing)

    def abandon(self) -> None:
        """Undo what an interruption left, before the connection is closed.

        Closing does not: a statement that was not read to its end keeps the transaction
        open, and every writer out, while the traceback of the interruption holds its cursor.
        """
        with suppress(sqlite3.Error):
            if self._cursor is not None:
                self._cursor.close()
            self._driver.execute(_UNDO)


class AiosqliteConnection(_Session):
    """The asynchronous one."""

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        """Run what is pending and `calls`; return the rows of `calls`."""
        sent = self._taken(calls)
        failure: Exception
        try:
            self._cursor = cursor = await self._driver.cursor()
            cursor.row_factory = None
            found: list[Rows] = []
            for call in sent:
                await cursor.execute(call.statement.text, call.arguments)
                found.append(list(await cursor.fetchall()) if call.statement.readers else [])
            return found[len(sent) - len(calls) :]
        except sqlite3.Error as error:
            failure = self._failed(error)
        raise failure

    async def commit(self) -> None:
        """End the transaction, or our part of it; what failed before, fails here again."""
        if self._failure is not None:
            raise self._failure
        await self.exchange(self._closing)
        self._ended = True

    async def rollback(self) -> None:
        """Undo the transaction, or our part of it, where SQLite has not done so already."""
        self.pending.clear()
        if self._touched and not self._ended and self._driver.in_transaction:
            await self.exchange(self._undoing)

    async def abandon(self) -> None:
        """Undo what an interruption left; it waits its turn behind what still runs."""
        with suppress(sqlite3.Error, ValueError):  # ValueError: closed already
            if self._cursor is not None:
                await self._cursor.close()
            await self._driver.execute_fetchall(_UNDO)


def _reads(call: Call) -> bool:
    return call.statement.text.startswith("SELECT")


def _meaning(error: sqlite3.Error, *, claims: bool) -> Exception:
    # A cache shared by connections locks tables at once, and knows no busy timeout. A host
    # that has read before another one wrote can write no more: no waiting helps.
    if isinstance(error, sqlite3.IntegrityError) or _is(error, sqlite3.SQLITE_LOCKED):
        return LostRace()
    if getattr(error, "sqlite_errorcode", 0) == sqlite3.SQLITE_BUSY_SNAPSHOT:
        return LostRace()
    if claims and _is_busy(error):
        return IdempotencyInProgress()
    # The name of the code, such as SQLITE_FULL, holds nothing of what was written.
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StorageUnavailable(details={"error": name})


def _is_busy(error: sqlite3.Error) -> bool:
    return _is(error, sqlite3.SQLITE_BUSY) or _is(error, sqlite3.SQLITE_LOCKED)


def _is(error: sqlite3.Error, primary: int) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF == primary

"""SQLite through the standard library's driver, or aiosqlite for an asynchronous host.

One transaction at a time writes: it starts with BEGIN IMMEDIATE, so that a concurrent
duplicate waits before it has read anything, for no longer than `wait`, and then finds the
claim. So a key is taken by finding it free, and its row is written once, with all else.
Transactions of one process come in turn, in the order they asked: SQLite's own busy handler
tries at growing intervals, and a caller that is unlucky waits for as long as others write.
An error of the driver is never raised from here, because it may hold what was being written:
what is raised instead, `result_codes` says.

aiosqlite runs a connection of the standard library's in a thread of its own. There and back
takes longer than most statements, so that all of an exchange goes there at once.
"""

from __future__ import annotations

import os
import random
import sqlite3
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final
from weakref import WeakValueDictionary

from attrs import frozen

from segmentflow_core.colour import settle
from segmentflow_core.errors import ConfigurationError, StorageRefused
from segmentflow_sql import codecs
from segmentflow_sql.exchange import Call, DatabaseKind, LostRace, Rows, Session, plain
from segmentflow_sql.migrations.way import WAYS
from segmentflow_sql.result_codes import busy, is_busy, meaning, moved, place_of_file
from segmentflow_sql.statements import statements_for
from segmentflow_sql.waiting import Turns, Waiting

__all__ = ["KIND", "Sqlite", "SqliteConnection"]

KIND: Final = DatabaseKind(statements_for("sqlite"), codecs.SQLITE)
_OLDEST: Final = (3, 35)
"""The first with RETURNING (SQLite release 3.35.0 of 2021-03-12)."""

_BEGIN: Final = plain("BEGIN IMMEDIATE")
_BEGIN_READING: Final = plain("BEGIN")
_LOCK: Final = plain("DELETE FROM segmentflow_claims WHERE 0")
"""Lets no other transaction write from here on, and writes nothing."""

_UNDO: Final = "ROLLBACK"
_COMMIT: Final = [plain("COMMIT")]
_ROLLBACK: Final = [plain(_UNDO)]
_SAVEPOINT: Final = plain("SAVEPOINT segmentflow")
_RELEASE: Final = [plain("RELEASE SAVEPOINT segmentflow")]
_ROLLBACK_TO: Final = [plain("ROLLBACK TO SAVEPOINT segmentflow"), *_RELEASE]

_MODE: Final = "PRAGMA journal_mode"
_WAL: Final = [("wal",)]


@frozen(eq=False)
class _Turn:
    """Where a transaction waits until it may write.

    Attributes:
        file: the database's; empty for one in memory.
        turns: those of this process's transactions on the file; None for one in memory.
        seconds: how long it waits.
        waiting: the colour's ways to wait.
        check: refuses to commit where another file is at the place of this one; None where the
            transaction is the host's.
    """

    file: str
    turns: Turns | None
    seconds: float
    waiting: Waiting
    check: Callable[[], None] | None = None


_all_turns: WeakValueDictionary[str, Turns] = WeakValueDictionary()
_all_turns_lock = threading.Lock()


def _turns_on(file: str) -> Turns:
    """Return the turns that every transaction of this process takes on a file."""
    with _all_turns_lock:
        turns = _all_turns.get(file)
        if turns is None:
            turns = _all_turns[file] = Turns()
        return turns


def _forget_turns() -> None:
    """Begin anew in a forked process: whoever had the turn is not in it."""
    global _all_turns_lock  # noqa: PLW0603 - it may have been held while the process forked
    _all_turns_lock = threading.Lock()
    _all_turns.clear()


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_turns)


class Sqlite:
    """How transactions run on SQLite.

    Args:
        wait: seconds a transaction waits for a concurrent writer.
        waiting: the colour's ways to wait.
    """

    driver_errors: Final = (sqlite3.Error,)
    one_creator: Final[list[Call]] = []
    """A writer is alone here anyway."""
    way: Final = WAYS["sqlite"]
    rest: Final = 0.02
    """Seconds. Another process looks after 1, 3, 8 and 18 milliseconds whether it may write."""

    def __init__(self, wait: float, waiting: Waiting) -> None:
        if sqlite3.sqlite_version_info < _OLDEST:
            raise ConfigurationError("SQLite 3.35 or newer is needed.")
        self._wait = wait
        self._waiting = waiting
        self._known: tuple[str, tuple[int, int] | None] | None = None

    def _check_place(self) -> None:
        """Refuse to commit where the file was deleted or replaced since it was first opened.

        What is open then would be written to a file that nobody finds again.

        Raises:
            StorageUnavailable: another file, or none, is where it was.
        """
        if self._known is not None and _identity(self._known[0]) != self._known[1]:
            raise moved(self._known[0])

    async def prepare(self, driver: Any) -> _Turn:
        """Set up a new pooled connection to survive a power cut, and to wait.

        Two that change a new file's mode at once are told "busy" without any wait, so
        this tries again within the bound.
        """
        autocommit, file = await self._about(driver)
        if self._waiting.asynchronous and autocommit is False:
            raise ConfigurationError(
                "An asynchronous engine's connections must not have autocommit=False."
            )
        self._check_place()
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
                    if not is_busy(error) or time.monotonic() > deadline:
                        raise
                await self._waiting.sleep(_jitter())
            if always_open:
                driver.autocommit = False
            if file and self._known is None:
                self._known = (file, _identity(file))
            return self._turn(file, self._check_place if file else None)
        except sqlite3.Error as error:
            failure = meaning(error, file)
        raise failure

    def owned(self, driver: Any, turn: _Turn, reads_only: bool) -> SqliteConnection:
        """Start a transaction of our own on a pooled connection.

        Args:
            driver: the connection.
            turn: what `prepare` returned.
            reads_only: whether it writes nothing, and so need not wait for a writer.
        """
        always_open = _hold_back(driver)
        opening = [_BEGIN_READING if reads_only else _BEGIN]
        return SqliteConnection(
            driver, opening, _COMMIT, _ROLLBACK, turn=turn, always_open=always_open
        )

    async def bound(self, driver: Any) -> SqliteConnection:
        """Take part in a host's transaction, up to a savepoint.

        Raises:
            ConfigurationError: there is no transaction, and none that the driver would begin.
        """
        autocommit, file = await self._about(driver)
        opening = _savepoint(driver, autocommit)
        turn = self._turn(file)
        connection = SqliteConnection(driver, opening, _RELEASE, _ROLLBACK_TO, turn=turn)
        # The transaction is the host's to end. The turn is for waiting to begin it: one caller
        # at a time asks SQLite, so that they begin in the order they came.
        connection.ends_turn_at_once = True
        return connection

    def _turn(self, file: str, check: Callable[[], None] | None = None) -> _Turn:
        turns = _turns_on(file) if file else None
        return _Turn(file, turns, self._wait, self._waiting, check)

    async def _about(self, driver: Any) -> tuple[object, str]:
        """Return a driver's `autocommit`, None before Python 3.12, and its database's file.

        aiosqlite does not pass the first on: the connection inside is asked, in its own thread.
        """
        failure: Exception
        try:
            if self._waiting.asynchronous:
                about: tuple[object, str] = await driver._execute(_facts, driver._conn)
                return about
            return _facts(driver)
        except sqlite3.Error as error:
            failure = meaning(error, "")
        raise failure


def _facts(driver: sqlite3.Connection) -> tuple[object, str]:
    cursor = driver.cursor()
    cursor.row_factory = None  # whatever a host has set
    _, _, file = cursor.execute("PRAGMA database_list").fetchone()  # the main one is the first
    return getattr(driver, "autocommit", None), os.fsdecode(file or "")


def _identity(file: str) -> tuple[int, int] | None:
    """Return what tells a file from another one at the same place; None where there is none."""
    try:
        found = os.stat(file)  # noqa: PTH116 - at each commit: a Path takes as long again
    except OSError:
        return None
    return found.st_dev, found.st_ino


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
        turn: where to wait until it may write.
        always_open: whether the driver is to open transactions by itself again, afterwards.

    Attributes:
        ends_turn_at_once: whether the turn ends once the transaction has begun.
    """

    def __init__(
        self,
        driver: Any,
        opening: list[Call],
        closing: list[Call],
        undoing: list[Call],
        *,
        turn: _Turn,
        always_open: bool = False,
    ) -> None:
        super().__init__(KIND, driver, opening, closing, undoing)
        self.ends_turn_at_once = False
        self._turn = turn
        self._always_open = always_open
        self._touched = False
        self._began_reading = opening[0] is _BEGIN_READING
        self._has_turn = False
        self._cursor: sqlite3.Cursor | None = None

    @property
    def _is_open(self) -> bool:
        """Whether there is anything that SQLite has not undone already."""
        return self._touched and bool(self._driver.in_transaction)

    def leave(self) -> None:
        """Give the connection back as it was found."""
        if self._always_open:
            self._driver.autocommit = False
        self.end_turn()

    async def _wait_for_turn(self, turns: Turns) -> None:
        turn = self._turn
        if not await turn.waiting.take(turn.waiting.lock_of(turns), turn.seconds):
            self._failure = busy(turn.file)
            raise self._failure

    def end_turn(self) -> None:
        """Let the next transaction of this process write."""
        if self._has_turn:
            assert self._turn.turns is not None
            self._has_turn = False
            self._turn.turns.release()

    async def place(self) -> str:
        """Say which file this is."""
        return place_of_file(self._turn.file)

    async def define(self, name: str, function: Callable[..., Any]) -> None:
        """Let SQL on this connection call a function of Python's, which knows no data but its
        arguments.
        """
        count = function.__code__.co_argcount
        await settle(self._driver.create_function(name, count, function, deterministic=True))

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        """Run what is pending and `calls`; return the rows of `calls`."""
        if not calls and not self.pending:
            return []
        sent = self._to_send(calls)
        if sent[0] is _BEGIN and (turns := self._turn.turns) is not None:
            if not turns.take_at_once():
                await self._wait_for_turn(turns)
            self._has_turn = True
        if sent[-1] is _COMMIT[0] and self._turn.check is not None:
            self._turn.check()
        failure: Exception
        try:
            if self._turn.waiting.asynchronous:
                # One way into the driver's thread and back, instead of two for each call.
                driver = self._driver
                found: list[Rows] = await driver._execute(self._answers, driver._conn, sent)
            else:
                found = self._answers(self._driver, sent)
            return found[len(sent) - len(calls) :]
        except sqlite3.Error as error:
            failure = self._failed(error)
        except (OverflowError, UnicodeEncodeError) as error:
            failure = self._failure = StorageRefused(details={"error": type(error).__name__})
        finally:
            if self.ends_turn_at_once:
                self.end_turn()
        # Outside the handler, so that the driver's error does not become the context.
        raise failure

    def _answers(self, driver: sqlite3.Connection, sent: list[Call]) -> list[Rows]:
        """Run calls one after the other; return the rows of each."""
        self._cursor = cursor = driver.cursor()
        cursor.row_factory = None  # whatever a host has set
        execute, found = cursor.execute, list[Rows]()
        for call in sent:
            statement = call.statement
            if call.for_each:
                cursor.executemany(statement.text, call.arguments)
            else:
                execute(statement.text, call.arguments)
            found.append(cursor.fetchall() if statement.readers else [])
        return found

    def _to_send(self, calls: list[Call]) -> list[Call]:
        sent = [*self.pending, *calls]
        if sent[0] is not _BEGIN and any(call.statement.takes_keys for call in calls):
            # A key that is free stays so only while nobody else can write.
            sent.insert(len(self.pending), _LOCK)
        self.pending.clear()
        self._touched = True
        return sent

    def _failed(self, error: sqlite3.Error) -> Exception:
        # Busy after it began by reading: it writes after all, and another one wrote first.
        lost = self._began_reading and is_busy(error)
        self._failure = LostRace() if lost else meaning(error, self._turn.file)
        return self._failure

    async def abandon(self) -> None:
        """Undo what an interruption left, before the connection is closed.

        Closing does not: a statement that was not read to its end keeps the transaction
        open, and every writer out, while the traceback of the interruption holds its cursor.
        On aiosqlite this waits its turn behind what still runs.
        """
        with suppress(sqlite3.Error, ValueError):  # ValueError: aiosqlite's, closed already
            if self._turn.waiting.asynchronous:
                await self._driver._execute(self._undo, self._driver._conn)
            else:
                self._undo(self._driver)

    def _undo(self, driver: sqlite3.Connection) -> None:
        if self._cursor is not None:
            self._cursor.close()
        driver.execute(_UNDO)

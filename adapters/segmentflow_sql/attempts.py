"""Running work again until it commits: how often, how long, and on which pooled connection.

Written once for both colours: over a synchronous engine nothing here suspends. Must never
let a driver's own error out, nor give a connection back that is not as it was.
"""

from __future__ import annotations

import random
import time
from collections.abc import Awaitable, Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeVar
from weakref import WeakKeyDictionary

from attrs import define, field, frozen
from sqlalchemy import Engine
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.pool import PoolProxiedConnection, SingletonThreadPool, StaticPool

from segmentflow_core.colour import settle
from segmentflow_core.errors import SegmentflowError, StorageUnavailable
from segmentflow_sql.connecting import explained, passes_soon
from segmentflow_sql.drivers import Database
from segmentflow_sql.exchange import Connection, ConnectionLost, LostRace, StalePlans
from segmentflow_sql.installation import (
    VERSIONS,
    create_all,
    missing_file,
    version_and_place,
)
from segmentflow_sql.migrations import Versions
from segmentflow_sql.migrations.way import Way
from segmentflow_sql.transaction import SqlTransaction
from segmentflow_sql.waiting import Turns, Waiting

__all__ = ["Attempts"]

T = TypeVar("T")

_MAX_RUNS: Final = 40
_MAX_SECONDS: Final = 15.0
_MAX_DELAY: Final = 0.25
_PREPARED: Final = "segmentflow_prepared"


class Attempts:
    """Runs work in transactions of our own on an engine's connections.

    Attributes:
        versions: the versions of the tables that this library knows.

    Args:
        engine: SQLAlchemy's; where it is asynchronous, the synchronous one within.
        database: how transactions run there.
        wait: seconds to wait for a turn, where there is only one connection.
        waiting: the colour's ways to wait.
        versions: the versions of the tables that this library knows.
    """

    def __init__(
        self,
        engine: Engine,
        database: Database,
        wait: float,
        waiting: Waiting,
        versions: Versions = VERSIONS,
    ) -> None:
        self._source = _Source(engine, database, wait, waiting, _turns(engine))
        self.versions = versions
        self._version: int | None = None

    async def run(
        self,
        work: Callable[[SqlTransaction], T | Awaitable[T]],
        *,
        reads_only: bool = False,
        version_needed: bool = True,
    ) -> T:
        """Run work in a transaction and commit; again where a race or the connection was lost.

        A connection that broke although it had served before may have been dead in the pool
        already, and counts as no run: after a restart of the server, all of them are. Nor
        does one count that ended because what was prepared is of no use any more: the connection
        forgets it, so that cannot happen twice in a row.

        Args:
            work: returns its result, or an awaitable of it.
            reads_only: whether it writes and locks nothing.
            version_needed: whether to refuse where the tables are not of our version.
        """
        if version_needed and self._version is None:
            await self._check_version()
        after_loss = after_race = False
        failure = StorageUnavailable()
        runs = _Runs()
        delay: float | None = 0.0
        while delay is not None:
            if delay:
                await self._source.waiting.sleep(delay)
            checked_out = _CheckedOut(self._source)
            try:
                # What began by reading and lost a race is to write from its start.
                connection = await checked_out.take(
                    after_loss=after_loss, reads_only=reads_only and not after_race
                )
                result = await settle(work(SqlTransaction(connection)))
                await connection.commit()
                checked_out.leave()
                return result
            except ConnectionLost as lost:
                after_loss, failure = True, lost.reason
                delay = runs.at_once() if checked_out.served_before else runs.after_a_while()
            except Exception as error:
                await checked_out.roll_back()
                if not isinstance(error, LostRace):
                    raise
                after_race = True
                stale = isinstance(error, StalePlans)
                delay = runs.at_once() if stale else runs.after_a_while()
            finally:
                await checked_out.give_back()
        # Outside the handlers, so that nothing internal becomes the context.
        raise failure

    async def create_all(self) -> None:
        """Create what is missing of the tables.

        Raises:
            ConfigurationError: they are of another version.
        """
        one_creator = self._source.database.one_creator
        self._version = await self.run(
            lambda transaction: create_all(transaction.connection, one_creator, self.versions),
            version_needed=False,
        )

    async def beside(self, work: Callable[[Connection], Awaitable[T]]) -> T:
        """Run work once on a connection of its own, in no transaction."""
        checked_out = _CheckedOut(self._source)
        try:
            connection = await checked_out.take(
                after_loss=False, reads_only=False, in_transaction=False
            )
            result = await work(connection)
            checked_out.leave()
            return result
        finally:
            await checked_out.give_back()

    async def _check_version(self) -> None:
        self.check_file()
        answer: tuple[int | None, str] = await self.run(
            lambda transaction: version_and_place(transaction.connection, self.versions),
            reads_only=True,
            version_needed=False,
        )
        self._version = self.versions.check(*answer)

    def check_file(self) -> None:
        """Refuse a SQLite file that is not there, before connecting would create it.

        Raises:
            ConfigurationError: the store has no tables, since it has no file.
        """
        missing = missing_file(self._source.engine.url)
        if missing is not None:
            self.versions.check(None, f"there is no file {missing}")

    async def rest(self) -> None:
        """Wait for long enough that another process gets to write, where only one can."""
        await self.pause(self._source.database.rest)

    async def pause(self, seconds: float) -> None:
        """Wait for so long as the colour does it."""
        await self._source.waiting.sleep(seconds)

    @property
    def way(self) -> Way:
        """How this kind of database is migrated."""
        return self._source.database.way

    def forget_version(self) -> None:
        """Look at the version of the tables again before the next work."""
        self._version = None


@frozen
class _Source:
    """Where connections come from, and how they are waited for."""

    engine: Engine
    database: Database
    wait: float
    waiting: Waiting
    turns: Turns | None

    @property
    def holds_the_store(self) -> bool:
        """Whether a store in memory would go with its connection.

        What was open on it is undone as it goes back to its pool; SQLite needs no more.
        """
        return isinstance(self.engine.pool, (StaticPool, SingletonThreadPool))


class _CheckedOut:
    """A pooled connection for one run: given back as it was, or closed.

    Interrupted anywhere, `give_back` undoes what is open.

    Attributes:
        served_before: whether another run used it before this one.
    """

    def __init__(self, source: _Source) -> None:
        self.served_before = False
        self._source = source
        self._turn: Any = None
        self._pooled: PoolProxiedConnection | None = None
        self._connection: Any = None
        self._is_whole = False

    async def take(
        self, *, after_loss: bool, reads_only: bool, in_transaction: bool = True
    ) -> Connection:
        """Check a connection out, and start a transaction on it unless there shall be none.

        Raises:
            ConfigurationError: the database is not there, or does not let us in.
            StorageUnavailable: there is no connection to be had, or its turn did not come in
                time; `ConnectionLost` instead where one was lost before or broke off, so that
                connecting is tried again.
        """
        source = self._source
        if source.turns is not None:
            await self._take_turn(source.turns)
        failure: SegmentflowError | None = None
        try:
            self._pooled = await source.waiting.call(source.engine.raw_connection)
        except (SQLAlchemyError, *source.database.driver_errors) as error:
            failure = explained(error, source.engine.url)
            after_loss = after_loss or passes_soon(error)
        if self._pooled is None:
            # Outside the handler, so that the driver's error does not become the context.
            if after_loss and isinstance(failure, StorageUnavailable):
                raise ConnectionLost(failure)
            assert failure is not None
            raise failure
        driver = self._pooled.driver_connection
        info = self._pooled.info
        self.served_before = _PREPARED in info
        if not self.served_before:
            info[_PREPARED] = await source.database.prepare(driver)
        self._connection = source.database.owned(driver, info[_PREPARED], reads_only)
        self._connection.after_loss = after_loss
        if not in_transaction:
            self._connection.without_transaction()
        started: Connection = self._connection
        return started

    async def _take_turn(self, turns: Turns) -> None:
        source = self._source
        lock = source.waiting.lock_of(turns)
        if not await source.waiting.take(lock, source.wait):
            raise StorageUnavailable(
                "The engine's only connection is in use by another transaction. Try again."
            )
        self._turn = lock

    def leave(self) -> None:
        """Note that the transaction has ended, and whether the connection is as it was."""
        self._connection.leave()
        self._is_whole = self._connection.is_whole

    async def roll_back(self) -> None:
        """Undo the transaction; where that fails, the connection will be closed."""
        if self._connection is not None:
            with suppress(ConnectionLost, LostRace, SegmentflowError):
                await self._connection.rollback()
                self.leave()

    async def give_back(self) -> None:
        """Return the connection to its pool, closed unless it is as it was, and the turn."""
        waiting, pooled = self._source.waiting, self._pooled
        try:
            if pooled is not None:
                # All of it in one, or a second cancellation would leave the rest undone.
                await waiting.to_its_end(
                    waiting.call(partial(_give_back_ended, pooled))
                    if self._is_whole
                    else self._return_undone(pooled)
                )
        finally:
            if self._connection is not None:
                self._connection.end_turn()
            if self._turn is not None:
                self._turn.release()

    async def _return_undone(self, pooled: PoolProxiedConnection) -> None:
        call = self._source.waiting.call
        try:
            if self._connection is not None:
                await self._connection.abandon()
        finally:
            try:
                if not self._source.holds_the_store:
                    await call(pooled.invalidate)
            finally:
                await call(pooled.close)


def _give_back_ended(pooled: PoolProxiedConnection) -> None:
    """Return a connection whose transaction has ended to its pool, which need not end it again.

    As SQLAlchemy's own `Connection` does. To undo nothing takes aiosqlite one more way into its
    thread and back.
    """
    close: Callable[..., None] | None = getattr(pooled, "_close_special", None)
    if close is None:
        pooled.close()
    else:
        close(transaction_reset=True)


@define
class _Runs:
    """Says when work may run again: a bounded number of times, and for a bounded time."""

    count: int = 1
    deadline: float = field(factory=lambda: time.monotonic() + _MAX_SECONDS)

    def at_once(self) -> float | None:
        """Return no delay, for a run that shall not count; None where time is up."""
        return None if time.monotonic() > self.deadline else 0.0

    def after_a_while(self) -> float | None:
        """Return a delay at random, ever longer; None where there are no more runs."""
        self.count += 1
        if self.count > _MAX_RUNS or time.monotonic() > self.deadline:
            return None
        longest = min(0.002 * 2 ** (self.count - 1), _MAX_DELAY)
        return random.uniform(0, longest)  # noqa: S311 - jitter


_all_turns: WeakKeyDictionary[Engine, Turns] = WeakKeyDictionary()


def _turns(engine: Engine) -> Turns | None:
    """Return the turns to take, shared by every storage on an engine.

    None where the pool has a connection for each call.
    """
    return _all_turns.setdefault(engine, Turns()) if isinstance(engine.pool, StaticPool) else None

"""Storage within a host's own transaction, up to a savepoint; never committed here.

Calls that share a connection take turns on it. The work is written once for both colours:
over a synchronous connection nothing suspends.
"""

from __future__ import annotations

import threading
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from typing import Any, Final, TypeVar

from sqlalchemy import Connection as SqlalchemyConnection

from segmentflow_core.colour import drive, settle
from segmentflow_core.errors import ConfigurationError, SegmentflowError, StorageUnavailable
from segmentflow_core.ports import Transaction
from segmentflow_sql.commits import AfterCommit, after_commit_of
from segmentflow_sql.drivers import database_of_connection
from segmentflow_sql.exchange import ConnectionLost, LostRace, StalePlans
from segmentflow_sql.installation import VERSIONS, create_all, version_and_place
from segmentflow_sql.migrations import MigrationReport
from segmentflow_sql.migrations.running import lock, make, moves, plan
from segmentflow_sql.transaction import SqlTransaction
from segmentflow_sql.waiting import IN_THREAD, ON_LOOP, Turns, Waiting, check_wait

__all__ = ["DEFAULT_WAIT", "MIGRATION_WAIT", "AsyncBoundSqlStorage", "BoundSqlStorage"]

T = TypeVar("T")

DEFAULT_WAIT: Final = 2.0
MIGRATION_WAIT: Final = 600.0
_IN_USE: Final = "The host's connection is in use: by another call, a COPY or a stream."


class BoundSqlStorage:
    """Storage within the transaction of a host's own connection.

    It never commits and never runs work again: a lost race is `StorageUnavailable`, and
    the host decides whether to try its own transaction again. A refused call leaves the
    host's transaction as it was before, and usable.

    Attributes:
        is_bound: that nobody else's calls may share its transaction.
    """

    is_bound: Final = True

    def __init__(self, connection: Any, *, wait: float = DEFAULT_WAIT) -> None:
        self._part = _Part(connection, wait, IN_THREAD)

    def run(self, work: Callable[[Transaction], T], *, reads_only: bool = False) -> T:
        """Run `work` within the host's transaction, up to a savepoint, whatever it does.

        Raises:
            ConfigurationError: the host's connection is in no transaction, or its database
                has no tables of ours, or of another version.
            IdempotencyInProgress: a concurrent call did not finish in time.
            StorageUnavailable: a race was lost, or the database gave an error.
        """
        del reads_only
        return drive(self._part.run(work))

    def create_all(self) -> None:
        """Create what is missing within the host's transaction, as `SqlStorage.create_all`.

        For a migration of Django's, or of another tool that gives its connection.

        Raises:
            ConfigurationError: the database has a schema of another version.
            StorageUnavailable: the database gave an error.
        """
        drive(self._part.create_all())

    def after_commit(self, tell: Callable[[], object], /) -> None:
        """Call this once the host's transaction is committed; never where it is rolled back.

        A connection of SQLAlchemy says so by itself: when it is given back or begins its next
        transaction, whichever is first. For a driver's connection, call `committed`.
        """
        self._part.after_commit.add(tell)

    def committed(self) -> None:
        """Say that the host's transaction is committed: the observers of its events are told.

        For hosts whose connection is a driver's own. Where this is not called they never hear.
        """
        self._part.committed()

    def migrate(self, to: int | None = None, *, wait: float = MIGRATION_WAIT) -> MigrationReport:
        """Bring the tables to this version within the host's transaction.

        For a migration of Alembic's, or of another tool that gives its connection. Indexes are
        built while writers wait; `SqlStorage.migrate` lets them pass.

        Args:
            to: the version to come to; by default this library's own.
            wait: seconds to wait for another process that migrates.

        Returns:
            What was done.

        Raises:
            ConfigurationError: as `SqlStorage.migrate`.
            StorageUnavailable: another transaction uses the tables, or the database gave an error.
        """
        return drive(self._part.migrate(to, wait))


class AsyncBoundSqlStorage:
    """As `BoundSqlStorage`, on a host's own asynchronous connection."""

    is_bound: Final = True

    def __init__(self, connection: Any, *, wait: float = DEFAULT_WAIT) -> None:
        self._part = _Part(connection, wait, ON_LOOP)

    async def run(
        self, work: Callable[[Transaction], Awaitable[T]], *, reads_only: bool = False
    ) -> T:
        """Run `work` within the host's transaction; as `BoundSqlStorage.run`."""
        del reads_only
        return await self._part.run(work)

    async def create_all(self) -> None:
        """Create what is missing; as `BoundSqlStorage.create_all`."""
        await self._part.create_all()

    def after_commit(self, tell: Callable[[], object], /) -> None:
        """Call this once the host's transaction is committed; as `BoundSqlStorage.after_commit`."""
        self._part.after_commit.add(tell)

    def committed(self) -> None:
        """Say that the host's transaction is committed; as `BoundSqlStorage.committed`."""
        self._part.committed()

    async def migrate(
        self, to: int | None = None, *, wait: float = MIGRATION_WAIT
    ) -> MigrationReport:
        """Bring the tables to this version; as `BoundSqlStorage.migrate`."""
        return await self._part.migrate(to, wait)


class _Part:
    """Our part of a host's transaction, in both colours."""

    def __init__(self, connection: Any, wait: float, waiting: Waiting) -> None:
        self._connection = connection
        self._wait = wait
        self._waiting = waiting
        self._database = database_of_connection(connection, wait, waiting)
        self._own = AfterCommit()

    @property
    def after_commit(self) -> AfterCommit:
        """What waits for the commit of the host's connection."""
        return after_commit_of(self._connection) or self._own

    def committed(self) -> None:
        waiting = self.after_commit
        waiting.commit()
        waiting.committed()

    async def run(self, work: Callable[[SqlTransaction], T | Awaitable[T]]) -> T:
        failure = StorageUnavailable()
        for _ in range(3):
            try:
                return await self._join(work)
            except StalePlans:
                continue  # nothing was decided, and what was prepared is forgotten
            except LostRace:
                break
            except ConnectionLost as lost:
                failure = lost.reason
                break
            except (ConfigurationError, StorageUnavailable):
                # Checked only after a failure, so that a host's calls do not pay for it each time.
                await self._check_version()
                raise
        # Outside the handlers, so that nothing internal becomes the context.
        raise failure

    async def create_all(self) -> None:
        """Create what is missing within the host's transaction, up to one savepoint."""
        one_creator = self._database.one_creator
        await self._once(
            lambda transaction: create_all(transaction.connection, one_creator, VERSIONS)
        )

    async def migrate(self, to: int | None, wait: float) -> MigrationReport:
        """Make each migration within the host's transaction, up to one savepoint."""
        check_wait(wait)
        way = self._database.way

        async def work(transaction: SqlTransaction) -> MigrationReport:
            connection = transaction.connection
            planned = await plan(connection, way, VERSIONS, to)
            for move in moves(way, VERSIONS, planned.found, planned.version):
                await lock(connection, way, wait)
                await make(connection, way, VERSIONS, move)
            return planned

        return await self._once(work)

    async def _once(self, work: Callable[[SqlTransaction], Awaitable[T]]) -> T:
        failure = StorageUnavailable()
        try:
            return await self._join(work)
        except LostRace:
            pass
        except ConnectionLost as lost:
            failure = lost.reason
        # Outside the handlers, so that nothing internal becomes the context.
        raise failure

    async def _check_version(self) -> None:
        """Refuse tables that are not ours; any other failure is being raised already."""
        try:
            answer: tuple[int | None, str] = await self._join(_version_and_place)
        except (ConnectionLost, LostRace, SegmentflowError):
            return
        VERSIONS.check(*answer)

    async def _join(self, work: Callable[[SqlTransaction], T | Awaitable[T]]) -> T:
        """Take part in the host's transaction while `work` runs; undo our part if it fails."""
        waiting = self._waiting
        async with (
            _driver_of(self._connection) as driver,
            _alone_on(driver, self._wait, waiting),
        ):
            connection = waiting.uninterrupted(await self._database.bound(driver))
            try:
                result = await settle(work(SqlTransaction(connection)))
                await connection.commit()
            except BaseException:
                # Where undoing fails as well, the host's transaction is lost, as its next use says.
                with suppress(ConnectionLost, LostRace, SegmentflowError):
                    await connection.rollback()
                raise
            finally:
                connection.leave()
            return result


async def _version_and_place(transaction: SqlTransaction) -> tuple[int | None, str]:
    return await version_and_place(transaction.connection, VERSIONS)


@asynccontextmanager
async def _driver_of(connection: Any) -> AsyncGenerator[Any]:
    """Give the driver's connection of a host's, in a transaction where SQLAlchemy says so."""
    synchronous = isinstance(connection, SqlalchemyConnection)
    if not (synchronous or hasattr(connection, "get_raw_connection")):
        yield connection
        return
    # As SQLAlchemy itself would, before the first statement.
    begun = None if connection.in_transaction() else await settle(connection.begin())
    try:
        pooled = connection.connection if synchronous else await connection.get_raw_connection()
        yield pooled.driver_connection
    except ConfigurationError:
        if begun is not None:
            await settle(begun.rollback())  # nothing was done in it
        raise


@asynccontextmanager
async def _alone_on(driver: Any, wait: float, waiting: Waiting) -> AsyncGenerator[None]:
    """Keep a host's other calls off its connection: their savepoints would nest with ours.

    psycopg's connections have a lock for that, which every use of them takes.
    """
    with _turns_on(driver) as turns:
        lock = getattr(driver, "lock", None) or waiting.lock_of(turns)
        if not await waiting.take(lock, wait):
            raise ConfigurationError(_IN_USE)
        try:
            yield
        finally:
            lock.release()


_turns_in_use: dict[int, Turns] = {}
_turns_in_use_lock: Final = threading.Lock()


@contextmanager
def _turns_on(driver: Any) -> Generator[Turns]:
    """Give the turns to take on a host's connection, the same to all calls meanwhile.

    Kept by its id, because not every driver's connection allows weak references.
    """
    with _turns_in_use_lock:
        turns = _turns_in_use.setdefault(id(driver), Turns())
        turns.users += 1
    try:
        yield turns
    finally:
        with _turns_in_use_lock:
            turns.users -= 1
            if not turns.users:
                del _turns_in_use[id(driver)]

"""The storages behind SQLAlchemy's engines: both colours of what `attempts` runs."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, ClassVar, TypeVar

from sqlalchemy import Engine

from segmentflow_core.colour import drive
from segmentflow_core.ports import Transaction
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_sql.attempts import Attempts
from segmentflow_sql.bound import (
    DEFAULT_WAIT,
    MIGRATION_WAIT,
    AsyncBoundSqlStorage,
    BoundSqlStorage,
)
from segmentflow_sql.connecting import watch_connecting
from segmentflow_sql.drivers import database_of_engine, open_engine
from segmentflow_sql.installation import VERSIONS
from segmentflow_sql.migrations import MigrationReport, Versions
from segmentflow_sql.migrations.migrator import Migrator
from segmentflow_sql.notifying import Notifier, can_notify, listening
from segmentflow_sql.vacuuming import vacuum
from segmentflow_sql.waiting import IN_THREAD, ON_LOOP

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncEngine

__all__ = ["AsyncSqlStorage", "SqlStorage", "open_storage"]

T = TypeVar("T")


class SqlStorage:
    """Storage behind a SQLAlchemy engine, SQLite or PostgreSQL; shared by threads.

    What was acknowledged survives a crash of the process and of the machine: SQLite is
    kept in WAL mode with synchronous=FULL, PostgreSQL by its own settings.

    Args:
        engine: for SQLite on the standard library's driver, or PostgreSQL on psycopg 3.
        wait: seconds a call waits for a concurrent one that holds its key. A batch waits so
            long for each of its keys. A call that needs a Profile which another one holds
            waits and runs again, for 15 seconds at most.

    Raises:
        ConfigurationError: the engine is for something else, or its driver is missing.
    """

    _versions: ClassVar[Versions] = VERSIONS

    @forgets_locals
    def __init__(self, engine: Engine, *, wait: float = DEFAULT_WAIT) -> None:
        database = database_of_engine(engine, wait, IN_THREAD)
        watch_connecting(engine)
        self._engine = engine
        self._attempts = Attempts(engine, database, wait, IN_THREAD, self._versions)

    @staticmethod
    @forgets_locals
    def bound_to(connection: Any, *, wait: float = DEFAULT_WAIT) -> BoundSqlStorage:
        """Return storage that takes part in the transaction of a host's own connection.

        Args:
            connection: a SQLAlchemy `Connection`, or a connection of psycopg or sqlite3.
            wait: seconds a call waits for a concurrent one; SQLite goes by the
                connection's own busy timeout.

        Raises:
            ConfigurationError: the connection is of another kind.
        """
        return BoundSqlStorage(connection, wait=wait)

    @forgets_locals
    def create_all(self) -> None:
        """Create what is missing; safe to call at any time, from any number of processes.

        Raises:
            ConfigurationError: the database has a schema of another version.
            StorageUnavailable: the database cannot be reached, or is held by a writer.
        """
        drive(self._attempts.create_all())

    def migrate(
        self, to: int | None = None, *, dry_run: bool = False, wait: float = MIGRATION_WAIT
    ) -> MigrationReport:
        """Bring the tables, and what they hold, to this version; safe to call at any time.

        Of several processes that call it at once, one migrates, and the others wait and find
        nothing to do. Killed anywhere, it leaves a store that the next call brings on. From
        version 1 it must run while nothing else uses the store; from version 2 on, others may go
        on writing. See docs/how-to/upgrade.md.

        Args:
            to: the version to come to; by default this library's own. An older one undoes
                migrations, as far as nothing is lost by it.
            dry_run: whether only to say what would be done.
            wait: seconds to wait for another process that migrates.

        Returns:
            What was done, or would be; no steps where nothing is to be done.

        Raises:
            ConfigurationError: the store has no tables, those of a newer version, or such as are
                of no version; it may not be written to; or there is no way back.
            StorageUnavailable: the database cannot be reached, or another transaction uses the
                tables.
        """
        migrator = Migrator(self._attempts)
        return drive(migrator.plan(to) if dry_run else migrator.migrate(to, wait=wait))

    def migration_sql(self, to: int | None = None) -> str:
        """Return what `migrate` would run, as a script; comments say where it takes Python.

        Raises:
            ConfigurationError: as `migrate`.
        """
        return drive(Migrator(self._attempts).script(to))

    def rest(self) -> None:
        """Let other processes write; for a run of many transactions. It takes 10 or 20 ms."""
        drive(self._attempts.rest())

    @property
    def vacuums(self) -> bool:
        """Whether there is anything to `vacuum`: the store is on SQLite."""
        return self._attempts.way.family == "sqlite"

    def vacuum(self) -> None:
        """Give the space of what was removed back to the file system; SQLite alone needs it.

        Writes the file anew and cuts its log off: what was removed is in neither of them any
        more. It needs as much free space as the store takes, and who writes meanwhile waits.

        Raises:
            ConfigurationError: the store is not on SQLite, or has no tables of ours.
            StorageUnavailable: another transaction goes on for too long.
        """
        drive(vacuum(self._attempts))

    def run(self, work: Callable[[Transaction], T], *, reads_only: bool = False) -> T:
        """Run `work` in a transaction, commit, and return what it returned.

        Where a race was lost, a deadlock broken up, a serialization refused or the
        connection lost, even while committing, the whole work runs again, a bounded number
        of times and after a random delay: the claim of its key settles what had happened.
        On SQLite, work that only reads waits for no writer.

        Raises:
            ConfigurationError: the database has no tables of ours, or of another version.
            IdempotencyInProgress: a concurrent call did not finish in time.
            StorageUnavailable: the database cannot be reached, or gave an error.
        """
        return drive(self._attempts.run(work, reads_only=reads_only))

    def listening(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `wake` whenever another process has committed an event that enrolled.

        On PostgreSQL it listens on a connection of its own, in a thread of its own. Elsewhere it
        does nothing. A worker calls it; what is lost, the worker's polling covers.
        """
        return listening(self._engine, wake) if can_notify(self._engine) else nullcontext()

    def notifier(self) -> Notifier | None:
        """Return what wakes listening workers; None where the database has no NOTIFY."""
        return Notifier(self._engine) if can_notify(self._engine) else None

    def close(self) -> None:
        """Close the engine's pooled connections."""
        self._engine.dispose()


class AsyncSqlStorage:
    """As `SqlStorage`, behind SQLAlchemy's asynchronous engine.

    Args:
        engine: an `AsyncEngine` for PostgreSQL on psycopg 3, or SQLite on aiosqlite.
        wait: as for `SqlStorage`.

    Raises:
        ConfigurationError: the engine is for something else, or its driver is missing.
    """

    _versions: ClassVar[Versions] = VERSIONS

    @forgets_locals
    def __init__(self, engine: AsyncEngine, *, wait: float = DEFAULT_WAIT) -> None:
        database = database_of_engine(engine, wait, ON_LOOP)
        watch_connecting(engine.sync_engine)
        self._engine = engine
        self._attempts = Attempts(engine.sync_engine, database, wait, ON_LOOP, self._versions)

    @staticmethod
    @forgets_locals
    def bound_to(connection: Any, *, wait: float = DEFAULT_WAIT) -> AsyncBoundSqlStorage:
        """Return storage that takes part in the transaction of a host's own connection.

        Args:
            connection: a SQLAlchemy `AsyncConnection`, a psycopg `AsyncConnection` or an
                aiosqlite connection.
            wait: as for `SqlStorage.bound_to`.

        Raises:
            ConfigurationError: the connection is of another kind.
        """
        return AsyncBoundSqlStorage(connection, wait=wait)

    @forgets_locals
    async def create_all(self) -> None:
        """Create what is missing; as `SqlStorage.create_all`."""
        await self._attempts.create_all()

    async def migrate(
        self, to: int | None = None, *, dry_run: bool = False, wait: float = MIGRATION_WAIT
    ) -> MigrationReport:
        """Bring the tables, and what they hold, to this version; as `SqlStorage.migrate`."""
        migrator = Migrator(self._attempts)
        return await (migrator.plan(to) if dry_run else migrator.migrate(to, wait=wait))

    async def migration_sql(self, to: int | None = None) -> str:
        """Return what `migrate` would run, as a script; as `SqlStorage.migration_sql`."""
        return await Migrator(self._attempts).script(to)

    async def rest(self) -> None:
        """Let other processes write; as `SqlStorage.rest`."""
        await self._attempts.rest()

    @property
    def vacuums(self) -> bool:
        """Whether there is anything to `vacuum`; as `SqlStorage.vacuums`."""
        return self._attempts.way.family == "sqlite"

    async def vacuum(self) -> None:
        """Give space back to the file system; as `SqlStorage.vacuum`."""
        await vacuum(self._attempts)

    async def run(
        self, work: Callable[[Transaction], Awaitable[T]], *, reads_only: bool = False
    ) -> T:
        """Run `work` in a transaction, commit, and return what it returned.

        As `SqlStorage.run`. Cancelled anywhere, it leaves nothing behind; where the commit
        had been sent already, the event may be recorded, and its key tells.
        """
        return await self._attempts.run(work, reads_only=reads_only)

    def listening(self, wake: Callable[[], None]) -> AbstractContextManager[None]:
        """Call `wake` whenever another process has committed; as `SqlStorage.listening`.

        The connection is made of the engine's URL alone.
        """
        engine = self._engine.sync_engine
        return listening(engine, wake) if can_notify(engine) else nullcontext()

    def notifier(self) -> Notifier | None:
        """Return what wakes listening workers; as `SqlStorage.notifier`."""
        engine = self._engine.sync_engine
        return Notifier(engine) if can_notify(engine) else None

    async def close(self) -> None:
        """Close the engine's pooled connections."""
        await self._engine.dispose()


@forgets_locals
def open_storage(url: str) -> SqlStorage:
    """Open the store at a SQLAlchemy URL: ``sqlite:///segmentflow.db``, ``postgresql://…``.

    Raises:
        ConfigurationError: the URL cannot be used, or its driver is not installed.
    """
    return SqlStorage(open_engine(url))

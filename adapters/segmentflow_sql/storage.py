"""The storages: a transaction for each piece of work, run again where a race was lost.

Knows SQLAlchemy's engines and connections as the places where a driver's connection comes
from and goes back to; statements and what they mean are elsewhere. Must never let a
driver's own error out.
"""

from __future__ import annotations

import asyncio
import random
import sys
import threading
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Coroutine, Generator
from contextlib import asynccontextmanager, contextmanager, suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeAlias, TypeVar
from weakref import WeakKeyDictionary

from attrs import define, field
from sqlalchemy import URL, Connection, Dialect, Engine, create_engine, event, make_url
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.pool import SingletonThreadPool, StaticPool
from sqlalchemy.util import greenlet_spawn

from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyInProgress,
    SegmentflowError,
    StorageUnavailable,
)
from segmentflow_core.ports import Transaction
from segmentflow_sql.exchange import (
    Call,
    ConnectionLost,
    LostRace,
    PreparedElsewhere,
    Rows,
    Script,
    perform,
    perform_async,
)
from segmentflow_sql.schema import SCHEMA_VERSION
from segmentflow_sql.sqlite import Sqlite
from segmentflow_sql.statements import Statements
from segmentflow_sql.transaction import JourneyCache, SqlTransaction

if TYPE_CHECKING:
    from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine

    from segmentflow_sql.postgresql import Postgresql

__all__ = [
    "AsyncBoundSqlStorage",
    "AsyncSqlStorage",
    "BoundSqlStorage",
    "SqlStorage",
    "open_storage",
]

T = TypeVar("T")
_Database: TypeAlias = "Sqlite | Postgresql"

DEFAULT_WAIT: Final = 2.0
_MAX_RUNS: Final = 40
_MAX_SECONDS: Final = 15.0
_MAX_DELAY: Final = 0.25
_PREPARED: Final = "segmentflow_prepared"

# What a definition says is in its digest, so every storage of a process may share them.
_CACHE: Final = JourneyCache()


class SqlStorage:
    """Storage behind a SQLAlchemy engine, SQLite or PostgreSQL; shared by threads.

    What was acknowledged survives a crash of the process and of the machine: SQLite is
    kept in WAL mode with synchronous=FULL, PostgreSQL by its own settings.

    Args:
        engine: for SQLite on the standard library's driver, or PostgreSQL on psycopg 3.
        wait: seconds a call waits for a concurrent one that holds its key. A batch waits so
            long for each of its keys; who needs a Profile that another one holds waits and
            runs again, for 15 seconds at most.

    Raises:
        ConfigurationError: the engine is for something else, or its driver is missing.
    """

    def __init__(self, engine: Engine, *, wait: float = DEFAULT_WAIT) -> None:
        self._database = _database(engine, wait, asynchronous=False)
        self._engine = engine
        self._wait = wait
        self._turns = _turns(engine)
        self._schema_checked = False
        self._check_lock = threading.Lock()

    @staticmethod
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

    def create_all(self) -> None:
        """Create what is missing; safe to call at any time, from any number of processes.

        Raises:
            ConfigurationError: the database has a schema of another version.
            StorageUnavailable: the database cannot be reached, or is held by a writer.
        """
        self._run(lambda connection: perform(connection, _creation(self._database)))
        self._schema_checked = True

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction, commit, and return what it returned.

        Where a race was lost, a deadlock broken up, a serialization refused or the
        connection lost, even while committing, the whole work runs again, a bounded number
        of times and after a random delay: the claim of its key settles what had happened.

        Raises:
            ConfigurationError: the database has no tables of ours, or of another version.
            IdempotencyInProgress: a concurrent call did not finish in time.
            StorageUnavailable: the database cannot be reached, or gave an error.
        """
        if not self._schema_checked:
            self._check_schema()
        return self._run(lambda connection: work(_transaction(self._database, connection)))

    def close(self) -> None:
        """Close the engine's pooled connections."""
        self._engine.dispose()

    def _check_schema(self) -> None:
        with self._check_lock:
            if self._schema_checked:
                return
            found = None
            if not _is_missing_file(self._engine.url):
                statements = self._database.kind.statements
                found = self._run(lambda connection: perform(connection, _version(statements)))
            _check_version(found)
            self._schema_checked = True

    def _run(self, work: Callable[[Any], T]) -> T:
        lost = False
        runs = _Runs()
        delay: float | None = 0.0
        while delay is not None:
            if delay:
                time.sleep(delay)
            try:
                return self._once(work, reconnecting=lost)
            except _StaleConnection:
                lost, delay = True, runs.at_once()
            except LostRace:
                delay = runs.after_a_while()
            except ConnectionLost:
                lost, delay = True, runs.after_a_while()
        raise StorageUnavailable

    def _once(self, work: Callable[[Any], T], *, reconnecting: bool) -> T:
        if self._turns is None:
            return self._on_connection(work, reconnecting=reconnecting)
        if not self._turns.lock.acquire(timeout=self._wait):
            raise IdempotencyInProgress
        try:
            return self._on_connection(work, reconnecting=reconnecting)
        finally:
            self._turns.lock.release()

    def _on_connection(self, work: Callable[[Any], T], *, reconnecting: bool) -> T:
        database = self._database
        pooled = None
        try:
            pooled = self._engine.raw_connection()
        except (SQLAlchemyError, *database.driver_errors):
            pass  # told below, outside the handler: the driver's error must not ride along
        if pooled is None:
            raise _unreachable(reconnecting=reconnecting)
        broken = True
        connection = None
        try:
            driver = pooled.driver_connection
            used_before = _PREPARED in pooled.info
            if not used_before:
                database.prepare(driver)
                pooled.info[_PREPARED] = True
            connection = database.owned(driver)
            connection.again = reconnecting
            try:
                result = work(connection)
                connection.commit()
            except ConnectionLost:
                if used_before:
                    raise _StaleConnection from None
                raise
            except Exception:
                with suppress(ConnectionLost, SegmentflowError):
                    connection.rollback()
                    connection.leave()
                    broken = False
                raise
            connection.leave()
            broken = False
            return result
        finally:
            # Interrupted anywhere: what was open is undone, and the connection goes.
            try:
                if broken and connection is not None:
                    connection.abandon()
            finally:
                if broken and not _holds_the_store(self._engine):
                    pooled.invalidate()
                pooled.close()


class BoundSqlStorage:
    """Storage within the transaction of a host's own connection.

    It never commits and never runs work again: a lost race is `StorageUnavailable`, and
    the host decides whether to try its own transaction again. A refused call leaves the
    host's transaction as it was before, and usable.
    """

    def __init__(self, connection: Any, *, wait: float = DEFAULT_WAIT) -> None:
        self._connection = connection
        self._wait = wait
        self._database = _database_of(connection, wait, asynchronous=False)

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` within the host's transaction, up to a savepoint.

        Raises:
            ConfigurationError: the host's connection is in no transaction, or its database
                has no tables of ours, or of another version.
            IdempotencyInProgress: a concurrent call did not finish in time.
            StorageUnavailable: a race was lost, or the database gave an error.
        """
        for _ in range(2):
            try:
                return self._once(work)
            except PreparedElsewhere:
                continue  # nothing was decided, and from now on nothing is prepared
            except (LostRace, ConnectionLost):
                break  # told below: what is internal must not ride along
            except StorageUnavailable:
                # Looked at only now: a host's calls are not to pay for it each time.
                self._check_schema()
                raise
        raise StorageUnavailable

    def _check_schema(self) -> None:
        """Say so where the tables are not ours; whatever else is wrong was told already."""
        version = _version(self._database.kind.statements)
        try:
            found = self._joined(lambda connection: perform(connection, version))
        except (ConnectionLost, LostRace, SegmentflowError):
            return
        _check_version(found)

    def _once(self, work: Callable[[Transaction], T]) -> T:
        return self._joined(lambda connection: work(_transaction(self._database, connection)))

    def _joined(self, work: Callable[[Any], T]) -> T:
        """Take part in the host's transaction while `work` runs; undo its part if it fails."""
        with _driver_of(self._connection) as driver, _alone_on(driver, self._wait):
            connection = self._database.bound(driver)
            try:
                result = work(connection)
                connection.commit()
            except BaseException:
                # Where undoing fails as well, the host's transaction is lost, and it will see.
                with suppress(ConnectionLost, LostRace, SegmentflowError):
                    connection.rollback()
                raise
            finally:
                connection.leave()
            return result


class AsyncSqlStorage:
    """As `SqlStorage`, behind SQLAlchemy's asynchronous engine.

    Args:
        engine: an `AsyncEngine` for PostgreSQL on psycopg 3, or SQLite on aiosqlite.
        wait: as for `SqlStorage`.

    Raises:
        ConfigurationError: the engine is for something else, or its driver is missing.
    """

    def __init__(self, engine: AsyncEngine, *, wait: float = DEFAULT_WAIT) -> None:
        self._database = _database(engine, wait, asynchronous=True)
        self._engine = engine
        self._wait = wait
        self._turns = _turns(engine.sync_engine)
        self._schema_checked = False

    @staticmethod
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

    async def create_all(self) -> None:
        """Create what is missing; as `SqlStorage.create_all`."""
        await self._run(lambda connection: perform_async(connection, _creation(self._database)))
        self._schema_checked = True

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` in a transaction, commit, and return what it returned.

        As `SqlStorage.run`. Cancelled anywhere, it leaves nothing behind; where the commit
        had been sent already, the event may be recorded, and its key tells.
        """
        if not self._schema_checked:
            await self._check_schema()
        return await self._run(
            lambda connection: work(_async_transaction(self._database, connection))
        )

    async def close(self) -> None:
        """Close the engine's pooled connections."""
        await self._engine.dispose()

    async def _check_schema(self) -> None:
        found = None
        if not _is_missing_file(self._engine.url):
            statements = self._database.kind.statements
            found = await self._run(
                lambda connection: perform_async(connection, _version(statements))
            )
        _check_version(found)
        self._schema_checked = True

    async def _run(self, work: Callable[[Any], Awaitable[T]]) -> T:
        lost = False
        runs = _Runs()
        delay: float | None = 0.0
        while delay is not None:
            if delay:
                await asyncio.sleep(delay)
            try:
                return await self._once(work, reconnecting=lost)
            except _StaleConnection:
                lost, delay = True, runs.at_once()
            except LostRace:
                delay = runs.after_a_while()
            except ConnectionLost:
                lost, delay = True, runs.after_a_while()
        raise StorageUnavailable

    async def _once(self, work: Callable[[Any], Awaitable[T]], *, reconnecting: bool) -> T:
        if self._turns is None:
            return await self._on_connection(work, reconnecting=reconnecting)
        lock = self._turns.lock_of_loop()
        if not await _taken(lock, self._wait):
            raise IdempotencyInProgress
        try:
            return await self._on_connection(work, reconnecting=reconnecting)
        finally:
            lock.release()

    async def _on_connection(self, work: Callable[[Any], Awaitable[T]], *, reconnecting: bool) -> T:
        database = self._database
        pooled = None
        try:
            pooled = await self._engine.raw_connection()
        except (SQLAlchemyError, *database.driver_errors):
            pass
        if pooled is None:
            raise _unreachable(reconnecting=reconnecting)
        broken = True
        connection = None
        try:
            driver = pooled.driver_connection
            used_before = _PREPARED in pooled.info
            if not used_before:
                await database.prepare_async(driver)
                pooled.info[_PREPARED] = True
            connection = database.owned_async(driver)
            connection.again = reconnecting
            try:
                result = await work(connection)
                await connection.commit()
            except ConnectionLost:
                if used_before:
                    raise _StaleConnection from None
                raise
            except Exception:
                with suppress(ConnectionLost, SegmentflowError):
                    await connection.rollback()
                    connection.leave()
                    broken = False
                raise
            connection.leave()
            broken = False
            return result
        finally:
            # All of it in one, or a second cancellation would leave the rest undone.
            await _to_its_end(self._given_back(pooled, connection, broken=broken))

    async def _given_back(self, pooled: Any, connection: Any, *, broken: bool) -> None:
        try:
            if broken and connection is not None:
                await connection.abandon()
        finally:
            try:
                if broken and not _holds_the_store(self._engine.sync_engine):
                    await greenlet_spawn(pooled.invalidate)
            finally:
                await greenlet_spawn(pooled.close)


class AsyncBoundSqlStorage:
    """As `BoundSqlStorage`, on a host's own asynchronous connection."""

    def __init__(self, connection: Any, *, wait: float = DEFAULT_WAIT) -> None:
        self._connection = connection
        self._wait = wait
        self._database = _database_of(connection, wait, asynchronous=True)

    async def run(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        """Run `work` within the host's transaction; as `BoundSqlStorage.run`."""
        for _ in range(2):
            try:
                return await self._once(work)
            except PreparedElsewhere:
                continue
            except (LostRace, ConnectionLost):
                break
            except StorageUnavailable:
                await self._check_schema()
                raise
        raise StorageUnavailable

    async def _check_schema(self) -> None:
        version = _version(self._database.kind.statements)
        try:
            found = await self._joined(lambda connection: perform_async(connection, version))
        except (ConnectionLost, LostRace, SegmentflowError):
            return
        _check_version(found)

    async def _once(self, work: Callable[[Transaction], Awaitable[T]]) -> T:
        return await self._joined(
            lambda connection: work(_async_transaction(self._database, connection))
        )

    async def _joined(self, work: Callable[[Any], Awaitable[T]]) -> T:
        """Take part in the host's transaction while `work` runs; undo its part if it fails."""
        async with (
            _async_driver_of(self._connection) as driver,
            _alone_on_async(driver, self._wait),
        ):
            connection = _Uninterrupted(await self._database.bound_async(driver))
            try:
                result = await work(connection)
                await connection.commit()
            except BaseException:
                with suppress(ConnectionLost, LostRace, SegmentflowError):
                    await connection.rollback()
                raise
            finally:
                connection.leave()
            return result


# --- databases and drivers ---------------------------------------------------------------


_DRIVERS: Final = {
    False: (("sqlite", "pysqlite"), ("postgresql", "psycopg")),
    True: (("sqlite", "aiosqlite"), ("postgresql", "psycopg")),
}
"""What can be spoken to, by whether it is asynchronous."""


def _database(given: Any, wait: float, *, asynchronous: bool) -> _Database:
    """Say how to speak to what is behind a SQLAlchemy engine or connection, in its own way."""
    dialect: Dialect = given.dialect
    known = _DRIVERS[asynchronous]
    if dialect.is_async is not asynchronous or (dialect.name, dialect.driver) not in known:
        whose = "AsyncSqlStorage" if asynchronous else "SqlStorage"
        kind = "an asynchronous engine" if asynchronous else "an engine"
        names = " or ".join("+".join(pair) for pair in known)
        raise ConfigurationError(f"{whose} needs {kind} for {names}.")
    if dialect.name == "sqlite":
        return Sqlite(wait)
    # A connection's own level is set on its driver already.
    engine = getattr(given, "sync_engine", given)
    asked = engine.get_execution_options() if isinstance(engine, Engine) else {}
    return _postgresql(wait, asked.get("isolation_level"))


def _postgresql(wait: float, level: str | None = None) -> Postgresql:
    from segmentflow_sql.postgresql import Postgresql  # noqa: PLC0415 - SQLite needs no psycopg

    return Postgresql(wait, level)


def _database_of(connection: Any, wait: float, *, asynchronous: bool) -> _Database:
    dialect = getattr(connection, "dialect", None)
    if isinstance(dialect, Dialect):
        return _database(connection, wait, asynchronous=asynchronous)
    if isinstance(connection, _loaded_kind("aiosqlite" if asynchronous else "sqlite3")):
        return Sqlite(wait)
    name = "AsyncConnection" if asynchronous else "Connection"
    if isinstance(connection, _loaded_kind("psycopg", name)):
        return _postgresql(wait)
    known = "psycopg 3 or aiosqlite" if asynchronous else "psycopg 3 or sqlite3"
    raise ConfigurationError(f"Storage can be bound to a connection of SQLAlchemy, {known}.")


def _loaded_kind(module: str, name: str = "Connection") -> tuple[type[Any], ...]:
    """Return a driver's class of connections; none, where nobody has loaded the driver."""
    loaded = sys.modules.get(module)
    return () if loaded is None else (getattr(loaded, name),)


@contextmanager
def _driver_of(connection: Any) -> Generator[Any]:
    """Give the driver's connection of a host's, in a transaction where SQLAlchemy says so."""
    if not isinstance(connection, Connection):
        yield connection
        return
    # As SQLAlchemy itself would, before the first statement.
    begun = None if connection.in_transaction() else connection.begin()
    try:
        yield connection.connection.driver_connection
    except ConfigurationError:
        if begun is not None:
            begun.rollback()  # nothing was done in it
        raise


@asynccontextmanager
async def _async_driver_of(connection: Any) -> AsyncGenerator[Any]:
    if not hasattr(connection, "get_raw_connection"):
        yield connection
        return
    given: AsyncConnection = connection
    begun = None if given.in_transaction() else await given.begin()
    try:
        yield (await given.get_raw_connection()).driver_connection
    except ConfigurationError:
        if begun is not None:
            await begun.rollback()
        raise


_IN_USE: Final = "The host's connection is in use: by another call, a COPY or a stream."


@contextmanager
def _alone_on(driver: Any, wait: float) -> Generator[None]:
    """Keep a host's other threads off its connection: savepoints of two calls would nest.

    psycopg has a lock for that, which whoever uses the connection takes.
    """
    with _turns_on(driver) as turns:
        lock = getattr(driver, "lock", turns.lock)
        if not lock.acquire(timeout=wait):
            raise ConfigurationError(_IN_USE)
        try:
            yield
        finally:
            lock.release()


@asynccontextmanager
async def _alone_on_async(driver: Any, wait: float) -> AsyncGenerator[None]:
    """Keep a host's other tasks off its connection; as `_alone_on`."""
    with _turns_on(driver) as turns:
        lock = getattr(driver, "lock", None) or turns.lock_of_loop()
        if not await _taken(lock, wait):
            raise ConfigurationError(_IN_USE)
        try:
            yield
        finally:
            lock.release()


_turns_in_use: dict[int, _Turns] = {}
_turns_in_use_lock: Final = threading.Lock()


@contextmanager
def _turns_on(driver: Any) -> Generator[_Turns]:
    """Give the turns to take on a host's connection, the same to all who want one meanwhile.

    By its id, for not every driver's connection can be referred to weakly.
    """
    with _turns_in_use_lock:
        turns = _turns_in_use.setdefault(id(driver), _Turns())
        turns.users += 1
    try:
        yield turns
    finally:
        with _turns_in_use_lock:
            turns.users -= 1
            if not turns.users:
                del _turns_in_use[id(driver)]


def _transaction(database: _Database, connection: Any) -> Any:
    return SqlTransaction(
        database.kind,
        _CACHE,
        connection.pending,
        partial(perform, connection),
        again=connection.again,
    )


def _async_transaction(database: _Database, connection: Any) -> Any:
    return SqlTransaction(
        database.kind,
        _CACHE,
        connection.pending,
        partial(perform_async, connection),
        again=connection.again,
    )


class _Turns:
    """Lets one transaction at a time use a connection that several calls share."""

    def __init__(self) -> None:
        self.users = 0
        self.lock = threading.Lock()
        self._of_loop: tuple[asyncio.AbstractEventLoop, asyncio.Lock] | None = None

    def lock_of_loop(self) -> asyncio.Lock:
        """Return the lock for the running event loop, which no other one can wait for."""
        loop = asyncio.get_running_loop()
        if self._of_loop is None or self._of_loop[0] is not loop:
            self._of_loop = loop, asyncio.Lock()
        return self._of_loop[1]


_all_turns: WeakKeyDictionary[Engine, _Turns] = WeakKeyDictionary()


def _turns(engine: Engine) -> _Turns | None:
    """Return the turns to take, shared by every storage on an engine; none with a real pool."""
    return _all_turns.setdefault(engine, _Turns()) if isinstance(engine.pool, StaticPool) else None


def _holds_the_store(engine: Engine) -> bool:
    """Say whether a store in memory would go with its connection.

    What was open on it is undone as it goes back to its pool; SQLite needs no more.
    """
    return isinstance(engine.pool, (StaticPool, SingletonThreadPool))


class _StaleConnection(ConnectionLost):
    """A connection broke that had served before, and may have been dead in the pool already.

    It counts as no run: after a restart of the server, every pooled connection goes this way.
    """


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


def _unreachable(*, reconnecting: bool) -> Exception:
    return ConnectionLost() if reconnecting else StorageUnavailable()


async def _taken(lock: asyncio.Lock, wait: float) -> bool:
    """Wait for a lock, so many seconds at most; say whether it was taken.

    Not `asyncio.wait_for`, which may swallow a cancellation (Python 3.11).
    """
    try:
        async with asyncio.timeout(wait):
            await lock.acquire()
    except TimeoutError:
        return False
    return True


async def _to_its_end(coroutine: Coroutine[Any, Any, T]) -> T:
    """Await what must not stop halfway; a cancellation meanwhile takes effect afterwards."""
    task = asyncio.ensure_future(coroutine)
    cancelled: asyncio.CancelledError | None = None
    while not task.done():
        try:
            await asyncio.wait([task])
        except asyncio.CancelledError as interruption:
            cancelled = interruption
    if cancelled is not None:
        task.exception()  # seen, so that nobody warns of it
        raise cancelled
    return task.result()


class _Uninterrupted:
    """A host's connection, whose exchanges are never cancelled halfway.

    PostgreSQL cancels whatever statement is under way when the request arrives; were that
    our savepoint, the host's whole transaction would be lost. What is waited for is
    bounded by the lock timeout.
    """

    def __init__(self, connection: Any) -> None:
        self._connection = connection
        self.pending: list[Call] = connection.pending
        self.again = False
        self.leave = connection.leave

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        return await _to_its_end(self._connection.exchange(calls))

    async def commit(self) -> None:
        await _to_its_end(self._connection.commit())

    async def rollback(self) -> None:
        await _to_its_end(self._connection.rollback())


# --- the schema --------------------------------------------------------------------------


def _version(statements: Statements) -> Script[int | None]:
    (((there,),),) = yield [Call(statements.has_schema, ())]
    if not there:
        return None
    (((version,),),) = yield [Call(statements.schema_version, ())]
    found: int | None = version
    return found


def _creation(database: _Database) -> Script[None]:
    statements = database.kind.statements
    yield list(database.one_creator)
    found = yield from _version(statements)
    if found not in (None, SCHEMA_VERSION):
        raise _wrong_version(found)
    yield [Call(definition, ()) for definition in statements.definitions]
    yield [Call(statements.write_schema_version, (SCHEMA_VERSION,))]


def _check_version(found: int | None) -> None:
    if found is None:
        raise ConfigurationError(
            "The store has no tables yet. Run `segmentflow init`, or create_all()."
        )
    if found != SCHEMA_VERSION:
        raise _wrong_version(found)


def _wrong_version(found: int | None) -> ConfigurationError:
    return ConfigurationError(
        "The store's tables are of another version than this library's.",
        details={"found": found, "expected": SCHEMA_VERSION},
    )


def _is_missing_file(url: URL) -> bool:
    """Say whether a SQLite file is not there; connecting would create it."""
    if url.get_backend_name() != "sqlite":
        return False
    path = url.database or ":memory:"
    return not path.startswith((":", "file:")) and not Path(path).exists()


def open_storage(url: str) -> SqlStorage:
    """Open the store at a SQLAlchemy URL: ``sqlite:///segmentflow.db``, ``postgresql://…``.

    Raises:
        ConfigurationError: the URL cannot be used, or its driver is not installed.
    """
    engine = None
    # A ValueError of theirs would show the part of the URL that it is about.
    with suppress(ArgumentError, ImportError, SQLAlchemyError, ValueError):
        parsed = make_url(url)
        if parsed.drivername == "postgresql":
            parsed = parsed.set(drivername="postgresql+psycopg")
        engine = create_engine(parsed)
    if engine is None:
        raise _unusable_url()
    event.listen(engine, "do_connect", _connected)
    return SqlStorage(engine)


def _connected(dialect: Dialect, _record: Any, arguments: Any, options: Any) -> Any:
    """Connect, unless the driver finds that what stands in the URL can be no argument of it."""
    with suppress(OverflowError, TypeError, ValueError):
        return dialect.connect(*arguments, **options)
    raise _unusable_url()


def _unusable_url() -> ConfigurationError:
    return ConfigurationError("The store's URL cannot be used, or its driver is missing.")

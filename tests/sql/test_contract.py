"""The contract, on every database, in both colours, at every isolation level."""

from __future__ import annotations

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

import opened_elsewhere
from segmentflow_core.testing import Capabilities, StorageContract
from segmentflow_core.testing.lines import LossyLine
from segmentflow_sql import AsyncSqlStorage, SqlStorage
from sqlite_line import SqliteLine


class OnTheServer(StorageContract):
    """The server itself says whether a call waits."""

    capabilities = Capabilities(short_waits=True)

    @pytest.fixture
    def somebody_waits(self, postgres, database):
        with postgres.connect(database) as connection:
            yield lambda: postgres.waiters(connection) > 0


def over(line, database):
    return f"postgresql+psycopg://postgres@127.0.0.1:{line.port}/{database}"


class OnPostgresql(OnTheServer):
    isolation_level: str | None = None

    def options(self):
        return {"isolation_level": self.isolation_level} if self.isolation_level else {}

    @pytest.fixture
    def storage(self, postgres, database):
        engine = create_engine(postgres.url(database), **self.options())
        storage = SqlStorage(engine, wait=30)
        yield storage
        assert engine.pool.checkedout() == 0
        storage.close()

    @pytest.fixture
    def line_storage(self, line, database):
        engine = create_engine(over(line, database), **self.options())
        storage = SqlStorage(engine, wait=30)
        yield storage
        assert engine.pool.checkedout() == 0
        storage.close()

    @pytest.fixture
    def other_storage(self, postgres, database):
        storage = SqlStorage(create_engine(postgres.url(database), **self.options()), wait=30)
        yield storage
        storage.close()

    @pytest.fixture
    def impatient_storage(self, postgres, database):
        storage = SqlStorage(create_engine(postgres.url(database), **self.options()), wait=0.05)
        yield storage
        storage.close()


class TestPostgresql(OnPostgresql):
    @pytest.fixture
    def line(self, postgres):
        line = LossyLine(f"{postgres.host}/.s.PGSQL.5432")
        yield line
        line.close()

    @pytest.fixture
    def open_elsewhere(self, postgres, database):
        return opened_elsewhere.synchronous(postgres.url(database))


@pytest.mark.deep
@pytest.mark.server_side
@pytest.mark.same_rules
class TestPostgresqlRepeatableRead(OnPostgresql):
    isolation_level = "REPEATABLE READ"


@pytest.mark.server_side
@pytest.mark.same_rules
class TestPostgresqlSerializable(OnPostgresql):
    isolation_level = "SERIALIZABLE"


@pytest.mark.deep
@pytest.mark.server_side
@pytest.mark.same_rules
class TestPostgresqlAutocommit(OnPostgresql):
    isolation_level = "AUTOCOMMIT"


# What these databases are asked in words of their own is asked of workers' rows.
OF_WORKERS = ("HandOver", "Lease", "Pausing", "Stepwise")


class OneOrganizationAtATime(OnPostgresql):
    """The statements for databases that keep Organizations apart; PostgreSQL runs them too."""

    database_name: str

    def options(self):
        asked = {"segmentflow_database": self.database_name}
        return {"execution_options": asked, **super().options()}


@pytest.mark.deep
@pytest.mark.server_side
@pytest.mark.same_rules(*OF_WORKERS, "Batch", "People", "Retention", "History")
class TestStatementsForCitus(OneOrganizationAtATime):
    database_name = "citus"


@pytest.mark.deep
@pytest.mark.server_side
@pytest.mark.same_rules(*OF_WORKERS)
class TestStatementsForCockroachdb(OneOrganizationAtATime):
    database_name = "cockroachdb"
    isolation_level = "SERIALIZABLE"


@pytest.mark.deep
@pytest.mark.server_side
@pytest.mark.same_rules(*OF_WORKERS)
class TestStatementsForYugabytedb(OneOrganizationAtATime):
    database_name = "yugabytedb"
    isolation_level = "REPEATABLE READ"


@pytest.mark.deep
@pytest.mark.server_side
@pytest.mark.same_rules(*OF_WORKERS)
class TestStatementsForYugabytedbSerializable(OneOrganizationAtATime):
    database_name = "yugabytedb"
    isolation_level = "SERIALIZABLE"


@pytest.mark.server_side
@pytest.mark.same_rules
class TestPostgresqlThroughPgBouncer(OnTheServer):
    """With what the documentation tells a host to set, and, beside it, without."""

    @pytest.fixture
    def storage(self, pgbouncer, database):
        engine = create_engine(pgbouncer.url(database), connect_args={"prepare_threshold": None})
        storage = SqlStorage(engine, wait=30)
        yield storage
        assert engine.pool.checkedout() == 0
        storage.close()

    @pytest.fixture
    def other_storage(self, pgbouncer, database):
        storage = SqlStorage(create_engine(pgbouncer.url(database)), wait=30)
        yield storage
        storage.close()


# Work within a host's transaction is the host's to run again.
BOUND = Capabilities(reruns=False)


class InAHostsTransaction:
    """A host that opens a transaction for each piece of work and lends it."""

    def __init__(self, engine):
        self._engine = engine

    def run(self, work, **how):
        with self._engine.begin() as connection:
            return SqlStorage.bound_to(connection, wait=30).run(work)


@pytest.mark.server_side
@pytest.mark.same_rules("Batch", "People", *OF_WORKERS)
class TestPostgresqlBound(OnTheServer):
    capabilities = Capabilities(reruns=False, short_waits=True)

    @pytest.fixture
    def storage(self, postgres, database):
        engine = create_engine(postgres.url(database))
        yield InAHostsTransaction(engine)
        assert engine.pool.checkedout() == 0
        engine.dispose()


@pytest.mark.once
@pytest.mark.same_values
class TestSqliteBound(StorageContract):
    capabilities = BOUND

    @pytest.fixture
    def storage(self, tmp_path):
        engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}", connect_args={"timeout": 30})
        SqlStorage(engine).create_all()
        yield InAHostsTransaction(engine)
        assert engine.pool.checkedout() == 0
        engine.dispose()


class Async(StorageContract):
    @pytest.fixture
    def run_async(self, runner):
        return runner.run


class OnTheServerAsync(Async, OnTheServer):
    pass


class OnPostgresqlAsync(OnTheServerAsync):
    isolation_level: str | None = None

    def options(self):
        return {"isolation_level": self.isolation_level} if self.isolation_level else {}

    @pytest.fixture
    def open_storage(self, postgres, database, runner):
        """Give a function that opens the test's database once more."""
        opened = []

        def open_(wait, url=None):
            engine = create_async_engine(url or postgres.url(database), **self.options())
            opened.append(AsyncSqlStorage(engine, wait=wait))
            return opened[-1]

        yield open_
        for storage in opened:
            assert storage._engine.pool.checkedout() == 0
            runner.run(storage.close())

    @pytest.fixture
    def storage(self, open_storage):
        return open_storage(30)

    @pytest.fixture
    def other_storage(self, open_storage):
        return open_storage(30)

    @pytest.fixture
    def impatient_storage(self, open_storage):
        return open_storage(0.05)

    @pytest.fixture
    def line_storage(self, open_storage, line, database):
        return open_storage(30, over(line, database))


@pytest.mark.same_rules("Batch", *OF_WORKERS)
class TestPostgresqlAsync(OnPostgresqlAsync):
    @pytest.fixture
    def line(self, postgres):
        line = LossyLine(f"{postgres.host}/.s.PGSQL.5432")
        yield line
        line.close()

    @pytest.fixture
    def open_elsewhere(self, postgres, database):
        return opened_elsewhere.asynchronous(postgres.url(database))


@pytest.mark.deep
@pytest.mark.server_side
@pytest.mark.same_rules
class TestPostgresqlAsyncRepeatableRead(OnPostgresqlAsync):
    isolation_level = "REPEATABLE READ"


@pytest.mark.deep
@pytest.mark.server_side
@pytest.mark.same_rules
class TestPostgresqlAsyncSerializable(OnPostgresqlAsync):
    isolation_level = "SERIALIZABLE"


@pytest.mark.deep
@pytest.mark.server_side
@pytest.mark.same_rules
class TestPostgresqlAsyncThroughPgBouncer(OnTheServerAsync):
    @pytest.fixture
    def storage(self, pgbouncer, database, runner):
        engine = create_async_engine(pgbouncer.url(database))
        storage = AsyncSqlStorage(engine, wait=30)
        yield storage
        assert engine.pool.checkedout() == 0
        runner.run(storage.close())


@pytest.mark.same_values
class TestSqliteAsync(Async):
    @pytest.fixture
    def open_elsewhere(self, tmp_path):
        return opened_elsewhere.asynchronous(f"sqlite+aiosqlite:///{tmp_path / 'store.db'}")

    @pytest.fixture
    def storage(self, tmp_path, runner):
        engine = create_async_engine(f"sqlite+aiosqlite:///{tmp_path / 'store.db'}")
        storage = AsyncSqlStorage(engine, wait=30)
        runner.run(storage.create_all())
        yield storage
        assert engine.pool.checkedout() == 0
        runner.run(storage.close())

    @pytest.fixture
    def line(self):
        return SqliteLine()

    @pytest.fixture
    def line_storage(self, storage, line, tmp_path, runner):
        url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
        engine = create_async_engine(url, connect_args={"factory": line.connection})
        distant = AsyncSqlStorage(engine, wait=30)
        yield distant
        assert engine.pool.checkedout() == 0
        runner.run(distant.close())


class InAHostsAsyncTransaction:
    """As `InAHostsTransaction`, asynchronous."""

    def __init__(self, engine):
        self._engine = engine

    async def run(self, work, **how):
        async with self._engine.begin() as connection:
            return await AsyncSqlStorage.bound_to(connection, wait=30).run(work)


@pytest.mark.same_rules
class TestPostgresqlAsyncBound(OnTheServerAsync):
    capabilities = Capabilities(reruns=False, short_waits=True)

    @pytest.fixture
    def storage(self, postgres, database, runner):
        engine = create_async_engine(postgres.url(database))
        yield InAHostsAsyncTransaction(engine)
        assert engine.pool.checkedout() == 0
        runner.run(engine.dispose())


@pytest.mark.same_rules
class TestSqliteAsyncBound(Async):
    capabilities = BOUND

    @pytest.fixture
    def storage(self, tmp_path, runner):
        url = f"sqlite+aiosqlite:///{tmp_path / 'store.db'}"
        engine = create_async_engine(url, connect_args={"timeout": 30})
        runner.run(AsyncSqlStorage(engine).create_all())
        yield InAHostsAsyncTransaction(engine)
        assert engine.pool.checkedout() == 0
        runner.run(engine.dispose())

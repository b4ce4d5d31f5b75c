"""The databases that are spoken to as PostgreSQL, each with statements of its own."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from sqlalchemy import create_engine

from segmentflow_core import Records, Tracker
from segmentflow_core.colour import drive
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_request
from segmentflow_sql import SqlStorage, open_storage, postgresql
from segmentflow_sql.exchange import calls_for_rows
from segmentflow_sql.kin import KIN
from segmentflow_sql.statements import statements_for


def statements_of(storage):
    return storage._attempts._source.database._kind.statements


@pytest.fixture
def engine():
    """Give a function that makes an engine, which never connects."""
    return lambda **options: create_engine("postgresql+psycopg://nowhere", **options)


def asking_for(name):
    return {"execution_options": {"segmentflow_database": name}}


@pytest.mark.parametrize("name", KIN)
def test_an_engine_says_by_an_option_which_of_the_kin_it_leads_to(engine, name):
    assert statements_of(SqlStorage(engine(**asking_for(name)))) is statements_for(name)


def test_without_the_option_it_is_postgresql(engine):
    assert statements_of(SqlStorage(engine())) is statements_for("postgresql")


def test_an_engine_for_cockroachdb_needs_no_option(engine):
    of_cockroachdb = engine()
    of_cockroachdb.dialect.name = "cockroachdb"
    assert statements_of(SqlStorage(of_cockroachdb)) is statements_for("cockroachdb")


@pytest.mark.parametrize("name", ["oracle", "sqlite", "yugabytedb_serializable", None])
def test_another_name_is_refused(engine, name):
    with pytest.raises(ConfigurationError, match="citus, yugabytedb, cockroachdb"):
        SqlStorage(engine(**asking_for(name)))


def test_yugabytedb_passes_over_locked_rows_except_at_serializable(engine):
    of_yugabytedb = engine(**asking_for("yugabytedb"))
    strict = of_yugabytedb.execution_options(isolation_level="SERIALIZABLE")
    assert statements_of(SqlStorage(strict)) is statements_for("yugabytedb_serializable")
    loose = of_yugabytedb.execution_options(isolation_level="REPEATABLE READ")
    assert statements_of(SqlStorage(loose)) is statements_for("yugabytedb")


def test_bound_storage_goes_by_the_option_of_the_hosts_engine(postgres, database):
    engine = create_engine(postgres.url(database), **asking_for("citus"))
    with engine.connect() as connection:
        part = SqlStorage.bound_to(connection)._part
        assert part._database._kind.statements is statements_for("citus")
    engine.dispose()


@pytest.fixture
def expired(postgres, database):
    """Give a function that opens storage of one of the kin, with ten expired keys in each of two
    Organizations.
    """
    opened = []

    def open_(name):
        storage = SqlStorage(create_engine(postgres.url(database), **asking_for(name)))
        opened.append(storage)
        clock = FixedClock()
        tracker = Tracker(
            storage,
            fingerprint_key=FINGERPRINT_SECRET,
            clock=clock,
            key_lifetime=timedelta(hours=1),
        )
        for organization_id in ("a", "b"):
            calls = [(a_request(), f"key {n}") for n in range(10)]
            tracker.track_many(calls, organization_id=organization_id)
        clock.advance(hours=2)
        return tracker

    yield open_
    for storage in opened:
        storage.close()


@pytest.mark.parametrize("name", KIN)
def test_a_purge_removes_as_many_expired_keys_as_it_may(expired, name):
    tracker = expired(name)
    assert [tracker.records.purge_keys(limit=8) for _ in range(4)] == [8, 8, 4, 0]


@pytest.mark.parametrize("name", KIN)
def test_a_purge_passes_over_keys_in_use(expired, postgres, database, name):
    tracker = expired(name)
    with postgres.connect(database) as connection:
        connection.execute("BEGIN")
        query = "SELECT 1 FROM segmentflow_claims WHERE organization_id = 'a' FOR UPDATE"
        assert connection.execute(query).rowcount == 10
        assert tracker.records.purge_keys(limit=100) == 10
        connection.execute("ROLLBACK")
    assert tracker.records.purge_keys(limit=100) == 10


@pytest.mark.parametrize("name", KIN)
def test_a_purge_with_nothing_to_remove_is_a_write_all_the_same(
    postgres, database, monkeypatch, name
):
    """So `check_writes` finds out a server that takes none."""
    sent = []
    send = postgresql.PsycopgConnection._send

    def watched(self, statement, *rest):
        sent.append(statement.text)
        send(self, statement, *rest)

    monkeypatch.setattr(postgresql.PsycopgConnection, "_send", watched)
    storage = SqlStorage(create_engine(postgres.url(database), **asking_for(name)))
    Records(storage).check_writes()
    storage.close()
    assert any("DELETE FROM segmentflow_claims" in text for text in sent)


@pytest.mark.parametrize("name", KIN)
def test_a_url_says_so_as_well(name):
    storage = open_storage(f"postgresql://nowhere/shop?segmentflow_database={name}&port=6432")
    assert statements_of(storage) is statements_for(name)
    assert dict(storage._engine.url.query) == {"port": "6432"}


def test_a_url_that_names_another_is_refused():
    with pytest.raises(ConfigurationError, match="citus, yugabytedb, cockroachdb"):
        open_storage("postgresql://nowhere/shop?segmentflow_database=oracle")


@pytest.mark.parametrize(("name", "calls"), [("postgresql", 1), ("citus", 3)])
def test_rows_of_several_organizations_are_written_each_to_its_own(postgres, database, name, calls):
    now = datetime(2026, 6, 1, tzinfo=UTC)
    rows = [
        (of, f"key {n}", now) for of, count in (("a", 2), ("b", 1), ("c", 3)) for n in range(count)
    ]
    take_keys = statements_for(name).tracking.take_keys
    written = calls_for_rows(take_keys, rows, now)
    assert len(written) == calls
    storage = SqlStorage(create_engine(postgres.url(database), **asking_for(name)))
    storage.run(lambda transaction: drive(transaction.connection.exchange(written)))
    storage.close()
    with postgres.connect(database) as connection:
        found = connection.execute("SELECT organization_id, key_digest FROM segmentflow_claims")
        assert sorted(found) == [row[:2] for row in rows]

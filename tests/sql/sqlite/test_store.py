"""A store in a SQLite file: its life, its errors, its secrets, and what its statements read."""

from __future__ import annotations

import logging
import re
import sqlite3

import pytest
from sqlalchemy import create_engine, event

from segmentflow_core import Tracker
from segmentflow_core.errors import (
    ConfigurationError,
)
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    a_request,
)
from segmentflow_sql import SqlStorage, metadata, open_storage
from segmentflow_sql.statements import all_statements, statements_for


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


def test_the_database_survives_a_power_cut_by_its_settings(storage, path):
    storage.run(lambda transaction: None)
    pooled = storage._engine.raw_connection()
    try:
        read = pooled.driver_connection.execute
        assert read("PRAGMA journal_mode").fetchone() == ("wal",)
        assert read("PRAGMA synchronous").fetchone() == (2,)
    finally:
        pooled.close()


def test_the_secret_is_nowhere_in_the_files_or_the_logs(storage, path, caplog):
    caplog.set_level(logging.DEBUG)
    a_tracker(storage).track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    files = {file.name: file.read_bytes() for file in path.parent.iterdir()}
    assert set(files) == {"store.db", "store.db-wal", "store.db-shm"}
    assert b"ord_9421" in files["store.db"] + files["store.db-wal"]
    assert not any(b"tok_live_abc" in content for content in files.values())
    assert "tok_live_abc" not in caplog.text


def test_a_store_without_tables_is_named_as_such_and_not_created(path):
    with pytest.raises(ConfigurationError, match="no tables yet"):
        a_tracker(open_storage(f"sqlite:///{path}")).records.events()
    assert not path.exists()


def test_a_store_of_another_version_is_refused(storage, path):
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE segmentflow_schema SET version = 99")
    connection.close()
    other = open_storage(f"sqlite:///{path}")
    for use in (other.create_all, a_tracker(other).records.events):
        with pytest.raises(ConfigurationError) as refusal:
            use()
        assert refusal.value.details == {"found": 99, "expected": 2}
    other.close()


def test_create_all_may_be_called_again(storage):
    receipt = a_tracker(storage).track(a_request(), "key")
    storage.create_all()
    assert a_tracker(storage).track(a_request(), "key") == receipt


def test_the_hosts_own_metadata_can_create_the_tables(tmp_path):
    engine = create_engine(f"sqlite:///{tmp_path / 'host.db'}")
    metadata.create_all(engine)
    storage = SqlStorage(engine)
    storage.create_all()
    assert a_tracker(storage).track(a_request(), "key").matched_journeys == 0
    storage.close()


def test_an_error_of_the_driver_shows_its_code_and_nothing_it_was_writing(storage, path):
    tracker = a_tracker(storage)
    with sqlite3.connect(path) as connection:
        connection.execute("DROP TABLE segmentflow_events")
    connection.close()
    with pytest.raises(ConfigurationError) as failure:
        tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    assert failure.value.details == {"error": "SQLITE_ERROR"}
    assert str(path) in failure.value.message
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None


def test_a_file_that_is_no_database_is_refused(tmp_path):
    path = tmp_path / "store.db"
    path.write_bytes(b"no database at all" * 100)
    storage = open_storage(f"sqlite:///{path}")
    with pytest.raises(ConfigurationError, match="no database of SQLite's") as refusal:
        storage.create_all()
    assert str(path) in refusal.value.message
    storage.close()


def test_an_engine_for_something_else_is_refused():
    with pytest.raises(ConfigurationError):
        SqlStorage(create_engine("sqlite+aiosqlite://"))
    with pytest.raises(ConfigurationError):
        open_storage("nonsense")


def test_a_batch_costs_as_many_reads_as_one_event(storage):
    """A list is one parameter: only claims and rows are written one by one."""
    reads: list[str] = []
    storage.run(lambda transaction: None)

    @event.listens_for(storage._engine, "checkout")
    def trace(driver, record, proxy):
        driver.set_trace_callback(
            lambda sql: reads.append(sql) if sql.startswith("SELECT") else None
        )

    counts = []
    for size in (1, 200):
        reads.clear()
        calls = [
            (a_request(profile={"email": f"{size}-{n}@example.com"}), f"{size}-{n}")
            for n in range(size)
        ]
        a_tracker(storage).track_many(calls)
        counts.append(len(reads))
    assert counts[0] == counts[1] > 0


def statements_that_look_something_up():
    """Return every statement but those that list, and those of workers, which have tests."""
    known = statements_for("sqlite")
    groups = (known.tracking, known.journeys, known.records, known.api_keys)
    found = [statement for group in groups for statement in all_statements(group)]
    return [statement for statement in found if not statement.name.startswith("list_")]


@pytest.mark.parametrize(
    "statement", statements_that_look_something_up(), ids=lambda each: each.name
)
def test_no_statement_reads_more_than_an_index_leads_it_to(storage, path, statement):
    """Every look-up goes by more than the Organization, whatever its size."""
    connection = sqlite3.connect(path)
    arguments = ["[]"] * len(statement.parameters)
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", arguments)]
    connection.close()
    for step in plan:
        if "SCAN" in step:
            assert re.search(r"SCAN (each_\w+|anon_\d+|CONSTANT ROW)", step), plan
        elif step.startswith("SEARCH"):
            assert "(organization_id=?)" not in step, plan

"""`segmentflow migrate`, on a store that version 0.1.0 made."""

from __future__ import annotations

import shutil
import sqlite3

import psycopg
import pytest

from command_answers import answer
from segmentflow_sql import open_storage
from stores.made_by_0_1_0 import MADE
from stores.plain_rows import exact, postgresql_rows, sqlite_rows

STEPS = 10


@pytest.fixture
def old(folder):
    """Make the default store one of 0.1.0."""
    return shutil.copy(MADE / "store.sqlite3", folder / "segmentflow.db")


@pytest.mark.usefixtures("old")
def test_the_other_commands_say_what_to_run(run):
    for command in (("init",), ("events", "list"), ("purge",)):
        status, _, err = run(*command)
        assert status == 1
        assert "segmentflow migrate" in err


@pytest.mark.usefixtures("old")
def test_a_store_is_migrated_and_then_there_is_nothing_to_do(run):
    status, out, err = run("migrate")
    assert (status, err) == (0, "")
    assert "Number the events of each Profile" in out
    assert out.endswith("Migrated the tables from version 1 to 2.\n")
    assert run("migrate")[1] == "The tables are of version 2: nothing to do.\n"
    assert answer(run("migrate", "--json")) == {"from": 2, "to": 2, "dryRun": False, "steps": []}
    assert len(answer(run("events", "list", "--json"))) == 20
    assert run("init")[0] == 0


def test_a_dry_run_counts_rows_and_changes_none(run, old):
    before = sqlite_rows(old)
    found = answer(run("migrate", "--dry-run", "--json"))
    assert (found["from"], found["to"], found["dryRun"]) == (1, 2, True)
    assert len(found["steps"]) == STEPS
    rows = {step["name"]: step["rows"] for step in found["steps"]}
    assert rows["Number the events of each Profile"] == len(before["segmentflow_events"])
    assert "Would migrate" in run("migrate", "--dry-run")[1]
    assert sqlite_rows(old) == before


def test_the_sql_of_sqlite_says_what_takes_python(run, old):
    before = sqlite_rows(old)
    status, script, _ = run("migrate", "--sql")
    assert status == 0
    assert "segmentflow_key_digest, segmentflow_unseen are functions of Python's" in script
    assert sqlite_rows(old) == before
    connection = sqlite3.connect(old, isolation_level=None)
    with pytest.raises(sqlite3.OperationalError, match="no such function"):
        connection.executescript(script)
    connection.close()
    assert sqlite_rows(old) == before
    assert answer(run("migrate", "--sql", "--json"))["sql"] == script


def test_the_sql_of_postgresql_migrates_by_itself(run, postgres, new_database):
    by_command, by_script = new_database(), new_database()
    for name in (by_command, by_script):
        with psycopg.connect(postgres.conninfo(name)) as connection:
            connection.execute((MADE / "postgresql.sql").read_bytes())
    script = run("migrate", "--sql", "--store", postgres.url(by_script))[1]
    with psycopg.connect(postgres.conninfo(by_script), autocommit=True) as connection:
        connection.execute(script.encode())
    assert run("migrate", "--store", postgres.url(by_command))[0] == 0
    rows = [postgresql_rows(postgres.conninfo(name)) for name in (by_command, by_script)]
    assert exact(rows[0]) == exact(rows[1])
    storage = open_storage(postgres.url(by_script))
    assert storage.migration_sql() == "-- Nothing is to be done.\n"
    storage.close()


def test_a_store_that_is_not_there_is_told_of_init(run, folder):
    status, _, err = run("migrate")
    assert status == 1
    assert "segmentflow init" in err
    assert not (folder / "segmentflow.db").exists()


def test_a_kind_of_store_without_migrations_says_so(run):
    status, _, err = run("migrate", "--store", "memory:")
    assert status == 1
    assert "nothing to migrate" in err

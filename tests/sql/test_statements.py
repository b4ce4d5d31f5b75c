"""``python -m segmentflow_sql``: every statement, named, for people to read."""

from __future__ import annotations

import re
import sqlite3
import subprocess
import sys

import pytest

from segmentflow_sql.statements import DIALECTS, all_statements, statements_for

HEADING = re.compile(r"^-- ===== (\w+): (\w+) =====$", re.MULTILINE)
NAMED = re.compile(r"^-- (\w+)\n(.*?);$", re.MULTILINE | re.DOTALL)


def printed(*arguments):
    command = [sys.executable, "-m", "segmentflow_sql", *arguments]
    return subprocess.run(command, check=False, capture_output=True, text=True)


@pytest.mark.parametrize("database", DIALECTS)
def test_every_statement_is_printed_once_under_a_name_of_its_own(database):
    shown = NAMED.findall(printed(database).stdout)
    names = [name for name, _ in shown]
    statements = list(all_statements(statements_for(database)))
    assert names == [statement.name for statement in statements]
    assert len(set(names)) == len(names)
    for statement, (_, text) in zip(statements, shown, strict=True):
        assert text.split() == statement.text.split()


def test_every_database_is_printed_where_none_is_named():
    databases = [database for database, _ in HEADING.findall(printed().stdout)]
    assert list(dict.fromkeys(databases)) == list(DIALECTS)
    refusal = printed("oracle")
    assert refusal.returncode == 2
    assert "sqlite" in refusal.stderr


def test_a_reader_that_has_read_enough_is_no_error():
    command = [sys.executable, "-m", "segmentflow_sql"]
    printing = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    # It has more to print than a pipe holds, so it is still printing.
    assert printing.stdout.readline() == b"\n"
    printing.stdout.close()
    assert printing.stderr.read() == b""
    printing.stderr.close()
    assert printing.wait(30) == 0


def test_what_is_printed_last_creates_the_tables():
    *_, heading, definitions = HEADING.split(printed("sqlite").stdout)
    assert heading == "definitions"
    connection = sqlite3.connect(":memory:")
    connection.executescript(definitions)
    for statement in all_statements(statements_for("sqlite")):
        connection.execute(f"EXPLAIN {statement.text}", ["[]"] * len(statement.parameters))
    connection.close()


@pytest.mark.parametrize("database", DIALECTS)
def test_the_statements_that_take_keys_are_known_as_such(database):
    """A wait that is too long means something else there: IdempotencyInProgress."""
    known = statements_for(database)
    taking = [statement for statement in all_statements(known) if statement.takes_keys]
    tracking = known.tracking
    assert taking == list(all_statements(tracking.take_keys or tracking.taken_keys))


def test_on_sqlite_rows_are_one_parameter_only_where_something_is_returned():
    tracking = statements_for("sqlite").tracking
    assert statements_for("sqlite").hand_over.complete_enrollments.many is not None
    for statement in (tracking.write_events, tracking.write_enrollments, tracking.count_events):
        assert statement.many is None


@pytest.mark.parametrize("database", DIALECTS)
def test_a_prepared_statement_is_known_by_its_text_as_well(database):
    """A pooler may lead to a server where another version of ours prepared its own."""
    prepared = [s.prepared_name for s in all_statements(statements_for(database))]
    assert all(re.fullmatch(r"\w+_[0-9a-f]{16}", name) for name in prepared if name)

"""Every statement is on the written list of what PostgreSQL and its kin document."""

from __future__ import annotations

import re

import pytest

from portable_sql import CLAUSES, FUNCTIONS, OPERATORS, SOURCES, TYPES
from segmentflow_sql import postgresql
from segmentflow_sql.exchange import Call
from segmentflow_sql.statements import DIALECTS, all_statements, statements_for
from sql_lint import faults
from sql_reader import calls, phrases, read, types

KIN = [name for name in DIALECTS if name != "sqlite"]
LISTS = {"clause": CLAUSES, "function": FUNCTIONS, "type": TYPES, "operator": OPERATORS}


def texts_of_transactions():
    """Return what begins, sets up and ends transactions on PostgreSQL and its kin."""
    told = [*vars(postgresql).values(), postgresql.Postgresql(2.0)._lock_timeout]
    lists = [each if isinstance(each, list) else [each] for each in told]
    plain = [call.statement for each in lists for call in each if isinstance(call, Call)]
    plain += [call.statement for call in postgresql.Postgresql.one_creator]
    plain.append(postgresql._SEARCHED)
    begun = [
        f"BEGIN{level}{access}{deferrable}"
        for level in postgresql._ISOLATION_LEVELS.values()
        for access in postgresql._ACCESS.values()
        for deferrable in postgresql._DEFERRABLE.values()
    ]
    return [*begun, "SAVEPOINT segmentflow", *(statement.text for statement in plain)]


@pytest.mark.parametrize("database", KIN)
def test_every_statement_is_on_the_list(database):
    """Add an entry to portable_sql, with pages of every engine, before a statement needs it."""
    found = {
        statement.name: faults(statement.text, database)
        for statement in all_statements(statements_for(database))
    }
    assert {name: wrong for name, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("text", texts_of_transactions())
def test_what_begins_and_ends_a_transaction_is_on_the_list(text):
    assert faults(text, "postgresql") == []


PLANTED = {
    "SELECT now()": "function now: not on the list",
    "SELECT current_timestamp": "name current_timestamp",
    "SELECT CURRENT_DATE": "clause CURRENT",
    "SELECT email FROM segmentflow_profiles FOR SHARE": "clause FOR: not on the list",
    "SELECT email FROM segmentflow_profiles FOR NO KEY UPDATE": "clause FOR: not on the list",
    "SELECT email FROM segmentflow_profiles TABLESAMPLE SYSTEM (1)": "clause TABLESAMPLE",
    "SELECT email FROM segmentflow_profiles WHERE email ~ 'a'": "cannot read",
    "SELECT email || external_id FROM segmentflow_profiles": "operator ||: not on the list",
    "SELECT email ILIKE 'a' FROM segmentflow_profiles": "clause ILIKE",
    "SELECT $1::NUMERIC": "type NUMERIC: not on the list",
    "SELECT CAST($1::VARCHAR AS CITEXT)": "type CITEXT: not on the list",
    "CREATE TABLE IF NOT EXISTS segmentflow_x (organization_id SERIAL NOT NULL)": "type SERIAL",
    "LISTEN segmentflow": "clause LISTEN",
    "TRUNCATE segmentflow_events": "clause TRUNCATE",
    "INSERT INTO segmentflow_schema (version) VALUES (random())": "function random",
    "DELETE FROM elsewhere": "name elsewhere",
    # The forms that Citus refused.
    "UPDATE segmentflow_claims SET taken_at=CAST(value ->> 0 AS TIMESTAMP WITH TIME ZONE)": (
        "a cast AS TIMESTAMP WITH TIME ZONE: depends on the session"
    ),
    "DELETE FROM segmentflow_claims RETURNING CAST(EXTRACT(epoch FROM expires_at) AS BIGINT)": (
        "EXTRACT of a time with a zone"
    ),
    "UPDATE segmentflow_claims SET paths=$1 WHERE key_id = ANY (CAST($2::VARCHAR AS TEXT[]))": (
        "a cast AS TEXT [ ]: depends on the session"
    ),
    "UPDATE segmentflow_claims SET key_id=current_setting('a')": (
        "function current_setting: depends on the session, in a change"
    ),
    "UPDATE segmentflow_claims SET taken_at=date_trunc('second', taken_at)": (
        "date_trunc of a time with a zone"
    ),
    # Keys that no sharded engine can keep.
    "CREATE UNIQUE INDEX IF NOT EXISTS x ON segmentflow_api_keys (lookup)": (
        "a unique index that does not lead with organization_id"
    ),
    "CREATE TABLE IF NOT EXISTS x (event_id UUID NOT NULL, PRIMARY KEY (event_id))": (
        "a primary key that does not lead with organization_id"
    ),
}


@pytest.mark.parametrize(("text", "fault"), PLANTED.items())
def test_a_planted_statement_is_refused(text, fault):
    assert any(fault in each for each in faults(text, "postgresql")), faults(text, "postgresql")


LOCKED = "SELECT token FROM segmentflow_enrollments WHERE {} = $1::VARCHAR FOR UPDATE"
ELSEWHERE = {
    ("citus", LOCKED.format("journey_id")): "a lock on rows of more than one Organization",
    ("cockroachdb", f"WITH taken AS MATERIALIZED ({LOCKED.format('journey_id')})"): (
        "a lock on rows of more than one Organization"
    ),
    ("yugabytedb", "UPDATE segmentflow_events SET event=$1::VARCHAR WHERE event_id = $2::UUID"): (
        "a change of rows of more than one Organization"
    ),
    ("citus", "DELETE FROM segmentflow_claims WHERE key_digest = $1::VARCHAR"): (
        "a change of rows of more than one Organization"
    ),
    ("citus", "WITH RECURSIVE a AS (SELECT 1) SELECT 1"): "clause WITH RECURSIVE: not on citus",
    ("yugabytedb_serializable", LOCKED.format("organization_id") + " SKIP LOCKED"): (
        "clause SKIP LOCKED: not on yugabytedb_serializable"
    ),
    ("cockroachdb", 'CREATE TABLE IF NOT EXISTS x (event VARCHAR(255) COLLATE "C")'): (
        "clause COLLATE: not on cockroachdb"
    ),
}


@pytest.mark.parametrize("planted", ELSEWHERE, ids=" ".join)
def test_what_one_engine_lacks_is_refused_there(planted):
    database, text = planted
    assert any(ELSEWHERE[planted] in each for each in faults(text, database))
    assert not any(ELSEWHERE[planted] in each for each in faults(text, "postgresql"))


@pytest.mark.parametrize("kind", LISTS)
def test_the_list_is_no_longer_than_what_is_used(kind):
    texts = texts_of_transactions()
    for database in KIN:
        texts += [each.text for each in all_statements(statements_for(database))]
    used = set()
    for words in map(read, texts):
        used |= {
            "clause": set(phrases(words, {**CLAUSES, **TYPES})),
            "function": set(calls(words)),
            "type": set(types(words)),
            "operator": {word.text for word in words},
        }[kind]
    assert set(LISTS[kind]) - used == set()


@pytest.mark.parametrize("kind", LISTS)
def test_every_entry_says_why_and_where_each_engine_documents_it(kind):
    for name, entry in LISTS[kind].items():
        assert entry.reason, name
        assert set(SOURCES) >= set(entry.pages) >= {"postgresql", "citus", "yugabytedb"}, name
        undocumented = set(SOURCES) - set(entry.pages)
        assert not undocumented or name in NOT_THERE, name
    assert all(base.startswith("https://") and base.endswith("/") for base in SOURCES.values())


NOT_THERE = {"COLLATE", "DEFERRABLE", "NOT DEFERRABLE", "pg_advisory_xact_lock"}
"""What CockroachDB's pages do not have: only `create_all` and a host's own wish lead to it."""


@pytest.mark.parametrize("database", KIN)
def test_names_are_compared_by_code_point_where_that_must_be_said(database):
    definitions = "".join(each.text for each in statements_for(database).definitions)
    said = len(re.findall(r'VARCHAR\(\d+\) COLLATE "C"', definitions))
    assert said == (0 if database == "cockroachdb" else len(re.findall("VARCHAR", definitions)))


@pytest.mark.parametrize("database", KIN)
def test_the_types_are_those_of_postgresql_everywhere(database):
    def columns(name):
        texts = [each.text for each in statements_for(name).definitions]
        return [text.replace(' COLLATE "C"', "") for text in texts]

    assert columns(database) == columns("postgresql")

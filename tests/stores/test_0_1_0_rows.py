"""What version 0.1.0 stored, which `0.1.0/make.py` made, is whole and shows no secret.

Knows sqlite3 and psycopg only, so that it stays true whatever becomes of the library.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from stores.api_key_secrets import api_key_secret
from stores.made_by_0_1_0 import CALLS, DEFAULT, HOST, LONG, MADE, ODD, ROWS, Row, rows_of
from stores.plain_rows import JSON_COLUMNS, exact, postgresql_rows, sqlite_rows


def grouped(rows: dict[str, list[Row]]) -> list[str]:
    return [exact({"table": table, "row": row}) for table in rows for row in rows[table]]


def test_the_sqlite_store_holds_exactly_the_rows_that_are_listed(sqlite_file):
    assert grouped(sqlite_rows(sqlite_file)) == [exact(line) for line in ROWS]


def test_the_postgresql_dump_holds_exactly_the_rows_that_are_listed(postgres, postgresql_database):
    rows = postgresql_rows(postgres.conninfo(postgresql_database))
    assert grouped(rows) == [exact(line) for line in ROWS]


def secrets() -> list[str]:
    api_keys = [made["entropy"] for made in HOST["api_keys"]]
    api_keys += [api_key_secret(made["entropy"], test=made["test"]) for made in HOST["api_keys"]]
    return [*HOST["canaries"], *HOST["fingerprint_keys"].values(), *api_keys]


@pytest.mark.parametrize(
    "name", ["store.sqlite3", "postgresql.sql", "rows.ndjson", "records.ndjson"]
)
def test_no_byte_of_what_was_stored_is_of_a_secret(name):
    held = (MADE / name).read_bytes()
    assert [secret for secret in secrets() if secret.encode() in held] == []


def test_every_planted_secret_was_sent():
    sent = exact([call["request"] for call in CALLS])
    assert [canary for canary in HOST["canaries"] if canary not in sent] == []


def test_every_table_of_0_1_0_has_rows():
    assert Counter(line["table"].removeprefix("segmentflow_") for line in ROWS).keys() == {
        "api_keys",
        "claims",
        "enrollments",
        "events",
        "journey_versions",
        "journeys",
        "profiles",
        "schema",
    }
    assert rows_of("schema") == [{"version": 1}]


def test_every_column_has_values_and_null_where_it_may():
    never_null = {"token", "entry_key", "lease_until", "completed_at", "expires_at"}
    never_null |= {"email", "external_id", "reference_id", "label", "last_used_at", "revoked_at"}
    for table in {line["table"].removeprefix("segmentflow_") for line in ROWS}:
        for column in rows_of(table)[0]:
            values = [row[column] for row in rows_of(table)]
            assert any(value is not None for value in values), (table, column)
            assert (None in values) == (column in never_null), (table, column)


SKIP_REASONS = {
    "condition_not_met",
    "condition_unknown",
    "already_enrolled",
    "cooling_down",
    "entry_key_missing",
    "too_late",
    "outside_window",
    "sampled_out",
}
OPERATORS = "eq ne gt gte lt lte between in not_in contains starts_with ends_with exists missing"
OPERATORS += " is_null before after any_item all_items"


def test_every_outcome_of_0_1_0_occurs():
    outcomes = [outcome for row in rows_of("events") for outcome in row["outcomes"]]
    assert {kind for _, _, kind, _ in outcomes} == {"enrolled", "skipped"}
    assert {reason for *_, reason in outcomes} == {*SKIP_REASONS, None}


def test_every_status_of_0_1_0_occurs():
    enrollments = {row["status"] for row in rows_of("enrollments")}
    assert enrollments == {"pending", "claimed", "completed", "dead"}
    journeys = {row["status"] for row in rows_of("journeys")}
    assert journeys == {"draft", "active", "paused", "archived"}


def test_every_member_of_a_journey_of_0_1_0_occurs():
    definitions = [row["definition"] for row in rows_of("journey_versions")]
    members = {member for definition in definitions for member in definition}
    assert members == {
        *("id", "name", "status", "trigger", "reentry", "window", "maxLateness", "sample")
    }
    entered = {(row["journey_id"], row["version"]) for row in rows_of("enrollments")}
    policies = {
        row["definition"]["reentry"]["policy"]
        for row in rows_of("journey_versions")
        if (row["journey_id"], row["version"]) in entered
    }
    assert policies == {"every_event", "once", "once_per_key", "cooldown"}
    key_lengths = {len(definition["reentry"].get("key", ())) for definition in definitions}
    assert key_lengths >= {0, 1, 4, 8}


def test_every_operator_of_0_1_0_occurs():
    def nodes(value: Any) -> Iterator[Row]:
        items = value.values() if isinstance(value, dict) else value
        if isinstance(value, (dict, list)):
            for item in items:
                yield from nodes(item)
        if isinstance(value, dict):
            yield value

    found = list(nodes([row["definition"] for row in rows_of("journey_versions")]))
    assert {node["op"] for node in found if "op" in node} == {*OPERATORS.split()}
    assert {"all", "any", "not"} <= {member for node in found for member in node}


@pytest.mark.parametrize("status", ["paused", "archived"])
def test_journeys_that_do_not_listen_left_waiting_and_claimed_enrollments(status):
    silent = {row["journey_id"] for row in rows_of("journeys") if row["status"] == status}
    left = {row["status"] for row in rows_of("enrollments") if row["journey_id"] in silent}
    assert left == {"pending", "claimed"}


def test_a_change_of_the_status_made_no_version():
    versions = {row["journey_id"]: row["version"] for row in rows_of("journeys")}
    assert {versions[name] for name in ("draft-then-active", "paused-and-resumed")} == {1}


def test_two_organizations_hold_equal_ids_and_keys():
    for table, column in (("claims", "key"), ("journeys", "journey_id"), ("profiles", "email")):
        of = {
            name: {row[column] for row in rows_of(table) if row["organization_id"] == name}
            for name in (DEFAULT, ODD, LONG)
        }
        assert of[DEFAULT] & of[ODD], table
        assert of[LONG], table


def test_calls_of_every_ending_are_kept():
    codes = Counter(call["refusal"]["code"] for call in CALLS if "refusal" in call)
    assert codes.keys() == {
        "invalid_request",
        "idempotency_key_required",
        "idempotency_key_reuse",
        "identity_conflict",
        "profile_email_required",
    }
    assert {call["remembered"] for call in CALLS if "receipt" in call} == {True, False}
    unmatched = [call["receipt"]["unmatched_paths"] for call in CALLS if "receipt" in call]
    assert max(map(len, unmatched)) == 3


def test_a_refused_request_left_its_key_free():
    claimed = {(row["organization_id"], row["key"]) for row in rows_of("claims")}
    refused = [call["idempotency_key"] for call in CALLS if "refusal" in call]
    left_free = {key for key in refused if key and key.startswith("left free")}
    assert len(left_free) == 3
    assert not claimed & {(DEFAULT, key) for key in left_free}
    assert (DEFAULT, "free at first") in claimed


def test_what_is_json_is_named(sqlite_file):
    """A column of JSON that `plain_rows` does not know would be compared as text."""
    found = {
        column
        for rows in sqlite_rows(sqlite_file).values()
        for row in rows
        for column, value in row.items()
        if isinstance(value, (dict, list))
    }
    assert found == JSON_COLUMNS

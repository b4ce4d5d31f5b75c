"""What version 0.1.0 stored, which `0.1.0/make.py` made, is whole, and this version refuses it.

The first part knows sqlite3 and psycopg only: that the stores are whole, and hold every
kind of row. It stays true whatever becomes of the library. The second part opens them
with the library and reads what 0.1.0 read; `open_store` is where that begins. It is refused,
and the second part skipped, until tables can be brought from one version to the next.
"""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable, Iterator
from datetime import datetime
from pathlib import Path
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine

from segmentflow_core import ApiKeys, Limits, Tracker
from segmentflow_core.errors import ConfigurationError, Unauthorized
from segmentflow_core.testing import FixedClock
from segmentflow_sql import SqlStorage
from stores.plain_rows import JSON_COLUMNS, exact, postgresql_rows, sqlite_rows
from stores.records import (
    api_key_secret,
    claim_all,
    complete,
    fingerprint_keys,
    read_records,
    track_again,
)

MADE = Path(__file__).parent / "0.1.0"
STORES = ("sqlite", "postgresql")

Row = dict[str, Any]


def kept(name: str) -> list[Any]:
    # A line ends with "\n" only: other characters that end lines are among the values.
    return [json.loads(line) for line in (MADE / name).read_text("utf-8").split("\n") if line]


HOST = json.loads((MADE / "host.json").read_text("utf-8"))
NOW = HOST["now"]
DEFAULT, ODD, LONG = HOST["organizations"]
CALLS = kept("calls.ndjson")
ROWS = kept("rows.ndjson")


def rows_of(table: str) -> list[Row]:
    return [line["row"] for line in ROWS if line["table"] == f"segmentflow_{table}"]


@pytest.fixture
def sqlite_file(tmp_path):
    return Path(shutil.copy(MADE / "store.sqlite3", tmp_path))


@pytest.fixture
def postgresql_database(postgres, new_database):
    name = new_database()
    with psycopg.connect(postgres.conninfo(name)) as connection:
        # Statements only, and as bytes: a text with "\r\n" in it is among the values.
        connection.execute((MADE / "postgresql.sql").read_bytes())
    return name


# --- what the stores hold, by their databases' drivers alone --------------------------------


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


def after(moment: str, days: int) -> bool:
    return (datetime.fromisoformat(NOW) - datetime.fromisoformat(moment)).days >= days


def holds(row: Row, **values: Any) -> bool:
    return all(row[name] == value for name, value in values.items())


def depth(value: Any) -> int:
    items = value.values() if isinstance(value, dict) else value
    return 1 + max(map(depth, items), default=0) if isinstance(value, (dict, list)) else 0


def text_of(row: Row) -> str:
    return json.dumps(row, ensure_ascii=False)


KINDS: dict[str, tuple[str, Callable[[Row], object]]] = {
    "a key that expired": ("claims", lambda r: r["expires_at"] and r["expires_at"] < NOW),
    "a key that expires this very moment": ("claims", lambda r: r["expires_at"] == NOW),
    "a key that expires later": ("claims", lambda r: r["expires_at"] and r["expires_at"] > NOW),
    "a key that is kept for ever": ("claims", lambda r: r["expires_at"] is None),
    "a key used again after it expired": (
        "claims",
        lambda r: r["key"] == "used again later" and not after(r["claimed_at"], 30),
    ),
    "a key with spaces": ("claims", lambda r: r["key"].endswith("  ")),
    "a key with colons and slashes": ("claims", lambda r: ":" in r["key"] and "/" in r["key"]),
    "a key of 255 characters": ("claims", lambda r: len(r["key"]) == 255),
    "a fingerprint under the first key": ("claims", lambda r: r["key_id"] == "0.1.0/first"),
    "a fingerprint under the second key": ("claims", lambda r: r["key_id"] == "0.1.0/second"),
    "an unexpired fingerprint under the first key": (
        "claims",
        lambda r: r["key_id"] == "0.1.0/first" and r["expires_at"] is None,
    ),
    "a Profile with an email only": ("profiles", lambda r: r["email"] and not r["external_id"]),
    "a Profile with an external id only": ("profiles", lambda r: r["email"] is None),
    "a Profile with both": ("profiles", lambda r: r["email"] and r["external_id"]),
    "a Profile whose email changed": (
        "profiles",
        lambda r: holds(r, email="new@example.com", external_id="moving"),
    ),
    "an email that was another Profile's": ("profiles", lambda r: r["email"] == "old@example.com"),
    "an email of 320 characters": ("profiles", lambda r: len(r["email"] or "") > 300),
    "an external id in NFC": ("profiles", lambda r: r["external_id"] == "caf\u00e9"),
    "an external id in NFD": ("profiles", lambda r: r["external_id"] == "cafe\u0301"),
    "an external id of 255 characters of four bytes": (
        "profiles",
        lambda r: len((r["external_id"] or "").encode()) == 1020,
    ),
    "an external id that a broken client sends": (
        "profiles",
        lambda r: r["external_id"] == "undefined",
    ),
    "an external id of white space": ("profiles", lambda r: r["external_id"] == " "),
    "a removed Property that is remembered": (
        "profiles",
        lambda r: r["property_times"].keys() - r["properties"].keys(),
    ),
    "a Property set in the first year": (
        "profiles",
        lambda r: any(time < 0 for time, _ in r["property_times"].values()),
    ),
    "Properties of every kind of JSON": (
        "profiles",
        lambda r: (
            {str, int, float, bool, dict, list} <= {type(v) for v in r["properties"].values()}
        ),
    ),
    "a Profile with no Properties": ("profiles", lambda r: r["property_times"] == {}),
    "an event without data": ("events", lambda r: r["data"] == {}),
    "data nested 60 deep": ("events", lambda r: depth(r["data"]) >= 60),
    "the least integer": ("events", lambda r: "-9223372036854775808" in text_of(r)),
    "the greatest integer": ("events", lambda r: "18446744073709551615" in text_of(r)),
    "a float past the integers": ("events", lambda r: "1e+22" in text_of(r)),
    "a small float": ("events", lambda r: "1e-07" in text_of(r)),
    "U+2028 in a text": ("events", lambda r: "\u2028" in text_of(r)),
    "an emoji of several code points": ("events", lambda r: "\u200d👩" in text_of(r)),
    "text from right to left": ("events", lambda r: "שלום" in text_of(r)),
    "combining marks": ("events", lambda r: "\u0351" in text_of(r)),
    "a text that looks like a template": ("events", lambda r: '"$state"' in text_of(r)),
    "an empty member name": ("events", lambda r: "" in r["data"]),
    "a whole subtree redacted": ("events", lambda r: r["data"].get("payment") == "[REDACTED]"),
    "an item of an array redacted": (
        "events",
        lambda r: r["data"].get("list") == [1, "[REDACTED]", 3],
    ),
    "an event with a referenceId": ("events", lambda r: r["reference_id"] == "ord_9421"),
    "an event that occurred earlier": ("events", lambda r: r["occurred_at"] < r["received_at"]),
    "an event on receipt": ("events", lambda r: r["occurred_at"] == r["received_at"]),
    "an event in the first year": ("events", lambda r: r["occurred_at"].startswith("0001-")),
    "an event in the last year": ("events", lambda r: r["occurred_at"].startswith("9999-")),
    "history that matched no Journey": (
        "events",
        lambda r: holds(r, event="order.created", outcomes=[]),
    ),
    "an event with several outcomes": ("events", lambda r: len(r["outcomes"]) > 8),
    "an event's name of 255 characters of four bytes": (
        "events",
        lambda r: len(r["event"].encode()) == 1020,
    ),
    "a Journey in its fourth version": ("journeys", lambda r: r["version"] == 4),
    "a Journey's id of 255 characters of four bytes": (
        "journeys",
        lambda r: len(r["journey_id"].encode()) == 1020,
    ),
    "an entry into the first of several versions": (
        "enrollments",
        lambda r: holds(r, journey_id="versioned", version=1),
    ),
    "an entry into the third version": ("enrollments", lambda r: r["version"] == 3),
    "an entry with no key": ("enrollments", lambda r: r["entry_key"] is None),
    "an entry with the key of once": ("enrollments", lambda r: r["entry_key"] == ""),
    "an entry with a key of parts": ("enrollments", lambda r: r["entry_key"]),
    "one that was never claimed": (
        "enrollments",
        lambda r: holds(r, status="pending", token=None, available_at=r["entered_at"]),
    ),
    "one with a live lease": (
        "enrollments",
        lambda r: r["status"] == "claimed" and r["lease_until"] > NOW,
    ),
    "one whose lease is over": (
        "enrollments",
        lambda r: r["status"] == "claimed" and r["lease_until"] < NOW,
    ),
    "one with an extended lease": (
        "enrollments",
        lambda r: r["journey_id"] == "work-extended" and r["lease_until"] > NOW,
    ),
    "one that was given back": (
        "enrollments",
        lambda r: holds(r, status="pending", attempts=0) and r["token"],
    ),
    "one that failed": (
        "enrollments",
        lambda r: holds(r, status="pending", attempts=1) and r["available_at"] < NOW,
    ),
    "one that is delayed": (
        "enrollments",
        lambda r: r["status"] == "pending" and r["available_at"] > NOW,
    ),
    "one completed at the second attempt": (
        "enrollments",
        lambda r: holds(r, status="completed", attempts=2),
    ),
    "one dead by a failure": ("enrollments", lambda r: holds(r, status="dead", lease_until=None)),
    "one dead by a claim": ("enrollments", lambda r: r["status"] == "dead" and r["lease_until"]),
    "one that was revived": (
        "enrollments",
        lambda r: holds(r, status="pending", token=None) and r["available_at"] > r["entered_at"],
    ),
    "a live API Key": ("api_keys", lambda r: r["test"] == 0),
    "a test API Key": ("api_keys", lambda r: r["test"] == 1),
    "an API Key without a label": ("api_keys", lambda r: r["label"] is None),
    "an API Key with an odd label": ("api_keys", lambda r: "\u0301" in (r["label"] or "")),
    "an API Key that was used": ("api_keys", lambda r: r["last_used_at"] and not r["revoked_at"]),
    "an API Key that was revoked": ("api_keys", lambda r: r["revoked_at"]),
}


@pytest.mark.parametrize("kind", KINDS)
def test_the_stores_hold(kind):
    table, is_one = KINDS[kind]
    assert any(is_one(row) for row in rows_of(table))


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


# --- what the library makes of them ---------------------------------------------------------


def open_store(url: str) -> SqlStorage:
    """Open a store that version 0.1.0 made, brought to this version's tables.

    That is not possible yet: assert that the store is refused, and skip the test.
    """
    assert_refused(url)
    pytest.skip("tables of 0.1.0 cannot be brought to this version's yet")


def assert_refused(url: str) -> None:
    storage = SqlStorage(create_engine(url))
    try:
        with pytest.raises(ConfigurationError, match="tables are of another version") as refusal:
            storage.run(lambda transaction: transaction.journeys.list(DEFAULT))
    finally:
        storage.close()
    assert refusal.value.details == {"found": 1, "expected": 2}


@pytest.fixture(params=STORES)
def url(request):
    if request.param == "sqlite":
        return f"sqlite:///{request.getfixturevalue('sqlite_file')}"
    postgres, name = map(request.getfixturevalue, ("postgres", "postgresql_database"))
    return postgres.url(name)


def test_a_store_of_0_1_0_is_refused(url):
    assert_refused(url)


@pytest.fixture
def storage(url):
    storage = open_store(url)
    yield storage
    storage.close()


@pytest.fixture
def clock():
    return FixedClock(datetime.fromisoformat(NOW))


@pytest.fixture
def tracker(storage, clock):
    # Version 0.1.0 took every external id.
    limits = Limits(allow_placeholder_ids=True)
    return Tracker(storage, fingerprint_key=fingerprint_keys(HOST), clock=clock, limits=limits)


@pytest.fixture
def api_keys(storage, clock):
    return ApiKeys(storage, clock=clock)


@pytest.fixture
def read(tracker, api_keys):
    def read() -> list[str]:
        return [exact(record) for record in read_records(tracker, api_keys, HOST["organizations"])]

    return read


def test_every_record_reads_as_0_1_0_read_it(read):
    assert read() == [exact(record) for record in kept("records.ndjson")]


def test_a_call_made_again_gets_its_answer_again_and_changes_nothing(tracker, read):
    before = read()
    repeated = [call for call in CALLS if call.get("remembered") or "refusal" in call]
    assert len(repeated) > 70
    for call in repeated:
        expected = {name: call[name] for name in ("receipt", "refusal") if name in call}
        assert exact(track_again(tracker, call)) == exact(expected), call["idempotency_key"]
    assert read() == before


def test_a_call_whose_key_has_expired_is_recorded_anew(tracker):
    (call,) = [c for c in CALLS if c["idempotency_key"] == "expires as the story ends"]
    assert call["remembered"] is False
    again = track_again(tracker, call)
    assert again["receipt"]["event_id"] != call["receipt"]["event_id"]


def test_keys_that_expired_are_purged_and_no_others(tracker):
    expired = [row for row in rows_of("claims") if row["expires_at"] and row["expires_at"] <= NOW]
    assert tracker.records.purge_keys() == len(expired)


def test_workers_are_handed_what_waited_and_what_was_claimed_too_long_ago(tracker):
    waiting = {"pending", "claimed"}
    assert claim_all(tracker) == {
        row["enrollment_id"]
        for row in rows_of("enrollments")
        if row["status"] in waiting and row["available_at"] <= NOW
    }


def test_a_worker_that_held_a_lease_completes_with_it(tracker):
    held = [row for row in rows_of("enrollments") if row["status"] == "claimed"]
    assert {complete(tracker, row) for row in held} == {"completed"}


@pytest.mark.parametrize("made", HOST["api_keys"], ids=lambda made: made["entropy"][-1])
def test_an_api_key_is_recognised_unless_it_was_revoked(api_keys, made):
    secret = api_key_secret(made["entropy"], test=made["test"])
    if made["revoked"]:
        with pytest.raises(Unauthorized):
            api_keys.authenticate(secret, "events:write")
    else:
        found = api_keys.authenticate(secret, "events:write")
        assert (found.organization_id, found.key_id) == (made["organization_id"], made["key_id"])

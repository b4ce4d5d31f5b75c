"""What a migration from version 1 makes of the rows: the same on SQLite and PostgreSQL."""

from __future__ import annotations

import json
import re
import sqlite3
from itertools import groupby

import psycopg
import pytest

from segmentflow_core.ports import key_digest
from segmentflow_sql import open_storage
from stores.made_by_0_1_0 import rows_of
from stores.plain_rows import exact, postgresql_rows, sqlite_rows


@pytest.fixture
def migrated_file(sqlite_file):
    storage = open_storage(f"sqlite:///{sqlite_file}")
    storage.migrate()
    storage.close()
    return sqlite_file


@pytest.fixture
def migrated_database(postgres, postgresql_database):
    storage = open_storage(postgres.url(postgresql_database))
    storage.migrate()
    storage.close()
    return postgres.conninfo(postgresql_database)


def test_both_databases_hold_the_same_rows(migrated_file, migrated_database):
    ours, theirs = sqlite_rows(migrated_file), postgresql_rows(migrated_database)
    for row in ours["segmentflow_profile_versions"]:
        row["former_emails"] = json.loads(row["former_emails"])
    assert ours.keys() == theirs.keys()
    for row in (*ours["segmentflow_journeys"], *theirs["segmentflow_journeys"]):
        # It is the time of the migration.
        row["archived_at"] = row["archived_at"] is not None
        assert row["archived_at"] == (row["era"] == 1) == (row["status"] == "archived")
    for table, rows in ours.items():
        assert sorted(map(exact, rows)) == sorted(map(exact, theirs[table])), table


def test_every_event_leads_to_its_key_claim(migrated_file):
    tables = sqlite_rows(migrated_file)
    keys = {row["event_id"]: row["key_digest"] for row in tables["segmentflow_claims"]}
    found = {row["event_id"]: row["key_start"] for row in tables["segmentflow_events"]}
    assert found == {each: keys[each][:4] if each in keys else None for each in found}
    assert any(found.values())


# --- the tables themselves ----------------------------------------------------------------


def shape_of_sqlite(path):
    connection = sqlite3.connect(path)
    objects = connection.execute("SELECT type, name, tbl_name FROM sqlite_schema ORDER BY 1, 2")
    shape = {}
    for kind, name, table in objects.fetchall():
        asked = "table_xinfo" if kind == "table" else "index_xinfo"
        rows = connection.execute(f"PRAGMA {asked}({name})").fetchall()
        listed = connection.execute(f"PRAGMA index_list({table})").fetchall()
        shape[kind, name] = rows, sorted(index[1:] for index in listed)
    connection.close()
    return shape


def test_a_migrated_file_has_the_tables_of_a_new_one(migrated_file, tmp_path):
    new = tmp_path / "new.sqlite3"
    storage = open_storage(f"sqlite:///{new}")
    storage.create_all()
    storage.close()
    assert shape_of_sqlite(migrated_file) == shape_of_sqlite(new)


def shape_of_postgresql(conninfo):
    with psycopg.connect(conninfo) as connection:
        columns = connection.execute(
            "SELECT table_name, column_name, data_type, is_nullable, column_default,"
            " character_maximum_length, collation_name FROM information_schema.columns"
            " WHERE table_schema = 'public' ORDER BY 1, 2"
        ).fetchall()
        indexes = connection.execute("SELECT indexdef FROM pg_indexes ORDER BY 1").fetchall()
        constraints = connection.execute(
            "SELECT conrelid::regclass::text, conname, pg_get_constraintdef(oid)"
            " FROM pg_constraint WHERE connamespace = 'public'::regnamespace ORDER BY 1, 2"
        ).fetchall()
    # A dump writes the casts of a condition in another place.
    plain = [re.sub(r"::(character varying|text)(\[\])?|[()]", "", text) for (text,) in indexes]
    return columns, [index for index in plain if "segmentflow" in index], constraints


def test_a_migrated_database_has_the_tables_of_a_new_one(migrated_database, postgres, new_database):
    new = new_database()
    storage = open_storage(postgres.url(new))
    storage.create_all()
    storage.close()
    assert shape_of_postgresql(migrated_database) == shape_of_postgresql(postgres.conninfo(new))


# --- what the rows say --------------------------------------------------------------------


@pytest.fixture
def rows(migrated_file):
    return sqlite_rows(migrated_file)


def by_profile(rows):
    key = lambda row: (row["organization_id"], row["profile_id"])  # noqa: E731
    return {who: list(group) for who, group in groupby(sorted(rows, key=key), key)}


def test_the_events_of_a_profile_are_numbered_in_their_order(rows):
    for who, events in by_profile(rows["segmentflow_events"]).items():
        in_order = sorted(events, key=lambda row: (row["received_at"], row["event_id"]))
        assert [row["number"] for row in in_order] == list(range(1, len(events) + 1)), who
    numbers = {
        (row["organization_id"], row["event_id"]): row["number"]
        for row in rows["segmentflow_events"]
    }
    for row in rows["segmentflow_enrollments"]:
        assert row["event_number"] == numbers[row["organization_id"], row["event_id"]]


def test_every_version_is_a_change_and_each_event_shows_its_own(rows):
    versions = {
        (row["organization_id"], row["profile_id"], row["version"]): row
        for row in rows["segmentflow_profile_versions"]
    }
    shown = {(row["organization_id"], row["event_id"]): row["profile"] for row in rows_of("events")}
    for who, events in by_profile(rows["segmentflow_events"]).items():
        latest = 0
        for row in sorted(events, key=lambda row: row["number"]):
            version = versions[(*who, row["profile_version"])]
            profile = shown[row["organization_id"], row["event_id"]]
            assert exact(version["properties"]) == exact(profile["properties"])
            assert version["email"] == profile.get("email")
            assert version["external_id"] == profile.get("externalId")
            assert row["profile_version"] - latest in (0, 1)
            latest = row["profile_version"]
    assert max(version for *_, version in versions) > 3


def test_every_version_knows_the_numbers_of_its_events(rows):
    found = {}
    for row in rows["segmentflow_events"]:
        version = row["organization_id"], row["profile_id"], row["profile_version"]
        found.setdefault(version, set()).add(row["number"])
    kept = {
        (row["organization_id"], row["profile_id"]): row for row in rows["segmentflow_profiles"]
    }
    for row in rows["segmentflow_profile_versions"]:
        who = row["organization_id"], row["profile_id"]
        is_latest = row["version"] == kept[who]["version"]
        assert (row["last_number"] is None) is is_latest
        last = kept[who]["number"] if is_latest else row["last_number"]
        numbers = set(range(row["first_number"], last + 1))
        assert numbers == found.get((*who, row["version"]), set())


def test_only_the_latest_version_of_a_profile_has_the_times_of_its_properties(rows):
    kept = {(row["organization_id"], row["profile_id"]): row for row in rows_of("profiles")}
    latest = {
        (row["organization_id"], row["profile_id"]): row["version"]
        for row in rows["segmentflow_profiles"]
    }
    for row in rows["segmentflow_profile_versions"]:
        who = row["organization_id"], row["profile_id"]
        times = kept[who]["property_times"] if row["version"] == latest[who] else {}
        assert row["property_times"] == times
        assert row["former_emails"] == "{}"


def test_no_key_is_left_and_each_is_found_by_its_hash(rows, migrated_file):
    claims = {row["key_digest"]: row for row in rows["segmentflow_claims"]}
    old = rows_of("claims")
    for row in old:
        digest = key_digest(row["organization_id"], row["key"], row["operation"])
        assert claims.pop(digest)["event_id"] == row["event_id"]
    assert not claims
    connection = sqlite3.connect(migrated_file, isolation_level=None)
    connection.execute("VACUUM")
    connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
    connection.close()
    held = migrated_file.read_bytes()
    long = [row["key"] for row in old if len(row["key"]) > 30]
    assert long
    assert [key for key in long if key.encode() in held] == []


def test_a_claim_keeps_digests_of_what_its_event_does_not_show(rows):
    kept = {path for row in rows["segmentflow_claims"] for path in row["paths"]}
    assert {"/profile/email", "/occurredAt"} <= kept
    assert {path.split("/")[1] for path in kept} <= {
        "profile",
        "occurredAt",
        "redactedDataPaths",
        "data",
    }
    assert [path for path in kept if path.startswith("/data/")] == []


def test_an_email_was_given_by_the_first_and_last_event_that_showed_it(rows):
    for row in rows["segmentflow_profiles"]:
        if row["email"] is None:
            assert (row["email_first"], row["email_last"], row["email_last_received"]) == (0, 0, 0)
        else:
            assert row["email_first"] <= row["email_last"] <= row["email_last_received"]


# --- rows that a host has changed by hand ---------------------------------------------------

BY_HAND = (
    "DELETE FROM segmentflow_events WHERE reference_id = 'ord_9421'",
    "UPDATE segmentflow_profiles SET external_id = 'by hand' WHERE email = 'bo@example.com'",
)


def test_what_was_deleted_by_hand_stays_away_and_its_keys_stay_taken(sqlite_file):
    connection = sqlite3.connect(sqlite_file)
    gone = connection.execute(
        "SELECT count(*) FROM segmentflow_events WHERE reference_id = 'ord_9421'"
    ).fetchone()
    assert gone[0]
    for statement in BY_HAND:
        connection.execute(statement)
    connection.commit()
    connection.close()
    storage = open_storage(f"sqlite:///{sqlite_file}")
    storage.migrate()
    storage.close()
    rows = sqlite_rows(sqlite_file)
    assert len(rows["segmentflow_claims"]) == len(rows_of("claims"))
    nobody = "00000000-0000-0000-0000-000000000000"
    lost = [row for row in rows["segmentflow_claims"] if row["profile_id"] == nobody]
    assert lost
    assert {(row["matched"], row["enrolled"]) for row in lost} == {(0, 0)}
    (bo, *_) = [row for row in rows["segmentflow_profiles"] if row["external_id"] == "by hand"]
    versions = [
        row
        for row in rows["segmentflow_profile_versions"]
        if row["profile_id"] == bo["profile_id"] and row["external_id"] == "by hand"
    ]
    assert [row["version"] for row in versions] == [bo["version"]]

"""What retention leaves in the tables, and by which indexes it finds what is old."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime, timedelta

import psycopg
import pytest
from sqlalchemy import create_engine

from segmentflow_core import Tracker
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_sql import SqlStorage
from segmentflow_sql.schema import FINISH_TIMES, enrollments
from segmentflow_sql.statements import all_statements, statements_for
from segmentflow_sql.statements.retention import ENTRY
from store_trackers import create_store

_MOMENT = timedelta(microseconds=1)


class Store:
    """A store, and a plain look into its tables."""

    def __init__(self, storage, read):
        self.storage = storage
        self.read = read
        self.clock = FixedClock()
        self.tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=self.clock)

    def versions(self):
        return [row[0] for row in self.read("SELECT version FROM segmentflow_profile_versions")]

    def count(self, table):
        ((count,),) = self.read(f"SELECT count(*) FROM segmentflow_{table}")
        return count

    def track(self, key, plan, **more):
        profile = {"email": "alex@example.com", "properties": {"plan": plan}}
        receipt = self.tracker.track(a_request(profile=profile, **more), key)
        self.clock.advance(hours=1)
        return receipt

    def complete(self):
        for claimed in self.tracker.enrollments.claim(limit=100):
            self.tracker.enrollments.complete(claimed.lease)

    def retain(self, **ages):
        return self.tracker.people.retain(
            **{name: timedelta(hours=hours) - _MOMENT for name, hours in ages.items()}, limit=2
        )


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server_side)])
def store(request, tmp_path):
    if request.param == "sqlite":
        storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"))
        storage.create_all()
        connection = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    else:
        postgres, shop = (request.getfixturevalue(name) for name in ("postgres", "shop"))
        storage = SqlStorage(create_engine(postgres.url(shop)))
        connection = psycopg.connect(postgres.conninfo(shop), autocommit=True)
    yield Store(storage, lambda text: list(connection.execute(text).fetchall()))
    connection.close()
    storage.close()


def test_a_version_goes_with_its_last_event_except_the_current_one(store):
    store.tracker.journeys.publish([a_journey()])
    plans = ["a", "a", "b", "c", "c"]
    for number, plan in enumerate(plans):
        event = "order.created" if number == 1 else "other"
        store.track(f"{number}", plan, event=event)
    # They are 5 to 1 hours old; an Enrollment waits for the second.
    assert store.versions() == [1, 2, 3]
    assert (store.retain(events=5).events, store.versions()) == (1, [1, 2, 3])
    assert (store.retain(events=4).events, store.versions()) == (0, [1, 2, 3])
    assert (store.retain(events=3).events, store.versions()) == (1, [1, 3])
    store.complete()
    assert (store.retain(events=4).events, store.versions()) == (1, [3])
    assert store.retain(events=1).events == 2
    assert store.versions() == [3]
    # What was current when its last event went, goes with the next event of the Profile at last.
    store.track("5", "d", event="other")
    assert store.versions() == [3, 4]
    assert (store.retain(events=1).events, store.versions()) == (1, [4])
    store.track("6", "d")
    profile = store.tracker.records.find_profile("alex@example.com")
    assert profile.properties == {"plan": "d"}
    assert store.count("gone_versions") == 1


def test_versions_that_one_batch_makes_know_their_numbers_too(store):
    requests = [
        (a_request(profile={"email": "alex@example.com", "properties": {"plan": plan}}), f"{n}")
        for n, plan in enumerate("aabbc")
    ]
    for result in store.tracker.track_many(requests):
        assert result.profile_id
    numbers = "SELECT first_number, last_number FROM segmentflow_profile_versions ORDER BY version"
    assert list(map(tuple, store.read(numbers))) == [(1, 2), (3, 4), (5, None)]
    store.track("next", "c")
    store.track("other", "d")
    assert list(map(tuple, store.read(numbers))) == [(1, 2), (3, 4), (5, 6), (7, None)]


def test_the_entry_of_an_enrollment_says_nothing_more(store):
    """What re-entry needs is left, and of entries without a key the latest one alone."""
    store.tracker.journeys.publish([a_journey("a"), a_journey("b", reentry={"policy": "once"})])
    for number in range(3):
        store.track(f"{number}", "a")
    columns = ", ".join(each.name for each in enrollments.c if each.name not in ENTRY)
    store.complete()
    store.clock.advance(hours=1)
    retained = store.retain(enrollments=1)
    assert (retained.enrollments, retained.entries) == (4, 2)
    left = store.read(f"SELECT {columns} FROM segmentflow_enrollments")
    assert len(left) == 2
    nothing = (None, 0, "completed", "00000000-0000-0000-0000-000000000000")
    assert all((str(value) if value else value) in nothing for row in left for value in row)
    # A later entry takes the place of what was left of an earlier one.
    store.track("3", "a")
    store.complete()
    store.clock.advance(hours=1)
    assert store.retain(enrollments=1).entries == 1
    journeys = store.read("SELECT journey_id, event_number FROM segmentflow_enrollments ORDER BY 1")
    assert list(map(tuple, journeys)) == [("a", 4), ("b", 1)]


PLANS = {
    "old_events": "segmentflow_events_received",
    "caused_enrollments": "segmentflow_enrollments_latest",
    "leave_key_claim": "segmentflow_claims_pkey",
    "superseded_entries": "segmentflow_enrollments_latest",
    **{f"old_enrollments_{n}": f"segmentflow_enrollments_{n[:-3]}" for n in FINISH_TIMES},
}


def statements_of(database):
    found = all_statements(statements_for(database).retention)
    return {statement.name: statement for statement in found}


@pytest.mark.parametrize("name", statements_of("sqlite"))
def test_retention_on_sqlite_goes_by_indexes(tmp_path, name):
    storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"))
    storage.create_all()
    storage.close()
    statement = statements_of("sqlite")[name]
    lists = ("rows", "profile_ids", "ids")
    given = ["[]" if each in lists else 1 for each in statement.parameters]
    connection = sqlite3.connect(tmp_path / "store.db")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", given)]
    connection.close()
    assert not [step for step in plan if step.startswith("SCAN") and "each_" not in step], plan
    assert not any("TEMP B-TREE" in step for step in plan), plan
    if statement.text.startswith("SELECT"):
        assert any(PLANS.get(name, "PRIMARY KEY") in step for step in plan), plan


ROWS = """[["default", "019bf964-302b-7000-8000-000000000001", 5]]"""
PAIRS = f"""[[0, "welcome", "{ROWS[14:50]}", 1780000000000000, "{ROWS[14:50]}"]]"""
NUMBERED = f"""[[0, "welcome", "{ROWS[14:50]}", 1780000000000000, 7]]"""


@pytest.mark.server_side
@pytest.mark.parametrize("name", statements_of("postgresql"))
def test_retention_on_postgresql_goes_by_indexes(crowded, name):
    statement = statements_of("postgresql")[name]
    if "value_0" in statement.parameters or statement.text.startswith("INSERT"):
        return  # a row by its key
    now = datetime(2026, 1, 1, tzinfo=UTC)
    given = {
        "organization_id": "default",
        "before": now,
        "since": now - timedelta(days=60),
        "after": ROWS[14:50],
        "limit": 100,
        "profile_ids": [ROWS[14:50]],
        "ids": [ROWS[14:50]],
        **dict.fromkeys(("profile_id", "event_id"), ROWS[14:50]),
        "first": "7",
        "beyond": "7~",
        "rows": {"caused_enrollments": PAIRS, "superseded_entries": NUMBERED}.get(name, ROWS),
    }
    cursor = psycopg.RawCursor(crowded)
    cursor.execute(f"EXPLAIN {statement.text}", statement.arguments(**given), prepare=False)
    plan = "\n".join(row[0] for row in cursor.fetchall())
    assert "Seq Scan" not in plan, plan
    # Of two indexes that lead to a pair of Journey and Profile, it takes either.
    assert PLANS.get(name, "").removesuffix("latest") in plan, plan


@pytest.fixture(scope="module")
def crowded(postgres):
    """Give a connection to a database with many rows of each kind."""
    with postgres.connect(create_store(postgres, "old_records")) as connection:
        for table, values in {
            "profile_versions": "'default', gen_random_uuid(), n % 7, NULL, NULL, '{}', '{}', "
            "'{}', 1, 2",
            "claims (organization_id, key_digest, event_id, digest)": "'default', n, "
            "gen_random_uuid(), 'x'",
            "gone_versions": "'default', gen_random_uuid(), n % 7, 1",
            "gone_events": "'default', gen_random_uuid(), 'e', 1, now(), 1",
            "events": "'default', gen_random_uuid(), gen_random_uuid(), 1, 1, 'e', '{}', n, "
            "now(), timestamptz '2025-06-01' + n * interval '20 minutes', '[]'",
            "enrollments (organization_id, enrollment_id, journey_id, version, profile_id, "
            "event_id, event_number, entered_at, era, status, attempts, completed_at)": ""
            "'default', gen_random_uuid(), 'welcome', 1, gen_random_uuid(), gen_random_uuid(), 1, "
            "now(), 0, 'completed', 1, timestamptz '2025-06-01' + n * interval '20 minutes'",
        }.items():
            connection.execute(
                f"INSERT INTO segmentflow_{table} "
                f"SELECT {values} FROM generate_series(1, 20000) AS n"
            )
        connection.execute("ANALYZE")
        yield connection


def test_vacuum_gives_the_space_back_and_leaves_nothing_behind(store, tmp_path):
    if store.storage._engine.dialect.name == "postgresql":
        with pytest.raises(ConfigurationError, match="Only a store on SQLite"):
            store.storage.vacuum()
        return
    for number in range(100):
        store.track(f"{number}", "a", data={"word": "canary" + "x" * 1000}, referenceId="canary")
    store.storage.vacuum()
    files = [tmp_path / f"store.db{suffix}" for suffix in ("", "-wal", "-shm")]
    size = files[0].stat().st_size
    assert store.retain(events=1).events == 100
    store.storage.vacuum()
    assert files[0].stat().st_size < size / 2
    assert not any(b"canary" in file.read_bytes() for file in files)
    # A reader keeps the log from being cut off: it is said, and can be tried again.
    store.track("next", "a")
    reader = sqlite3.connect(tmp_path / "store.db", isolation_level=None)
    reader.execute("BEGIN")
    reader.execute("SELECT * FROM segmentflow_events").fetchone()
    hasty = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"), wait=0.05)
    with pytest.raises(StorageUnavailable, match="uses the store"):
        hasty.vacuum()
    reader.close()
    hasty.vacuum()
    hasty.close()


def test_nothing_is_vacuumed_that_is_not_there(tmp_path):
    storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'none.db'}"))
    with pytest.raises(ConfigurationError, match="no tables"):
        storage.vacuum()
    storage.close()
    assert not (tmp_path / "none.db").exists()

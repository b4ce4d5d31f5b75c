"""What a look-up reads: by the index meant for it, newest first, however large the Organization."""

from __future__ import annotations

import sqlite3
from datetime import UTC, datetime

import psycopg
import pytest
from sqlalchemy import create_engine

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage
from segmentflow_sql.statements import all_statements, statements_for

_ANY_ID = "019bf964-302b-7000-8000-000000000001"
_PERIOD = (datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 1, 2, tzinfo=UTC))

INDEXES = {
    "find_profile_by_email": "segmentflow_profiles_email",
    "find_profile_by_external_id": "segmentflow_profiles_external_id",
    "find_events_by_reference_id": "segmentflow_events_of_reference",
    "find_events_by_profile_id": "segmentflow_events_of_profile",
    "find_events_by_event": "segmentflow_events_of_name",
    "find_events_received": "segmentflow_events_received",
    "find_enrollments": "segmentflow_enrollments_of_profile",
    "find_entries": "segmentflow_enrollments_of_profile",
    "count_backlog": "segmentflow_enrollments_available",
}


def finding(database):
    statements = statements_for(database).finding
    return {statement.name: statement for statement in all_statements(statements)}


def test_every_look_up_has_its_index():
    assert set(finding("sqlite")) == {*INDEXES, "list_profiles"}


@pytest.mark.parametrize("name", [*INDEXES, "list_profiles"])
def test_a_look_up_on_sqlite_goes_by_its_index(tmp_path, name):
    storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"))
    storage.create_all()
    storage.close()
    statement = finding("sqlite")[name]
    given = ["[]" if each == "event_ids" else 1 for each in statement.parameters]
    connection = sqlite3.connect(tmp_path / "store.db")
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", given)]
    connection.close()
    assert any(INDEXES.get(name, "PRIMARY KEY") in step for step in plan), plan
    assert not [step for step in plan if step.startswith("SCAN") and "each_" not in step], plan
    # Only the ids of a period are sorted, and they come from its index alone.
    sorts = any("TEMP B-TREE" in step for step in plan)
    assert sorts is (name == "find_events_received"), plan
    assert not sorts or any("COVERING INDEX" in s or "events_received" in s for s in plan)


@pytest.mark.server_side
@pytest.mark.parametrize("name", INDEXES)
def test_a_look_up_on_postgresql_goes_by_its_index(crowded, name):
    statement = finding("postgresql")[name]
    given = {
        "organization_id": "default",
        "email": "7@example.com",
        "external_id": "x7",
        "profile_id": _ANY_ID,
        "event": "rare" if name == "find_events_by_event" else None,
        "reference_id": "7" if name == "find_events_by_reference_id" else None,
        "since": _PERIOD[0],
        "until": _PERIOD[1],
        "journey_id": "welcome" if name == "count_backlog" else None,
        "now": _PERIOD[1],
        "status": None,
        "event_id": None,
        "event_ids": f"{{{_ANY_ID}}}",
        "limit": 100,
        "before": None,
    }
    cursor = psycopg.RawCursor(crowded)
    cursor.execute(f"EXPLAIN {statement.text}", statement.arguments(**given), prepare=True)
    plan = "\n".join(line for (line,) in cursor.fetchall())
    assert INDEXES[name] in plan, plan
    assert "Seq Scan" not in plan, plan


def test_why_takes_as_many_reads_however_many_events_it_tells(tmp_path):
    storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"))
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey(reentry={"policy": "once"})])
    reads: list[str] = []
    counts: list[int] = []
    for size in (2, 50):
        tracker.track_many([(a_request(), f"{size} {n}") for n in range(size)])
        connection = storage._engine.raw_connection()
        connection.driver_connection.set_trace_callback(reads.append)
        connection.close()
        reads.clear()
        story = tracker.records.why("alex@example.com", journey_id="welcome")
        assert len(story.events) >= size
        counts.append(len(reads))
    storage.close()
    assert counts[0] == counts[1] > 0

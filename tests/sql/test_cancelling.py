"""What a store in SQL answers of what events cancel: by indexes, and within bounds."""

from __future__ import annotations

import sqlite3
from datetime import timedelta

import psycopg
import pytest
from sqlalchemy import create_engine

from segmentflow_core import Tracker
from segmentflow_core.colour import drive
from segmentflow_core.ports import LOOKED_AT, RecordedProbe
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_request
from segmentflow_sql import SqlStorage
from segmentflow_sql.statements import statements_for

MINUTE = timedelta(minutes=1)
ANY_ID = "019bf964-302b-7000-8000-000000000001"


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server_side)])
def storage(request, tmp_path):
    if request.param == "sqlite":
        storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"))
        storage.create_all()
    else:
        postgres, shop = (request.getfixturevalue(name) for name in ("postgres", "shop"))
        storage = SqlStorage(create_engine(postgres.url(shop)))
    yield storage
    storage.close()


def test_of_many_later_events_those_that_occurred_last_are_read(storage):
    clock = FixedClock()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    start = clock.now()
    clock.advance(days=1)

    def paid(minute):
        return a_request("paid", occurredAt=(start + minute * MINUTE).isoformat())

    minutes = [*range(LOOKED_AT, -1, -1), 5, 9_999]
    receipts = tracker.track_many([(paid(each), f"{n}") for n, each in enumerate(minutes)])
    tracker.track(a_request("viewed"), "viewed")
    probes = [
        RecordedProbe(receipts[0].profile_id, "paid", start, before)
        for before in (None, LOOKED_AT + 2)
    ] + [RecordedProbe(receipts[0].profile_id, "paid", start + 998 * MINUTE)]
    answers = storage.run(lambda t: drive(t.cancelling.recorded("default", probes)))
    everything, of_lower_numbers, latest = (
        {event.number for event in answers[probe]} for probe in probes
    )
    # Minutes 5, twice, and 9,999 came last; minute 0 is not later; 1 and 2 are too many.
    assert everything == {*range(1, LOOKED_AT - 1), LOOKED_AT + 2, LOOKED_AT + 3}
    assert of_lower_numbers == {*range(1, LOOKED_AT + 1)}
    assert latest == {1, 2, LOOKED_AT + 3}


ASKED = [
    ("recorded_since", "segmentflow_events_occurred"),
    ("cancellable_enrollments", "segmentflow_enrollments_cancellable"),
    ("other_cancellable", "segmentflow_enrollments_cancellable"),
]


@pytest.mark.parametrize(("name", "index"), ASKED)
def test_what_events_cancel_is_found_on_sqlite_by_an_index(tmp_path, name, index):
    storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"))
    storage.create_all()
    storage.close()
    statement = getattr(statements_for("sqlite").cancelling, name)
    connection = sqlite3.connect(tmp_path / "store.db")
    given = ["[]" for _ in statement.parameters]
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", given)]
    connection.close()
    assert [step for step in plan if f"INDEX {index} " in step], plan
    assert not [step for step in plan if step.startswith("SCAN segmentflow")], plan


@pytest.mark.server_side
@pytest.mark.parametrize(("name", "index"), ASKED)
def test_what_events_cancel_is_found_on_postgresql_by_an_index(crowded, name, index):
    statement = getattr(statements_for("postgresql").cancelling, name)
    told = statement.arguments(
        organization_id="default",
        profile_id=ANY_ID,
        profile_ids=[ANY_ID],
        digests="[]",
        event="paid",
        since="2026-01-01T00:00:00Z",
        before=None,
        limit=1,
    )
    cursor = psycopg.RawCursor(crowded)
    cursor.execute(f"EXPLAIN {statement.text}", told)
    plan = "\n".join(row[0] for row in cursor.fetchall())
    assert index in plan, plan
    assert "Seq Scan on segmentflow_en" not in plan, plan
    assert "Seq Scan on segmentflow_ev" not in plan, plan

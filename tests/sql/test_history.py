"""What a store in SQL answers of histories: as the one in memory, by one index, within bounds."""

from __future__ import annotations

import random
import sqlite3
from concurrent.futures import ThreadPoolExecutor

import psycopg
import pytest
from sqlalchemy import create_engine

from histories import Lives, journeys
from segmentflow_core import Limits, Tracker
from segmentflow_core.colour import drive
from segmentflow_core.ports import HistoryProbe, encode_json
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_sql import SqlStorage
from segmentflow_sql.statements import statements_for


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


@pytest.mark.parametrize("seed", range(300, 302))
def test_every_event_is_decided_as_a_second_evaluator_says(storage, seed):
    chance = random.Random(seed)
    clock = FixedClock()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    definitions = journeys(chance, 10)
    tracker.journeys.publish(definitions)
    told = Lives(tracker, clock, definitions, seed)
    told.live(50)
    for event in told.sent:
        for journey_id, reason in event["reasons"].items():
            assert reason == told.reason(event, journey_id), (journey_id, event["id"])


_ANY_ID = "019bf964-302b-7000-8000-000000000001"
_INDEX = "segmentflow_events_occurred"


def earlier(database):
    return statements_for(database).history.earlier


@pytest.mark.parametrize("reads", earlier("sqlite"))
def test_a_look_back_on_sqlite_goes_by_its_index(tmp_path, reads):
    storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"))
    storage.create_all()
    storage.close()
    statement = earlier("sqlite")[reads]
    connection = sqlite3.connect(tmp_path / "store.db")
    given = [1 for _ in statement.parameters]
    plan = [row[3] for row in connection.execute(f"EXPLAIN QUERY PLAN {statement.text}", given)]
    connection.close()
    (looked_up,) = [step for step in plan if "segmentflow_events " in step]
    assert f"USING INDEX {_INDEX}" in looked_up or f"COVERING INDEX {_INDEX}" in looked_up, plan
    assert "occurred_at>? AND occurred_at<?" in looked_up
    # The period is a range of the index, in its own order: nothing more is read than is wanted.
    assert not [step for step in plan if step.startswith("SCAN segmentflow")], plan


@pytest.mark.server_side
def test_a_look_back_on_postgresql_goes_by_its_index(crowded):
    rows = encode_json([(n, _ANY_ID, "order.created", 0, 10**15, 10**9) for n in range(100)])
    given = {"rows": rows, "organization_id": "default", "limit": 1001, "room": 1}
    for statement in earlier("postgresql").values():
        cursor = psycopg.RawCursor(crowded)
        cursor.execute(f"EXPLAIN {statement.text}", statement.arguments(**given))
        plan = "\n".join(row[0] for row in cursor.fetchall())
        assert _INDEX in plan, plan
        assert "Seq Scan on segmentflow_events" not in plan, plan
        assert "Hash" not in plan, plan


def test_a_batch_is_answered_by_one_statement_where_the_database_takes_a_list():
    assert statements_for("postgresql").history.takes_list
    assert not statements_for("sqlite").history.takes_list


def test_no_more_is_read_of_a_history_than_there_is_room_for(storage):
    """Of nine events of a million characters six are read, and it is said that there are others."""
    limits = Limits(max_bytes=3 * 2**20)
    clock = FixedClock()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock, limits=limits)
    for n in range(9):
        receipt = tracker.track(a_request(data={"n": n, "note": "é" * 2**20}), f"{n}")
        clock.advance(seconds=1)
    probes = [
        HistoryProbe(receipt.profile_id, "order.created", reads=reads, limit=limit)
        for reads, limit in (("nothing", 100), ("data", 100), ("data", 3), ("state", 100))
    ]
    answers, _ = storage.run(
        lambda transaction: drive(transaction.history.earlier("default", probes, []))
    )
    found = [([e.number for e in answers[p].events], answers[p].more) for p in probes]
    assert found == [
        ([*range(9, 0, -1)], False),
        ([*range(9, 3, -1)], True),
        ([9, 8, 7], True),
        ([*range(9, 3, -1)], True),
    ]
    assert [each.state["event"]["n"] for each in answers[probes[1]].events] == [*range(8, 2, -1)]


THIRD = a_journey(
    "third",
    trigger={"event": "order.created", "where": {"did": "order.created", "times": {"eq": 2}}},
)


@pytest.mark.parametrize(
    "level",
    [
        "sqlite",
        *(
            pytest.param(level, marks=pytest.mark.server_side)
            for level in ("READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
        ),
    ],
)
def test_of_fifty_orders_at_once_exactly_one_is_the_third(request, tmp_path, level):
    if level == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    else:
        postgres, shop = (request.getfixturevalue(name) for name in ("postgres", "shop"))
        engine = create_engine(postgres.url(shop), isolation_level=level, pool_size=12)
    storage = SqlStorage(engine, wait=120)
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([THIRD])
    tracker.track(a_request("signed.up"), "before")
    with ThreadPoolExecutor(12) as pool:
        orders = [pool.submit(tracker.track, a_request(), f"{n}") for n in range(50)]
        receipts = [order.result() for order in orders]
    assert sum(receipt.enrolled_journeys for receipt in receipts) == 1
    (entry,) = tracker.enrollments.list()
    assert entry.event_number == 4  # she had signed up first
    storage.close()

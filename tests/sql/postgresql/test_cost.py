"""What a call costs PostgreSQL: round trips, statements, plans."""

from __future__ import annotations

import json
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine

from segmentflow_core import Tracker
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    a_journey,
    a_request,
)
from segmentflow_sql import SqlStorage, exchange, postgresql
from segmentflow_sql.kin import KIND
from servers import CountingProxy

STORAGE_PAGE = Path(__file__).parents[3] / "docs" / "reference" / "storage.md"


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


@pytest.fixture
def proxy(postgres):
    proxy = CountingProxy(f"{postgres.host}/.s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.fixture
def counted(postgres, database, proxy):
    """Give a function that says how many round trips a call takes, once all is warm."""
    url = f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/{database}"
    storage = SqlStorage(create_engine(url))
    tracker = a_tracker(storage)
    tracker.journeys.publish(
        {
            "journeys": [
                a_journey(),
                a_journey("once", trigger={"event": "again"}, reentry={"policy": "once"}),
            ]
        }
    )
    for name in ("order.created", "again"):
        tracker.track(a_request(name), f"warm {name}")
        tracker.track(a_request(name), f"warm {name}")

    def count(call):
        before = proxy.round_trips
        call(tracker)
        return proxy.round_trips - before

    yield count
    storage.close()


# Each is a row of the table in docs/reference/storage.md.
CALLS = {
    "`track`": lambda t: t.track(a_request(), "1"),
    "`track_many`, a batch of any size": lambda t: t.track_many(
        [(a_request(), f"b{n}") for n in range(100)]
    ),
    "either, where a Journey that matches limits re-entry": lambda t: t.track(
        a_request("again"), "2"
    ),
    "either, for a retry": lambda t: t.track(a_request(), "warm order.created"),
    "a read, such as `records.events`": lambda t: t.records.events(),
}


@pytest.mark.parametrize("call", CALLS)
def test_a_call_costs_as_many_round_trips_as_the_docs_say(counted, call):
    page = STORAGE_PAGE.read_text(encoding="utf-8")
    assert f"\n| {call} | {counted(CALLS[call])} |\n" in page


def test_what_is_blocked_is_asked_for_in_the_round_trips_of_before(counted):
    before = counted(CALLS["`track`"])

    def blocking(tracker):
        tracker.track(a_request(profile={"email": "blocked@example.com"}), "to be blocked")
        tracker.people.erase("blocked@example.com", block=True)
        # The first call of a process after that learns the key of the hashes.
        tracker.track(a_request(), "learning")

    counted(blocking)
    assert counted(lambda tracker: tracker.track(a_request(), "known")) == before


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_an_engine_may_ask_for_an_isolation_level_by_its_options(
    postgres, database, monkeypatch, level
):
    sent: list[str] = []
    send = postgresql.PsycopgConnection._send

    def watched(self, statement, *rest):
        sent.append(statement.text)
        send(self, statement, *rest)

    monkeypatch.setattr(postgresql.PsycopgConnection, "_send", watched)
    engine = create_engine(postgres.url(database)).execution_options(isolation_level=level)
    storage = SqlStorage(engine)
    a_tracker(storage).track(a_request(), "key")
    storage.close()
    assert {text for text in sent if "BEGIN" in text} == {f"BEGIN ISOLATION LEVEL {level}"}


def test_more_than_one_parameter_holds_is_written_by_several(storage, monkeypatch):
    monkeypatch.setattr(exchange, "_MAX_LIST", 2000)
    tracker = a_tracker(storage)
    calls = [(a_request(data={"n": n}), f"key {n}") for n in range(25)]
    receipts = tracker.track_many(calls)
    assert [tracker.records.event(receipt.event_id).data["n"] for receipt in receipts] == list(
        range(25)
    )
    again = tracker.track_many(calls)
    assert again == receipts
    assert all(receipt.replayed for receipt in again)
    many = [a_journey(f"journey-{number}") for number in range(40)]
    assert len(tracker.journeys.publish({"journeys": many})) == 40
    assert len(tracker.journeys.list()) == 40


def test_a_batch_of_a_thousand_takes_as_many_statements_as_one_of_two(storage, monkeypatch):
    sent: list[str] = []
    send = postgresql.PsycopgConnection._send

    def watched(self, statement, *rest):
        sent.append(statement.text)
        send(self, statement, *rest)

    monkeypatch.setattr(postgresql.PsycopgConnection, "_send", watched)
    tracker = a_tracker(storage)
    tracker.journeys.publish({"journeys": [a_journey(reentry={"policy": "once"})]})
    counts = []
    for size in (2, 1000):
        calls = [
            (a_request(profile={"email": f"{n}@{size}.example.com"}), f"{size} {n}")
            for n in range(size)
        ]
        tracker.track_many(calls)  # the definition of a Journey is read once
        sent.clear()
        again = [(request, f"again {key}") for request, key in calls]
        results = tracker.track_many([*again, (a_request(profile={"externalId": "?"}), "refused")])
        assert {getattr(result, "code", None) for result in results} == {
            None,
            "profile_email_required",
        }
        counts.append(len(sent))
    assert counts[0] == counts[1]


_CROWD = {
    "profiles": "'default', gen_random_uuid(), 1, 1, n || '@example.com', 'x' || n, 0, 0, 0, "
    "now(), now()",
    "profile_versions": "'default', gen_random_uuid(), 1, n || '@example.com', 'x' || n, '{}', "
    "'{}', '{}', 1",
    "identities": "'default', 'email', n || '@example.com', gen_random_uuid()",
    "claims": "'default', n, now(), now(), gen_random_uuid(), gen_random_uuid(), 0, 0, '', '', '', "
    "'{}'",
    "events": "'default', gen_random_uuid(), gen_random_uuid(), 1, 1, 'e', '{}', n, now(), now(), "
    "'[]'",
    "enrollments (organization_id, enrollment_id, journey_id, version, profile_id, event_id, "
    "event_number, entry_key, entered_at, era, status, attempts)": "'default', gen_random_uuid(), "
    "'welcome', 1, gen_random_uuid(), gen_random_uuid(), 1, n, now(), 0, 'completed', 1",
}


@pytest.mark.server_side
def test_look_ups_go_by_index_in_a_large_organization(postgres, database):
    """Each statement that a tracked event may need, explained by the server."""
    with postgres.connect(database) as connection:
        for table, values in _CROWD.items():
            connection.execute(
                f"INSERT INTO segmentflow_{table} "
                f"SELECT {values} FROM generate_series(1, 20000) AS n"
            )
        connection.execute("ANALYZE")
        for statement, arguments in plans():
            plan = explained(connection, statement, arguments)
            for table in (name.split()[0] for name in _CROWD):
                assert f"Seq Scan on segmentflow_{table}" not in plan, plan


def test_no_plan_is_kept_for_long(postgres, database, monkeypatch):
    """One made while the tables were small would be the wrong one when they have grown."""
    monkeypatch.setattr(postgresql, "_MAX_PLAN_USES", 3)
    storage = SqlStorage(create_engine(postgres.url(database), pool_size=1))
    tracker = a_tracker(storage)
    for number in range(20):
        tracker.track(a_request(), str(number))
    with storage._engine.connect() as connection:
        uses = connection.exec_driver_sql(
            "SELECT generic_plans + custom_plans FROM pg_prepared_statements "
            "WHERE name LIKE 'segmentflow_%%'"
        ).scalars()
        assert 0 < max(uses) <= 4
    storage.close()


def explained(connection, statement, arguments):
    cursor = psycopg.RawCursor(connection)
    cursor.execute(f"EXPLAIN {statement.text}", arguments, prepare=True)
    return "\n".join(line for (line,) in cursor.fetchall())


def plans():
    """Give what a tracked event looks up, with arguments."""
    known = KIND.statements
    statements, records = known.tracking, known.records
    probes = json.dumps([[0, "welcome", _ANY_ID, "", None]])
    now = "2026-06-01T12:00:00Z"
    return [
        (statements.lock_profiles.one, ("default", "7@example.com", "x7")),
        (statements.look_for_profiles.one, ("default", "7@example.com", "x7")),
        (statements.taken_keys.one, ("default", "7")),
        (statements.listening_journeys.one, ("default", "active", "order.created")),
        (statements.last_entries, ("default", probes)),
        (statements.change_identities.one, (1, 1, "e", "x", 0, 0, 0, now, "default", _ANY_ID)),
        (statements.count_events.one, (1, 1, 0, 0, 0, now, "default", _ANY_ID)),
        (statements.change_times.one, ("{}", "{}", None, "default", _ANY_ID, 1)),
        (statements.remove_identities.one, ("default", "email", "7@example.com", _ANY_ID)),
        (statements.reread_profiles, ("default", f"{{{_ANY_ID}}}")),
        (records.get_event, ("default", _ANY_ID)),
        (records.get_profile, ("default", _ANY_ID)),
        (statements.lock_profiles.many, ("default", '{"7@example.com"}', '{"x7"}')),
        (statements.taken_keys.many, ("default", '{"7"}')),
        (statements.write_key_claims.one, (*_CLAIM, "default", "7")),
        (statements.write_key_claims.many, (json.dumps([[*_CLAIM, "default", "7"]]),)),
        (statements.free_keys, ("default", '{"7"}')),
        (records.get_events, ("default", f"{{{_ANY_ID}}}")),
        (statements.listening_journeys.many, ("default", "active", '{"order.created"}')),
    ]


_ANY_ID = "019bf964-302b-7000-8000-000000000001"
_CLAIM = ("2026-06-01T12:00:00Z", _ANY_ID, _ANY_ID, 0, 0, "", "", "", "{}")


def test_profiles_of_a_table_that_was_never_analyzed_are_not_read_once_for_each_other(
    postgres, database
):
    """A planner that knows nothing takes an Organization's rows for about one."""
    many = 600
    storage = SqlStorage(create_engine(postgres.url(database)))
    tracker = a_tracker(storage)
    people = [{"email": f"p{n}@example.com", "externalId": f"x{n}"} for n in range(many)]
    calls = [(a_request(profile=each), each["email"]) for each in people]
    assert len({receipt.profile_id for receipt in tracker.track_many(calls)}) == many
    find = KIND.statements.tracking.lock_profiles.one
    with postgres.connect(database) as connection:
        connection.execute(f"PREPARE find AS {find.text}")
        connection.execute("SET plan_cache_mode = force_generic_plan")
        given = find.arguments(organization_id="default", email="p7@example.com", external_id="x7")
        values = ", ".join(f"'{value}'" for value in given)
        explain = f"EXPLAIN (ANALYZE, FORMAT JSON) EXECUTE find({values})"
        ((plan,),) = connection.execute(explain).fetchone()
    storage.close()
    assert rows_read(plan["Plan"]) < 20 * many


def rows_read(node):
    """Return how many rows the scans of a plan looked at."""
    looked_at = node["Actual Rows"] + node.get("Rows Removed by Filter", 0)
    below = sum(map(rows_read, node.get("Plans", ())))
    is_scan = "Relation Name" in node
    return below + (looked_at * node["Actual Loops"] if is_scan else 0)

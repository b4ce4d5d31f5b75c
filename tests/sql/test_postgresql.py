"""What is PostgreSQL's own: round trips, types, the schema's life, errors, secrets."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
import textwrap
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest
from sqlalchemy import create_engine, event

from segmentflow_core import Tracker
from segmentflow_core.colour import drive
from segmentflow_core.errors import ConfigurationError, StorageRefused, StorageUnavailable
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    a_journey,
    a_request,
)
from segmentflow_sql import SqlStorage, exchange, metadata, open_storage, postgresql
from servers import CountingProxy

STORAGE_PAGE = Path(__file__).parents[2] / "docs" / "reference" / "storage.md"


@pytest.fixture
def storage(postgres, database):
    storage = open_storage(postgres.url(database, scheme="postgresql"))
    yield storage
    assert storage._engine.pool.checkedout() == 0
    storage.close()


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


# --- what a call costs -----------------------------------------------------------------------


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


@pytest.mark.parametrize("level", ["READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE"])
def test_an_engine_may_ask_for_an_isolation_level_by_its_options(
    postgres, database, monkeypatch, level
):
    sent: list[str] = []
    send = postgresql.PsycopgConnection._send

    def watched(self, call, *rest):
        sent.append(call.statement.text)
        send(self, call, *rest)

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

    def watched(self, call, *rest):
        sent.append(call.statement.text)
        send(self, call, *rest)

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


# --- types -------------------------------------------------------------------------------------


def test_columns_have_postgresqls_own_types(postgres, database):
    with postgres.connect(database) as connection:
        types = connection.execute(
            "SELECT DISTINCT data_type, udt_name FROM information_schema.columns "
            "WHERE table_name LIKE 'segmentflow_%'"
        ).fetchall()
    assert {name for _, name in types} == {"varchar", "uuid", "jsonb", "timestamptz", "int4"}


def test_every_key_and_index_leads_with_the_organization(postgres, database):
    with postgres.connect(database) as connection:
        indexes = connection.execute(
            "SELECT indexname, indexdef FROM pg_indexes WHERE tablename LIKE 'segmentflow_%'"
        ).fetchall()
    others = {name for name, text in indexes if "(organization_id" not in text}
    # A purge goes through every Organization's expired keys; who bears an API Key says which
    # Organization it is; a worker may take what is available in any.
    assert others == {
        "segmentflow_schema_pkey",
        "segmentflow_claims_expiry",
        "segmentflow_api_keys_lookup",
    }


@pytest.mark.parametrize(
    "value", [1e22, -1e300, 1.5e16, 5e-324, 0.1, 10**15 + 1, 2**64 - 1, "1e+22", '"1e+22\\', 1.0]
)
def test_a_number_comes_back_as_it_was_from_jsonb(storage, value):
    tracker = a_tracker(storage)
    receipt = tracker.track(a_request(data={"value": value}), "key")
    stored = tracker.records.event(receipt.event_id).data["value"]
    assert (type(stored), stored) == (type(value), value)


@pytest.mark.parametrize("zone", ["America/St_Johns", "Pacific/Apia"])
@pytest.mark.parametrize("moment", ["0001-01-02T00:00:00.000001Z", "9999-12-30T23:59:59.999999Z"])
def test_an_instant_is_exact_whatever_the_sessions_time_zone(postgres, database, zone, moment):
    options = {"options": f"-c timezone={zone} -c datestyle=German"}
    storage = SqlStorage(create_engine(postgres.url(database), connect_args=options))
    tracker = a_tracker(storage)
    receipt = tracker.track(a_request(occurredAt=moment), "key")
    stored = tracker.records.event(receipt.event_id).occurred_at
    assert stored.isoformat() == moment.replace("Z", "+00:00")
    storage.close()


# --- the schema's life ---------------------------------------------------------------------------

_CREATE = textwrap.dedent(
    """
    import sys
    from segmentflow_sql import open_storage

    print("ready", flush=True)
    sys.stdin.readline()
    open_storage(sys.argv[1]).create_all()
    """
)


def test_many_processes_may_create_one_store_at_once(postgres, new_database):
    url = postgres.url(new_database(), scheme="postgresql")
    processes = [
        subprocess.Popen(
            [sys.executable, "-c", _CREATE, url],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for _ in range(8)
    ]
    for process in processes:
        assert process.stdout.readline() == "ready\n"
    for process in processes:
        process.communicate("go\n", timeout=60)
    assert [process.returncode for process in processes] == [0] * 8
    storage = open_storage(url)
    assert not a_tracker(storage).track(a_request(), "key").replayed
    storage.create_all()
    assert a_tracker(storage).track(a_request(), "key").replayed
    storage.close()


def test_a_store_without_tables_is_named_as_such(postgres, new_database):
    storage = open_storage(postgres.url(new_database()))
    with pytest.raises(ConfigurationError, match="no tables yet"):
        a_tracker(storage).records.events()
    storage.close()


def test_a_store_of_another_version_is_refused(postgres, new_database):
    name = new_database()
    storage = open_storage(postgres.url(name))
    storage.create_all()
    with postgres.connect(name) as connection:
        connection.execute("UPDATE segmentflow_schema SET version = 99")
    other = open_storage(postgres.url(name))
    for use in (other.create_all, a_tracker(other).records.events):
        with pytest.raises(ConfigurationError) as refusal:
            use()
        assert refusal.value.details == {"found": 99, "expected": 1}
    other.close()
    storage.close()


def test_the_hosts_own_metadata_can_create_the_tables(postgres, new_database):
    engine = create_engine(postgres.url(new_database()))
    metadata.create_all(engine)
    storage = SqlStorage(engine)
    storage.create_all()
    assert not a_tracker(storage).track(a_request(), "key").replayed
    storage.close()


# --- errors, connections and secrets ------------------------------------------------------------


def test_an_error_of_the_server_shows_its_sqlstate_and_nothing_it_was_writing(
    postgres, new_database
):
    name = new_database()
    storage = open_storage(postgres.url(name))
    storage.create_all()
    with postgres.connect(name) as connection:
        connection.execute("DROP TABLE segmentflow_events")
    with pytest.raises(ConfigurationError) as failure:
        a_tracker(storage).track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    assert failure.value.details == {"error": "42P01"}
    assert f'"{name}"' in failure.value.message
    assert failure.value.__cause__ is None
    assert failure.value.__context__ is None
    assert storage._engine.pool.checkedout() == 0
    storage.close()


def test_a_server_that_is_not_there_is_unavailable():
    storage = open_storage("postgresql://postgres@127.0.0.1:1/nothing")
    with pytest.raises(StorageUnavailable) as failure:
        a_tracker(storage).records.events()
    assert failure.value.__context__ is None
    storage.close()


def test_a_pool_with_nothing_left_to_give_is_unavailable(postgres, database):
    engine = create_engine(postgres.url(database), pool_size=1, max_overflow=0, pool_timeout=0)
    storage = SqlStorage(engine)
    with engine.connect(), pytest.raises(StorageUnavailable) as failure:
        a_tracker(storage).records.events()
    assert failure.value.__context__ is None
    assert a_tracker(storage).records.events() == []
    storage.close()


def test_a_work_that_swallowed_a_failure_is_not_committed(storage):
    def work(transaction):
        with pytest.raises(StorageRefused):
            drive(transaction.events.list("default", limit=-1))
        return "as if nothing had been"

    with pytest.raises(StorageRefused):
        storage.run(work)


def test_a_connection_that_broke_while_it_was_pooled_is_replaced(postgres, database, storage):
    tracker = a_tracker(storage)
    first = tracker.track(a_request(), "key")
    with postgres.connect(database) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert tracker.track(a_request(), "key") == first


def test_a_pool_full_of_broken_connections_is_gone_through(postgres, database):
    """However many there are: as after a restart of the server."""
    engine = create_engine(postgres.url(database), pool_size=60)
    storage = SqlStorage(engine)
    first = a_tracker(storage).track(a_request(), "key")
    everyone = threading.Barrier(60)
    with ThreadPoolExecutor(60) as pool:
        for use in [pool.submit(storage.run, lambda _: everyone.wait()) for _ in range(60)]:
            use.result()
    assert engine.pool.checkedin() == 60
    with postgres.connect(database) as connection:
        connection.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
            "WHERE datname = current_database() AND pid <> pg_backend_pid()"
        )
    assert a_tracker(storage).track(a_request(), "key") == first
    storage.close()


def test_a_pool_that_empties_statements_behind_our_back_does_no_harm(postgres, database):
    """As a pooler would, that gives each transaction another server's connection."""
    engine = create_engine(postgres.url(database))

    @event.listens_for(engine, "checkin")
    def discard(driver, record):
        if driver is not None:
            autocommit, driver.autocommit = driver.autocommit, True
            driver.execute("DISCARD ALL", prepare=False)
            driver.autocommit = autocommit

    storage = SqlStorage(engine)
    tracker = a_tracker(storage)
    receipts = [tracker.track(a_request(), str(number)) for number in range(5)]
    assert len({receipt.event_id for receipt in receipts}) == 5
    storage.close()


def test_preparing_can_be_turned_off_as_psycopg_has_it(postgres, database):
    engine = create_engine(postgres.url(database), connect_args={"prepare_threshold": None})
    storage = SqlStorage(engine)
    a_tracker(storage).track(a_request(), "key")
    with engine.connect() as connection:
        kept = connection.exec_driver_sql("SELECT count(*) FROM pg_prepared_statements")
        assert kept.scalar_one() == 0
    storage.close()


def test_a_client_encoding_that_cannot_hold_every_name_is_refused(postgres, database):
    engine = create_engine(postgres.url(database), connect_args={"client_encoding": "latin1"})
    storage = SqlStorage(engine)
    with pytest.raises(ConfigurationError, match="UTF8"):
        a_tracker(storage).records.events()
    assert engine.pool.checkedout() == 0
    storage.close()


def test_the_secret_is_nowhere_in_the_database_its_log_or_ours(postgres, database, caplog):
    caplog.set_level(logging.DEBUG)
    engine = create_engine(postgres.url(database), echo="debug")
    storage = SqlStorage(engine)
    tracker = a_tracker(storage)
    tracker.journeys.publish({"journeys": [a_journey()]})
    tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    with postgres.connect(database) as connection:
        rows = [
            repr(row)
            for table in metadata.tables
            for row in connection.execute(f"SELECT * FROM {table}").fetchall()
        ]
        connection.execute("DROP TABLE IF EXISTS broken")
    assert any("ord_9421" in row for row in rows)
    assert not any("tok_live_abc" in row for row in rows)
    assert "tok_live_abc" not in caplog.text
    assert "tok_live_abc" not in postgres.log()
    storage.close()


# --- plans ---------------------------------------------------------------------------------------


_CROWD = {
    "profiles (organization_id, profile_id, email, external_id, properties, property_times, "
    "created_at, updated_at)": "'default', gen_random_uuid(), n || '@example.com', 'x' || n, "
    "'{}', '{}', now(), now()",
    "claims": "'default', 'events.track', n, gen_random_uuid(), '', '', '', '{}', now(), now()",
    "events": "'default', gen_random_uuid(), gen_random_uuid(), 'e', '{}', '{}', n, now(), now(), "
    "'[]'",
    "enrollments (organization_id, enrollment_id, journey_id, version, profile_id, event_id, "
    "entry_key, entered_at, status, attempts)": "'default', gen_random_uuid(), 'welcome', 1, "
    "gen_random_uuid(), gen_random_uuid(), n, now(), 'completed', 1",
}


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
            for table in ("profiles", "claims", "events", "enrollments"):
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
    known = postgresql.KIND.statements
    statements, records = known.tracking, known.records
    probes = json.dumps([[0, "welcome", _ANY_ID, "", None]])
    now = "2026-06-01T12:00:00Z"
    return [
        (statements.lock_profiles.email, ("default", "7@example.com")),
        (statements.lock_profiles.external_id, ("default", "x7")),
        (statements.taken_keys.one, ("default", "events.track", "7")),
        (statements.listening_journeys.one, ("default", "active", "order.created")),
        (statements.last_entries, ("default", probes)),
        (statements.change_profiles.one, ("e", "x", "{}", "{}", now, "default", _ANY_ID)),
        (statements.change_properties.one, ("{}", "{}", now, "default", _ANY_ID)),
        (records.get_event, ("default", _ANY_ID)),
        (records.get_profile, ("default", _ANY_ID)),
        (statements.lock_profiles.many, ("default", '{"7@example.com"}', '{"x7"}')),
        (statements.taken_keys.many, ("default", "events.track", '{"7"}')),
        (statements.listening_journeys.many, ("default", "active", '{"order.created"}')),
    ]


_ANY_ID = "019bf964-302b-7000-8000-000000000001"

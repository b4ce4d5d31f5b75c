"""A store on PostgreSQL: its types, the schema's life, errors, secrets."""

from __future__ import annotations

import logging
import subprocess
import sys
import textwrap
from uuid import uuid4

import pytest
from sqlalchemy import create_engine

from segmentflow_core import Tracker
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    a_journey,
    a_request,
)
from segmentflow_sql import SqlStorage, metadata, open_storage


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


def test_columns_have_postgresqls_own_types(postgres, database):
    with postgres.connect(database) as connection:
        types = connection.execute(
            "SELECT DISTINCT data_type, udt_name FROM information_schema.columns "
            "WHERE table_name LIKE 'segmentflow_%'"
        ).fetchall()
    assert {name for _, name in types} == {
        "varchar",
        "uuid",
        "jsonb",
        "timestamptz",
        "int4",
        "int8",
        "text",
    }


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


_CREATE = textwrap.dedent(
    """
    import sys
    from segmentflow_sql import open_storage

    print("ready", flush=True)
    sys.stdin.readline()
    open_storage(sys.argv[1]).create_all()
    """
)


@pytest.mark.once
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
        process.communicate("go\n", timeout=600)
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
        assert refusal.value.details == {"found": 99, "expected": 2}
    other.close()
    storage.close()


def test_the_hosts_own_metadata_can_create_the_tables(postgres, new_database):
    engine = create_engine(postgres.url(new_database()))
    metadata.create_all(engine)
    storage = SqlStorage(engine)
    storage.create_all()
    assert not a_tracker(storage).track(a_request(), "key").replayed
    storage.close()


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


def test_the_secret_is_nowhere_in_the_database_its_log_or_ours(postgres, database, caplog):
    caplog.set_level(logging.DEBUG)
    engine = create_engine(postgres.url(database), echo="debug")
    storage = SqlStorage(engine)
    tracker = a_tracker(storage)
    tracker.journeys.publish({"journeys": [a_journey()]})
    # Other tests share the server and its log.
    secret = f"canary-{uuid4()}"
    data = {**DOCUMENTED_REQUEST["data"], "payment": {"token": secret}}
    tracker.track({**DOCUMENTED_REQUEST, "data": data}, DOCUMENTED_KEY)
    with postgres.connect(database) as connection:
        rows = [
            repr(row)
            for table in metadata.tables
            for row in connection.execute(f"SELECT * FROM {table}").fetchall()
        ]
        connection.execute("DROP TABLE IF EXISTS broken")
    assert any("ord_9421" in row for row in rows)
    assert not any(secret in row for row in rows)
    assert secret not in caplog.text
    assert secret not in postgres.log()
    storage.close()

"""Killed during load, and cut off exactly at COMMIT: acknowledged once, recorded once."""

from __future__ import annotations

import pytest
from bench.crashes.findings import PROMISES, broken_promises, read_store
from bench.crashes.killing import kill_during_load
from bench.crashes.life import EVENTS, differences, kill_lives
from bench.crashes.load import JOURNEYS, Acknowledgement, calls_of, new_tracker
from bench.migration import on_postgresql, on_sqlite
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import ApiKeys, AsyncTracker, Tracker
from segmentflow_core.ports import Alias, IdentityKind
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage
from segmentflow_sql.identities import hashed
from servers import CuttingProxy, Postgres

NONE_BROKEN = dict.fromkeys(PROMISES, 0)


def a_store(url):
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    storage.close()
    return url


@pytest.fixture
def to_be_killed():
    """Give a server that no other test uses, and that loses nothing it committed."""
    server = Postgres()
    yield server
    server.stop()


@pytest.mark.server_side
def test_kills_failovers_and_ended_sessions_break_no_promise(to_be_killed, tmp_path):
    url = a_store(to_be_killed.url())
    figures = kill_during_load(url, tmp_path, rounds=8, seed=1, server=to_be_killed)
    assert (figures.process_kills, figures.server_kills) == (2, 2)
    assert (figures.failovers, figures.terminations) == (2, 2)
    assert figures.events > 0
    assert figures.broken == NONE_BROKEN


def test_kills_of_clients_of_a_sqlite_file_break_no_promise(tmp_path):
    url = a_store(f"sqlite:///{tmp_path / 'store.db'}")
    figures = kill_during_load(url, tmp_path, rounds=6, seed=1)
    assert (figures.process_kills, figures.server_kills) == (6, 0)
    assert figures.events > 0
    assert figures.broken == NONE_BROKEN


# --- killed while it migrates, merges, erases and forgets ---------------------------------------


@pytest.mark.once
@pytest.mark.parametrize(
    "kind", ["sqlite", pytest.param("postgresql", marks=pytest.mark.server_side)]
)
def test_kills_of_what_a_host_does_to_people_change_nothing_of_its_end(request, kind, tmp_path):
    if kind == "sqlite":
        stores = on_sqlite(str(tmp_path), EVENTS)
    else:
        stores = on_postgresql(request.getfixturevalue("to_be_killed"), EVENTS)
    figures = kill_lives(stores, kills=4, seed=1)
    assert sum(figures.kills.values()) == 4
    assert figures.differences == 0
    # All of it was done.
    rows = stores.rows()
    done = {row["action"] for row in rows["segmentflow_audit"]}
    assert done == {"profiles_merged", "profile_erased", "profile_scrubbed", "retained"}
    assert "blocked" in {row["kind"] for row in rows["segmentflow_identities"]}
    assert rows["segmentflow_gone_events"]
    assert rows["segmentflow_schema"] == [{"version": 2}]


def an_end(secret="a", email="alex-1@example.com", audit_id="1", actions=("profile_erased",)):
    """Return rows of a store in which one person was erased and blocked."""
    blocked = hashed(secret, "bench", Alias(IdentityKind.EMAIL, email))
    return {
        "segmentflow_identities": [
            {"kind": "block_secret", "value": secret},
            {"kind": "blocked", "value": blocked},
        ],
        "segmentflow_audit": [{"audit_id": audit_id, "action": action} for action in actions],
    }


@pytest.mark.parametrize(
    ("count", "other"),
    [
        (0, an_end()),
        (0, an_end(secret="b", audit_id="2", actions=("profile_erased", "retained"))),
        (1, an_end(actions=("profile_erased", "profile_erased"))),
        (1, an_end(actions=())),
        (2, an_end(email="alex-2@example.com")),
        (2, an_end(email="somebody@example.com")),
        (2, {**an_end(), "segmentflow_identities": []}),
    ],
)
def test_two_ends_differ_by_all_but_what_is_made_at_random(count, other):
    assert differences(an_end(), other) == differences(other, an_end()) == count


# --- what the figures would show -------------------------------------------------------------


@pytest.fixture
def told_and_engine(tmp_path):
    """Give two acknowledged calls about one Profile, and the engine of their store."""
    engine = create_engine(a_store(f"sqlite:///{tmp_path / 'store.db'}"))
    tracker = new_tracker(engine)
    tracker.journeys.publish(JOURNEYS)
    told = [
        Acknowledgement.of(task, key, tracker.track(request, key))
        for task in (6, 7)
        for request, key in calls_of(0, task)
    ]
    yield told, engine
    engine.dispose()


@pytest.mark.parametrize(
    ("broken", "damage"),
    [
        ({}, "SELECT 1"),
        (
            {"lost": 2, "keyWithoutEvent": 2, "enrollmentWithoutEvent": 3},
            "DELETE FROM segmentflow_events",
        ),
        ({"eventWithoutKey": 2}, "DELETE FROM segmentflow_claims"),
        ({"doubled": 1, "receiptDiffers": 2}, "UPDATE segmentflow_events SET reference_id = 'x'"),
        ({"receiptDiffers": 2}, "UPDATE segmentflow_events SET outcomes = '[]'"),
        ({"enteredOnce": 1}, "DELETE FROM segmentflow_enrollments WHERE journey_id = 'once'"),
        ({"eventWithoutProfile": 2}, "DELETE FROM segmentflow_profiles"),
    ],
)
def test_damage_to_the_store_is_found(told_and_engine, broken, damage):
    told, engine = told_and_engine
    with engine.begin() as connection:
        connection.exec_driver_sql(damage)
    found = broken_promises(told, read_store(engine), 0)
    assert found.items() >= broken.items()
    assert bool(broken) is any(found.values())


def test_two_receipts_for_one_key_are_found(told_and_engine):
    told, engine = told_and_engine
    first, second = told
    lie = Acknowledgement.of(first.task, first.key, second.receipt)
    found = broken_promises([*told, lie], read_store(engine), 0)
    assert found == {**NONE_BROKEN, "receiptsDiffer": 1, "receiptDiffers": 1}


# --- cut off at COMMIT -----------------------------------------------------------------------


@pytest.fixture
def proxy(postgres):
    proxy = CuttingProxy(f"{postgres.host}/.s.PGSQL.5432")
    yield proxy
    proxy.close()


@pytest.fixture
def witness(postgres, database):
    storage = SqlStorage(create_engine(postgres.url(database)))
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish({"journeys": [a_journey(reentry={"policy": "once"})]})
    yield tracker
    storage.close()


@pytest.fixture
def url(proxy, database):
    return f"postgresql+psycopg://postgres@127.0.0.1:{proxy.port}/{database}"


@pytest.fixture(params=["sync", "async"])
def track(request, url, runner):
    """Give a way to track through the proxy, in either colour."""
    if request.param == "sync":
        storage = SqlStorage(create_engine(url))
        yield Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).track
        assert storage._engine.pool.checkedout() == 0
        storage.close()
    else:
        storage = AsyncSqlStorage(create_async_engine(url))
        tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
        yield lambda *call: runner.run(tracker.track(*call))
        assert storage._engine.pool.checkedout() == 0
        runner.run(storage.close())


@pytest.mark.parametrize(
    "cut",
    [CuttingProxy.cut_before_the_server_hears_it, CuttingProxy.cut_before_the_client_hears_of_it],
)
@pytest.mark.parametrize("organization_id", ["default", None])
def test_a_claim_cut_off_at_its_commit_hands_over_what_it_took(
    proxy, witness, url, cut, organization_id
):
    witness.journeys.publish([a_journey()])
    witness.track_many([(a_request(), f"key {n}") for n in range(6)])
    storage = SqlStorage(create_engine(url))
    worker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    cut(proxy)
    claimed = worker.enrollments.claim(limit=4, organization_id=organization_id)
    assert proxy.cuts == 1
    assert len(claimed) == 4
    assert {c.enrollment for c in claimed} == set(witness.enrollments.list(status="claimed"))
    assert {c.event.event_id for c in claimed} == {c.enrollment.event_id for c in claimed}
    assert {c.enrollment.attempts for c in claimed} == {1}
    storage.close()


@pytest.mark.parametrize(
    "cut",
    [CuttingProxy.cut_before_the_server_hears_it, CuttingProxy.cut_before_the_client_hears_of_it],
)
@pytest.mark.parametrize("warm", [False, True], ids=["first call", "warm pool"])
def test_an_api_key_whose_creation_is_cut_off_at_its_commit_is_created_once(
    proxy, witness, url, cut, warm
):
    storage = SqlStorage(create_engine(url))
    keys = ApiKeys(storage)
    for _ in range(1 + warm):
        keys.list()
    cut(proxy)
    created = keys.create(["events:write"])
    assert proxy.cuts == 1
    assert [key.key_id for key in keys.list()] == [created.api_key.key_id]
    assert keys.authenticate(created.secret, "events:write") == created.api_key
    storage.close()


@pytest.mark.parametrize(
    "cut",
    [CuttingProxy.cut_before_the_server_hears_it, CuttingProxy.cut_before_the_client_hears_of_it],
)
@pytest.mark.parametrize("warm", [False, True], ids=["first call", "warm pool"])
def test_a_call_cut_off_at_its_commit_gives_one_receipt_and_one_event(
    proxy, witness, track, cut, warm
):
    track(a_request("warm up"), "warm up")  # the schema is checked by then
    if warm:
        track(a_request("warm up"), "warm up again")
    before = len(witness.records.events())
    cut(proxy)
    receipt = track(a_request(), "key")
    assert proxy.cuts == 1
    assert not receipt.replayed
    assert (receipt.matched_journeys, receipt.enrolled_journeys) == (1, 1)
    assert len(witness.records.events()) == before + 1
    again = witness.track(a_request(), "key")
    assert again.replayed
    assert again == receipt
    assert len(witness.enrollments.list()) == 1

"""What a key claim's row holds, and what becomes of a call when other rows are gone."""

from __future__ import annotations

import base64
import json
import time

import pytest
from sqlalchemy import create_engine, text

from segmentflow_core import FingerprintKeys, Receipt, Tracker
from segmentflow_core.domain.conflict import unseen_digests
from segmentflow_core.domain.request import check_request
from segmentflow_core.errors import IdempotencyKeyReuse, ProfileEmailRequired
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_sql import SqlStorage, metadata

KEY = "canary: order 9421 of Alex"


@pytest.fixture(params=["sqlite", "postgresql"])
def engine(request, tmp_path):
    """Give an engine of either kind, on a database with our tables, all of them empty."""
    if request.param == "sqlite":
        engine = create_engine(f"sqlite:///{tmp_path / 'store.db'}")
    else:
        postgres = request.getfixturevalue("postgres")
        engine = create_engine(postgres.url(request.getfixturevalue("database")))
    SqlStorage(engine).create_all()
    yield engine
    engine.dispose()


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def tracker(engine, clock):
    return Tracker(SqlStorage(engine), fingerprint_key=FINGERPRINT_SECRET, clock=clock)


@pytest.fixture
def rows(engine):
    """Give a function that runs a statement and returns its rows."""

    def run(statement):
        with engine.begin() as connection:
            answer = connection.execute(text(statement))
            return [tuple(row) for row in answer] if answer.returns_rows else []

    return run


def test_where_an_event_was_deleted_its_call_is_replayed_at_once(tracker, rows):
    tracker.journeys.publish([a_journey()])
    first = tracker.track(a_request(), "key")
    rows("DELETE FROM segmentflow_events")
    started = time.monotonic()
    again, healthy = tracker.track_many([(a_request(), "key"), (a_request(), "healthy")])
    assert time.monotonic() - started < 1
    assert (again, again.replayed, healthy.replayed) == (first, True, False)
    assert [event.event_id for event in tracker.records.events()] == [healthy.event_id]


def test_where_an_event_was_deleted_another_request_is_refused_and_hinders_nobody(tracker, rows):
    tracker.track(a_request(data={"n": 1}), "key")
    rows("DELETE FROM segmentflow_events")
    refusal, healthy = tracker.track_many(
        [(a_request(data={"n": 2}), "key"), (a_request(), "healthy")]
    )
    assert isinstance(refusal, IdempotencyKeyReuse)
    assert refusal.details == {"changedPaths": [""], "redactedPaths": []}
    assert isinstance(healthy, Receipt)


def test_a_replay_outlives_everything_else(tracker, rows):
    tracker.journeys.publish([a_journey()])
    first = tracker.track(a_request(), "key")
    for table in metadata.tables:
        if table not in ("segmentflow_claims", "segmentflow_schema"):
            rows(f"DELETE FROM {table}")
    assert tracker.track(a_request(), "key") == first


def test_no_stored_byte_is_of_a_key(tracker, rows, engine, tmp_path):
    tracker.journeys.publish([a_journey(reentry={"policy": "once"})])
    tracker.track(a_request(), KEY)
    tracker.track_many([(a_request(), KEY), (a_request(), f"{KEY} 2")])
    with pytest.raises(IdempotencyKeyReuse):
        tracker.track(a_request("other"), KEY)
    with pytest.raises(ProfileEmailRequired):
        tracker.track(a_request(profile={"externalId": "x"}), f"{KEY} 3")
    stored = [rows(f"SELECT * FROM {table}") for table in metadata.tables]
    assert "canary" not in repr(stored)
    assert len(rows("SELECT * FROM segmentflow_claims")) == 2
    assert not any(b"canary" in file.read_bytes() for file in tmp_path.iterdir())


def test_one_row_and_the_secret_tell_nothing_of_one_redacted_value(tracker, rows):
    def request(pin):
        return a_request(data={"pin": pin, "total": 1}, redactedDataPaths=["/event/pin"])

    tracker.track(request("1234"), "key")
    ((digest, paths),) = rows("SELECT digest, paths FROM segmentflow_claims")
    # "e" is the email, "r" are the paths.
    digests = json.loads(paths)
    assert sorted(digests) == ["e", "r"]
    keys = FingerprintKeys.of(FINGERPRINT_SECRET)
    salt = base64.b64decode(f"{digest}=")
    for pin in ("1234", "4321"):
        guess = check_request(request(pin), "key")
        unseen = unseen_digests(guess, keys.current, salt=salt)
        assert unseen == {"/profile/email": digests["e"], "/redactedDataPaths": digests["r"]}


def test_no_committed_row_says_that_a_key_is_taken_and_not_for_what(tracker, rows, clock):
    nobody = a_request(profile={"externalId": "nobody"})
    tracker.track_many([(nobody, "a"), (a_request(), "a"), (nobody, "b"), (a_request(), "c")])
    with pytest.raises(ProfileEmailRequired):
        tracker.track(nobody, "d")
    clock.advance(days=30)
    with pytest.raises(ProfileEmailRequired):
        tracker.track(nobody, "a")
    tracker.track_many([(a_request(), "c"), (a_request(), "e")])
    claims = rows(
        "SELECT taken_at, event_id, profile_id, matched, enrolled, key_id, digest, paths"
        " FROM segmentflow_claims"
    )
    assert len(claims) == 2
    assert not any(value is None for claim in claims for value in claim)

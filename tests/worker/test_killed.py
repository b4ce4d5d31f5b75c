"""Workers killed while they work: `bench.workers`, small, and that what it counts can be broken."""

from __future__ import annotations

from datetime import timedelta

import pytest
from bench.workers.killing import kill_workers
from bench.workers.latency import measure_latency
from bench.workers.ledger import PROMISES, broken_promises, make_effect, prepare, runs_again
from sqlalchemy import create_engine, text

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_sql import SqlStorage

NONE_BROKEN = dict.fromkeys(PROMISES, 0)
MINUTE = timedelta(minutes=1)


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    url = f"sqlite:///{tmp_path / 'store.db'}"
    if request.param == "postgresql":
        postgres = request.getfixturevalue("postgres")
        url = postgres.url(request.getfixturevalue("new_database")())
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    storage.close()
    return url


@pytest.mark.once
def test_kills_lose_no_enrollment_and_hand_none_over_under_a_live_lease(url):
    lease = timedelta(seconds=1)
    figures = kill_workers(url, enrollments=150, kills=3, seed=1, lease=lease)
    assert figures.broken == NONE_BROKEN
    assert figures.kept
    assert (figures.enrollments, figures.kills) == (150, 3)
    assert figures.ahead == (0 if url.startswith("sqlite") else 120)
    assert figures.made_again <= figures.handed_again


@pytest.mark.once
def test_the_latency_is_of_every_event(url, tmp_path):
    latency = measure_latency(url, tmp_path, rate=50, seconds=0.4)
    assert latency.events == 20
    assert latency.p50 <= latency.p95 <= latency.longest


@pytest.fixture
def engine(url):
    engine = create_engine(url)
    prepare(engine)
    yield engine
    engine.dispose()


def a_tracker(engine, clock=None):
    storage = SqlStorage(engine)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.journeys.publish([a_journey()])
    return tracker


def claims(engine, clock):
    return a_tracker(engine, clock).enrollments.claim(lease=MINUTE)


def test_a_worker_that_trusts_its_own_fast_clock_is_found_out(engine):
    # The store's own clock where it has one, and the machine's.
    a_tracker(engine).track(a_request(), "key")
    (claimed,) = claims(engine, None)
    ahead = FixedClock(claimed.enrollment.lease_until + MINUTE)
    (taken,) = claims(engine, ahead)
    assert taken.enrollment.enrollment_id == claimed.enrollment.enrollment_id
    assert broken_promises(engine)["underLiveLease"] == 1
    assert runs_again(engine) == (0, 1)


def test_what_is_lost_doubled_or_made_for_nobody_is_counted(engine):
    tracker = a_tracker(engine)
    for number in range(3):
        tracker.track(a_request(profile={"email": f"{number}@example.com"}), f"{number}")
    first, second, _ = claims(engine, None)
    tracker.enrollments.complete_many([first.lease, second.lease])
    make_effect(engine, first.enrollment.enrollment_id, 1)
    make_effect(engine, first.enrollment.enrollment_id, 2)
    make_effect(engine, "nobody", 1)
    with engine.begin() as connection:
        again = "INSERT INTO bench_completions SELECT enrollment_id FROM bench_completions LIMIT 1"
        connection.execute(text(again))
    assert broken_promises(engine) == {
        "lost": 1,
        "withoutEffect": 2,
        "strangeEffects": 1,
        "completedTwice": 1,
        "underLiveLease": 0,
    }
    assert runs_again(engine) == (1, 0)

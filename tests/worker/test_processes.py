"""Workers on a SQLite file and on PostgreSQL: in processes that are killed, and side by side."""

from __future__ import annotations

import threading

import pytest
from sqlalchemy import create_engine

from segmentflow_core import EnrollmentStatus, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_sql import SqlStorage
from segmentflow_worker import Worker
from workers import KilledWorkers, work_by_handlers


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request, tmp_path):
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'store.db'}"
    postgres = request.getfixturevalue("postgres")
    return postgres.url(request.getfixturevalue("new_database")())


@pytest.fixture
def storage(url):
    storage = SqlStorage(create_engine(url), wait=60)
    storage.create_all()
    yield storage
    assert storage._engine.pool.checkedout() == 0
    storage.close()


def enrol(storage, count, clock):
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.journeys.publish([a_journey()])
    profiles = [{"email": f"p{number}@example.com"} for number in range(count)]
    tracker.track_many([(a_request(profile=each), each["email"]) for each in profiles])
    return tracker


def test_workers_killed_at_random_lose_nothing_and_complete_each_once(url, storage):
    clock = FixedClock()
    tracker = enrol(storage, 300, clock)
    entered = {each.enrollment_id for each in tracker.enrollments.list(limit=1000)}
    workers = KilledWorkers(url, clock.now(), seed=5, work=work_by_handlers)
    workers.run(3, kills=8, pause=30)
    assert workers.killed == 8
    stored = tracker.enrollments.list(limit=1000)
    assert {each.status for each in stored} == {EnrollmentStatus.COMPLETED}
    # Each was acted on, some of them again: by its id, whoever is asked to act can tell.
    assert set(workers.done) == entered
    assert len(workers.done) >= len(entered)
    assert len(set(workers.completed)) == len(workers.completed)


def test_workers_side_by_side_hand_no_enrollment_to_two_handlers(storage):
    clock = FixedClock()
    tracker = enrol(storage, 200, clock)
    did, lock = [], threading.Lock()

    def handle(assignment):
        with lock:
            did.append(assignment.idempotency_key)

    def work():
        completed.append(Worker(storage, {"welcome": handle}, clock=clock).drain())

    completed = []
    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sum(completed) == 200
    assert sorted(did) == sorted(each.enrollment_id for each in tracker.enrollments.list(limit=999))

"""Forgetting by age: what is asked for, how far it goes at a time, and the record of it."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime, timedelta

import pytest

from journey_shop import a_shop
from segmentflow_core import AsyncPeople, People
from segmentflow_core.domain.retention import finished_at, longer_ago_than
from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_core.ports import EnrollmentStatus
from segmentflow_core.testing import FixedClock, a_request
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage

DAY = timedelta(days=1)


class Counted(MemoryStorage):
    """A store that counts its transactions, and fails once it has had so many."""

    transactions = 0
    at_most = 10_000

    def run(self, work, **how):
        self.transactions += 1
        if self.transactions > self.at_most:
            raise StorageUnavailable
        return super().run(work, **how)


@pytest.fixture
def storage():
    return Counted()


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def tracker(storage, clock):
    """Give a tracker on a store with ten events of a day and more ago."""
    tracker = a_shop(storage, clock)
    for number in range(10):
        tracker.track(a_request("other"), f"{number}")
    clock.advance(days=1, seconds=1)
    storage.transactions = 0
    return tracker


def test_each_batch_is_a_transaction_and_the_run_leaves_one_record(storage, tracker):
    told = []
    retained = tracker.people.retain(events=DAY, limit=4, by="cron", on_progress=told.append)
    # What follows an archiving, three batches, and the record.
    assert storage.transactions == 5
    assert [each.events for each in told] == [4, 8, 10]
    assert told[-1] == retained
    (record,) = [r for r in tracker.records.audit() if r.action == "retained"]
    assert (record.counts, record.by) == ({"events": 10, "enrollments": 0}, "cron")
    assert record.subjects == ()


def test_a_run_that_removes_nothing_leaves_no_record(tracker):
    assert tracker.people.retain(events=2 * DAY, enrollments=2 * DAY).events == 0
    assert [r for r in tracker.records.audit() if r.action == "retained"] == []


def test_a_run_that_ends_early_leaves_the_record_of_what_went(tracker):
    def stop(retained):
        if retained.events == 8:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        tracker.people.retain(events=DAY, limit=4, on_progress=stop)
    record = tracker.records.audit()[0]
    assert (record.action, record.counts) == ("retained", {"events": 8, "enrollments": 0})
    assert len(tracker.records.events()) == 2


def test_a_store_that_fails_leaves_what_its_batches_left(storage, tracker):
    storage.at_most = 3
    with pytest.raises(StorageUnavailable):
        tracker.people.retain(events=DAY, limit=4)
    storage.at_most = 10_000
    assert len(tracker.records.events()) == 2
    assert tracker.people.retain(events=DAY, limit=4).events == 2


def test_a_storage_that_asks_for_it_rests_between_transactions(storage, tracker):
    rests = []
    storage.rest = lambda: rests.append(storage.transactions)
    People(storage, clock=tracker.people._calls._clock).retain(events=DAY, limit=4)
    assert rests == [2, 3]


def test_the_asynchronous_face_does_the_same(clock, tracker, storage):
    people = AsyncPeople(AsyncMemoryStorage(storage), clock=clock)
    retained = asyncio.run(people.retain(events=DAY, enrollments=DAY, limit=3))
    assert (retained.events, retained.enrollments) == (10, 0)


@pytest.mark.parametrize(
    ("asked", "words"),
    [
        ({}, "Give at least one of events and enrollments"),
        ({"events": None, "enrollments": None}, "at least one"),
        ({"events": timedelta()}, "events must be a timedelta longer than nothing"),
        ({"enrollments": -DAY}, "enrollments must be a timedelta"),
        ({"events": 400}, "events must be a timedelta"),
        ({"events": DAY, "limit": 0}, "limit must be"),
        ({"events": DAY, "by": ""}, "by must have"),
        ({"events": DAY, "organization_id": ""}, "organization"),
    ],
)
def test_what_makes_no_sense_is_refused_before_anything_goes(storage, tracker, asked, words):
    with pytest.raises(ConfigurationError, match=words):
        tracker.people.retain(**asked)
    assert storage.transactions == 0


def test_an_age_beyond_the_calendar_removes_nothing(tracker):
    assert tracker.people.retain(events=timedelta.max, enrollments=timedelta.max).events == 0
    assert longer_ago_than(timedelta.max, datetime.now(UTC)).year == 1


def test_a_storage_that_cannot_forget_says_so():
    class Without(MemoryStorage):
        def __init__(self):
            super().__init__()
            del self._transaction.retention

    with pytest.raises(ConfigurationError, match="cannot forget by age"):
        People(Without()).retain(events=DAY)
    with pytest.raises(ConfigurationError, match="cannot forget by age"):
        People(Without()).retain(enrollments=DAY)


def test_only_finished_enrollments_have_finished(tracker, clock):
    tracker.track(a_request(), "enters")
    (pending,) = tracker.enrollments.list()
    assert finished_at(pending) is None
    (claimed,) = tracker.enrollments.claim(limit=1)
    assert finished_at(claimed.enrollment) is None
    done = tracker.enrollments.complete(claimed.lease)
    assert (done.status, finished_at(done)) == (EnrollmentStatus.COMPLETED, clock.now())

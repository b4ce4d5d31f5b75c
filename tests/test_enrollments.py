from __future__ import annotations

import asyncio
from datetime import timedelta
from operator import attrgetter
from types import SimpleNamespace

import pytest

from segmentflow_core import AsyncTracker, Enrollments, EnrollmentStatus, Lease, Tracker
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    CrashingWorkers,
    FaultyStorage,
    FixedClock,
    SequentialIds,
    a_journey,
    a_request,
)
from segmentflow_core.wire import claimed_document
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage

LEASE = Lease("default", "id", "token")


def options():
    return {"fingerprint_key": FINGERPRINT_SECRET, "clock": FixedClock(), "ids": SequentialIds()}


@pytest.fixture
def untouched():
    """Give a tracker that fails when it reaches its store."""
    return Tracker(FaultyStorage(MemoryStorage(), 0), **options())


@pytest.mark.parametrize(
    "wrong",
    [
        {"limit": 0},
        {"limit": 100_001},
        {"lease": timedelta()},
        {"lease": timedelta(days=367)},
        {"lease": 60},
        {"max_attempts": 0},
        {"max_attempts": None},
        {"organization_id": ""},
    ],
)
def test_a_claim_with_a_wrong_setting_is_refused(untouched, wrong):
    with pytest.raises(ConfigurationError):
        untouched.enrollments.claim(**wrong)


@pytest.mark.parametrize(
    "wrong", [{"delay": timedelta(-1)}, {"delay": 5}, {"delay": timedelta(days=367)}]
)
def test_a_wrong_delay_is_refused(untouched, wrong):
    with pytest.raises(ConfigurationError, match="delay"):
        untouched.enrollments.release(LEASE, **wrong)


def test_a_wrong_number_of_attempts_is_refused(untouched):
    with pytest.raises(ConfigurationError, match="max_attempts"):
        untouched.enrollments.release(LEASE, max_attempts=0)


@pytest.mark.parametrize("wrong", [{"error": 5}, {"error": "words", "failed": False}])
def test_words_for_no_failure_are_refused(untouched, wrong):
    with pytest.raises(ConfigurationError, match="error"):
        untouched.enrollments.release(LEASE, **wrong)


def test_a_wrong_extension_is_refused(untouched):
    with pytest.raises(ConfigurationError, match="lease"):
        untouched.enrollments.extend(LEASE, by=timedelta())


def test_a_lease_of_no_organization_is_refused(untouched):
    nobodys = Lease("", "id", "token")
    for finish in (
        untouched.enrollments.complete,
        untouched.enrollments.release,
        untouched.enrollments.extend,
    ):
        with pytest.raises(ConfigurationError, match="organization"):
            finish(nobodys)
    with pytest.raises(ConfigurationError, match="organization"):
        untouched.enrollments.revive("id", organization_id="")


class OneThatTellsTheTime:
    """A storage with a clock of its own, which throws each first run away, as a lost race does."""

    def __init__(self, clock):
        self._storage, self._clock = MemoryStorage(), clock

    def run(self, work, **how):
        with pytest.raises(ZeroDivisionError):
            self._storage.run(lambda transaction: (work(self._told(transaction)), 1 / 0), **how)
        return self._storage.run(lambda transaction: work(self._told(transaction)), **how)

    def _told(self, transaction):
        parts = ("tracking", "idempotency", "journeys", "events", "enrollments", "hand_over")
        return SimpleNamespace(
            now=self._now, **{each: getattr(transaction, each) for each in parts}
        )

    def _now(self):
        self._clock.advance(minutes=1)
        return self._clock.now()


def test_leases_go_by_the_clock_of_the_store_unless_the_host_gives_one():
    theirs, mine = FixedClock(), FixedClock()
    mine.advance(days=-1)
    storage = OneThatTellsTheTime(theirs)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=mine)
    tracker.journeys.publish([a_journey()])
    tracker.track(a_request(), "1")
    by_theirs, lease = Enrollments(storage), timedelta(hours=1)
    (claimed,) = by_theirs.claim(lease=lease)
    # Asked once, though it ran twice.
    assert (
        claimed.enrollment.lease_until
        == theirs.now() + lease
        == FixedClock().now() + (lease + timedelta(minutes=1))
    )
    assert by_theirs.extend(claimed.lease, by=lease).lease_until == theirs.now() + lease
    back = by_theirs.release(claimed.lease, delay=lease, max_attempts=1)
    assert back.available_at == theirs.now() + lease
    assert by_theirs.revive(back.enrollment_id).available_at == theirs.now()
    (claimed,) = by_theirs.claim()
    assert by_theirs.complete(claimed.lease).completed_at == theirs.now()
    tracker.track(a_request(), "2")
    told = theirs.now()
    (claimed,) = tracker.enrollments.claim(lease=lease)
    assert claimed.enrollment.lease_until == mine.now() + lease
    assert theirs.now() == told


def test_both_colours_hand_over_alike():
    def calls():
        """Yield the calls to make; take in each one's answer."""
        yield "journeys.publish", ({"journeys": [a_journey()]},), {}
        for number in range(3):
            yield "track", (a_request(), str(number)), {}
        first, second, third = yield "enrollments.claim", (), {"organization_id": None}
        yield "enrollments.get", (first.enrollment.enrollment_id,), {}
        yield "enrollments.extend", (first.lease,), {}
        yield "enrollments.complete", (first.lease,), {}
        yield "enrollments.release", (second.lease,), {"max_attempts": 1, "error": "no\0answer"}
        yield "enrollments.release_many", ([third.lease, LEASE],), {"failed": False}
        yield "enrollments.extend_many", ([first.lease],), {}
        yield "enrollments.complete_many", ([first.lease, second.lease],), {}
        yield "enrollments.revive", (second.enrollment.enrollment_id,), {}
        yield "enrollments.revive_many", (["nothing"],), {}
        yield "enrollments.list", (), {"status": EnrollmentStatus.PENDING}

    def answers(call):
        given, script = [], calls()
        name, args, named = next(script)
        while True:
            answer = call(name, *args, **named)
            given.append(str(answer))
            try:
                name, args, named = script.send(answer)
            except StopIteration:
                return given

    plain = Tracker(MemoryStorage(), **options())
    awaited = AsyncTracker(AsyncMemoryStorage(), **options())
    mine = answers(lambda name, *a, **n: attrgetter(name)(plain)(*a, **n))
    theirs = answers(lambda name, *a, **n: asyncio.run(attrgetter(name)(awaited)(*a, **n)))
    assert mine == theirs


def test_what_a_worker_is_handed_is_a_copy():
    tracker = Tracker(MemoryStorage(), **options())
    tracker.journeys.publish({"journeys": [a_journey()]})
    receipt = tracker.track(a_request(data={"items": [1]}), "key")
    (claimed,) = tracker.enrollments.claim()
    claimed_document(claimed)["state"]["event"]["items"].append(2)
    assert tracker.records.event(receipt.event_id).data == {"items": [1]}


@pytest.mark.once
@pytest.mark.parametrize(
    ("of_each", "crashes"), [(500, 20), pytest.param(2500, 100, marks=pytest.mark.deep)]
)
def test_eight_workers_that_crash_at_random_complete_each_once_and_lose_none(of_each, crashes):
    storage, clock = MemoryStorage(wait=60), FixedClock()

    def new_tracker(over=storage):
        return Tracker(over, fingerprint_key=FINGERPRINT_SECRET, clock=clock)

    tracker = new_tracker()
    names = [f"org-{number}" for number in range(4)]
    for name in names:
        tracker.journeys.publish({"journeys": [a_journey()]}, organization_id=name)
        calls = [
            (a_request(profile={"email": f"p{number}@example.com"}), str(number))
            for number in range(of_each)
        ]
        tracker.track_many(calls, organization_id=name)
    workers = CrashingWorkers(storage, new_tracker, clock, seed=1, organizations=names)
    workers.run(8)
    assert workers.crashes > crashes
    assert workers.refused > 0
    assert len(set(workers.completed)) == len(workers.completed)
    stored = [
        e for name in names for e in tracker.enrollments.list(limit=9999, organization_id=name)
    ]
    assert len(stored) == 4 * of_each
    assert {e.status for e in stored} == {EnrollmentStatus.COMPLETED}
    assert set(workers.completed) <= {e.enrollment_id for e in stored}


@pytest.mark.parametrize(
    "wrong",
    [
        {"journey_ids": "welcome"},
        {"journey_ids": ["welcome", 1]},
        {"at_most": 0},
        {"organization_id": ""},
    ],
)
def test_a_backlog_is_asked_for_by_the_rules(untouched, wrong):
    with pytest.raises(ConfigurationError):
        untouched.enrollments.backlog(**wrong)


def test_a_backlog_takes_a_storage_that_finds():
    class Nowhere(MemoryStorage):
        def run(self, work, *, reads_only=False):
            def blind(transaction):
                names = ("journeys", "hand_over")
                return work(SimpleNamespace(**{n: getattr(transaction, n) for n in names}))

            return super().run(blind, reads_only=reads_only)

    with pytest.raises(ConfigurationError, match="finds nothing"):
        Enrollments(Nowhere()).backlog()

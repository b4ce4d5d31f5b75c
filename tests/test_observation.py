from __future__ import annotations

import asyncio

import pytest

from observed import Stumbling, a_tracker
from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.errors import IdempotencyKeyReuse, StorageUnavailable
from segmentflow_core.ports.observation import (
    JourneyOutcome,
    Refused,
    Replayed,
    Retried,
    Tracked,
)
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    a_request,
)
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


class Recorder:
    """Remembers everything it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return self.told.append


@pytest.fixture
def recorder():
    return Recorder()


def test_an_event_and_what_each_journey_did_with_it_are_told(recorder):
    receipt = a_tracker(recorder).track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    event_id = receipt.event_id
    assert recorder.told == [
        Tracked("default", event_id, matched_journeys=2, enrolled_journeys=1, unmatched_paths=0),
        JourneyOutcome("default", event_id, "always", 1, "enrolled", None),
        JourneyOutcome("default", event_id, "big", 1, "skipped", "condition_not_met"),
    ]


def test_a_replay_and_a_refusal_are_told(recorder):
    tracker = a_tracker(recorder)
    receipt = tracker.track(a_request(), "key", organization_id="acme")
    recorder.told.clear()
    tracker.track(a_request(), "key", organization_id="acme")
    with pytest.raises(IdempotencyKeyReuse):
        tracker.track(a_request("other"), "key", organization_id="acme")
    tracker.track_many([({}, None)])
    assert recorder.told == [
        Replayed("acme", receipt.event_id),
        Refused("acme", "idempotency_key_reuse"),
        Refused("default", "idempotency_key_required"),
    ]


def test_a_transaction_that_ran_again_is_told_and_its_event_only_once(recorder):
    storage = Stumbling()
    tracker = a_tracker(recorder, storage=storage)
    storage.lost = 2
    tracker.track(a_request(), "key")
    assert recorder.told[0] == Retried("default", 3)
    assert [type(told) for told in recorder.told[1:]] == [Tracked, JourneyOutcome, JourneyOutcome]


def test_what_a_lost_run_decided_is_not_told_where_the_next_one_decides_otherwise(recorder):
    storage = Stumbling()
    tracker = a_tracker(recorder, storage=storage)
    other = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    receipts = []

    def meanwhile():
        receipts.append(other.track(a_request(), "key"))

    storage.lost, storage.between = 1, meanwhile
    receipt = tracker.track(a_request(), "key")
    assert receipts == [receipt]
    assert recorder.told == [Retried("default", 2), Replayed("default", receipt.event_id)]


@pytest.mark.parametrize(
    ("error", "code"),
    [(StorageUnavailable(), "storage_unavailable"), (ValueError(), "internal_error")],
)
def test_a_failure_is_told_for_every_event_of_its_batch(recorder, error, code):
    storage = Stumbling()
    tracker = a_tracker(recorder, storage=storage)
    storage.error = error
    with pytest.raises(type(error)):
        tracker.track_many([(a_request(), "1"), (a_request(), "2")])
    assert recorder.told == [Refused("default", code)] * 2


class Broken:
    def _fail(self, details):
        raise RuntimeError

    tracked = replayed = refused = retried = journey_outcome = _fail


def test_an_observer_that_fails_hinders_neither_the_call_nor_the_others(recorder):
    receipt = a_tracker(Broken(), recorder).track(a_request(), "key")
    assert recorder.told[0].event_id == receipt.event_id


def test_an_asynchronous_tracker_tells_the_same(recorder):
    storage = Stumbling()
    a_tracker(storage=storage)
    tracker = AsyncTracker(
        AsyncMemoryStorage(storage), fingerprint_key=FINGERPRINT_SECRET, observers=[recorder]
    )
    asyncio.run(tracker.track(a_request(), "key"))
    asyncio.run(tracker.track_many([({}, None)]))
    storage.error = StorageUnavailable()
    with pytest.raises(StorageUnavailable):
        asyncio.run(tracker.track(a_request(), "key"))
    assert [type(told) for told in recorder.told] == [
        Tracked,
        JourneyOutcome,
        JourneyOutcome,
        Refused,
        Refused,
    ]


class Bound(MemoryStorage):
    """A store whose host commits later."""

    def __init__(self):
        super().__init__()
        self.waiting = []

    def after_commit(self, tell, /):
        self.waiting.append(tell)


def test_where_the_host_commits_later_observers_are_told_then(recorder):
    storage = Bound()
    tracker = a_tracker(recorder, storage=storage)
    receipt = tracker.track(a_request(), "key")
    with pytest.raises(IdempotencyKeyReuse):
        tracker.track(a_request("other"), "key")
    assert recorder.told == []
    for tell in storage.waiting:
        tell()
    assert recorder.told[0] == Tracked("default", receipt.event_id, 2, 1, 0)
    assert recorder.told[-1] == Refused("default", "idempotency_key_reuse")

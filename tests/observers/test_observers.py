from __future__ import annotations

import asyncio
import subprocess
import sys

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

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
    a_journey,
    a_request,
)
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_observers import open_telemetry_observer, prometheus_observer

JOURNEYS = {
    "journeys": [
        a_journey("always"),
        a_journey(
            "big",
            trigger={
                "event": "order.created",
                "where": {"path": "/event/total", "op": "gt", "value": 1000},
            },
        ),
    ]
}


class Recorder:
    """Remembers everything it is told."""

    def __init__(self):
        self.told = []

    def __getattr__(self, name):
        return self.told.append


class Stumbling(MemoryStorage):
    """A store whose first runs are lost: it undoes them and runs the work again."""

    def __init__(self, lost=0, error=None):
        super().__init__()
        self.lost, self.error = lost, error

    def run(self, work):
        for _ in range(self.lost):
            with pytest.raises(ZeroDivisionError):
                super().run(lambda transaction: (work(transaction), 1 / 0))
        if self.error is not None:
            raise self.error
        return super().run(work)


@pytest.fixture
def recorder():
    return Recorder()


def a_tracker(*observers, storage=None):
    tracker = Tracker(
        storage or MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, observers=observers
    )
    tracker.journeys.publish(JOURNEYS)
    return tracker


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
    def __getattr__(self, name):
        raise RuntimeError


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


def a_busy_day(observer):
    """Do a bit of everything, with a canary wherever a request can hold one."""
    storage = Stumbling()
    tracker = a_tracker(observer, storage=storage)
    canary = a_request(
        data={"canary": "canary"},
        profile={"email": "canary@example.com", "externalId": "canary"},
        redactedDataPaths=["/event/canary", "/event/canary-2"],
        referenceId="canary",
    )
    tracker.track(canary, "canary")
    tracker.track(canary, "canary")
    tracker.track(a_request("canary"), "canary 2", organization_id="canary")
    tracker.track_many([({"canary": "canary"}, "canary")])
    storage.lost = 1
    tracker.track(a_request(), "another")


def test_prometheus_counts_and_shows_no_value():
    registry = CollectorRegistry()
    a_busy_day(prometheus_observer(registry))
    value = registry.get_sample_value
    assert value("segmentflow_tracked_total") == 3
    assert value("segmentflow_replayed_total") == 1
    assert value("segmentflow_reruns_total") == 1
    assert value("segmentflow_unmatched_paths_total") == 1
    assert value("segmentflow_refused_total", {"code": "invalid_request"}) == 1
    outcome = {"outcome": "skipped", "reason": "condition_unknown"}
    assert value("segmentflow_journey_outcomes_total", outcome) == 2
    assert b"canary" not in generate_latest(registry)


def test_open_telemetry_counts_and_shows_no_value():
    reader = InMemoryMetricReader()
    a_busy_day(open_telemetry_observer(MeterProvider([reader])))
    text = reader.get_metrics_data().to_json()
    counted = {
        (metric.name, *sorted(point.attributes.values())): point.value
        for resource in reader.get_metrics_data().resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    assert counted == {
        ("segmentflow.tracked",): 3,
        ("segmentflow.replayed",): 1,
        ("segmentflow.reruns",): 1,
        ("segmentflow.unmatched_paths",): 1,
        ("segmentflow.refused", "invalid_request"): 1,
        ("segmentflow.journey_outcomes", "", "enrolled"): 2,
        ("segmentflow.journey_outcomes", "condition_unknown", "skipped"): 2,
    }
    assert "canary" not in text


def test_neither_is_imported_before_it_is_asked_for():
    program = (
        "import sys, segmentflow_observers\n"
        "assert not {'prometheus_client', 'opentelemetry'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

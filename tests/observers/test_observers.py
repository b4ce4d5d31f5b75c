from __future__ import annotations

import subprocess
import sys
from datetime import timedelta

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from observed import Stumbling, a_tracker
from segmentflow_core import Backlog
from segmentflow_core.testing import (
    a_request,
)
from segmentflow_observers import (
    open_telemetry_observer,
    open_telemetry_worker_observer,
    prometheus_observer,
    prometheus_worker_observer,
)
from segmentflow_worker import GivenBack, GiveUp, LostLease, Measured, Started, Unavailable
from stepped_time import Shop


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


def a_shift(observer):
    """Let a worker meet all that it can meet, and measure a Journey that is then archived."""
    shop = Shop(in_loop=False)
    shop.enrol(3)
    lag = timedelta(seconds=7)

    def handle(assignment):
        if assignment.idempotency_key == shop.enrollments.list(limit=3)[0].enrollment_id:
            raise GiveUp("canary")

    shop.clock.advance(seconds=7)
    measured = shop.worker(
        {}, default=handle, measure=timedelta(minutes=1), observers=[observer, shop.told]
    )
    assert shop.drain(measured) == 2
    names = ("organization", "welcome", "canary", 1)
    observer.started(Started(*names))
    observer.lease_lost(LostLease(*names, "lease_lost"))
    observer.given_back(GivenBack(*names))
    observer.unavailable(Unavailable("storage_unavailable", 1))
    gone = Backlog("gone", 9, cut=True, lag=lag)
    idle = Backlog("idle", 0, cut=False, lag=None)
    (waiting,) = shop.told.of("measured")
    observer.measured(Measured("canary", [gone, *waiting.backlogs]))
    observer.measured(Measured("canary", [idle, *waiting.backlogs]))


def test_prometheus_counts_and_measures_a_worker():
    registry = CollectorRegistry()
    a_shift(prometheus_worker_observer(registry))
    value = registry.get_sample_value
    assert value("segmentflow_worker_claimed_total") == 3
    assert value("segmentflow_worker_completed_total") == 2
    assert value("segmentflow_worker_failed_total", {"dead": "yes"}) == 1
    assert value("segmentflow_worker_leases_lost_total") == 1
    assert value("segmentflow_worker_given_back_total") == 1
    assert value("segmentflow_worker_unavailable_total", {"code": "storage_unavailable"}) == 1
    shown = {
        journey: (
            value("segmentflow_worker_depth", {"journey": journey}),
            value("segmentflow_worker_lag_seconds", {"journey": journey}),
        )
        for journey in ("welcome", "idle", "gone")
    }
    assert shown == {"welcome": (3, 7), "idle": (0, 0), "gone": (None, None)}
    assert b"canary" not in generate_latest(registry)


def test_open_telemetry_counts_and_measures_a_worker():
    reader = InMemoryMetricReader()
    a_shift(open_telemetry_worker_observer(MeterProvider([reader])))
    data = reader.get_metrics_data()
    counted = {
        (metric.name, *sorted(point.attributes.values())): point.value
        for resource in data.resource_metrics
        for scope in resource.scope_metrics
        for metric in scope.metrics
        for point in metric.data.data_points
    }
    assert counted == {
        ("segmentflow.worker_claimed",): 3,
        ("segmentflow.worker_completed",): 2,
        ("segmentflow.worker_failed", "yes"): 1,
        ("segmentflow.worker_leases_lost",): 1,
        ("segmentflow.worker_given_back",): 1,
        ("segmentflow.worker_unavailable", "storage_unavailable"): 1,
        ("segmentflow.worker_depth", "welcome"): 3,
        ("segmentflow.worker_depth", "idle"): 0,
        ("segmentflow.worker_lag_seconds", "welcome"): 7,
        ("segmentflow.worker_lag_seconds", "idle"): 0,
    }
    assert "canary" not in data.to_json()


def test_neither_is_imported_before_it_is_asked_for():
    program = (
        "import sys, segmentflow_observers\n"
        "assert not {'prometheus_client', 'opentelemetry'} & set(sys.modules)"
    )
    subprocess.run([sys.executable, "-c", program], check=True)

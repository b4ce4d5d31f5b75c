from __future__ import annotations

import subprocess
import sys

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from prometheus_client import CollectorRegistry, generate_latest

from observed import Stumbling, a_tracker
from segmentflow_core.testing import (
    a_journey,
    a_request,
)
from segmentflow_observers import open_telemetry_observer, prometheus_observer


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


def test_what_events_cancel_is_counted():
    registry, reader = CollectorRegistry(), InMemoryMetricReader()
    observers = prometheus_observer(registry), open_telemetry_observer(MeterProvider([reader]))
    tracker = a_tracker(*observers)
    tracker.journeys.publish([a_journey(cancelOn=[{"event": "other"}])])
    tracker.track_many([(a_request(), "1"), (a_request(), "2"), (a_request("other"), "3")])
    assert registry.get_sample_value("segmentflow_withdrawn_total") == 2
    assert '"name": "segmentflow.withdrawn"' in reader.get_metrics_data().to_json()


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
        ("segmentflow.withdrawn",): 0,
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

from __future__ import annotations

import asyncio
import subprocess
import sys
from datetime import timedelta

import pytest
from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import InMemoryMetricReader
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter
from prometheus_client import CollectorRegistry, generate_latest

from observed import Stumbling, a_tracker
from segmentflow_core import AsyncTracker, Backlog, Tracker
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing import (
    a_journey,
    a_request,
)
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_observers import (
    open_telemetry_observer,
    open_telemetry_requests,
    open_telemetry_storage,
    open_telemetry_worker_observer,
    prometheus_observer,
    prometheus_requests,
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


class Answered:
    """An answered request, as an app tells it."""

    seconds = 0.03

    def __init__(self, status, error=None):
        self.status, self.error = status, error


def test_prometheus_measures_requests():
    registry = CollectorRegistry()
    requests = prometheus_requests(registry)
    value = registry.get_sample_value
    for answered in (Answered(202), Answered(202), Answered(503, "overloaded")):
        with requests("POST", "/api/v1/events", None) as tell:
            assert value("segmentflow_requests_in_work") == 1
            tell(answered)
    with requests("POST", "/api/v1/events", None):
        pass  # its client left
    requests.gathered(3)
    labels = {"method": "POST", "route": "/api/v1/events", "status": "202"}
    assert value("segmentflow_request_seconds_count", labels) == 2
    assert value("segmentflow_request_seconds_bucket", {**labels, "le": "0.02"}) == 0
    assert value("segmentflow_request_seconds_bucket", {**labels, "le": "0.05"}) == 2
    assert value("segmentflow_requests_overloaded_total") == 1
    assert value("segmentflow_requests_in_work") == 0
    assert value("segmentflow_gathered_events_sum") == 3


TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


@pytest.fixture
def spans():
    """Give a provider of tracers, and what its spans were, as (name, attributes, parent)."""
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))

    def finished():
        return {
            span.name: (
                dict(span.attributes),
                None if span.parent is None else format(span.parent.span_id, "016x"),
                format(span.context.span_id, "016x"),
                span.status.is_ok,
                len(span.events),
            )
            for span in exporter.get_finished_spans()
        }

    return provider, finished


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_span_of_a_request_is_part_of_its_trace_and_its_transaction_of_it(spans, colour):
    provider, finished = spans
    kept = MemoryStorage()
    requests = open_telemetry_requests(provider)
    if colour == "sync":
        tracker = Tracker(open_telemetry_storage(kept, provider), fingerprint_key="k" * 32)
    else:
        storage = open_telemetry_storage(AsyncMemoryStorage(kept), provider)
        tracker = AsyncTracker(storage, fingerprint_key="k" * 32)

    async def main():
        with requests("POST", "/api/v1/events", TRACE) as tell:
            receipt = tracker.track(a_request(), "1")
            if colour == "async":
                await receipt
            tell(Answered(202))

    asyncio.run(main())
    request, transaction = finished()["POST /api/v1/events"], finished()["segmentflow.transaction"]
    assert request[0] == {
        "http.request.method": "POST",
        "http.route": "/api/v1/events",
        "http.response.status_code": 202,
    }
    assert (request[1], transaction[1]) == ("b7ad6b7169203331", request[2])
    assert transaction[0] == {"segmentflow.reads_only": False}


def test_a_span_shows_why_it_failed_and_no_value(spans):
    provider, finished = spans

    class Away:
        def run(self, work, *, reads_only=False):
            raise StorageUnavailable("canary")

    requests = open_telemetry_requests(provider)
    with requests("POST", "/api/v1/events", None) as tell:
        with pytest.raises(StorageUnavailable):
            open_telemetry_storage(Away(), provider).run(None)
        tell(Answered(503, "storage_unavailable"))
    request, transaction = finished()["POST /api/v1/events"], finished()["segmentflow.transaction"]
    assert (request[0]["error.type"], request[3]) == ("storage_unavailable", False)
    assert transaction[0]["error.type"] == "storage_unavailable"
    assert (request[1], request[4], transaction[4]) == (None, 0, 0)
    assert "canary" not in str(finished())

"""Prometheus: the counters as `segmentflow_…_total`."""

from __future__ import annotations

from collections.abc import Callable, Generator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from prometheus_client import REGISTRY, CollectorRegistry, Gauge, Histogram
from prometheus_client import Counter as PrometheusCounter

from segmentflow_core.ports.observation import JourneyOutcome, Refused, Replayed, Retried, Tracked
from segmentflow_observers.counters import COUNTERS, WORKER_COUNTERS, WORKER_GAUGES, Counter
from segmentflow_observers.requests import Answer

__all__ = ["PrometheusObserver", "PrometheusRequests", "PrometheusWorkerObserver"]

_SECONDS: Final = (0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0)
_CALLS: Final = (1, 2, 4, 8, 16, 32, 64, 128)


class PrometheusObserver:
    """Counts in a Prometheus registry.

    Args:
        registry: where the counters are registered; default: the process's own.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._counters = _made(PrometheusCounter, COUNTERS, registry)

    def tracked(self, details: Tracked) -> None:
        """Count an event."""
        self._counters["tracked"].inc()
        self._counters["unmatched_paths"].inc(details.unmatched_paths)
        self._counters["withdrawn"].inc(details.withdrawn)

    def replayed(self, details: Replayed) -> None:
        """Count a replay."""
        del details
        self._counters["replayed"].inc()

    def refused(self, details: Refused) -> None:
        """Count a refusal."""
        self._counters["refused"].labels(details.code).inc()

    def retried(self, details: Retried) -> None:
        """Count the runs after the first."""
        self._counters["reruns"].inc(details.runs - 1)

    def journey_outcome(self, details: JourneyOutcome) -> None:
        """Count an outcome."""
        self._counters["journey_outcomes"].labels(details.outcome, details.reason or "").inc()


class PrometheusRequests:
    """Measures HTTP requests, and how many events share a transaction.

    Surrounds the requests of an `AsgiApp` or a `WsgiApp`. Its labels are the service's own routes,
    and statuses.

    Args:
        registry: where the metrics are registered; default: the process's own.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        registry = registry or REGISTRY
        self._seconds: Any = Histogram(
            "segmentflow_request_seconds",
            "From a request to its answer.",
            ("method", "route", "status"),
            buckets=_SECONDS,
            registry=registry,
        )
        self._in_work: Any = Gauge(
            "segmentflow_requests_in_work",
            "Requests that have no answer yet.",
            registry=registry,
            multiprocess_mode="livesum",
        )
        self._overloaded: Any = PrometheusCounter(
            "segmentflow_requests_overloaded",
            "Requests refused since too many were in work.",
            registry=registry,
        )
        self._together: Any = Histogram(
            "segmentflow_gathered_events",
            "Events that shared a transaction.",
            buckets=_CALLS,
            registry=registry,
        )

    @contextmanager
    def __call__(
        self, method: str, route: str, traceparent: str | None
    ) -> Generator[Callable[[Answer], None]]:
        """Surround a request."""
        del traceparent

        def answered(details: Answer) -> None:
            labels = (method, route, str(details.status))
            self._seconds.labels(*labels).observe(details.seconds)
            if details.error == "overloaded":
                self._overloaded.inc()

        self._in_work.inc()
        try:
            yield answered
        finally:
            self._in_work.dec()

    def gathered(self, calls: int) -> None:
        """Note how many events shared a transaction: `AsyncGathering(on_batch=…)`."""
        self._together.observe(calls)


class PrometheusWorkerObserver:
    """Counts and measures what a worker does in a Prometheus registry.

    Args:
        registry: where the metrics are registered; default: the process's own.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._counters = _made(PrometheusCounter, WORKER_COUNTERS, registry)
        self._gauges = _made(Gauge, WORKER_GAUGES, registry)
        self._shown: set[str] = set()

    def claimed(self, details: Any) -> None:
        """Count a claim."""
        self._counters["worker_claimed"].inc(details.count)

    def started(self, details: Any) -> None:
        """Count nothing: its claim was counted."""

    def completed(self, details: Any) -> None:
        """Count a completion."""
        del details
        self._counters["worker_completed"].inc()

    def failed(self, details: Any) -> None:
        """Count a failure."""
        self._counters["worker_failed"].labels("yes" if details.dead else "no").inc()

    def lease_lost(self, details: Any) -> None:
        """Count a lost lease."""
        del details
        self._counters["worker_leases_lost"].inc()

    def given_back(self, details: Any) -> None:
        """Count what a stop gave back."""
        del details
        self._counters["worker_given_back"].inc()

    def unavailable(self, details: Any) -> None:
        """Count an outage."""
        self._counters["worker_unavailable"].labels(details.code).inc()

    def measured(self, details: Any) -> None:
        """Show how much waits of each Journey; one that is no longer measured goes."""
        depth, lag = self._gauges["worker_depth"], self._gauges["worker_lag_seconds"]
        for each in details.backlogs:
            depth.labels(each.journey_id).set(each.depth)
            lag.labels(each.journey_id).set(0 if each.lag is None else each.lag.total_seconds())
        now = {each.journey_id for each in details.backlogs}
        for journey_id in self._shown - now:
            depth.remove(journey_id)
            lag.remove(journey_id)
        self._shown = now


def _made(
    kind: type[Any], table: Mapping[str, Counter], registry: CollectorRegistry | None
) -> dict[str, Any]:
    return {
        name: kind(f"segmentflow_{name}", each.meaning, each.labels, registry=registry or REGISTRY)
        for name, each in table.items()
    }

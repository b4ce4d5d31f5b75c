"""Prometheus: the counters as `segmentflow_…_total`."""

from __future__ import annotations

from typing import Any

from prometheus_client import REGISTRY, CollectorRegistry
from prometheus_client import Counter as PrometheusCounter

from segmentflow_core.ports.observation import JourneyOutcome, Refused, Replayed, Retried, Tracked
from segmentflow_observers.counters import COUNTERS

__all__ = ["PrometheusObserver"]


class PrometheusObserver:
    """Counts in a Prometheus registry.

    Args:
        registry: where the counters are registered; default: the process's own.
    """

    def __init__(self, registry: CollectorRegistry | None = None) -> None:
        self._counters: dict[str, Any] = {
            name: PrometheusCounter(
                f"segmentflow_{name}",
                counter.meaning,
                counter.labels,
                registry=registry or REGISTRY,
            )
            for name, counter in COUNTERS.items()
        }

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

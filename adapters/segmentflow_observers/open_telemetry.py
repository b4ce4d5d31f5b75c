"""OpenTelemetry: the metrics as `segmentflow.…`. Uses only the API; the host brings an SDK."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter

from segmentflow_core import __version__
from segmentflow_core.ports.observation import JourneyOutcome, Refused, Replayed, Retried, Tracked
from segmentflow_observers.counters import COUNTERS, WORKER_COUNTERS, WORKER_GAUGES

__all__ = ["OpenTelemetryObserver", "OpenTelemetryWorkerObserver"]


class OpenTelemetryObserver:
    """Counts through an OpenTelemetry meter.

    Args:
        meter_provider: where the meter comes from; default: the process's own.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        meter = get_meter("segmentflow", __version__, meter_provider)
        self._counters = {
            name: meter.create_counter(f"segmentflow.{name}", description=counter.meaning)
            for name, counter in COUNTERS.items()
        }

    def tracked(self, details: Tracked) -> None:
        """Count an event."""
        self._counters["tracked"].add(1)
        self._counters["unmatched_paths"].add(details.unmatched_paths)

    def replayed(self, details: Replayed) -> None:
        """Count a replay."""
        del details
        self._counters["replayed"].add(1)

    def refused(self, details: Refused) -> None:
        """Count a refusal."""
        self._counters["refused"].add(1, {"code": details.code})

    def retried(self, details: Retried) -> None:
        """Count the runs after the first."""
        self._counters["reruns"].add(details.runs - 1)

    def journey_outcome(self, details: JourneyOutcome) -> None:
        """Count an outcome."""
        labels = {"outcome": details.outcome, "reason": details.reason or ""}
        self._counters["journey_outcomes"].add(1, labels)


class OpenTelemetryWorkerObserver:
    """Counts and measures what a worker does through an OpenTelemetry meter.

    Args:
        meter_provider: where the meter comes from; default: the process's own.
    """

    def __init__(self, meter_provider: MeterProvider | None = None) -> None:
        meter = get_meter("segmentflow", __version__, meter_provider)
        self._counters = {
            name: meter.create_counter(f"segmentflow.{name}", description=counter.meaning)
            for name, counter in WORKER_COUNTERS.items()
        }
        self._latest: dict[str, list[tuple[str, float]]] = {name: [] for name in WORKER_GAUGES}
        for name, gauge in WORKER_GAUGES.items():
            meter.create_observable_gauge(
                f"segmentflow.{name}", [self._observe(name)], description=gauge.meaning
            )

    def claimed(self, details: Any) -> None:
        """Count a claim."""
        self._counters["worker_claimed"].add(details.count)

    def started(self, details: Any) -> None:
        """Count nothing: its claim was counted."""

    def completed(self, details: Any) -> None:
        """Count a completion."""
        del details
        self._counters["worker_completed"].add(1)

    def failed(self, details: Any) -> None:
        """Count a failure."""
        self._counters["worker_failed"].add(1, {"dead": "yes" if details.dead else "no"})

    def lease_lost(self, details: Any) -> None:
        """Count a lost lease."""
        del details
        self._counters["worker_leases_lost"].add(1)

    def given_back(self, details: Any) -> None:
        """Count what a stop gave back."""
        del details
        self._counters["worker_given_back"].add(1)

    def unavailable(self, details: Any) -> None:
        """Count an outage."""
        self._counters["worker_unavailable"].add(1, {"code": details.code})

    def measured(self, details: Any) -> None:
        """Keep how much waits of each Journey, until it is asked for."""
        self._latest = {
            "worker_depth": [(each.journey_id, each.depth) for each in details.backlogs],
            "worker_lag_seconds": [
                (each.journey_id, 0.0 if each.lag is None else each.lag.total_seconds())
                for each in details.backlogs
            ],
        }

    def _observe(self, name: str) -> Callable[[CallbackOptions], Iterable[Observation]]:
        return lambda _: [
            Observation(value, {"journey": journey_id}) for journey_id, value in self._latest[name]
        ]

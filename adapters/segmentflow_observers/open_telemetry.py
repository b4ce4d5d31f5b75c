"""OpenTelemetry: the counters as `segmentflow.…`. Uses only the API; the host brings an SDK."""

from __future__ import annotations

from opentelemetry.metrics import MeterProvider, get_meter

from segmentflow_core import __version__
from segmentflow_core.ports.observation import JourneyOutcome, Refused, Replayed, Retried, Tracked
from segmentflow_observers.counters import COUNTERS

__all__ = ["OpenTelemetryObserver"]


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
        self._counters["withdrawn"].add(details.withdrawn)

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

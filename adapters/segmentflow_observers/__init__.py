"""Observers of trackers and workers: Prometheus and OpenTelemetry metrics, imported on request.

Trackers are counted by code, outcome and reason only. Organizations, Journeys and ids are never
labels there, because their number has no bound. What waits for a worker is measured by Journey, of
those that the worker measures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmentflow_core.ports.observation import Observer
    from segmentflow_observers.open_telemetry import OpenTelemetryWorkerObserver
    from segmentflow_observers.prometheus import PrometheusWorkerObserver

__all__ = [
    "open_telemetry_observer",
    "open_telemetry_worker_observer",
    "prometheus_observer",
    "prometheus_worker_observer",
]


def prometheus_observer(registry: Any = None) -> Observer:
    """Return an observer that counts in a `prometheus_client` registry.

    Args:
        registry: the `CollectorRegistry`, one for each observer; default: the process's own.
    """
    from segmentflow_observers.prometheus import PrometheusObserver  # noqa: PLC0415 - on request

    return PrometheusObserver(registry)


def open_telemetry_observer(meter_provider: Any = None) -> Observer:
    """Return an observer that counts through the OpenTelemetry API.

    Args:
        meter_provider: the `MeterProvider`; default: the process's own.
    """
    from segmentflow_observers.open_telemetry import (  # noqa: PLC0415 - on request
        OpenTelemetryObserver,
    )

    return OpenTelemetryObserver(meter_provider)


def prometheus_worker_observer(registry: Any = None) -> PrometheusWorkerObserver:
    """Return an observer of a worker that counts and measures in a `prometheus_client` registry.

    Args:
        registry: the `CollectorRegistry`, one for each observer; default: the process's own.
    """
    from segmentflow_observers.prometheus import (  # noqa: PLC0415 - on request
        PrometheusWorkerObserver,
    )

    return PrometheusWorkerObserver(registry)


def open_telemetry_worker_observer(meter_provider: Any = None) -> OpenTelemetryWorkerObserver:
    """Return an observer of a worker that counts and measures through the OpenTelemetry API.

    Args:
        meter_provider: the `MeterProvider`; default: the process's own.
    """
    from segmentflow_observers.open_telemetry import (  # noqa: PLC0415 - on request
        OpenTelemetryWorkerObserver,
    )

    return OpenTelemetryWorkerObserver(meter_provider)

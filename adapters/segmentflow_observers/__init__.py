"""Observers of trackers, workers and requests: Prometheus and OpenTelemetry, on request.

Trackers are counted by code, outcome and reason only. Organizations, Journeys and ids are never
labels there, because their number has no bound. What waits for a worker is measured by Journey, of
those that the worker measures.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmentflow_core.ports.observation import Observer
    from segmentflow_observers.open_telemetry import (
        OpenTelemetryRequests,
        OpenTelemetryWorkerObserver,
    )
    from segmentflow_observers.prometheus import PrometheusRequests, PrometheusWorkerObserver

__all__ = [
    "open_telemetry_observer",
    "open_telemetry_requests",
    "open_telemetry_storage",
    "open_telemetry_worker_observer",
    "prometheus_observer",
    "prometheus_requests",
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


def prometheus_requests(registry: Any = None) -> PrometheusRequests:
    """Return what measures HTTP requests: `AsgiApp(…, around=[…])`.

    Args:
        registry: the `CollectorRegistry`, one for each; default: the process's own.
    """
    from segmentflow_observers.prometheus import PrometheusRequests  # noqa: PLC0415 - on request

    return PrometheusRequests(registry)


def open_telemetry_requests(tracer_provider: Any = None) -> OpenTelemetryRequests:
    """Return what makes a span of each HTTP request: `AsgiApp(…, around=[…])`.

    Args:
        tracer_provider: the `TracerProvider`; default: the process's own.
    """
    from segmentflow_observers.open_telemetry import (  # noqa: PLC0415 - on request
        OpenTelemetryRequests,
    )

    return OpenTelemetryRequests(tracer_provider)


def open_telemetry_storage(storage: Any, tracer_provider: Any = None) -> Any:
    """Return a storage of which each transaction is a span.

    Args:
        storage: the storage, of either colour.
        tracer_provider: the `TracerProvider`; default: the process's own.
    """
    from segmentflow_observers.open_telemetry import (  # noqa: PLC0415 - on request
        OpenTelemetryStorage,
    )

    return OpenTelemetryStorage(storage, tracer_provider)


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

"""Observers of a tracker: Prometheus and OpenTelemetry metrics, each imported when called for.

Both count by code, outcome and reason only. Organizations, Journeys and ids are never labels,
because their number has no bound.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from segmentflow_core.ports.observation import Observer

__all__ = ["open_telemetry_observer", "prometheus_observer"]


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

"""OpenTelemetry: the counters as `segmentflow.…`, and spans. Uses only the API.

The host brings an SDK; without one, nothing is counted and no span is made.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable
from contextlib import contextmanager
from typing import Any

from opentelemetry.metrics import CallbackOptions, MeterProvider, Observation, get_meter
from opentelemetry.trace import SpanKind, StatusCode, TracerProvider, get_tracer
from opentelemetry.trace.propagation.tracecontext import TraceContextTextMapPropagator

from segmentflow_core import SegmentflowError, __version__
from segmentflow_core.colour import is_asynchronous
from segmentflow_core.ports.observation import JourneyOutcome, Refused, Replayed, Retried, Tracked
from segmentflow_observers.counters import COUNTERS, WORKER_COUNTERS, WORKER_GAUGES
from segmentflow_observers.requests import Answer

__all__ = [
    "OpenTelemetryObserver",
    "OpenTelemetryRequests",
    "OpenTelemetryStorage",
    "OpenTelemetryWorkerObserver",
]


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


class OpenTelemetryRequests:
    """Makes a span of each HTTP request, a part of the trace that `traceparent` names.

    Surrounds the requests of an `AsgiApp` or a `WsgiApp`. Its attributes are the method, the
    route and the status; none is a value of the request.

    Args:
        tracer_provider: where the tracer comes from; default: the process's own.
    """

    def __init__(self, tracer_provider: TracerProvider | None = None) -> None:
        self._tracer = get_tracer("segmentflow", __version__, tracer_provider)
        self._propagator = TraceContextTextMapPropagator()

    @contextmanager
    def __call__(
        self, method: str, route: str, traceparent: str | None
    ) -> Generator[Callable[[Answer], None]]:
        """Surround a request."""
        carrier = {} if traceparent is None else {"traceparent": traceparent}
        with self._tracer.start_as_current_span(
            f"{method} {route}",
            self._propagator.extract(carrier),
            kind=SpanKind.SERVER,
            attributes={"http.request.method": method, "http.route": route},
            record_exception=False,
        ) as span:

            def answered(details: Answer) -> None:
                span.set_attribute("http.response.status_code", details.status)
                if details.error is not None:
                    span.set_attribute("error.type", details.error)
                if details.status >= 500:
                    span.set_status(StatusCode.ERROR)

            yield answered


class OpenTelemetryStorage:
    """A storage, of either colour, each of whose transactions is a span.

    It is a part of what the call is part of: of a request, or of that which began the transaction
    where several share it. All else is the storage's own.

    Args:
        storage: where everything is kept.
        tracer_provider: where the tracer comes from; default: the process's own.
    """

    def __init__(self, storage: Any, tracer_provider: TracerProvider | None = None) -> None:
        self._storage = storage
        self._tracer = get_tracer("segmentflow", __version__, tracer_provider)
        self.run: Any = self._awaited if is_asynchronous(storage.run) else self._run

    def __getattr__(self, name: str) -> Any:
        """Return what the storage has."""
        return getattr(self._storage, name)

    def _run(self, work: Any, *, reads_only: bool = False) -> Any:
        with self._span(reads_only):
            return self._storage.run(work, reads_only=reads_only)

    async def _awaited(self, work: Any, *, reads_only: bool = False) -> Any:
        with self._span(reads_only):
            return await self._storage.run(work, reads_only=reads_only)

    @contextmanager
    def _span(self, reads_only: bool) -> Generator[None]:
        attributes = {"segmentflow.reads_only": reads_only}
        with self._tracer.start_as_current_span(
            "segmentflow.transaction",
            kind=SpanKind.INTERNAL,
            attributes=attributes,
            # An exception may quote what was being written.
            record_exception=False,
            set_status_on_exception=False,
        ) as span:
            try:
                yield
            except Exception as error:
                code = error.code if isinstance(error, SegmentflowError) else "internal_error"
                span.set_attribute("error.type", code)
                raise


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

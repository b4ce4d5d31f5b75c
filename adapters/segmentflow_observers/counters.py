"""The tables of what is counted and measured. Implementations and documentation read them."""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["COUNTERS", "WORKER_COUNTERS", "WORKER_GAUGES", "Counter"]


@frozen
class Counter:
    """One counter, or gauge.

    Attributes:
        meaning: what it counts, or measures.
        labels: the names of its labels.
    """

    meaning: str
    labels: tuple[str, ...] = ()


COUNTERS: Final[dict[str, Counter]] = {
    "tracked": Counter("Events recorded."),
    "replayed": Counter("Calls that repeated an earlier one."),
    "refused": Counter("Events refused, or failed, by the error's code.", ("code",)),
    "reruns": Counter("Transactions that ran again after a lost race, each time."),
    "unmatched_paths": Counter("Redaction paths that named nothing."),
    "withdrawn": Counter("Enrollments that later events cancelled."),
    "journey_outcomes": Counter("What matched Journeys did with events.", ("outcome", "reason")),
}
"""Every counter, by its name below ``segmentflow``."""

WORKER_COUNTERS: Final[dict[str, Counter]] = {
    "worker_claimed": Counter("Enrollments that were handed to the worker."),
    "worker_completed": Counter("Enrollments that it completed."),
    "worker_failed": Counter("Attempts that failed, by whether it was the last one.", ("dead",)),
    "worker_leases_lost": Counter("Leases that it lost while a handler ran."),
    "worker_given_back": Counter("Enrollments that a stop gave back."),
    "worker_unavailable": Counter("Times the store could not be asked, by the code.", ("code",)),
}
"""Every counter of a worker."""

WORKER_GAUGES: Final[dict[str, Counter]] = {
    "worker_depth": Counter("Enrollments that wait for any worker now.", ("journey",)),
    "worker_lag_seconds": Counter("How long the oldest of them has waited.", ("journey",)),
}
"""What a worker measures, as often as its `measure` says; of active Journeys alone."""

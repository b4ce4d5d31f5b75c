"""The table of counters. Both implementations and the documentation read it."""

from __future__ import annotations

from typing import Final

from attrs import frozen

__all__ = ["COUNTERS", "Counter"]


@frozen
class Counter:
    """One counter.

    Attributes:
        meaning: what it counts.
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

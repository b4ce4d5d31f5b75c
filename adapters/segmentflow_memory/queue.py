"""The Enrollments that wait for a worker, sorted, so that a claim reads only those it takes.

Knows when each becomes available. Must never know whose turn it is, nor what a claim does to an
Enrollment.
"""

from __future__ import annotations

import heapq
from bisect import bisect_left, bisect_right, insort
from collections.abc import Callable, Iterator
from datetime import datetime
from itertools import islice, takewhile
from typing import Any, TypeAlias

from segmentflow_core.ports import AVAILABLE_STATUSES, ClaimTerms, Enrollment

__all__ = ["Queue", "Undo"]

Undo: TypeAlias = tuple[Callable[..., object], tuple[Any, ...]]
"""A function that undoes a write, and its arguments; faster to make than a closure."""

_Entry: TypeAlias = tuple[datetime, str]
"""When an Enrollment becomes available, and its id."""


class Queue:
    """Sorted entries per Organization and Journey; each change can be undone."""

    def __init__(self, undo: list[Undo]) -> None:
        self._entries: dict[str, dict[str, list[_Entry]]] = {}
        self._undo = undo

    def move(self, organization_id: str, before: Enrollment | None, after: Enrollment) -> None:
        """Remove an Enrollment from its old place, if it had one, and add it at its new one."""
        for enrollment, act, undo in (
            (before, self._remove, self._add),
            (after, self._add, self._remove),
        ):
            if enrollment is None or enrollment.status not in AVAILABLE_STATUSES:
                continue
            place = (organization_id, enrollment.journey_id, _entry(enrollment))
            act(*place)
            self._undo.append((undo, place))

    def available(self, terms: ClaimTerms) -> Iterator[tuple[str, str]]:
        """Yield what a claim may take, as pairs of Organization and Enrollment id.

        Of each Organization the first `limit`, the one available longest first.
        """
        wanted = terms.organization_id
        for organization_id in self._entries if wanted is None else [wanted]:
            for enrollment_id in islice(self._due(organization_id, terms), terms.limit):
                yield organization_id, enrollment_id

    def backlog(
        self, organization_id: str, journey_id: str, now: datetime, limit: int
    ) -> tuple[int, datetime] | None:
        """Count what a Journey has available, up to `limit`, and say since when it has."""
        entries = self._entries.get(organization_id, {}).get(journey_id, [])
        count = bisect_right(entries, now, key=lambda entry: entry[0])
        return (min(count, limit), entries[0][0]) if count else None

    def _due(self, organization_id: str, terms: ClaimTerms) -> Iterator[str]:
        """Yield the ids an Organization has available, the one available longest first."""
        journeys = self._entries.get(organization_id, {})
        wanted = terms.journey_id
        lists = journeys.values() if wanted is None else [journeys.get(wanted, [])]
        due = takewhile(lambda entry: entry[0] <= terms.now, heapq.merge(*lists))
        return (enrollment_id for _, enrollment_id in due)

    def _add(self, organization_id: str, journey_id: str, entry: _Entry) -> None:
        insort(self._entries.setdefault(organization_id, {}).setdefault(journey_id, []), entry)

    def _remove(self, organization_id: str, journey_id: str, entry: _Entry) -> None:
        journeys = self._entries[organization_id]
        entries = journeys[journey_id]
        del entries[bisect_left(entries, entry)]
        if not entries:
            del journeys[journey_id]
        if not journeys:
            del self._entries[organization_id]


def _entry(enrollment: Enrollment) -> _Entry:
    return enrollment.waits_until, enrollment.enrollment_id

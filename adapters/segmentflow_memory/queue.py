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


_Line: TypeAlias = tuple[str, int]
"""A Journey, and the era of it in which Enrollments entered."""


class Queue:
    """Sorted entries per Organization, Journey and era; each change can be undone."""

    def __init__(self, undo: list[Undo]) -> None:
        self._entries: dict[str, dict[_Line, list[_Entry]]] = {}
        self._undo = undo

    def move(self, organization_id: str, before: Enrollment | None, after: Enrollment) -> None:
        """Remove an Enrollment from its old place, if it had one, and add it at its new one."""
        if before is not None and before.status in AVAILABLE_STATUSES:
            place = (organization_id, *_place(before))
            self._remove(*place)
            self._undo.append((self._add, place))
        if after.status in AVAILABLE_STATUSES:
            place = (organization_id, *_place(after))
            self._add(*place)
            self._undo.append((self._remove, place))

    def available(
        self, terms: ClaimTerms, moves: Callable[[str, str, int], bool]
    ) -> Iterator[tuple[str, str]]:
        """Yield what a claim may take, as pairs of Organization and Enrollment id.

        Of each Organization the first `limit`, the one available longest first.

        Args:
            terms: what is asked for.
            moves: says of an Organization's Journey and era whether its line moves on.
        """
        wanted = terms.organization_id
        for organization_id in self._entries if wanted is None else [wanted]:
            lines = [
                entries
                for (journey_id, era), entries in self._entries.get(organization_id, {}).items()
                if terms.journey_id in (None, journey_id)
                and moves(organization_id, journey_id, era)
            ]
            for enrollment_id in islice(self._due(lines, terms), terms.limit):
                yield organization_id, enrollment_id

    def stopped(self, organization_id: str, moves_on: Callable[[str, int], bool]) -> Iterator[str]:
        """Yield the ids in an Organization's lines of which `moves_on` says no."""
        for (journey_id, era), entries in self._entries.get(organization_id, {}).items():
            if not moves_on(journey_id, era):
                for _, enrollment_id in entries:
                    yield enrollment_id

    def backlog(
        self, organization_id: str, line: _Line, now: datetime, limit: int
    ) -> tuple[int, datetime] | None:
        """Count what a line has available, up to `limit`, and say since when it has."""
        entries = self._entries.get(organization_id, {}).get(line, [])
        count = bisect_right(entries, now, key=lambda entry: entry[0])
        return (min(count, limit), entries[0][0]) if count else None

    def _due(self, lines: list[list[_Entry]], terms: ClaimTerms) -> Iterator[str]:
        """Yield the ids that are available in some lines, the one available longest first."""
        due = takewhile(lambda entry: entry[0] <= terms.now, heapq.merge(*lines))
        return (enrollment_id for _, enrollment_id in due)

    def _add(self, organization_id: str, line: _Line, entry: _Entry) -> None:
        entries = self._entries.setdefault(organization_id, {}).setdefault(line, [])
        if not entries or entries[-1] < entry:
            entries.append(entry)
        else:
            insort(entries, entry)

    def _remove(self, organization_id: str, line: _Line, entry: _Entry) -> None:
        lines = self._entries[organization_id]
        entries = lines[line]
        del entries[bisect_left(entries, entry)]
        if not entries:
            del lines[line]
        if not lines:
            del self._entries[organization_id]


def _place(enrollment: Enrollment) -> tuple[_Line, _Entry]:
    line = (enrollment.journey_id, enrollment.era)
    return line, (enrollment.waits_until, enrollment.enrollment_id)

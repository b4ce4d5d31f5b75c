"""What the page reads and changes a store through: the facades that a tracker offers."""

from __future__ import annotations

from typing import Protocol

from segmentflow_core import (
    AsyncEnrollments,
    AsyncJourneys,
    AsyncPeople,
    AsyncRecords,
    Enrollments,
    Journeys,
    People,
    Records,
)
from segmentflow_core.ports import Storage

__all__ = ["Facades", "StoreFacades"]


class Facades(Protocol):
    """What the page needs. A `Tracker`, an `AsyncTracker` and `StoreFacades` have it."""

    @property
    def records(self) -> Records | AsyncRecords:
        """Return the records."""
        ...

    @property
    def journeys(self) -> Journeys | AsyncJourneys:
        """Return the Journeys."""
        ...

    @property
    def enrollments(self) -> Enrollments | AsyncEnrollments:
        """Return the Enrollments."""
        ...

    @property
    def people(self) -> People | AsyncPeople:
        """Return the people."""
        ...


class StoreFacades:
    """The facades over a synchronous storage, where there is no tracker: they need no secret.

    Args:
        storage: where everything is kept.
    """

    def __init__(self, storage: Storage) -> None:
        self.records = Records(storage)
        self.journeys = Journeys(storage)
        self.enrollments = Enrollments(storage)
        self.people = People(storage)

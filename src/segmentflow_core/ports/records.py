"""What reading needs of a store: Profiles, events, Journeys and Enrollments; and publishing."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.event import (
    Enrollment,
    EnrollmentStatus,
    Outcome,
    Receipt,
    SkipReason,
    UserEvent,
)
from segmentflow_core.domain.journey import Journey, JourneyDefinition, JourneyStatus
from segmentflow_core.domain.profile import Profile

__all__ = [
    "Enrollment",
    "EnrollmentRepository",
    "EnrollmentStatus",
    "EventRepository",
    "Journey",
    "JourneyDefinition",
    "JourneyRepository",
    "JourneyStatus",
    "Outcome",
    "Profile",
    "ProfileRepository",
    "Receipt",
    "SkipReason",
    "UserEvent",
]


class ProfileRepository(Protocol):
    """The Profiles of an Organization."""

    def get(self, organization_id: str, profile_id: str) -> MaybeAwaitable[Profile | None]:
        """Return a Profile, or None where this Organization has none of that id."""
        ...


class EventRepository(Protocol):
    """The recorded events of an Organization."""

    def get(self, organization_id: str, event_id: str) -> MaybeAwaitable[UserEvent | None]:
        """Return an event, or None where this Organization has none of that id."""
        ...

    def get_many(
        self, organization_id: str, event_ids: Sequence[str]
    ) -> MaybeAwaitable[Mapping[str, UserEvent]]:
        """Return those of the events that this Organization has, by id.

        One exchange, however many they are.

        Args:
            organization_id: whose events.
            event_ids: each once.
        """
        ...

    def list(
        self, organization_id: str, limit: int, before: str | None = None
    ) -> MaybeAwaitable[Sequence[UserEvent]]:
        """Return at most `limit` events, newest first by id; only ids below `before`."""
        ...


class JourneyRepository(Protocol):
    """The published Journeys of an Organization."""

    def list(self, organization_id: str) -> MaybeAwaitable[Sequence[Journey]]:
        """Return the current version of every Journey, by id, whatever its status."""
        ...

    def get(
        self, organization_id: str, journey_id: str, version: int | None = None
    ) -> MaybeAwaitable[Journey | None]:
        """Return one version of a Journey, the current one by default, or None.

        An older version is returned with the Journey's current status.
        """
        ...

    def publish(self, organization_id: str, journeys: Sequence[Journey]) -> MaybeAwaitable[None]:
        """Make each Journey's version and status the current ones.

        A version that is stored already is left as it is. Where a concurrent transaction
        published the same version first, the adapter runs the work again.
        """
        ...


class EnrollmentRepository(Protocol):
    """The Enrollments of an Organization."""

    def get(self, organization_id: str, enrollment_id: str) -> MaybeAwaitable[Enrollment | None]:
        """Return an Enrollment, or None where this Organization has none of that id."""
        ...

    def list(
        self,
        organization_id: str,
        limit: int,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
    ) -> MaybeAwaitable[Sequence[Enrollment]]:
        """Return at most `limit` Enrollments, newest first by id; only ids below `before`.

        Where a Journey or a status is given, only those of that Journey or status.
        """
        ...

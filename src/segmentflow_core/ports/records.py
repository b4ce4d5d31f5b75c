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

    def get(self, organization_id: str, profile_id: str, /) -> MaybeAwaitable[Profile | None]:
        """Return a Profile, or None where this Organization has none of that id."""
        ...


class EventRepository(Protocol):
    """The recorded events of an Organization."""

    def get(self, organization_id: str, event_id: str, /) -> MaybeAwaitable[UserEvent | None]:
        """Return an event, or None where this Organization has none of that id."""
        ...

    def get_many(
        self, organization_id: str, event_ids: Sequence[str], /
    ) -> MaybeAwaitable[Mapping[str, UserEvent]]:
        """Return those of the events that this Organization has, by id.

        One exchange, however many they are.

        Args:
            organization_id: whose events.
            event_ids: each once.
        """
        ...

    def list(
        self, organization_id: str, limit: int, before: str | None = None, /
    ) -> MaybeAwaitable[Sequence[UserEvent]]:
        """Return the newest `limit` events by id, in any order; only ids below `before`."""
        ...


class JourneyRepository(Protocol):
    """The published Journeys of an Organization."""

    def list(self, organization_id: str, /) -> MaybeAwaitable[Sequence[Journey]]:
        """Return every Journey as it stands, whatever its status, in any order."""
        ...

    def get(self, organization_id: str, journey_id: str, /) -> MaybeAwaitable[Journey | None]:
        """Return a Journey as it stands, or None where this Organization has none of that id."""
        ...

    def get_version(
        self, organization_id: str, journey_id: str, version: int, /
    ) -> MaybeAwaitable[Journey | None]:
        """Return one version of a Journey, with any status, or None where there is none.

        Its status does not count: the core shows every version with the current one.
        """
        ...

    def publish(
        self, organization_id: str, versions: Sequence[Journey], statuses: Sequence[Journey], /
    ) -> MaybeAwaitable[None]:
        """Make each Journey's version and status the current ones.

        Where a concurrent transaction published the same version first, or changed the same
        Journey, the adapter runs the work again.

        Args:
            organization_id: whose Journeys.
            versions: Journeys that have a new version, which is kept for ever, sorted by id.
            statuses: Journeys of which nothing but the status is new, sorted by id.
        """
        ...


class EnrollmentRepository(Protocol):
    """The Enrollments of an Organization."""

    def get(self, organization_id: str, enrollment_id: str, /) -> MaybeAwaitable[Enrollment | None]:
        """Return an Enrollment, or None where this Organization has none of that id."""
        ...

    def list(
        self,
        organization_id: str,
        limit: int,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
        /,
    ) -> MaybeAwaitable[Sequence[Enrollment]]:
        """Return the newest `limit` Enrollments by id, in any order; only ids below `before`.

        Where a Journey or a status is given, only those of that Journey or status.
        """
        ...

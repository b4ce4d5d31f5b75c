"""What can be asked for when events and Enrollments are looked for, and what then is meant.

Knows one record and one question at a time. Must never know how a store looks anything up.
"""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from segmentflow_core.domain.event import Enrollment, EnrollmentStatus, UserEvent

__all__ = ["EnrollmentFilter", "EventFilter"]


@frozen(repr=False)
class EventFilter:
    """Which events are asked for: those that everything given is true of.

    Attributes:
        profile_id: whose events.
        event: their exact name.
        reference_id: their exact referenceId.
        since: received at this instant or later.
        until: received before this instant.
    """

    profile_id: str | None = None
    event: str | None = None
    reference_id: str | None = None
    since: datetime | None = None
    until: datetime | None = None

    def admits(self, event: UserEvent) -> bool:
        """Say whether an event is one of those."""
        return (
            self.profile_id in (None, event.profile_id)
            and self.event in (None, event.event)
            and (self.reference_id is None or self.reference_id == event.reference_id)
            and (self.since is None or self.since <= event.received_at)
            and (self.until is None or event.received_at < self.until)
        )


@frozen
class EnrollmentFilter:
    """Which Enrollments are asked for: those that everything given is true of.

    Attributes:
        profile_id: of this Profile.
        event_id: caused by this event.
        journey_id: into this Journey.
        status: of this status, as it is read.
    """

    profile_id: str | None = None
    event_id: str | None = None
    journey_id: str | None = None
    status: EnrollmentStatus | None = None

    def admits(self, enrollment: Enrollment) -> bool:
        """Say whether an Enrollment is one of those."""
        return (
            self.profile_id in (None, enrollment.profile_id)
            and self.event_id in (None, enrollment.event_id)
            and self.journey_id in (None, enrollment.journey_id)
            and self.status in (None, enrollment.status)
        )

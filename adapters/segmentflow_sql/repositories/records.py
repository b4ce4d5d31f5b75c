"""The ports that read what was recorded: Profiles, events and Enrollments."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from segmentflow_core.ports import (
    Enrollment,
    EnrollmentFilter,
    EnrollmentStatus,
    Profile,
    UserEvent,
    is_id,
)
from segmentflow_sql import rows
from segmentflow_sql.exchange import Connection, ask
from segmentflow_sql.repositories.finding import FindingRepository

__all__ = ["EnrollmentRepository", "EventRepository", "ProfileRepository"]


@frozen
class ProfileRepository:
    """The Profiles of an Organization."""

    _connection: Connection

    async def get(self, organization_id: str, profile_id: str) -> Profile | None:
        """Return a Profile, or None where this Organization has none of that id."""
        kind = self._connection.kind
        if not kind.codec.may_be_id(profile_id):
            return None
        found = await ask(
            self._connection,
            kind.statements.records.get_profile,
            organization_id=organization_id,
            profile_id=profile_id,
        )
        return rows.profile_from(found[0]) if found else None


@frozen
class EventRepository:
    """The recorded events of an Organization."""

    _connection: Connection

    async def get(self, organization_id: str, event_id: str) -> UserEvent | None:
        """Return an event, or None where this Organization has none of that id."""
        kind = self._connection.kind
        if not kind.codec.may_be_id(event_id):
            return None
        found = await ask(
            self._connection,
            kind.statements.records.get_event,
            organization_id=organization_id,
            event_id=event_id,
        )
        return rows.event_from(found[0]) if found else None

    async def get_many(
        self, organization_id: str, event_ids: Sequence[str]
    ) -> Mapping[str, UserEvent]:
        """Return those of the events that this Organization has, by id."""
        codec = self._connection.kind.codec
        found = await ask(
            self._connection,
            self._connection.kind.statements.records.get_events,
            organization_id=organization_id,
            event_ids=codec.listed(filter(codec.may_be_id, event_ids)),
        )
        events = [rows.event_from(row) for row in found if row[1] is not None]
        return {event.event_id: event for event in events}

    async def list(
        self, organization_id: str, limit: int, before: str | None = None
    ) -> Sequence[UserEvent]:
        """Return at most `limit` events, newest first by id; only ids below `before`."""
        kind = self._connection.kind
        if before is not None and not kind.codec.may_be_id(before):
            return []
        found = await ask(
            self._connection,
            kind.statements.records.list_events,
            organization_id=organization_id,
            limit=limit,
            before=before,
        )
        return [rows.event_from(row) for row in found]


@frozen
class EnrollmentRepository:
    """The Enrollments of an Organization."""

    _connection: Connection

    async def get(self, organization_id: str, enrollment_id: str) -> Enrollment | None:
        """Return an Enrollment, or None where this Organization has none of that id."""
        if not is_id(enrollment_id):
            return None
        found = await ask(
            self._connection,
            self._connection.kind.statements.records.get_enrollment,
            organization_id=organization_id,
            enrollment_id=enrollment_id,
        )
        return rows.read_enrollment(found[0]) if found else None

    async def list(
        self,
        organization_id: str,
        limit: int,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
    ) -> Sequence[Enrollment]:
        """Return at most `limit` Enrollments, newest first by id; only ids below `before`."""
        wanted = EnrollmentFilter(journey_id=journey_id, status=status)
        finding = FindingRepository(self._connection)
        return await finding.enrollments(organization_id, wanted, limit, before)

"""Look-ups in what is recorded, over the store's indexes.

Knows which index leads to what is asked for. What is asked for, the core's filters say. A reader
gets copies, so that it cannot change what is stored.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from copy import deepcopy
from datetime import datetime
from itertools import islice

from attrs import evolve

from segmentflow_core.ports import (
    Enrollment,
    EnrollmentFilter,
    EventFilter,
    IdentityKind,
    Profile,
    UserEvent,
)
from segmentflow_memory.tables import Tables

__all__ = ["Finding", "copied_event", "copied_profile"]


class Finding:
    """The look-ups of a transaction."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def profile(self, organization_id: str, kind: IdentityKind, value: str) -> Profile | None:
        tables = self._tables
        index = tables.emails if kind is IdentityKind.EMAIL else tables.external_ids
        profile_id = index.rows.get((organization_id, value)) or tables.aliases.rows.get(
            (organization_id, kind, value)
        )
        if profile_id is None:
            return None
        return copied_profile(tables.profiles.rows[organization_id, profile_id])

    def profiles(self, organization_id: str, limit: int, before: str | None) -> list[Profile]:
        rows = self._tables.profiles.rows
        ids = islice(self._tables.profile_order.newest(organization_id, before), limit)
        return [copied_profile(rows[organization_id, profile_id]) for profile_id in ids]

    def events(
        self, organization_id: str, wanted: EventFilter, limit: int, before: str | None
    ) -> list[UserEvent]:
        rows = self._tables.events.rows
        ids = self._event_ids(organization_id, wanted, before)
        events = (rows[organization_id, event_id] for event_id in ids)
        return [copied_event(event) for event in islice(filter(wanted.admits, events), limit)]

    def _event_ids(
        self, organization_id: str, wanted: EventFilter, before: str | None
    ) -> Iterable[str]:
        """Return the ids of at least the events asked for, the highest first."""
        tables = self._tables
        for index, value in (
            (tables.events_of_reference, wanted.reference_id),
            (tables.events_of_profile, wanted.profile_id),
            (tables.events_of_name, wanted.event),
        ):
            if value is not None:
                return index.newest((organization_id, value), before)
        ids = tables.receipt_times.within(organization_id, wanted.since, wanted.until)
        return (each for each in ids if before is None or each < before)

    def enrollments(
        self, organization_id: str, wanted: EnrollmentFilter, limit: int, before: str | None
    ) -> list[Enrollment]:
        tables = self._tables
        ids: Iterable[str]
        profile_id = wanted.profile_id
        if wanted.event_id is not None:
            event = tables.events.rows.get((organization_id, wanted.event_id))
            if event is None:
                return []
            profile_id = event.profile_id
        if profile_id is not None:
            ids = tables.enrollments_of_profile.newest((organization_id, profile_id), before)
        else:
            ids = tables.enrollment_order.newest(organization_id, before)
        rows = (tables.enrollments.rows[organization_id, each] for each in ids)
        found = (tables.read(organization_id, each) for each in rows)
        return list(islice(filter(wanted.admits, found), limit))

    def entries(
        self, organization_id: str, profile_id: str, event_ids: Sequence[str]
    ) -> list[Enrollment]:
        tables = self._tables
        causes = set(event_ids)
        ids = tables.enrollments_of_profile.newest((organization_id, profile_id), None)
        found = (tables.enrollments.rows[organization_id, each] for each in ids)
        caused = (enrollment for enrollment in found if enrollment.event_id in causes)
        return [tables.read(organization_id, enrollment) for enrollment in caused]

    def backlogs(
        self, organization_id: str, journey_ids: Sequence[str], now: datetime, limit: int
    ) -> dict[str, tuple[int, datetime]]:
        tables = self._tables
        rows = [tables.journeys.rows.get((organization_id, each)) for each in journey_ids]
        lines = [(each.journey_id, each.era) for each in rows if each is not None]
        found = {line[0]: tables.queue.backlog(organization_id, line, now, limit) for line in lines}
        return {journey_id: backlog for journey_id, backlog in found.items() if backlog}


def copied_profile(profile: Profile) -> Profile:
    return evolve(profile, properties=deepcopy(profile.properties))


def copied_event(event: UserEvent) -> UserEvent:
    return evolve(event, data=deepcopy(event.data), profile=deepcopy(event.profile))

"""Old events and finished Enrollments, to be removed.

Knows what goes with an event and what a removed Enrollment leaves. Must never decide what is old.
"""

from __future__ import annotations

from collections.abc import Sequence, Set
from datetime import datetime
from itertools import islice, takewhile

from attrs import evolve

from segmentflow_core.ports import (
    FINISHED_STATUSES,
    Enrollment,
    EventPlace,
    GoneEvents,
    RemovedEnrollments,
    RemovedEvents,
    UserEvent,
    finished_at,
    gone_events,
    joined,
)
from segmentflow_memory.tables import Tables

__all__ = ["Retention"]


class Retention:
    """The old records of a transaction."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def remove_events(
        self, organization_id: str, received_before: datetime, limit: int, after: EventPlace | None
    ) -> RemovedEvents:
        tables = self._tables
        behind = None if after is None else (after.received_at, after.event_id)
        ids = tables.receipt_times.oldest(organization_id, behind)
        events = (tables.events.rows[organization_id, event_id] for event_id in ids)
        old = takewhile(lambda event: event.received_at < received_before, events)
        looked_at = list(islice(old, limit))
        removed = [event for event in looked_at if not self._is_held(organization_id, event)]
        for event in removed:
            tables.remove_event(organization_id, event)
        self._leave_key_claims({(organization_id, event.event_id) for event in removed})
        for left in gone_events(removed):
            at = (organization_id, left.profile_id, left.event)
            known = tables.gone.rows.get(at)
            tables.gone.put(at, left if known is None else joined(known, left))
        place = None
        if len(looked_at) == limit:
            place = EventPlace(looked_at[-1].received_at, looked_at[-1].event_id)
        return RemovedEvents(len(removed), len(looked_at) - len(removed), place)

    def _leave_key_claims(self, events: Set[tuple[str, str]]) -> None:
        """Take from key claims what only a comparison with their events needs."""
        claims = self._tables.key_claims
        left = [
            (at, evolve(claim, paths={}))
            for at, claim in claims.rows.items()
            if (at[0], claim.receipt.event_id) in events
        ]
        for at, claim in left:
            claims.put(at, claim)

    def _is_held(self, organization_id: str, event: UserEvent) -> bool:
        if all(outcome.outcome != "enrolled" for outcome in event.outcomes):
            return False
        tables = self._tables
        ids = tables.enrollments_of_profile.newest((organization_id, event.profile_id), None)
        caused = (tables.enrollments.rows[organization_id, each] for each in ids)
        return any(
            each.event_id == event.event_id and each.status not in FINISHED_STATUSES
            for each in caused
        )

    def remove_enrollments(
        self, organization_id: str, finished_before: datetime, limit: int
    ) -> RemovedEnrollments:
        tables = self._tables
        old: list[Enrollment] = []
        for at, enrollment in tables.enrollments.rows.items():
            finished = finished_at(enrollment)
            if at[0] == organization_id and finished is not None and finished < finished_before:
                old.append(enrollment)
        entries = 0
        removed = sorted(old, key=lambda each: each.enrollment_id)[:limit]
        for enrollment in removed:
            tables.remove_enrollment(organization_id, enrollment)
            entries += tables.history.leave(organization_id, enrollment)
        return RemovedEnrollments(len(removed), entries)

    def gone(self, organization_id: str, profile_ids: Sequence[str]) -> list[GoneEvents]:
        wanted = set(profile_ids)
        return [
            left
            for at, left in self._tables.gone.rows.items()
            if at[0] == organization_id and at[1] in wanted
        ]

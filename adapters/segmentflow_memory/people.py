"""Profiles that are suppressed, erased and merged, and the record of what was done.

Knows what an erased Profile left in which table. Must never decide who is erased.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import islice
from typing import Any, Final

from attrs import evolve

from segmentflow_core.ports import (
    FINISHED_STATUSES,
    Alias,
    AuditRecord,
    Enrollment,
    Profile,
    UserEvent,
)
from segmentflow_memory.finding import copied_profile
from segmentflow_memory.tables import Tables

__all__ = ["Audit", "People"]

_UNSAID: Final = (None, None, None)
_NOBODY: Final[dict[str, Any]] = {"properties": {}}


class People:
    """The Profiles of a transaction, to be changed by what a host decides."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def lock(self, organization_id: str, profile_ids: Sequence[str]) -> list[Profile]:
        rows = self._tables.profiles.rows
        found = (rows.get((organization_id, profile_id)) for profile_id in profile_ids)
        return [copied_profile(profile) for profile in found if profile is not None]

    def unfinished(self, organization_id: str, profile_ids: Sequence[str]) -> list[Enrollment]:
        return [
            enrollment
            for profile_id in profile_ids
            for stored in self._enrollments(organization_id, profile_id)
            for enrollment in [self._tables.read(organization_id, stored)]
            if enrollment.status not in FINISHED_STATUSES
        ]

    def block(self, organization_id: str, profile_id: str, identities: Sequence[Alias]) -> None:
        tables = self._tables
        for identity in identities:
            digest = tables.hashed(organization_id, identity)
            tables.blocked.put((organization_id, digest), profile_id)

    def scrub(self, organization_id: str, profile_id: str, limit: int) -> int:
        tables = self._tables
        events = list(islice(self._telling_events(organization_id, profile_id), limit))
        claims = [
            (at, claim)
            for at, claim in tables.key_claims.rows.items()
            if at[0] == organization_id
            and claim.receipt.profile_id == profile_id
            and claim.fingerprint is not None
        ][: limit - len(events)]
        entries = [
            enrollment
            for enrollment in self._enrollments(organization_id, profile_id)
            if (enrollment.entry_key, enrollment.last_failure, enrollment.cancellers) != _UNSAID
        ][: limit - len(events) - len(claims)]
        for event in events:
            self._scrub_event(organization_id, event)
        for at, claim in claims:
            tables.key_claims.put(at, evolve(claim, fingerprint=None, paths={}))
        for enrollment in entries:
            if enrollment.entry_key is not None:
                pair = (organization_id, enrollment.journey_id, profile_id)
                tables.remove_entry_key(pair, enrollment.entry_key)
                tables.history.forget_key(organization_id, enrollment)
            scrubbed = evolve(enrollment, entry_key=None, last_failure=None, cancellers=None)
            tables.put_enrollment(organization_id, scrubbed)
        done = len(events) + len(claims) + len(entries)
        left = tables.history.left(organization_id, profile_id)[: limit - done]
        for journey_id, key in left:
            pair = (organization_id, journey_id, profile_id)
            tables.remove_entry_key(pair, key)
            tables.history.forget_left_key(pair, key)
        return done + len(left)

    def unscrubbed(self, organization_id: str, limit: int) -> list[str]:
        found = (
            profile.profile_id
            for at, profile in self._tables.profiles.rows.items()
            if at[0] == organization_id
            and profile.erased_at is not None
            and profile.scrubbed_at is None
        )
        return list(islice(found, limit))

    def _telling_events(self, organization_id: str, profile_id: str) -> Iterator[UserEvent]:
        """Yield the events of a Profile that still say something of the person."""
        tables = self._tables
        for event_id in tables.events_of_profile.newest((organization_id, profile_id), None):
            event = tables.events.rows[organization_id, event_id]
            if event.data or event.reference_id is not None or event.profile != _NOBODY:
                yield event

    def _scrub_event(self, organization_id: str, event: UserEvent) -> None:
        tables = self._tables
        if event.reference_id is not None:
            at = (organization_id, event.reference_id)
            tables.events_of_reference.remove(at, event.event_id)
        scrubbed = evolve(event, data={}, reference_id=None, profile={"properties": {}})
        tables.events.put((organization_id, event.event_id), scrubbed)

    def _enrollments(self, organization_id: str, profile_id: str) -> Iterator[Enrollment]:
        tables = self._tables
        ids = tables.enrollments_of_profile.newest((organization_id, profile_id), None)
        return (tables.enrollments.rows[organization_id, each] for each in ids)


class Audit:
    """The record of what was done."""

    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def add(self, organization_id: str, record: AuditRecord) -> None:
        at = (organization_id, record.audit_id)
        if at not in self._tables.audit.rows:
            self._tables.audit.put(at, record)
            self._tables.audit_order.add(organization_id, record.audit_id)

    def list(self, organization_id: str, limit: int, before: str | None) -> list[AuditRecord]:
        rows = self._tables.audit.rows
        ids = islice(self._tables.audit_order.newest(organization_id, before), limit)
        return [rows[organization_id, audit_id] for audit_id in ids]

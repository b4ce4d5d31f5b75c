"""The repositories of a transaction, over the store's tables.

Knows what each call of a port reads and writes. Must never know how a write is undone, nor
decide a rule: the core says what becomes of a key or an Enrollment.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from segmentflow_core.ports import (
    Alias,
    Changes,
    ClaimTerms,
    Enrollment,
    EnrollmentChange,
    EnrollmentStatus,
    Found,
    IdentityKind,
    Intent,
    Journey,
    JourneyStatus,
    KeyClaim,
    Known,
    PriorEntries,
    Probe,
    Profile,
    UserEvent,
)
from segmentflow_core.ports.api_keys import ApiKey
from segmentflow_memory.cancelling import Cancelling
from segmentflow_memory.finding import Finding, copied_event, copied_profile
from segmentflow_memory.history import History
from segmentflow_memory.people import Audit, People
from segmentflow_memory.retention import Retention
from segmentflow_memory.tables import Tables

__all__ = ["MemoryTransaction"]

_NONE_BLOCKED: Final[frozenset[Alias]] = frozenset()


class MemoryTransaction:
    """What work is given: every repository, over one set of tables."""

    def __init__(self, tables: Tables) -> None:
        self.tracking = _Tracking(tables)
        self.idempotency = _Idempotency(tables)
        self.profiles = _Profiles(tables)
        self.events = _Events(tables)
        self.journeys = _Journeys(tables)
        self.enrollments = _Enrollments(tables)
        self.finding = Finding(tables)
        self.api_keys = _ApiKeys(tables)
        self.hand_over = _HandOver(tables)
        self.people = People(tables)
        self.audit = Audit(tables)
        self.retention = Retention(tables)
        self.cancelling = Cancelling(tables)
        self.pausing = _Pausing(tables)
        self.history = History(tables, self.tracking)


class _Tracking:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def load(self, organization_id: str, intent: Intent) -> Known:
        tables = self._tables
        taken: dict[str, KeyClaim] = {}
        # One transaction runs at a time, so a key that is free stays this one's.
        for key in intent.keys:
            claim = tables.key_claims.rows.get((organization_id, key))
            if claim is not None and not claim.is_expired(intent.now):
                taken[key] = claim
        found: dict[str, Profile] = {}
        for profile_id in dict.fromkeys(self._led_to(organization_id, intent)):
            profile = tables.profiles.rows[organization_id, profile_id]
            # Without keys the caller only reads, so it gets a copy like any reader.
            # Deciding a batch never changes the JSON it is given.
            found[profile_id] = profile if intent.keys else copied_profile(profile)
        journeys: list[Journey] = []
        for name in intent.events:
            journeys += tables.listening.rows.get((organization_id, name), ())
        return Known(
            taken, tuple(found.values()), tuple(journeys), self._blocked(organization_id, intent)
        )

    def _blocked(self, organization_id: str, intent: Intent) -> frozenset[Alias]:
        blocked = self._tables.blocked.rows
        if not blocked:
            return _NONE_BLOCKED
        asked = (
            *(Alias(IdentityKind.EMAIL, email) for email in intent.emails),
            *(Alias(IdentityKind.EXTERNAL_ID, each) for each in intent.external_ids),
        )
        return frozenset(
            each
            for each in asked
            if (organization_id, self._tables.hashed(organization_id, each)) in blocked
        )

    def _led_to(self, organization_id: str, intent: Intent) -> list[str]:
        tables = self._tables
        ids: list[str] = []
        for index, values in (
            (tables.emails.rows, intent.emails),
            (tables.external_ids.rows, intent.external_ids),
        ):
            for value in values:
                profile_id = index.get((organization_id, value))
                if profile_id is not None:
                    ids.append(profile_id)
        if tables.aliases.rows:
            for kind, values in (
                (IdentityKind.EMAIL, intent.emails),
                (IdentityKind.EXTERNAL_ID, intent.external_ids),
            ):
                for value in values:
                    profile_id = tables.aliases.rows.get((organization_id, kind, value))
                    if profile_id is not None:
                        ids.append(profile_id)
        former = tables.former_emails.rows
        if former:
            for email in intent.emails:
                ids += former.get((organization_id, email), ())
        return ids

    def prior_entries(
        self, organization_id: str, probes: Sequence[Probe]
    ) -> Mapping[Probe, PriorEntries]:
        tables = self._tables
        answers: dict[Probe, PriorEntries] = {}
        for probe in probes:
            if probe.before is not None or probe.since is not None:
                answers[probe] = tables.history.prior(organization_id, probe)
                continue
            pair = (organization_id, probe.journey_id, probe.profile_id)
            taken = probe.entry_key is not None and (
                (*pair, probe.entry_key) in tables.entry_keys.rows
            )
            answers[probe] = PriorEntries(tables.entries.rows.get(pair), taken)
        return answers

    def write(self, organization_id: str, changes: Changes) -> None:
        tables = self._tables
        for key in changes.freed:
            if (organization_id, key) in tables.key_claims.rows:
                tables.key_claims.remove((organization_id, key))
        for claim in changes.key_claims:
            tables.key_claims.put((organization_id, claim.key_digest), claim)
        moved = [
            (before, profile)
            for before, profile in zip(
                changes.previous_profiles, changes.changed_profiles, strict=True
            )
            if before.former_emails is not profile.former_emails
            or before.aliases is not profile.aliases
            or (before.email, before.external_id) != (profile.email, profile.external_id)
        ]
        for before, _ in moved:
            self._forget_identities(organization_id, before)
        for profile in [*[profile for _, profile in moved], *changes.created_profiles]:
            self._put_identities(organization_id, profile)
        for profile in (*changes.changed_profiles, *changes.created_profiles):
            tables.profiles.put((organization_id, profile.profile_id), profile)
        for profile in changes.created_profiles:
            tables.profile_order.add(organization_id, profile.profile_id)
        # An event is kept whole. Its Profile's Properties are those of the version: one object
        # that every event of the version shares.
        for event in changes.events:
            tables.add_event(organization_id, event)
        for enrollment in changes.enrollments:
            pair = (organization_id, enrollment.journey_id, enrollment.profile_id)
            if enrollment.entry_key is not None:
                tables.put_entry_key(pair, enrollment.entry_key)
            latest = tables.entries.rows.get(pair, enrollment.entered_at)
            tables.entries.put(pair, max(latest, enrollment.entered_at))
            tables.add_enrollment(organization_id, enrollment)

    def _forget_identities(self, organization_id: str, profile: Profile) -> None:
        tables = self._tables
        if profile.email is not None:
            tables.emails.remove((organization_id, profile.email))
        if profile.external_id is not None:
            tables.external_ids.remove((organization_id, profile.external_id))
        for email in profile.former_emails:
            at = (organization_id, email)
            holders = tables.former_emails.rows[at] - {profile.profile_id}
            if holders:
                tables.former_emails.put(at, holders)
            else:
                tables.former_emails.remove(at)
        for alias in profile.aliases:
            tables.aliases.remove((organization_id, alias.kind, alias.value))

    def _put_identities(self, organization_id: str, profile: Profile) -> None:
        tables = self._tables
        profile_id = profile.profile_id
        if profile.email is not None:
            tables.emails.put((organization_id, profile.email), profile_id)
        if profile.external_id is not None:
            tables.external_ids.put((organization_id, profile.external_id), profile_id)
        for email in profile.former_emails:
            at = (organization_id, email)
            holders = tables.former_emails.rows.get(at, frozenset())
            tables.former_emails.put(at, holders | {profile_id})
        for alias in profile.aliases:
            tables.aliases.put((organization_id, alias.kind, alias.value), profile_id)


class _Idempotency:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def purge(self, now: datetime, limit: int) -> int:
        claims = self._tables.key_claims
        expired = [at for at, claim in claims.rows.items() if claim.is_expired(now)][:limit]
        for at in expired:
            claims.remove(at)
        return len(expired)


class _Profiles:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, organization_id: str, profile_id: str) -> Profile | None:
        profile = self._tables.profiles.rows.get((organization_id, profile_id))
        return None if profile is None else copied_profile(profile)


class _Events:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, organization_id: str, event_id: str) -> UserEvent | None:
        event = self._tables.events.rows.get((organization_id, event_id))
        return None if event is None else copied_event(event)

    def get_many(self, organization_id: str, event_ids: Sequence[str]) -> Mapping[str, UserEvent]:
        found = [self.get(organization_id, event_id) for event_id in event_ids]
        return {event.event_id: event for event in found if event is not None}

    def list(self, organization_id: str, limit: int, before: str | None = None) -> list[UserEvent]:
        rows = self._tables.events.rows
        ids = islice(self._tables.event_order.newest(organization_id, before), limit)
        return [copied_event(rows[organization_id, event_id]) for event_id in ids]


class _Journeys:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def list(self, organization_id: str) -> list[Journey]:
        rows = self._tables.journeys.rows
        return [journey for at, journey in rows.items() if at[0] == organization_id]

    def get(self, organization_id: str, journey_id: str) -> Journey | None:
        return self._tables.journeys.rows.get((organization_id, journey_id))

    def get_version(self, organization_id: str, journey_id: str, version: int) -> Journey | None:
        return self._tables.versions.rows.get((organization_id, journey_id, version))

    def publish(
        self, organization_id: str, versions: Sequence[Journey], statuses: Sequence[Journey]
    ) -> None:
        tables = self._tables
        for journey in (*versions, *statuses):
            at = (organization_id, journey.journey_id)
            before = tables.journeys.rows.get(at)
            if before is not None and before.definition.status is JourneyStatus.ACTIVE:
                self._listen(organization_id, before, None)
            if journey.definition.status is JourneyStatus.ACTIVE:
                self._listen(organization_id, None, journey)
            tables.journeys.put(at, journey)
        for journey in versions:
            tables.versions.put((organization_id, journey.journey_id, journey.version), journey)

    def _listen(self, organization_id: str, gone: Journey | None, new: Journey | None) -> None:
        journey = new or gone
        assert journey is not None
        at = (organization_id, journey.definition.trigger.event)
        others = [j for j in self._tables.listening.rows.get(at, ()) if j is not gone]
        self._tables.listening.put(at, (*others, *([new] if new else [])))


class _Enrollments:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def get(self, organization_id: str, enrollment_id: str) -> Enrollment | None:
        found = self._tables.enrollments.rows.get((organization_id, enrollment_id))
        return None if found is None else self._tables.read(organization_id, found)

    def list(
        self,
        organization_id: str,
        limit: int,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
    ) -> list[Enrollment]:
        rows = self._tables.enrollments.rows
        found: list[Enrollment] = []
        for identifier in self._tables.enrollment_order.newest(organization_id, before):
            if len(found) == limit:
                break
            enrollment = self._tables.read(organization_id, rows[organization_id, identifier])
            if (journey_id is None or enrollment.journey_id == journey_id) and (
                status is None or enrollment.status == status
            ):
                found.append(enrollment)
        return found


class _ApiKeys:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def create(self, api_key: ApiKey) -> None:
        at = (api_key.organization_id, api_key.key_id)
        self._tables.api_keys.put(at, api_key)
        others = self._tables.api_key_lookups.rows.get(api_key.lookup, ())
        self._tables.api_key_lookups.put(api_key.lookup, (*others, at))

    def find(self, lookup: str) -> list[ApiKey]:
        rows = self._tables.api_keys.rows
        return [rows[at] for at in self._tables.api_key_lookups.rows.get(lookup, ())]

    def list(self, organization_id: str) -> list[ApiKey]:
        rows = self._tables.api_keys.rows
        return [api_key for at, api_key in rows.items() if at[0] == organization_id]

    def lock(self, organization_id: str, key_id: str) -> ApiKey | None:
        return self._tables.api_keys.rows.get((organization_id, key_id))

    def save(self, api_key: ApiKey) -> None:
        self._tables.api_keys.put((api_key.organization_id, api_key.key_id), api_key)


class _Pausing:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def overdue(self, organization_id: str, now: datetime, limit: int) -> list[Enrollment]:
        tables = self._tables

        def is_of_now(journey_id: str, era: int) -> bool:
            journey = tables.journeys.rows.get((organization_id, journey_id))
            return journey is None or journey.era == era

        ids = tables.queue.stopped(organization_id, is_of_now)
        rows = (tables.enrollments.rows[organization_id, each] for each in ids)
        left = (each for each in rows if each.lease_until is None or each.lease_until <= now)
        return [tables.read(organization_id, each) for each in islice(left, limit)]


class _HandOver:
    def __init__(self, tables: Tables) -> None:
        self._tables = tables

    def waiting(self, terms: ClaimTerms) -> list[Found]:
        tables = self._tables
        return list(self._found(tables.queue.available(terms, tables.moves)))

    def lock(self, named: Sequence[tuple[str, str]]) -> list[Found]:
        return list(self._found(named))

    def save(self, changes: Sequence[EnrollmentChange]) -> None:
        for change in changes:
            self._tables.put_enrollment(change.organization_id, change.after)

    def _found(self, named: Iterable[tuple[str, str]]) -> Iterator[Found]:
        rows = self._tables.enrollments.rows
        for at in named:
            if at in rows:
                yield at[0], self._tables.read(at[0], rows[at])

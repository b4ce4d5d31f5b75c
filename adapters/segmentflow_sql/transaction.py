"""The ports over SQL: every repository's methods, written once for both colours.

Knows what to ask and what the answers mean; must never know who is asked, nor wait.
Claims are taken in the order of their keys and Profiles locked in the order of their
ids, whatever the batch, so that two crossed batches queue up and do not lock each
other out.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from segmentflow_core.ports import (
    Changes,
    Enrollment,
    EnrollmentStatus,
    HeldClaim,
    Intent,
    Journey,
    JourneyStatus,
    Known,
    PriorEntries,
    Probe,
    Profile,
    Receipt,
    UserEvent,
    encode_json,
    from_microseconds,
    is_id,
)
from segmentflow_core.ports.api_keys import ApiKey
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, DatabaseKind, LostRace, Script, calls_for_rows
from segmentflow_sql.hand_over import HandOverRepository
from segmentflow_sql.rows import Row
from segmentflow_sql.statements import ProfilesFoundBy, Statement

__all__ = ["JourneyCache", "SqlTransaction"]

_OPERATION: Final = "events.track"
_MAX_CACHED_JOURNEYS: Final = 10_000


class JourneyCache:
    """Definitions parsed once. A version never changes, and its digest says which it is."""

    def __init__(self) -> None:
        self._journeys: dict[tuple[str, Row], Journey] = {}

    def find(self, organization_id: str, row: Row) -> Journey | None:
        """Return the Journey of a row (id, status, version, digest, published), if it is known."""
        return self._journeys.get((organization_id, row))

    def keep(self, organization_id: str, row: Row, definition: str) -> Journey:
        """Parse a definition, and remember it."""
        _, status, version, digest, published_at = row
        parsed = rows.definition_from(definition, status)
        journey = Journey(parsed, version, digest, from_microseconds(published_at))
        if len(self._journeys) >= _MAX_CACHED_JOURNEYS:
            self._journeys.clear()
        self._journeys[organization_id, row] = journey
        return journey


class _Repository:
    """What every repository has: the statements, and someone to perform its scripts."""

    def __init__(
        self,
        kind: DatabaseKind,
        cache: JourneyCache,
        pending: list[Call],
        perform: Callable[[Script[Any]], Any],
    ) -> None:
        self._statements = kind.statements
        self._codec = kind.codec
        self._cache = cache
        self._pending = pending
        self._perform = perform


class _Tracking(_Repository):
    def __init__(
        self,
        kind: DatabaseKind,
        cache: JourneyCache,
        pending: list[Call],
        perform: Callable[[Script[Any]], Any],
    ) -> None:
        super().__init__(kind, cache, pending, perform)
        self._loaded: dict[str, Profile] = {}
        self._probed: set[tuple[str, str]] = set()

    def load(self, organization_id: str, intent: Intent) -> Any:
        return self._perform(self._load(organization_id, intent))

    def _load(self, organization_id: str, intent: Intent) -> Script[Known]:
        statements, codec = self._statements, self._codec
        calls = calls_for_rows(
            statements.take_claims,
            [rows.claim_row(codec, organization_id, _OPERATION, c) for c in intent.claims],
            codec.instant(intent.now),
        )
        find = statements.lock_profiles if calls else statements.look_for_profiles
        finding = self._finding(find, organization_id, intent)
        listening = self._listening(organization_id, intent.events)
        answers = yield [*calls, *finding, *listening]
        taken = {key for answer in answers[: len(calls)] for (key,) in answer}
        profiles: dict[str, Profile] = {}
        for answer in answers[len(calls) : len(calls) + len(finding)]:
            for row in answer:
                profile_id = row[1]
                if profile_id is not None and profile_id not in profiles:
                    profiles[profile_id] = rows.profile_from(row)
        found = [row for row in answers[-1] if row[0] is not None] if listening else []
        held_keys = [claim.key for claim in intent.claims if claim.key not in taken]
        held = (yield from self._held(organization_id, held_keys)) if held_keys else {}
        self._loaded = profiles
        journeys = yield from self._journeys(organization_id, found)
        return Known(held, tuple(profiles.values()), journeys)

    def _finding(self, find: ProfilesFoundBy, organization_id: str, intent: Intent) -> list[Call]:
        emails, external_ids = intent.emails, intent.external_ids
        if len(emails) > 1 or len(external_ids) > 1:
            listed = self._codec.listed
            arguments = find.many.arguments(
                organization_id=organization_id,
                emails=listed(emails),
                external_ids=listed(external_ids),
            )
            return [Call(find.many, arguments)]
        if find.both is not None and emails and external_ids:
            arguments = find.both.arguments(
                organization_id=organization_id, email=emails[0], external_id=external_ids[0]
            )
            return [Call(find.both, arguments)]
        return [
            Call(statement, (organization_id, value))
            for statement, values in ((find.email, emails), (find.external_id, external_ids))
            for value in values
        ]

    def _listening(self, organization_id: str, events: Sequence[str]) -> list[Call]:
        if not events:
            return []
        active = str(JourneyStatus.ACTIVE)
        listening = self._statements.listening_journeys
        if len(events) == 1:
            one = listening.one
            arguments = one.arguments(
                organization_id=organization_id, status=active, event=events[0]
            )
            return [Call(one, arguments)]
        many = listening.many
        arguments = many.arguments(
            organization_id=organization_id, status=active, events=self._codec.listed(events)
        )
        return [Call(many, arguments)]

    def _held(self, organization_id: str, keys: Sequence[str]) -> Script[dict[str, HeldClaim]]:
        held_claims = self._statements.held_claims
        if len(keys) == 1:
            call = Call(held_claims.one, (organization_id, _OPERATION, keys[0]))
        else:
            listed = self._codec.listed(keys)
            arguments = held_claims.many.arguments(
                organization_id=organization_id, operation=_OPERATION, keys=listed
            )
            call = Call(held_claims.many, arguments)
        (found,) = yield [call]
        held: dict[str, HeldClaim] = {}
        for *columns, profile_id, outcomes in found:
            claim = rows.claim_from(columns)
            outcome = rows.outcomes_from(outcomes)
            enrolled = sum(o.outcome == "enrolled" for o in outcome)
            receipt = Receipt(
                claim.event_id, profile_id, len(outcome), enrolled, len(outcome) - enrolled
            )
            held[claim.key] = HeldClaim(claim, receipt)
        if len(held) < len(keys):
            # What stood in the way has gone since: another try finds the key free.
            raise LostRace
        return held

    def _journeys(self, organization_id: str, found: Sequence[Row]) -> Script[tuple[Journey, ...]]:
        """Give the Journeys of rows without definitions; only unknown ones are read."""
        cache = self._cache
        known = {row: cache.find(organization_id, row) for row in found}
        missing = {row[0]: row for row, journey in known.items() if journey is None}
        if missing:
            statement = self._statements.journey_versions
            wanted = encode_json([(row[0], row[2]) for row in missing.values()])
            arguments = statement.arguments(organization_id=organization_id, rows=wanted)
            (versions,) = yield [Call(statement, arguments)]
            for journey_id, _, _, definition in versions:
                row = missing[journey_id]
                known[row] = cache.keep(organization_id, row, definition)
        return tuple([journey for journey in known.values() if journey is not None])

    def prior_entries(self, organization_id: str, probes: Sequence[Probe]) -> Any:
        return self._perform(self._prior_entries(organization_id, probes))

    def _prior_entries(
        self, organization_id: str, probes: Sequence[Probe]
    ) -> Script[Mapping[Probe, PriorEntries]]:
        self._probed |= {(probe.journey_id, probe.profile_id) for probe in probes}
        statement = self._statements.last_entries
        asked = [
            (index, probe.journey_id, probe.profile_id, probe.entry_key, probe.before)
            for index, probe in enumerate(probes)
        ]
        arguments = statement.arguments(organization_id=organization_id, rows=encode_json(asked))
        (found,) = yield [Call(statement, arguments)]
        return {
            probes[index]: PriorEntries(
                None if last is None else from_microseconds(last), key_taken=taken > 0
            )
            for index, last, taken in found
        }

    def write(self, organization_id: str, changes: Changes) -> Any:
        return self._perform(self._write(organization_id, changes))

    def _write(self, organization_id: str, changes: Changes) -> Script[None]:
        statements, codec, pending = self._statements, self._codec, self._pending
        if changes.released:
            release = statements.release_claims
            keys = codec.listed(changes.released)
            arguments = release.arguments(
                organization_id=organization_id, operation=_OPERATION, keys=keys
            )
            pending.append(Call(release, arguments))
        pending += calls_for_rows(
            statements.write_claims,
            [rows.claim_row(codec, organization_id, _OPERATION, c) for c in changes.reclaimed],
        )
        identified = [p for p in changes.changed_profiles if self._has_new_identity(p)]
        if len(identified) > 1:
            # Within a batch one Profile may take an identity another one gives up.
            free = statements.free_identities
            ids = codec.listed(profile.profile_id for profile in identified)
            pending.append(
                Call(free, free.arguments(organization_id=organization_id, profile_ids=ids))
            )
        pending += calls_for_rows(
            statements.change_profiles,
            [rows.change_row(codec, organization_id, p) for p in identified],
        )
        # Apart, because naming an indexed column makes SQLite write its index anew.
        pending += calls_for_rows(
            statements.change_properties,
            [
                rows.properties_row(codec, organization_id, p)
                for p in changes.changed_profiles
                if not self._has_new_identity(p)
            ],
        )
        pending += self._marks(organization_id, changes)
        created = sorted(changes.created_profiles, key=_identity)
        pending += calls_for_rows(
            statements.create_profiles,
            [rows.profile_row(codec, organization_id, p) for p in created],
        )
        pending += calls_for_rows(
            statements.write_events,
            [rows.event_row(codec, organization_id, e) for e in changes.events],
        )
        pending += calls_for_rows(
            statements.write_enrollments,
            [rows.enrollment_row(codec, organization_id, e) for e in changes.enrollments],
        )
        yield from ()  # nothing is asked: this travels with the commit

    def _marks(self, organization_id: str, changes: Changes) -> list[Call]:
        """Write Profiles that entered by a rule that no unique key stands for, a cooldown.

        A transaction whose snapshot is older than the entry then finds the Profile changed
        when it locks it, and runs again, instead of deciding without the entry.
        """
        mark = self._statements.mark_profiles
        entered = {
            enrollment.profile_id
            for enrollment in changes.enrollments
            if enrollment.entry_key is None
            and (enrollment.journey_id, enrollment.profile_id) in self._probed
        }
        unchanged = entered.difference([p.profile_id for p in changes.changed_profiles])
        if mark is None or not unchanged:
            return []
        ids = self._codec.listed(sorted(unchanged))
        return [Call(mark, mark.arguments(organization_id=organization_id, profile_ids=ids))]

    def _has_new_identity(self, profile: Profile) -> bool:
        """Say whether a Profile has another email or external id than it was loaded with."""
        before = self._loaded.get(profile.profile_id)
        return before is None or (before.email, before.external_id) != (
            profile.email,
            profile.external_id,
        )


def _identity(profile: Profile) -> tuple[str, str]:
    return profile.email or "", profile.external_id or ""


class _Idempotency(_Repository):
    def purge(self, now: datetime, limit: int) -> Any:
        return self._perform(self._purge(now, limit))

    def _purge(self, now: datetime, limit: int) -> Script[int]:
        statement = self._statements.purge_claims
        arguments = statement.arguments(now=self._codec.instant(now), limit=limit)
        (removed,) = yield [Call(statement, arguments)]
        return len(removed)


class _Profiles(_Repository):
    def get(self, organization_id: str, profile_id: str) -> Any:
        return self._perform(self._get(organization_id, profile_id))

    def _get(self, organization_id: str, profile_id: str) -> Script[Profile | None]:
        if not self._codec.may_be_id(profile_id):
            return None
        statement = self._statements.get_profile
        arguments = statement.arguments(organization_id=organization_id, profile_id=profile_id)
        (found,) = yield [Call(statement, arguments)]
        return rows.profile_from(found[0]) if found else None


class _Events(_Repository):
    def get(self, organization_id: str, event_id: str) -> Any:
        return self._perform(self._get(organization_id, event_id))

    def _get(self, organization_id: str, event_id: str) -> Script[UserEvent | None]:
        if not self._codec.may_be_id(event_id):
            return None
        statement = self._statements.get_event
        arguments = statement.arguments(organization_id=organization_id, event_id=event_id)
        (found,) = yield [Call(statement, arguments)]
        return rows.event_from(found[0]) if found else None

    def list(self, organization_id: str, limit: int, before: str | None = None) -> Any:
        return self._perform(self._list(organization_id, limit, before))

    def _list(
        self, organization_id: str, limit: int, before: str | None
    ) -> Script[Sequence[UserEvent]]:
        if before is not None and not self._codec.may_be_id(before):
            return []
        statement = self._statements.list_events
        arguments = statement.arguments(organization_id=organization_id, limit=limit, before=before)
        (found,) = yield [Call(statement, arguments)]
        return [rows.event_from(row) for row in found]


class _Journeys(_Repository):
    def list(self, organization_id: str) -> Any:
        return self._perform(self._list(organization_id))

    def _list(self, organization_id: str) -> Script[Sequence[Journey]]:
        statement = self._statements.list_journeys
        (found,) = yield [Call(statement, statement.arguments(organization_id=organization_id))]
        return [self._journey(organization_id, row) for row in found]

    def get(self, organization_id: str, journey_id: str, version: int | None = None) -> Any:
        return self._perform(self._get(organization_id, journey_id, version))

    def _get(
        self, organization_id: str, journey_id: str, version: int | None
    ) -> Script[Journey | None]:
        if not rows.may_be_stored(journey_id):
            return None
        statement = self._statements.get_journey
        arguments = statement.arguments(
            organization_id=organization_id, journey_id=journey_id, version=version
        )
        (found,) = yield [Call(statement, arguments)]
        return self._journey(organization_id, found[0]) if found else None

    def _journey(self, organization_id: str, row: Row) -> Journey:
        *columns, definition = row
        at = tuple(columns)
        known = self._cache.find(organization_id, at)
        return known or self._cache.keep(organization_id, at, definition)

    def publish(self, organization_id: str, journeys: Sequence[Journey]) -> Any:
        return self._perform(self._publish(organization_id, journeys))

    def _publish(self, organization_id: str, journeys: Sequence[Journey]) -> Script[None]:
        """Write versions and make them current, or find that somebody else was first.

        A version that stands already must say the same, and a current one must not be
        newer: where it is not so, what was decided was decided over an older state.
        """
        statements, codec = self._statements, self._codec
        ordered = sorted(journeys, key=lambda journey: journey.journey_id)
        written = calls_for_rows(
            statements.write_versions,
            [rows.version_row(codec, organization_id, journey) for journey in ordered],
        )
        chosen = encode_json([(journey.journey_id, journey.version) for journey in ordered])
        versions = statements.journey_versions
        check = Call(versions, versions.arguments(organization_id=organization_id, rows=chosen))
        made_current = calls_for_rows(
            statements.publish_journeys,
            [rows.journey_row(organization_id, journey) for journey in ordered],
        )
        answers = yield [*written, check, *made_current]
        stored, *made = answers[len(written) :]
        current = [row for answer in made for row in answer]
        digests = {journey_id: digest for journey_id, _, digest, _ in stored}
        as_meant = all(digests[journey.journey_id] == journey.digest for journey in ordered)
        if not as_meant or len(current) < len(ordered):
            raise LostRace


class _Enrollments(_Repository):
    def get(self, organization_id: str, enrollment_id: str) -> Any:
        return self._perform(self._get(organization_id, enrollment_id))

    def _get(self, organization_id: str, enrollment_id: str) -> Script[Enrollment | None]:
        if not is_id(enrollment_id):
            return None
        statement = self._statements.get_enrollment
        arguments = statement.arguments(
            organization_id=organization_id, enrollment_id=enrollment_id
        )
        (found,) = yield [Call(statement, arguments)]
        return rows.enrollment_from(found[0]) if found else None

    def list(
        self,
        organization_id: str,
        limit: int,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
    ) -> Any:
        return self._perform(self._list(organization_id, limit, before, journey_id, status))

    def _list(
        self,
        organization_id: str,
        limit: int,
        before: str | None,
        journey_id: str | None,
        status: EnrollmentStatus | None,
    ) -> Script[Sequence[Enrollment]]:
        if before is not None and not self._codec.may_be_id(before):
            return []
        if journey_id is not None and not rows.may_be_stored(journey_id):
            return []
        # What is still open has an index of its own; completed ones are found anywhere.
        anywhere = status in (None, EnrollmentStatus.COMPLETED)
        statements = self._statements
        statement = statements.list_enrollments if anywhere else statements.list_open_enrollments
        arguments = statement.arguments(
            organization_id=organization_id,
            limit=limit,
            before=before,
            journey_id=journey_id,
            status=None if status is None else str(status),
        )
        (found,) = yield [Call(statement, arguments)]
        return [rows.enrollment_from(row) for row in found]


class _ApiKeys(_Repository):
    def create(self, api_key: ApiKey) -> Any:
        return self._perform(self._create(api_key))

    def _create(self, api_key: ApiKey) -> Script[None]:
        row = rows.api_key_row(self._codec, api_key)
        self._pending.extend(calls_for_rows(self._statements.create_api_key, [row]))
        yield from ()  # nothing is asked: this travels with the commit

    def find(self, lookup: str) -> Any:
        return self._perform(self._found(self._statements.find_api_keys, lookup=lookup))

    def list(self, organization_id: str) -> Any:
        listing = self._statements.list_api_keys
        return self._perform(self._found(listing, organization_id=organization_id))

    def _found(self, statement: Statement, **values: Any) -> Script[Sequence[ApiKey]]:
        (found,) = yield [Call(statement, statement.arguments(**values))]
        return [rows.api_key_from(row) for row in found]

    def revoke(self, organization_id: str, key_id: str, now: datetime) -> Any:
        return self._perform(self._revoke(organization_id, key_id, now))

    def _revoke(self, organization_id: str, key_id: str, now: datetime) -> Script[ApiKey | None]:
        found = yield from self._found(
            self._statements.revoke_api_key,
            organization_id=organization_id,
            key_id=key_id,
            now=self._codec.instant(now),
        )
        return found[0] if found else None

    def note_use(self, organization_id: str, key_id: str, now: datetime) -> Any:
        return self._perform(self._note_use(organization_id, key_id, now))

    def _note_use(self, organization_id: str, key_id: str, now: datetime) -> Script[None]:
        statement = self._statements.note_api_key_use
        arguments = statement.arguments(
            organization_id=organization_id, key_id=key_id, now=self._codec.instant(now)
        )
        self._pending.append(Call(statement, arguments))
        yield from ()  # nothing is asked: this travels with the commit


class SqlTransaction:
    """One transaction, in the colour of whoever performs its scripts.

    Args:
        kind: what to ask, and how.
        cache: where Journeys are kept.
        pending: what travels with the next exchange.
        perform: runs a script to its end.
        again: whether a connection was lost before, so that this may have been done already.
    """

    def __init__(
        self,
        kind: DatabaseKind,
        cache: JourneyCache,
        pending: list[Call],
        perform: Callable[[Script[Any]], Any],
        *,
        again: bool = False,
    ) -> None:
        # Tracking alone remembers something; the others are made where one is asked for.
        self._means = kind, cache, pending, perform
        self._again = again
        self.tracking = _Tracking(*self._means)

    @property
    def idempotency(self) -> _Idempotency:
        """Claims."""
        return _Idempotency(*self._means)

    @property
    def profiles(self) -> _Profiles:
        """Profiles."""
        return _Profiles(*self._means)

    @property
    def events(self) -> _Events:
        """Events."""
        return _Events(*self._means)

    @property
    def journeys(self) -> _Journeys:
        """Journeys."""
        return _Journeys(*self._means)

    @property
    def enrollments(self) -> _Enrollments:
        """Enrollments."""
        return _Enrollments(*self._means)

    @property
    def api_keys(self) -> _ApiKeys:
        """API Keys."""
        return _ApiKeys(*self._means)

    @property
    def hand_over(self) -> HandOverRepository:
        """Enrollments on their way to workers."""
        kind, _, _, perform = self._means
        return HandOverRepository(kind, perform, again=self._again)

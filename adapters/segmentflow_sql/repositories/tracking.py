"""The port of tracking: what a batch loads, asks about earlier entries, and writes.

Keys are taken in the order of their digests and Profiles locked in the order of their ids,
whatever the batch, so that two crossed batches queue up and do not lock each other out.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from segmentflow_core.ports import (
    KEY_SEPARATOR,
    Changes,
    Intent,
    JourneyStatus,
    KeyClaim,
    Known,
    PriorEntries,
    Probe,
    Profile,
    encode_json,
    from_microseconds,
    to_microseconds,
)
from segmentflow_sql import rows
from segmentflow_sql.claim_rows import claim_of_taken_key, key_claim_from, key_claim_row
from segmentflow_sql.exchange import (
    Call,
    Connection,
    DatabaseKind,
    LostRace,
    Rows,
    ask,
    calls_for_rows,
)
from segmentflow_sql.identities import Leading, identities_of
from segmentflow_sql.repositories.blocking import Blocking
from segmentflow_sql.repositories.journeys import current_journeys
from segmentflow_sql.rows import Row
from segmentflow_sql.statements import FoundBy

__all__ = ["TrackingRepository", "asking_entries", "entries_from"]


class TrackingRepository:
    """Load and write of tracked batches, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._statements = connection.kind.statements.tracking
        self._codec = connection.kind.codec
        self._expired: list[str] = []

    async def load(self, organization_id: str, intent: Intent) -> Known:
        """Take the batch's keys, then read what the decision needs: one exchange, at most five.

        One more reads Profiles that changed while their locks were waited for, one the claims of
        keys taken before, one Journeys not yet known, one what is blocked where this process has
        not met that yet.

        Raises:
            LostRace: what stood in the way of a key has gone since, or a Profile has ended while
                its lock was waited for: its identities lead elsewhere by now.
        """
        statements = self._statements
        if intent.wait is not None:
            self._connection.hurry(intent.wait)
        takes = self._takes(organization_id, intent)
        find = statements.lock_profiles if takes else statements.look_for_profiles
        finding = self._finding(find, organization_id, intent)
        listening = self._listening(organization_id, intent.events)
        blocking = Blocking(organization_id, intent)
        blocks = [self._blocked(blocking)] if finding else []
        answers = await self._connection.exchange([*takes, *finding, *listening, *blocks])
        found = answers[len(takes)] if finding else []
        profiles = await self._profiles(organization_id, found)
        listed = answers[len(takes) + len(finding)] if listening else []
        active = [row for row in listed if row[0] is not None]
        answer = answers[-1] if blocks else []
        while blocking.answered(answer):
            (answer,) = await self._connection.exchange([self._blocked(blocking)])
        of_keys = [row for answer in answers[: len(takes)] for row in answer]
        taken = await self._taken(organization_id, intent, of_keys)
        journeys = await current_journeys(self._connection, organization_id, active)
        return Known(taken, profiles, journeys, blocking.found)

    def _blocked(self, blocking: Blocking) -> Call:
        statement = self._statements.blocked_identities
        return Call(
            statement,
            statement.arguments(
                organization_id=blocking.organization_id,
                hashes=self._codec.listed(blocking.hashes),
            ),
        )

    async def _profiles(self, organization_id: str, found: Rows) -> tuple[Profile, ...]:
        """Read Profiles; those that changed while their locks were waited for, once more.

        A row ends with what was seen of it before the wait.
        """
        if any(map(rows.has_ended, found)):
            raise LostRace
        changed = [row[1] for row in found if rows.has_changed(row)]
        if changed:
            again = await ask(
                self._connection,
                self._statements.reread_profiles,
                organization_id=organization_id,
                profile_ids=self._codec.listed(changed),
            )
            found = [*(row for row in found if not rows.has_changed(row)), *again]
        return tuple([rows.profile_from(row) for row in found])

    def _finding(self, find: FoundBy, organization_id: str, intent: Intent) -> list[Call]:
        emails, external_ids = intent.emails, intent.external_ids
        if len(emails) > 1 or len(external_ids) > 1:
            listed = self._codec.listed
            arguments = find.many.arguments(
                organization_id=organization_id,
                emails=listed(emails),
                external_ids=listed(external_ids),
            )
            return [Call(find.many, arguments)]
        if not emails and not external_ids:
            return []
        arguments = find.one.arguments(
            organization_id=organization_id,
            email=emails[0] if emails else None,
            external_id=external_ids[0] if external_ids else None,
        )
        return [Call(find.one, arguments)]

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

    def _takes(self, organization_id: str, intent: Intent) -> list[Call]:
        """Return what takes the keys; where nobody else can write, looking for them does."""
        if not intent.keys:
            return []
        take_keys, codec = self._statements.take_keys, self._codec
        if take_keys is None:
            return [self._looking(organization_id, intent.keys)]
        expires_at = codec.maybe(intent.expires_at)
        taking = [(organization_id, key, expires_at) for key in intent.keys]
        return calls_for_rows(take_keys, taking, codec.instant(intent.now))

    async def _taken(
        self, organization_id: str, intent: Intent, answer: Rows
    ) -> dict[str, KeyClaim]:
        """Return the claims of the keys that were taken before.

        Args:
            organization_id: whose keys they are.
            intent: what was asked for.
            answer: to what takes the keys: the digests of those taken now, or the claims found.
        """
        if self._statements.take_keys is None:
            self._expired = []
            if not answer:
                return {}
            # A key that was not found gives a row of NULLs, or none.
            claims = [key_claim_from(row) for row in answer if row[1] is not None]
            now = intent.now
            held = [c for c in claims if c.expires_at is None or c.expires_at > now]
            self._expired = [c.key_digest for c in claims if c not in held]
            return {claim.key_digest: claim for claim in held}
        own = {key for (key,) in answer}
        others = [key for key in intent.keys if key not in own]
        if not others:
            return {}
        (found,) = await self._connection.exchange([self._looking(organization_id, others)])
        taken = {claim.key_digest: claim for claim in map(key_claim_from, found)}
        if len(taken) < len(others):
            # What stood in the way has gone since: another try finds the key free.
            raise LostRace
        return taken

    def _looking(self, organization_id: str, keys: Sequence[str]) -> Call:
        taken_keys = self._statements.taken_keys
        if len(keys) == 1:
            return Call(taken_keys.one, (organization_id, keys[0]))
        many = taken_keys.many
        listed = self._codec.listed(keys)
        return Call(many, many.arguments(organization_id=organization_id, keys=listed))

    async def prior_entries(
        self, organization_id: str, probes: Sequence[Probe]
    ) -> Mapping[Probe, PriorEntries]:
        """Answer every probe about earlier entries, of whatever version."""
        asked = asking_entries(self._connection.kind, organization_id, probes)
        return entries_from(probes, await self._connection.exchange(asked))

    async def write(self, organization_id: str, changes: Changes) -> None:
        """Write a decided batch; nothing is asked, so all of it travels with the commit."""
        statements, codec = self._statements, self._codec
        calls: list[Call] = []
        one_writer = statements.take_keys is None
        # Where one transaction writes at a time, a key that is only taken has no row.
        without = self._expired if one_writer else changes.freed
        if without:
            free = statements.free_keys
            keys = codec.listed(without)
            calls.append(Call(free, free.arguments(organization_id=organization_id, keys=keys)))
        claims = [key_claim_row(codec, organization_id, claim) for claim in changes.key_claims]
        if not one_writer:
            claims = [claim_of_taken_key(row) for row in claims]
        calls += calls_for_rows(statements.write_key_claims, claims)
        calls += self._changes_of_profiles(organization_id, changes)
        if changes.created_profiles:
            created = sorted(changes.created_profiles, key=_identity)
            written = [rows.profile_row(codec, organization_id, p) for p in created]
            calls += calls_for_rows(statements.create_profiles, written)
        calls += self._identities(organization_id, changes)
        calls += self._versions_of_profiles(organization_id, changes)
        digests = {claim.receipt.event_id: claim.key_digest for claim in changes.key_claims}
        calls += calls_for_rows(
            statements.write_events,
            [
                rows.event_row(codec, organization_id, e, digests.get(e.event_id))
                for e in changes.events
            ],
        )
        calls += calls_for_rows(
            statements.write_enrollments,
            [rows.enrollment_row(codec, organization_id, e) for e in changes.enrollments],
        )
        self._connection.pending.extend(calls)

    def _changes_of_profiles(self, organization_id: str, changes: Changes) -> list[Call]:
        statements, codec = self._statements, self._codec
        calls: list[Call] = []
        identified: list[Profile] = []
        counted: list[Profile] = []
        lives: list[Row] = []
        for before, profile in zip(
            changes.previous_profiles, changes.changed_profiles, strict=True
        ):
            had = (before.email, before.external_id)
            is_same = had == (profile.email, profile.external_id)
            (counted if is_same else identified).append(profile)
            if rows.life_of(before) != rows.life_of(profile):
                lives.append(rows.life_row(codec, organization_id, profile))
        if len(identified) > 1:
            # Within a batch one Profile may take an identity another one gives up.
            free = statements.free_identities
            ids = codec.listed(profile.profile_id for profile in identified)
            calls.append(
                Call(free, free.arguments(organization_id=organization_id, profile_ids=ids))
            )
        calls += calls_for_rows(
            statements.change_identities,
            [rows.identity_row(codec, organization_id, p) for p in identified],
        )
        # Apart, because naming an indexed column makes SQLite write its index anew.
        calls += calls_for_rows(
            statements.count_events, [rows.count_row(codec, organization_id, p) for p in counted]
        )
        calls += calls_for_rows(statements.change_lives, lives)
        return calls

    def _identities(self, organization_id: str, changes: Changes) -> list[Call]:
        """Let emails that gave way, and aliases, lead to their Profiles, and no others any more."""
        added: list[Row] = []
        removed: list[Row] = []
        before = {profile.profile_id: profile for profile in changes.previous_profiles}
        for profile in (*changes.changed_profiles, *changes.created_profiles):
            known = before.get(profile.profile_id)
            if known is None:
                had = _NO_IDENTITIES
            elif known.former_emails is profile.former_emails and known.aliases is profile.aliases:
                continue
            else:
                had = identities_of(known)
            has = identities_of(profile)
            added += _rows_of(organization_id, profile.profile_id, has - had)
            removed += _rows_of(organization_id, profile.profile_id, had - has)
        statements = self._statements
        return [
            *calls_for_rows(statements.remove_identities, removed),
            *calls_for_rows(statements.add_identities, added),
        ]

    def _versions_of_profiles(self, organization_id: str, changes: Changes) -> list[Call]:
        """Write new versions and the times of the latest; a version that was has none."""
        statements, codec = self._statements, self._codec
        times: list[Row] = []
        first = _first_numbers(changes)
        for before, profile in zip(
            changes.previous_profiles, changes.changed_profiles, strict=True
        ):
            if profile.version != before.version:
                next_version = (before.profile_id, before.version + 1)
                last_number = first.get(next_version, before.number + 1) - 1
                times.append(rows.times_row(codec, organization_id, before, last_number))
            elif (
                profile.property_times is not before.property_times
                or profile.former_emails is not before.former_emails
            ):
                times.append(rows.times_row(codec, organization_id, profile, None))
        calls = calls_for_rows(statements.change_times, times)
        if changes.new_versions:
            written_profiles = (*changes.changed_profiles, *changes.created_profiles)
            by_id = {profile.profile_id: profile for profile in written_profiles}
            written: list[Row] = []
            for version in changes.new_versions:
                profile = by_id[version.profile_id]
                # A host's change is no event: the version begins with the next one.
                number = first.get((version.profile_id, version.version), profile.number + 1)
                after = first.get((version.profile_id, version.version + 1))
                numbers = (number, None if after is None else after - 1)
                written.append(
                    rows.profile_version_row(codec, organization_id, version, profile, numbers)
                )
            calls += calls_for_rows(statements.create_versions, written)
        return calls


_BEYOND_SEPARATOR: Final = chr(ord(KEY_SEPARATOR) + 1)
"""Sorted right behind everything that begins with a key and the separator."""


def asking_entries(kind: DatabaseKind, organization_id: str, probes: Sequence[Probe]) -> list[Call]:
    """Return the calls that answer probes about earlier entries: at most two."""
    asked = [
        (
            index,
            probe.journey_id,
            probe.profile_id,
            probe.entry_key,
            None if probe.entry_key is None else probe.entry_key + _BEYOND_SEPARATOR,
            probe.before,
            None if probe.since is None else to_microseconds(probe.since),
        )
        for index, probe in enumerate(probes)
    ]
    statements = kind.statements.tracking
    return [
        Call(each, each.arguments(organization_id=organization_id, rows=encode_json(rows)))
        for each, rows in (
            (statements.last_entries, [row[:6] for row in asked if row[6] is None]),
            (statements.counted_entries, [row for row in asked if row[6] is not None]),
        )
        if rows
    ]


def entries_from(probes: Sequence[Probe], answers: Iterable[Rows]) -> dict[Probe, PriorEntries]:
    """Read what those calls found."""
    return {
        probes[index]: PriorEntries(
            None if last is None else from_microseconds(last), taken > 0, *count
        )
        for found in answers
        for index, last, taken, *count in found
    }


_NO_IDENTITIES: Final[set[tuple[Leading, str]]] = set()


def _rows_of(
    organization_id: str, profile_id: str, identities: set[tuple[Leading, str]]
) -> list[Row]:
    return [(organization_id, str(kind), value, profile_id) for kind, value in sorted(identities)]


def _first_numbers(changes: Changes) -> dict[tuple[str, int], int]:
    """Return the number of the first event that refers to each new version, by that."""
    first: dict[tuple[str, int], int] = {}
    if changes.new_versions:
        for event in changes.events:
            first.setdefault((event.profile_id, event.profile_version), event.number)
    return first


def _identity(profile: Profile) -> tuple[str, str]:
    return profile.email or "", profile.external_id or ""

"""The port of tracking: what a batch loads, asks about earlier entries, and writes.

Keys are taken in the order of their digests and Profiles locked in the order of their ids,
whatever the batch, so that two crossed batches queue up and do not lock each other out.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from segmentflow_core.ports import (
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
)
from segmentflow_sql import rows
from segmentflow_sql.exchange import (
    Call,
    Connection,
    LostRace,
    Rows,
    ask,
    calls_for_rows,
)
from segmentflow_sql.repositories.journeys import current_journeys
from segmentflow_sql.rows import Row
from segmentflow_sql.statements import ProfilesFoundBy

__all__ = ["TrackingRepository"]


class TrackingRepository:
    """Load and write of tracked batches, within one transaction."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._statements = connection.kind.statements.tracking
        self._codec = connection.kind.codec
        self._loaded: dict[str, Profile] = {}

    async def load(self, organization_id: str, intent: Intent) -> Known:
        """Take the batch's keys, then read what the decision needs: one exchange, at most four.

        One more reads Profiles that changed while their locks were waited for, one the claims of
        keys taken before, one Journeys not yet known.

        Raises:
            LostRace: what stood in the way of a key has gone since.
        """
        statements, codec = self._statements, self._codec
        takes = calls_for_rows(
            statements.take_keys,
            [(organization_id, key, codec.maybe(intent.expires_at)) for key in intent.keys],
            codec.instant(intent.now),
        )
        find = statements.lock_profiles if takes else statements.look_for_profiles
        finding = self._finding(find, organization_id, intent)
        listening = self._listening(organization_id, intent.events)
        answers = await self._connection.exchange([*takes, *finding, *listening])
        own = {key for answer in answers[: len(takes)] for (key,) in answer}
        found = answers[len(takes) : len(takes) + len(finding)]
        self._loaded = await self._profiles(organization_id, found)
        active = [row for row in answers[-1] if row[0] is not None] if listening else []
        others = [key for key in intent.keys if key not in own]
        taken = await self._taken(organization_id, others) if others else {}
        journeys = await current_journeys(self._connection, organization_id, active)
        return Known(taken, tuple(self._loaded.values()), journeys)

    async def _profiles(self, organization_id: str, answers: Sequence[Rows]) -> dict[str, Profile]:
        """Read the Profiles of several look-ups, each once; a row may be empty."""
        found = {row[1]: row for answer in answers for row in answer if row[1] is not None}
        reread = self._statements.reread_profiles
        changed = [profile_id for profile_id, row in found.items() if row[-1] is None]
        if changed and reread is not None:
            again = await ask(
                self._connection,
                reread,
                organization_id=organization_id,
                profile_ids=self._codec.listed(changed),
            )
            found |= {row[1]: row for row in again}
        return {profile_id: rows.profile_from(row) for profile_id, row in found.items()}

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

    async def _taken(self, organization_id: str, keys: Sequence[str]) -> dict[str, KeyClaim]:
        taken_keys = self._statements.taken_keys
        if len(keys) == 1:
            call = Call(taken_keys.one, (organization_id, keys[0]))
        else:
            many = taken_keys.many
            listed = self._codec.listed(keys)
            call = Call(many, many.arguments(organization_id=organization_id, keys=listed))
        (found,) = await self._connection.exchange([call])
        claims = map(rows.key_claim_from, found)
        taken = {claim.key_digest: claim for claim in claims}
        if len(taken) < len(keys):
            # What stood in the way has gone since: another try finds the key free.
            raise LostRace
        return taken

    async def prior_entries(
        self, organization_id: str, probes: Sequence[Probe]
    ) -> Mapping[Probe, PriorEntries]:
        """Answer every probe about earlier entries, of whatever version."""
        asked = [
            (index, probe.journey_id, probe.profile_id, probe.entry_key, probe.before)
            for index, probe in enumerate(probes)
        ]
        found = await ask(
            self._connection,
            self._statements.last_entries,
            organization_id=organization_id,
            rows=encode_json(asked),
        )
        return {
            probes[index]: PriorEntries(
                None if last is None else from_microseconds(last), key_taken=taken > 0
            )
            for index, last, taken in found
        }

    async def write(self, organization_id: str, changes: Changes) -> None:
        """Write a decided batch; nothing is asked, so all of it travels with the commit."""
        statements, codec = self._statements, self._codec
        calls: list[Call] = []
        if changes.freed:
            free = statements.free_keys
            keys = codec.listed(changes.freed)
            calls.append(Call(free, free.arguments(organization_id=organization_id, keys=keys)))
        calls += calls_for_rows(
            statements.write_key_claims,
            [rows.key_claim_row(codec, organization_id, claim) for claim in changes.key_claims],
        )
        calls += self._changes_of_profiles(organization_id, changes)
        created = sorted(changes.created_profiles, key=_identity)
        calls += calls_for_rows(
            statements.create_profiles,
            [rows.profile_row(codec, organization_id, p) for p in created],
        )
        calls += self._versions_of_profiles(organization_id, changes)
        calls += calls_for_rows(
            statements.write_events,
            [rows.event_row(codec, organization_id, e) for e in changes.events],
        )
        calls += calls_for_rows(
            statements.write_enrollments,
            [rows.enrollment_row(codec, organization_id, e) for e in changes.enrollments],
        )
        self._connection.pending.extend(calls)

    def _changes_of_profiles(self, organization_id: str, changes: Changes) -> list[Call]:
        statements, codec = self._statements, self._codec
        calls: list[Call] = []
        identified = [p for p in changes.changed_profiles if self._has_new_identity(p)]
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
            statements.count_events,
            [
                rows.count_row(codec, organization_id, p)
                for p in changes.changed_profiles
                if not self._has_new_identity(p)
            ],
        )
        return calls

    def _versions_of_profiles(self, organization_id: str, changes: Changes) -> list[Call]:
        """Write new versions and the times of the latest; a version that was has none."""
        statements, codec = self._statements, self._codec
        times: list[Row] = []
        for profile in changes.changed_profiles:
            before = self._loaded[profile.profile_id]
            if profile.version != before.version:
                times.append(rows.times_row(organization_id, rows.NO_TIMES, before))
            elif profile.property_times is not before.property_times:
                written = codec.json(profile.property_times)
                times.append(rows.times_row(organization_id, written, profile))
        calls = calls_for_rows(statements.change_times, times)
        if changes.new_versions:
            written_profiles = (*changes.changed_profiles, *changes.created_profiles)
            by_id = {profile.profile_id: profile for profile in written_profiles}
            calls += calls_for_rows(
                statements.create_versions,
                [
                    rows.profile_version_row(codec, organization_id, v, by_id[v.profile_id])
                    for v in changes.new_versions
                ],
            )
        return calls

    def _has_new_identity(self, profile: Profile) -> bool:
        """Say whether a Profile has another email or external id than it was loaded with."""
        before = self._loaded.get(profile.profile_id)
        return before is None or (before.email, before.external_id) != (
            profile.email,
            profile.external_id,
        )


def _identity(profile: Profile) -> tuple[str, str]:
    return profile.email or "", profile.external_id or ""

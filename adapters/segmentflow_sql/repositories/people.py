"""The ports of people: what suppressing, erasing and merging ask and change, and the record.

Knows what an erased Profile left in which table. Must never decide who is erased.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from segmentflow_core.ports import FINISHED_STATUSES, Alias, AuditRecord, Enrollment, Profile
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, Connection, ask, calls_for_rows
from segmentflow_sql.identities import Leading, hashed, new_secret
from segmentflow_sql.repositories.keys import calls_for_claims
from segmentflow_sql.rows import Row

__all__ = ["AuditRepository", "PeopleRepository"]


@frozen
class PeopleRepository:
    """Profiles to be changed by what a host decides about them."""

    _connection: Connection

    async def lock(self, organization_id: str, profile_ids: Sequence[str]) -> list[Profile]:
        """Lock Profiles in the order given, and read them as they are then."""
        kind = self._connection.kind
        ids = kind.codec.listed(filter(kind.codec.may_be_id, profile_ids))
        lock, read = kind.statements.people.lock_people, kind.statements.tracking.reread_profiles
        # Another statement reads, since at READ COMMITTED it sees what a lock was waited for.
        _, found = await self._connection.exchange(
            [
                Call(each, each.arguments(organization_id=organization_id, profile_ids=ids))
                for each in (lock, read)
            ]
        )
        return [rows.profile_from(row) for row in found]

    async def unfinished(
        self, organization_id: str, profile_ids: Sequence[str]
    ) -> list[Enrollment]:
        """Lock what waits for Profiles, in the order of the ids, and read it as it is then."""
        kind = self._connection.kind
        ids = kind.codec.listed(filter(kind.codec.may_be_id, profile_ids))
        statements = kind.statements
        # Another statement reads what was archived: it sees what a lock was waited for.
        found, archivings = await self._connection.exchange(
            [
                Call(each, each.arguments(organization_id=organization_id, profile_ids=ids))
                for each in (
                    statements.people.unfinished_enrollments,
                    statements.pausing.archivings_of_profiles,
                )
            ]
        )
        archived_at: dict[str, int] = {row[0]: row[1] for row in archivings}
        read = [
            rows.as_archived(rows.enrollment_from(row), archived_at.get(row[1])) for row in found
        ]
        return [each for each in read if each.status not in FINISHED_STATUSES]

    async def block(
        self, organization_id: str, profile_id: str, identities: Sequence[Alias]
    ) -> None:
        """Keep hashes of identities; the first time, make the key of an Organization's hashes."""
        statements = self._connection.kind.statements
        found = await ask(
            self._connection,
            statements.tracking.blocked_identities,
            organization_id=organization_id,
            hashes=self._connection.kind.codec.listed(()),
        )
        secrets = sorted(value for kind, value in found if kind == Leading.SECRET)
        written: list[Row] = []
        if not secrets:
            secrets = [new_secret()]
            written.append((organization_id, str(Leading.SECRET), secrets[0], profile_id))
        written += [
            (
                organization_id,
                str(Leading.BLOCKED),
                hashed(secrets[0], organization_id, identity),
                profile_id,
            )
            for identity in identities
        ]
        calls = calls_for_rows(statements.people.block_identities, written)
        self._connection.pending.extend(calls)

    async def scrub(self, organization_id: str, profile_id: str, limit: int) -> int:
        """Scrub a step of what an erased Profile left; return how many records said something."""
        scrubbed, is_last = 0, False
        while not (scrubbed or is_last):
            scrubbed, is_last = await self._step(organization_id, profile_id, limit)
        return scrubbed

    async def _step(self, organization_id: str, profile_id: str, limit: int) -> tuple[int, bool]:
        """Scrub some events and Enrollments; return how many records, and whether none is left.

        Both are scrubbed up to one id, from which the next step goes on: as many as asked for
        of one, and of the other those that are no later.
        """
        statements = self._connection.kind.statements.people
        # An event may have a key claim.
        share = max(limit // 3, 1)
        events, entries = await self._connection.exchange(
            [
                Call(
                    each,
                    each.arguments(
                        organization_id=organization_id, profile_id=profile_id, limit=share
                    ),
                )
                for each in (statements.unscrubbed_events, statements.unscrubbed_enrollments)
            ]
        )
        full = [found[-1][0] for found in (events, entries) if len(found) == share]
        if full:
            to = min(full)
        elif events or entries:
            to = max(found[-1][0] for found in (events, entries) if found)
        else:
            return await self._scrub_rest(organization_id, profile_id, limit)
        events = [row for row in events if row[0] <= to]
        telling = [row for row in entries if row[0] <= to and row[1:] != (None,) * len(row[1:])]
        note = statements.note_scrubbed
        arguments = note.arguments(
            organization_id=organization_id, profile_id=profile_id, scrubbed_to=to
        )
        self._connection.pending.append(Call(note, arguments))
        claims = await self._scrub_events(organization_id, profile_id, events)
        self._scrub_enrollments(organization_id, [row[0] for row in telling])
        return len(events) + claims + len(telling), False

    async def _scrub_events(
        self, organization_id: str, profile_id: str, events: Sequence[Row]
    ) -> int:
        """Scrub events, the versions they refer to and their key claims; return how many claims."""
        if not events:
            return 0
        kind = self._connection.kind
        statements, listed = kind.statements.people, kind.codec.listed
        calls = calls_for_claims(
            statements.scrub_key_claim,
            organization_id,
            [(start, {"event_id": event_id}) for event_id, start, _ in events],
        )
        answers = await self._connection.exchange(
            [
                # The events first, as retention locks them.
                Call(
                    statements.scrub_events,
                    statements.scrub_events.arguments(
                        organization_id=organization_id,
                        event_ids=listed(row[0] for row in events),
                    ),
                ),
                self._versions(organization_id, profile_id, {row[2] for row in events}),
                *calls,
            ]
        )
        return sum(map(len, answers[-len(calls) :] if calls else ()))

    def _scrub_enrollments(self, organization_id: str, enrollment_ids: Sequence[str]) -> None:
        if not enrollment_ids:
            return
        kind = self._connection.kind
        scrub = kind.statements.people.scrub_enrollments
        ids = kind.codec.listed(enrollment_ids)
        arguments = scrub.arguments(organization_id=organization_id, enrollment_ids=ids)
        self._connection.pending.append(Call(scrub, arguments))

    def _versions(self, organization_id: str, profile_id: str, versions: set[int]) -> Call:
        kind = self._connection.kind
        scrub = kind.statements.people.scrub_versions
        return Call(
            scrub,
            scrub.arguments(
                organization_id=organization_id,
                profile_id=profile_id,
                versions=kind.codec.listed(map(str, sorted(versions))),
            ),
        )

    async def _scrub_rest(
        self, organization_id: str, profile_id: str, limit: int
    ) -> tuple[int, bool]:
        """Scrub what no event leads to: key claims whose events have gone, and versions.

        Return how many, and whether none is left. Versions are told of only where another step
        is needed for more of them.
        """
        kind = self._connection.kind
        statements = kind.statements.people
        claims, found = await self._connection.exchange(
            [
                Call(
                    each,
                    each.arguments(
                        organization_id=organization_id, profile_id=profile_id, limit=limit
                    ),
                )
                for each in (statements.claims_of_gone_events, statements.unscrubbed_versions)
            ]
        )
        if claims:
            scrub = statements.scrub_key_claims
            digests = kind.codec.listed(digest for (digest,) in claims)
            arguments = scrub.arguments(organization_id=organization_id, digests=digests)
            self._connection.pending.append(Call(scrub, arguments))
            return len(claims), False
        if found:
            versions = {version for (version,) in found}
            self._connection.pending.append(self._versions(organization_id, profile_id, versions))
        return len(found) if len(found) == limit else 0, True

    async def unscrubbed(self, organization_id: str, limit: int) -> list[str]:
        """Return the ids of Profiles that are erased and not yet scrubbed, the earliest first."""
        found = await ask(
            self._connection,
            self._connection.kind.statements.people.unscrubbed_profiles,
            organization_id=organization_id,
            limit=limit,
        )
        return [profile_id for (profile_id,) in found]


@frozen
class AuditRepository:
    """The record of what was done."""

    _connection: Connection

    async def add(self, organization_id: str, record: AuditRecord) -> None:
        """Keep a record; it travels with the commit."""
        kind = self._connection.kind
        row = rows.audit_row(kind.codec, organization_id, record)
        self._connection.pending.extend(calls_for_rows(kind.statements.people.add_audit, [row]))

    async def list(
        self, organization_id: str, limit: int, before: str | None
    ) -> Sequence[AuditRecord]:
        """Return the newest records by id; only ids below `before`."""
        kind = self._connection.kind
        if before is not None and not kind.codec.may_be_id(before):
            return []
        found = await ask(
            self._connection,
            kind.statements.people.list_audit,
            organization_id=organization_id,
            limit=limit,
            before=before,
        )
        return [rows.audit_from(row) for row in found]

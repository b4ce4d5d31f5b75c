"""The port of handing Enrollments over.

Knows what each call asks and what the answers mean; what a statement does to an Enrollment
is in `statements.hand_over`. Each call is one statement; the steps by which the core would do
the same are here as well.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final

from attrs import frozen

from segmentflow_core.ports import (
    ClaimedEnrollment,
    ClaimTerms,
    Enrollment,
    EnrollmentChange,
    Found,
    Lease,
    ReleaseTerms,
    encode_json,
    is_id,
)
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, Connection, Rows, ask, calls_for_rows
from segmentflow_sql.repositories.dealing import circle, shares
from segmentflow_sql.repositories.pausing import archivings_among
from segmentflow_sql.rows import Row
from segmentflow_sql.schema import enrollments
from segmentflow_sql.statements import RowStatement, Statement
from segmentflow_sql.statements.stepwise import DECIDED

__all__ = ["HandOverRepository"]

_WIDTH: Final = len(enrollments.c)
"""How many columns of a claim's row are the Enrollment's; its event's follow."""


@frozen
class HandOverRepository:
    """Enrollments on their way to workers."""

    _connection: Connection

    async def waiting(self, terms: ClaimTerms) -> Sequence[Found]:
        """Lock what a claim takes, and read it as it is then."""
        chooses = self._connection.kind.statements.stepwise.choose_enrollments
        chosen = await self._dealt(terms, chooses, moves=False)
        return await self.lock(sorted((row[0], row[1]) for row in chosen))

    async def lock(self, named: Sequence[tuple[str, str]]) -> Sequence[Found]:
        """Lock Enrollments in the order given; return those that there are."""
        kind = self._connection.kind
        by_organization: dict[str, list[str]] = {}
        for organization_id, enrollment_id in named:
            if is_id(enrollment_id):
                by_organization.setdefault(organization_id, []).append(enrollment_id)
        if not by_organization:
            return []
        lock, listed = kind.statements.stepwise.lock_enrollments, kind.codec.listed
        calls = [
            Call(lock, lock.arguments(organization_id=of, enrollment_ids=listed(ids)))
            for of, ids in by_organization.items()
        ]
        # Other statements read what was archived: they see what the locks were waited for.
        calls += [
            archivings_among(self._connection, of, ids) for of, ids in by_organization.items()
        ]
        answers = await self._connection.exchange(calls)
        count = len(by_organization)
        archived_at = _archived_at(by_organization, answers[count:])
        found = (row for answer in answers[:count] for row in answer if row[1] is not None)
        return [
            (row[0], rows.as_archived(rows.enrollment_from(row), archived_at.get(row[0:2])))
            for row in found
        ]

    async def save(self, changes: Sequence[EnrollmentChange]) -> None:
        """Write what the hand-over decided; it travels with the commit."""
        kind = self._connection.kind
        written = [
            rows.enrollment_row(kind.codec, change.organization_id, change.after)
            for change in changes
        ]
        saved = [(*row[-len(DECIDED) :], row[0], row[1]) for row in written]
        self._connection.pending.extend(
            calls_for_rows(kind.statements.stepwise.save_enrollments, saved)
        )

    async def claim(self, terms: ClaimTerms) -> Sequence[ClaimedEnrollment]:
        """Hand over at most as many available Enrollments as asked for."""
        with_events: Sequence[Row] = []
        if self._connection.after_loss:
            with_events = await self._claimed_already(terms)
        if not with_events:
            with_events = await self._with_events(await self._claim(terms))
        return [
            ClaimedEnrollment(
                row[0],
                rows.enrollment_from(row[:_WIDTH]),
                rows.event_from(row[_WIDTH:]),
            )
            for row in with_events
        ]

    async def _claim(self, terms: ClaimTerms) -> Sequence[Row]:
        claims = self._connection.kind.statements.hand_over.claim_enrollments
        return await self._dealt(terms, claims, moves=True)

    async def _dealt(
        self,
        terms: ClaimTerms,
        statements: Mapping[tuple[bool, bool], Statement],
        *,
        moves: bool,
    ) -> Sequence[Row]:
        """Run one of a claim's statements: for the Organization it names, or for all of them.

        Args:
            terms: of the claim.
            statements: by whether an Organization is named, and a Journey.
            moves: whether a statement moves what it gives, so that asking again gives others.
        """
        waiting = self._connection.kind.statements.hand_over.waiting_organizations
        if terms.organization_id is None and waiting is not None:
            return await self._dealt_by_each(terms, waiting, statements, moves=moves)
        (found,) = await self._connection.exchange(
            [self._call_for(terms, statements, terms.organization_id, terms.limit)]
        )
        return found

    def _call_for(
        self,
        terms: ClaimTerms,
        statements: Mapping[tuple[bool, bool], Statement],
        organization_id: str | None,
        limit: int,
    ) -> Call:
        kind = self._connection.kind
        statement = statements[organization_id is not None, terms.journey_id is not None]
        arguments = statement.arguments(
            organization_id=organization_id,
            journey_id=terms.journey_id,
            limit=limit,
            now=kind.codec.instant(terms.now),
            lease_until=kind.codec.instant(terms.lease_until),
            token=terms.token,
            turn=terms.turn,
            max_attempts=terms.max_attempts,
        )
        return Call(statement, arguments)

    async def _dealt_by_each(
        self,
        terms: ClaimTerms,
        waiting: Mapping[bool, Statement],
        statements: Mapping[tuple[bool, bool], Statement],
        *,
        moves: bool,
    ) -> Sequence[Row]:
        """Ask every Organization by a statement for each, again for what was missing.

        An Organization that gave less than its share has no more; the others give the rest.
        """
        now = self._connection.kind.codec.instant(terms.now)
        listing = waiting[terms.journey_id is not None]
        listed = await ask(self._connection, listing, now=now, journey_id=terms.journey_id)
        gave = dict.fromkeys(circle([name for (name,) in listed], terms.turn), 0)
        taken: dict[str, list[Row]] = {name: [] for name in gave}
        while dealt := shares(gave, terms.limit - sum(map(len, taken.values()))):
            asked = {name: share if moves else gave[name] + share for name, share in dealt.items()}
            answers = await self._connection.exchange(
                [self._call_for(terms, statements, *each) for each in asked.items()]
            )
            for (name, share), found in zip(asked.items(), answers, strict=True):
                taken[name] = [*taken[name], *found] if moves else found
                gave[name] += dealt[name]
                if len(found) < share:
                    del gave[name]
        return [row for found in taken.values() for row in found]

    async def _claimed_already(self, terms: ClaimTerms) -> Sequence[Row]:
        """Find what an earlier run took when its commit succeeded but its answer was lost."""
        kind = self._connection.kind
        statement = kind.statements.hand_over.claimed_already
        if statement is None:
            return []
        lease_until = kind.codec.instant(terms.lease_until)
        return await ask(self._connection, statement, token=terms.token, lease_until=lease_until)

    async def _with_events(self, found: Sequence[Row]) -> Sequence[Row]:
        """Put each Enrollment's event behind it, where the claim has not done so."""
        statement = self._connection.kind.statements.hand_over.claimed_events
        if statement is None or not found:
            return found
        causes = [(row[0], rows.enrollment_from(row).event_id) for row in found]
        wanted = encode_json(list(dict.fromkeys(causes)))
        events = await ask(self._connection, statement, rows=wanted)
        by_id = {(event[0], event[1]): event for event in events}
        return [(*row, *by_id[cause]) for row, cause in zip(found, causes, strict=True)]

    async def complete(self, leases: Sequence[Lease], now: datetime) -> Mapping[Lease, Enrollment]:
        """Complete what the leases hold; return what was completed."""
        kind = self._connection.kind
        return await self._finish(
            kind.statements.hand_over.complete_enrollments,
            leases,
            completed_at=kind.codec.instant(now),
        )

    async def release(
        self,
        leases: Sequence[Lease],
        terms: ReleaseTerms,
    ) -> Mapping[Lease, Enrollment]:
        """Give back what the leases hold, as failed or not; return what was given back."""
        kind = self._connection.kind
        return await self._finish(
            kind.statements.hand_over.release_enrollments,
            leases,
            available_at=kind.codec.instant(terms.available_at),
            max_attempts=terms.max_attempts,
            uncounted=int(not terms.failed),
            last_failure=terms.error,
            now=kind.codec.instant(terms.now),
            ends=False,
        )

    async def extend(
        self, leases: Sequence[Lease], lease_until: datetime
    ) -> Mapping[Lease, Enrollment]:
        """Move the end of the leases that hold; return what they hold."""
        kind = self._connection.kind
        return await self._finish(
            kind.statements.hand_over.extend_enrollments,
            leases,
            lease_until=kind.codec.instant(lease_until),
            ends=False,
        )

    async def _finish(
        self, statement: RowStatement, leases: Sequence[Lease], *, ends: bool = True, **values: Any
    ) -> Mapping[Lease, Enrollment]:
        """Change what the leases hold.

        What is not ended by that, is read as an archiving of its Journey leaves it.
        """
        named = [
            (lease.organization_id, lease.enrollment_id, lease.token)
            for lease in leases
            if is_id(lease.enrollment_id) and is_id(lease.token)
        ]
        if not named:
            return {}
        listed = self._connection.kind.codec.listed
        calls = _calls(statement, named, values, listed)
        changing = len(calls)
        ids: dict[str, list[str]] = {}
        if not ends:
            for organization_id, enrollment_id, _ in named:
                ids.setdefault(organization_id, []).append(enrollment_id)
            calls += [archivings_among(self._connection, *each) for each in ids.items()]
        found = await self._connection.exchange(calls)
        archived_at = _archived_at(ids, found[changing:])
        changed = {
            row[0:2]: rows.as_archived(rows.enrollment_from(row), archived_at.get(row[0:2]))
            for each in found[:changing]
            for row in each
        }
        # Of several leases on one Enrollment, only the one with its token holds it.
        answers = [
            (lease, changed.get((lease.organization_id, lease.enrollment_id))) for lease in leases
        ]
        return {
            lease: enrollment
            for lease, enrollment in answers
            if enrollment is not None and enrollment.token == lease.token
        }

    async def revive(
        self, organization_id: str, enrollment_ids: Sequence[str], now: datetime
    ) -> Mapping[str, Enrollment]:
        """Make dead Enrollments available from now on; return those, by id."""
        named = [each for each in enrollment_ids if is_id(each)]
        if not named:
            return {}
        kind = self._connection.kind
        found = await ask(
            self._connection,
            kind.statements.hand_over.revive_enrollments,
            organization_id=organization_id,
            enrollment_ids=kind.codec.listed(named),
            available_at=kind.codec.instant(now),
        )
        revived = [rows.enrollment_from(row) for row in found]
        return {enrollment.enrollment_id: enrollment for enrollment in revived}


def _archived_at(named: Iterable[str], answers: Iterable[Rows]) -> dict[Row, int]:
    """Say when the Journeys of Enrollments were archived, by Organization and id."""
    return {
        (organization_id, enrollment_id): archived_at
        for organization_id, answer in zip(named, answers, strict=True)
        for enrollment_id, archived_at in answer
    }


def _calls(
    statement: RowStatement,
    named: Sequence[Row],
    values: Mapping[str, Any],
    listed: Callable[[Iterable[str]], str],
) -> list[Call]:
    """Name all Enrollments in one call, or each Organization's in one of its own."""
    if statement.organization_at is None:
        return [_call(statement, named, values)]
    calls: list[Call] = []
    for name, group in groupby(sorted(named), key=itemgetter(statement.organization_at)):
        leases = list(group)
        ids = listed(enrollment_id for _, enrollment_id, _ in leases)
        of_one = {**values, "organization_id": name, "enrollment_ids": ids}
        calls.append(_call(statement, leases, of_one))
    return calls


def _call(statement: RowStatement, named: Sequence[Row], values: Mapping[str, Any]) -> Call:
    """Name one Enrollment by its values, several by one parameter."""
    if len(named) > 1:
        many = statement.many
        assert many is not None  # each of these returns rows
        return Call(many, many.arguments(rows=encode_json(named), count=len(named), **values))
    given = {f"value_{index}": value for index, value in enumerate(named[0])}
    return Call(statement.one, statement.one.arguments(**given, **values))

"""Handing Enrollments over: the port of that name over SQL, written once for both colours.

Knows what each call asks and what the answers mean; what a statement does to an Enrollment
is `outbox`'s. Must never know who is asked, nor wait.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Any, Final

from segmentflow_core.ports import (
    ClaimedEnrollment,
    Enrollment,
    HandOver,
    Lease,
    encode_json,
    is_id,
)
from segmentflow_sql import rows
from segmentflow_sql.exchange import Call, DatabaseKind, Script
from segmentflow_sql.rows import Row
from segmentflow_sql.schema import enrollments
from segmentflow_sql.statements import RowStatement

__all__ = ["HandOverRepository"]

_WIDTH: Final = len(enrollments.c)
"""How many columns of a claim's row are the Enrollment's; its event's follow."""


class HandOverRepository:
    """Enrollments on their way to workers."""

    def __init__(
        self, kind: DatabaseKind, perform: Callable[[Script[Any]], Any], *, again: bool
    ) -> None:
        self._statements = kind.statements
        self._codec = kind.codec
        self._perform = perform
        self._again = again

    def claim(self, hand_over: HandOver) -> Any:
        return self._perform(self._claim(hand_over))

    def _claim(self, hand_over: HandOver) -> Script[Sequence[ClaimedEnrollment]]:
        named = (hand_over.organization_id is not None, hand_over.journey_id is not None)
        statement = self._statements.claim_enrollments[named]
        arguments = statement.arguments(
            organization_id=hand_over.organization_id,
            journey_id=hand_over.journey_id,
            limit=hand_over.limit,
            now=self._codec.instant(hand_over.now),
            lease_until=self._codec.instant(hand_over.lease_until),
            token=hand_over.token,
            turn=hand_over.turn,
            max_attempts=hand_over.max_attempts,
        )
        with_events: Sequence[Row] = []
        if self._again:
            with_events = yield from self._claimed_already(hand_over)
        if not with_events:
            (found,) = yield [Call(statement, arguments)]
            with_events = yield from self._with_events(found)
        return [
            ClaimedEnrollment(
                row[0],
                rows.enrollment_from(row[:_WIDTH]),
                rows.event_from(row[_WIDTH:]),
            )
            for row in with_events
        ]

    def _claimed_already(self, hand_over: HandOver) -> Script[Sequence[Row]]:
        """Find what an earlier run of this claim took, where its commit went through unheard."""
        statement = self._statements.claimed_already
        if statement is None:
            return []
        lease_until = self._codec.instant(hand_over.lease_until)
        arguments = statement.arguments(token=hand_over.token, lease_until=lease_until)
        (found,) = yield [Call(statement, arguments)]
        return found

    def _with_events(self, found: Sequence[Row]) -> Script[Sequence[Row]]:
        """Put each Enrollment's event behind it, where the claim has not done so."""
        statement = self._statements.claimed_events
        if statement is None or not found:
            return found
        causes = [(row[0], rows.enrollment_from(row).event_id) for row in found]
        wanted = encode_json(list(dict.fromkeys(causes)))
        (events,) = yield [Call(statement, statement.arguments(rows=wanted))]
        by_id = {(event[0], event[1]): event for event in events}
        return [(*row, *by_id[cause]) for row, cause in zip(found, causes, strict=True)]

    def complete(self, leases: Sequence[Lease], now: datetime) -> Any:
        completed_at = self._codec.instant(now)
        return self._perform(
            self._finish(self._statements.complete_enrollments, leases, completed_at=completed_at)
        )

    def release(
        self, leases: Sequence[Lease], available_at: datetime, max_attempts: int, failed: bool
    ) -> Any:
        return self._perform(
            self._finish(
                self._statements.release_enrollments,
                leases,
                available_at=self._codec.instant(available_at),
                max_attempts=max_attempts,
                uncounted=int(not failed),
            )
        )

    def extend(self, leases: Sequence[Lease], lease_until: datetime) -> Any:
        moved_to = self._codec.instant(lease_until)
        return self._perform(
            self._finish(self._statements.extend_enrollments, leases, lease_until=moved_to)
        )

    def _finish(
        self, statement: RowStatement, leases: Sequence[Lease], **values: Any
    ) -> Script[Mapping[Lease, Enrollment]]:
        named = [
            (lease.organization_id, lease.enrollment_id, lease.token)
            for lease in leases
            if is_id(lease.enrollment_id) and is_id(lease.token)
        ]
        if not named:
            return {}
        (found,) = yield [_call(statement, named, values)]
        changed = {row[0:2]: rows.enrollment_from(row) for row in found}
        # Of several leases on one Enrollment, only the one with its token holds it.
        answers = [
            (lease, changed.get((lease.organization_id, lease.enrollment_id))) for lease in leases
        ]
        return {
            lease: enrollment
            for lease, enrollment in answers
            if enrollment is not None and enrollment.token == lease.token
        }

    def revive(self, organization_id: str, enrollment_ids: Sequence[str], now: datetime) -> Any:
        return self._perform(self._revive(organization_id, enrollment_ids, now))

    def _revive(
        self, organization_id: str, enrollment_ids: Sequence[str], now: datetime
    ) -> Script[Mapping[str, Enrollment]]:
        named = [each for each in enrollment_ids if is_id(each)]
        if not named:
            return {}
        statement = self._statements.revive_enrollments
        arguments = statement.arguments(
            organization_id=organization_id,
            enrollment_ids=self._codec.listed(named),
            available_at=self._codec.instant(now),
        )
        (found,) = yield [Call(statement, arguments)]
        revived = [rows.enrollment_from(row) for row in found]
        return {enrollment.enrollment_id: enrollment for enrollment in revived}


def _call(statement: RowStatement, named: Sequence[Row], values: Mapping[str, Any]) -> Call:
    """Name one Enrollment by its values, several by one parameter."""
    if len(named) > 1:
        many = statement.many
        return Call(many, many.arguments(rows=encode_json(named), count=len(named), **values))
    given = {f"value_{index}": value for index, value in enumerate(named[0])}
    return Call(statement.one, statement.one.arguments(**given, **values))

"""The port that finds records by what they say.

Knows which look-up is best for what is asked for. What no row could hold is not asked for.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Final

from attrs import frozen

from segmentflow_core.ports import (
    Enrollment,
    EnrollmentFilter,
    EnrollmentStatus,
    EventFilter,
    IdentityKind,
    Profile,
    UserEvent,
    from_microseconds,
)
from segmentflow_sql import rows
from segmentflow_sql.codecs import may_be_stored
from segmentflow_sql.exchange import Call, Connection, ask

__all__ = ["FindingRepository"]

_ALL: Final = 2**31 - 1
_BEGINNING: Final = datetime.min.replace(tzinfo=UTC)
_END: Final = datetime.max.replace(tzinfo=UTC)


@frozen
class FindingRepository:
    """Look-ups in what an Organization has recorded."""

    _connection: Connection

    async def profile(self, organization_id: str, kind: IdentityKind, value: str) -> Profile | None:
        """Return the Profile whose own email or external id, or alias, this is, or None."""
        if not may_be_stored(value):
            return None
        by_email = kind is IdentityKind.EMAIL
        found = await ask(
            self._connection,
            self._connection.kind.statements.finding.profile[kind],
            organization_id=organization_id,
            **{"email" if by_email else "external_id": value},
        )
        return rows.profile_from(found[0]) if found else None

    async def profiles(
        self, organization_id: str, limit: int, before: str | None
    ) -> Sequence[Profile]:
        """Return at most `limit` Profiles, newest first by id; only ids below `before`."""
        if not self._may_be(ids=(before,)):
            return []
        found = await ask(
            self._connection,
            self._connection.kind.statements.finding.profiles,
            organization_id=organization_id,
            limit=limit,
            before=before,
        )
        return [rows.profile_from(row) for row in found]

    async def events(
        self, organization_id: str, wanted: EventFilter, limit: int, before: str | None
    ) -> Sequence[UserEvent]:
        """Return at most `limit` events that `wanted` admits, newest first by id."""
        if not self._may_be(
            ids=(wanted.profile_id, before), texts=(wanted.event, wanted.reference_id)
        ):
            return []
        kind = self._connection.kind
        finding = kind.statements.finding
        if wanted.reference_id is not None:
            statement = finding.events["reference_id"]
        elif wanted.profile_id is not None:
            statement = finding.events["profile_id"]
        elif wanted.event is not None and wanted.since is None:
            statement = finding.events["event"]
        else:
            statement = finding.events_received
        found = await ask(
            self._connection,
            statement,
            organization_id=organization_id,
            profile_id=wanted.profile_id,
            event=wanted.event,
            reference_id=wanted.reference_id,
            since=kind.codec.instant(wanted.since or _BEGINNING),
            until=kind.codec.instant(wanted.until or _END),
            limit=limit,
            before=before,
        )
        return [rows.event_from(row) for row in found]

    async def enrollments(
        self, organization_id: str, wanted: EnrollmentFilter, limit: int, before: str | None
    ) -> Sequence[Enrollment]:
        """Return at most `limit` Enrollments that `wanted` admits, newest first by id."""
        if not self._may_be(
            ids=(wanted.profile_id, wanted.event_id, before), texts=(wanted.journey_id,)
        ):
            return []
        status = wanted.status
        known = self._connection.kind.statements
        if wanted.profile_id is not None or wanted.event_id is not None:
            statement = known.finding.enrollments
        elif status in (None, EnrollmentStatus.COMPLETED, EnrollmentStatus.WITHDRAWN):
            statement = known.records.list_enrollments
        else:
            # What is still open has an index of its own; finished ones are found anywhere.
            statement = known.records.list_open_enrollments
        found = await ask(
            self._connection,
            statement,
            organization_id=organization_id,
            profile_id=wanted.profile_id,
            event_id=wanted.event_id,
            journey_id=wanted.journey_id,
            status=None if status is None else str(status),
            limit=limit,
            before=before,
        )
        return [rows.read_enrollment(row) for row in found]

    async def entries(
        self, organization_id: str, profile_id: str, event_ids: Sequence[str]
    ) -> Sequence[Enrollment]:
        """Return every Enrollment that these events of one Profile caused."""
        kind = self._connection.kind
        found = await ask(
            self._connection,
            kind.statements.finding.entries,
            organization_id=organization_id,
            profile_id=profile_id,
            event_ids=kind.codec.listed(event_ids),
            limit=_ALL,
            before=None,
        )
        return [rows.read_enrollment(row) for row in found]

    async def backlogs(
        self, organization_id: str, journey_ids: Sequence[str], now: datetime, limit: int
    ) -> Mapping[str, tuple[int, datetime]]:
        """Say of each Journey how many of its Enrollments are available, and since when."""
        kind = self._connection.kind
        statement = kind.statements.finding.backlog
        asked = [each for each in journey_ids if may_be_stored(each)]
        calls = [
            Call(
                statement,
                statement.arguments(
                    organization_id=organization_id,
                    journey_id=journey_id,
                    now=kind.codec.instant(now),
                    limit=limit,
                ),
            )
            for journey_id in asked
        ]
        answers = await self._connection.exchange(calls)
        return {
            journey_id: (count, from_microseconds(earliest))
            for journey_id, found in zip(asked, answers, strict=True)
            for count, earliest in found
        }

    def _may_be(self, ids: Sequence[str | None] = (), texts: Sequence[str | None] = ()) -> bool:
        """Say whether a row could hold all of these; None is nothing asked for."""
        may_be_id = self._connection.kind.codec.may_be_id
        return all(each is None or may_be_id(each) for each in ids) and all(
            each is None or may_be_stored(each) for each in texts
        )

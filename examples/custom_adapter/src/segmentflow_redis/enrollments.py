"""Enrollments, the sorted sets they are in, and their hand-over to workers.

The core decides what a worker's call does. No two calls act on one Enrollment at once, since the
second to commit finds its document changed.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from typing import Final

from attrs import frozen

from segmentflow_core.ports import (
    AVAILABLE_STATUSES,
    ClaimTerms,
    Enrollment,
    EnrollmentChange,
    EnrollmentStatus,
    Found,
)
from segmentflow_redis import documents
from segmentflow_redis.keys import SECOND_DIGITS, STAMP_BYTES, WAITING, just_after, key, stamp
from segmentflow_redis.ledger import Ledger, LostRace, Range

__all__ = ["Enrollments", "HandOvers", "put_enrollment"]

_ANY: Final = "any"


@frozen
class Enrollments:
    """The Enrollments of an Organization."""

    ledger: Ledger

    async def get(self, organization_id: str, enrollment_id: str) -> Enrollment | None:
        found = await self.ledger.value(key(organization_id, "enrollment", enrollment_id))
        return None if found is None else documents.read(Enrollment, found)

    async def list(
        self,
        organization_id: str,
        limit: int,
        before: str | None = None,
        journey_id: str | None = None,
        status: EnrollmentStatus | None = None,
    ) -> Sequence[Enrollment]:
        index = _index_key(organization_id, status, journey_id)
        (ids,) = await self.ledger.members([Range.newest(index, limit, before)])
        places = [key(organization_id, "enrollment", each.decode()) for each in ids]
        found = await self.ledger.existing(places)
        enrollments = [documents.read(Enrollment, enrollment) for enrollment in found]
        return [e for e in enrollments if status is None or e.status is status]


@frozen
class HandOvers:
    """Enrollments on their way to workers."""

    ledger: Ledger

    async def waiting(self, terms: ClaimTerms) -> Iterable[Found]:
        organizations = await self._organizations(terms)
        due = await self.ledger.members(
            [
                Range(_queue_key(each, terms.journey_id), terms.limit, just_after(terms.now))
                for each in organizations
            ]
        )
        queued = [
            (organization_id, member)
            for organization_id, members in zip(organizations, due, strict=True)
            for member in members
        ]
        places = [key(each, "enrollment", member[STAMP_BYTES:].decode()) for each, member in queued]
        # The commit compares only those that are taken: the others may go to other workers.
        found = await self.ledger.values(places, compared=False)
        waiting: list[Found] = []
        for (organization_id, member), document in zip(queued, found, strict=True):
            enrollment = None if document is None else documents.read(Enrollment, document)
            if enrollment is None or _queued(enrollment) != member:
                raise LostRace
            waiting.append((organization_id, enrollment))
        return waiting

    async def _organizations(self, terms: ClaimTerms) -> Sequence[str]:
        """Return the Organizations that may have something available.

        This transaction may have made something available as well.
        """
        if terms.organization_id is not None:
            return [terms.organization_id]
        second = int(stamp(terms.now)[:SECOND_DIGITS])
        (found,) = await self.ledger.exchange([("ZRANGE", WAITING, "-inf", second, "BYSCORE")])
        return list({each.decode() for each in found} | set(self.ledger.queues.values()))

    async def lock(self, named: Sequence[tuple[str, str]]) -> Iterable[Found]:
        found = await self.ledger.values([key(of, "enrollment", each) for of, each in named])
        return [
            (organization_id, documents.read(Enrollment, document))
            for (organization_id, _), document in zip(named, found, strict=True)
            if document is not None
        ]

    async def save(self, changes: Sequence[EnrollmentChange]) -> None:
        for change in changes:
            put_enrollment(self.ledger, change.organization_id, change.before, change.after)


def put_enrollment(
    ledger: Ledger, organization_id: str, before: Enrollment | None, after: Enrollment
) -> None:
    """Write an Enrollment and move it in the sorted sets; without one before, it is new."""
    enrollment_key = key(organization_id, "enrollment", after.enrollment_id)
    ledger.put(enrollment_key, documents.write(after))
    old = set() if before is None else set(_places(organization_id, before))
    new = set(_places(organization_id, after))
    for place in sorted(old ^ new):
        ledger.move(*place, present=place in new)
    if old != new:
        ledger.queues[_queue_key(organization_id, None)] = organization_id


def _places(organization_id: str, enrollment: Enrollment) -> Iterator[tuple[str, bytes]]:
    """Yield every sorted set an Enrollment is in, and as what."""
    queued = _queued(enrollment)
    for journey_id in (None, enrollment.journey_id):
        for status in (None, enrollment.status):
            index = _index_key(organization_id, status, journey_id)
            yield index, enrollment.enrollment_id.encode()
        if queued is not None:
            yield _queue_key(organization_id, journey_id), queued


def _queued(enrollment: Enrollment) -> bytes | None:
    """Return an Enrollment's entry in its queues, None where it is in none."""
    if enrollment.status not in AVAILABLE_STATUSES:
        return None
    return stamp(enrollment.waits_until) + enrollment.enrollment_id.encode()


def _queue_key(organization_id: str, journey_id: str | None) -> str:
    return key(organization_id, "queue", journey_id or "")


def _index_key(organization_id: str, status: str | None, journey_id: str | None) -> str:
    return key(organization_id, "enrollments", status or _ANY, journey_id or "")

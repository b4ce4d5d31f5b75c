"""Enrollments, the sorted sets they are in, and their hand-over to workers.

The core says what a worker's call does to an Enrollment. No two calls act on one Enrollment
at once, since the second to commit finds its document changed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from itertools import islice
from typing import Final

from attrs import frozen

from segmentflow_core.ports import (
    AVAILABLE_STATUSES,
    ClaimedEnrollment,
    ClaimTerms,
    Enrollment,
    EnrollmentStatus,
    Lease,
    completed,
    extended,
    handed_over,
    released,
    revived,
)
from segmentflow_redis import documents
from segmentflow_redis.keys import SECOND_DIGITS, STAMP_BYTES, WAITING, just_after, key, stamp
from segmentflow_redis.ledger import Ledger, LostRace, Range
from segmentflow_redis.profiles import load_events

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

    async def claim(self, terms: ClaimTerms) -> Sequence[ClaimedEnrollment]:
        ledger = self.ledger
        organizations = await self._organizations(terms)
        journey_id = terms.journey_id
        due = await ledger.members(
            [
                Range(_queue_key(each, journey_id), terms.limit, just_after(terms.now))
                for each in organizations
            ]
        )
        chosen = list(_in_turn(dict(zip(organizations, due, strict=True)), terms))
        enrollment_keys = [
            key(each, "enrollment", member[STAMP_BYTES:].decode()) for each, member in chosen
        ]
        claimed: list[tuple[str, Enrollment]] = []
        found = await ledger.values(enrollment_keys)
        for (organization_id, member), document in zip(chosen, found, strict=True):
            waiting = None if document is None else documents.read(Enrollment, document)
            if waiting is None or _queued(waiting) != member:
                raise LostRace
            enrollment = handed_over(waiting, terms)
            put_enrollment(ledger, organization_id, waiting, enrollment)
            claimed.append((organization_id, enrollment))
        found_events = await ledger.existing([key(o, "event", e.event_id) for o, e in claimed])
        events = await load_events(
            ledger, [(o, event) for (o, _), event in zip(claimed, found_events, strict=True)]
        )
        return [
            ClaimedEnrollment(organization_id, enrollment, event)
            for (organization_id, enrollment), event in zip(claimed, events, strict=True)
        ]

    async def _organizations(self, terms: ClaimTerms) -> Sequence[str]:
        """Return the Organizations that may have something available, sorted.

        This transaction may have made something available as well.
        """
        if terms.organization_id is not None:
            return [terms.organization_id]
        second = int(stamp(terms.now)[:SECOND_DIGITS])
        (found,) = await self.ledger.exchange([("ZRANGE", WAITING, "-inf", second, "BYSCORE")])
        return sorted({each.decode() for each in found} | set(self.ledger.queues.values()))

    async def complete(self, leases: Sequence[Lease], now: datetime) -> Mapping[Lease, Enrollment]:
        return await self._held(leases, lambda held, token: completed(held, token, now))

    async def release(
        self, leases: Sequence[Lease], available_at: datetime, max_attempts: int, failed: bool
    ) -> Mapping[Lease, Enrollment]:
        return await self._held(
            leases,
            lambda held, token: released(held, token, available_at, max_attempts, failed=failed),
        )

    async def extend(
        self, leases: Sequence[Lease], lease_until: datetime
    ) -> Mapping[Lease, Enrollment]:
        return await self._held(leases, lambda held, token: extended(held, token, lease_until))

    async def revive(
        self, organization_id: str, enrollment_ids: Sequence[str], now: datetime
    ) -> Mapping[str, Enrollment]:
        places = [(organization_id, enrollment_id) for enrollment_id in enrollment_ids]
        done = await self._change(places, lambda _, found: revived(found, now))
        return {enrollment_ids[index]: enrollment for index, enrollment in done.items()}

    async def _held(
        self, leases: Sequence[Lease], change: Callable[[Enrollment, str], Enrollment | None]
    ) -> dict[Lease, Enrollment]:
        places = [(lease.organization_id, lease.enrollment_id) for lease in leases]
        done = await self._change(places, lambda i, found: change(found, leases[i].token))
        return {leases[index]: enrollment for index, enrollment in done.items()}

    async def _change(
        self,
        places: Sequence[tuple[str, str]],
        change: Callable[[int, Enrollment], Enrollment | None],
    ) -> dict[int, Enrollment]:
        """Change Enrollments as the core's rule says; return those it changed, by position."""
        enrollment_keys = [key(each, "enrollment", identifier) for each, identifier in places]
        await self.ledger.values(enrollment_keys)
        done: dict[int, Enrollment] = {}
        for index, (organization_id, _) in enumerate(places):
            # Read one by one: two leases may name one Enrollment, and the second sees the first.
            found = await self.ledger.value(enrollment_keys[index])
            if found is None:
                continue
            before = documents.read(Enrollment, found)
            after = change(index, before)
            if after is not None:
                put_enrollment(self.ledger, organization_id, before, after)
                done[index] = after
        return done


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
    available_at = enrollment.available_at or enrollment.entered_at
    return stamp(available_at) + enrollment.enrollment_id.encode()


def _queue_key(organization_id: str, journey_id: str | None) -> str:
    return key(organization_id, "queue", journey_id or "")


def _index_key(organization_id: str, status: str | None, journey_id: str | None) -> str:
    return key(organization_id, "enrollments", status or _ANY, journey_id or "")


def _in_turn(due: Mapping[str, list[bytes]], terms: ClaimTerms) -> Iterator[tuple[str, bytes]]:
    """Yield what a claim takes: each Organization's first, then each one's second, and so on."""
    waiting = [organization_id for organization_id, members in due.items() if members]
    first = terms.turn % len(waiting) if waiting else 0
    circle = waiting[first:] + waiting[:first]
    rounds = (
        (organization_id, due[organization_id][rank])
        for rank in range(terms.limit)
        for organization_id in circle
        if rank < len(due[organization_id])
    )
    return islice(rounds, terms.limit)

"""The calls of the hand-over in steps, for a store that has no quick one: lock, decide, save.

Knows the order of locks. What each call makes of an Enrollment, `domain.hand_over` says; the
store guarantees that no two transactions act on one Enrollment at once.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import cast

from segmentflow_core.colour import settle
from segmentflow_core.domain.event import Enrollment, UserEvent
from segmentflow_core.domain.hand_over import (
    ClaimedEnrollment,
    ClaimTerms,
    EnrollmentChange,
    Lease,
    ReleaseTerms,
    completed,
    deal,
    extended,
    released,
    revived,
)
from segmentflow_core.ports import (
    EventRepository,
    HandOverRepository,
    QuickHandOverRepository,
    Transaction,
)

__all__ = ["Stepwise", "hand_over_of"]


def hand_over_of(transaction: Transaction) -> QuickHandOverRepository:
    """Return a transaction's own calls of the hand-over, or the same calls in steps."""
    hand_over = transaction.hand_over
    if hasattr(hand_over, "claim"):
        return cast("QuickHandOverRepository", hand_over)
    return Stepwise(hand_over, transaction.events)


class Stepwise:
    """What a `QuickHandOverRepository` promises, over a store that locks and saves."""

    def __init__(self, hand_over: HandOverRepository, events: EventRepository) -> None:
        self._hand_over = hand_over
        self._events = events

    async def claim(self, terms: ClaimTerms) -> Sequence[ClaimedEnrollment]:
        """Hand over what `deal` takes of what waits."""
        changes = deal(await settle(self._hand_over.waiting(terms)), terms)
        await self._save(changes)
        events = await self._events_of(changes)
        return [
            ClaimedEnrollment(
                change.organization_id,
                change.after,
                events[change.organization_id, change.after.event_id],
            )
            for change in changes
        ]

    async def _events_of(
        self, changes: Sequence[EnrollmentChange]
    ) -> Mapping[tuple[str, str], UserEvent]:
        wanted: dict[str, dict[str, None]] = {}
        for change in changes:
            wanted.setdefault(change.organization_id, {})[change.after.event_id] = None
        events: dict[tuple[str, str], UserEvent] = {}
        for organization_id, event_ids in wanted.items():
            found = await settle(self._events.get_many(organization_id, list(event_ids)))
            events |= {(organization_id, event_id): event for event_id, event in found.items()}
        return events

    async def complete(self, leases: Sequence[Lease], now: datetime) -> Mapping[Lease, Enrollment]:
        """Complete what the leases hold."""
        return await self._held(leases, lambda found, token: completed(found, token, now))

    async def release(
        self,
        leases: Sequence[Lease],
        terms: ReleaseTerms,
    ) -> Mapping[Lease, Enrollment]:
        """Give back what the leases hold."""
        return await self._held(
            leases,
            lambda found, token: released(
                found,
                token,
                terms.available_at,
                terms.max_attempts,
                failed=terms.failed,
                error=terms.error,
                now=terms.now,
            ),
        )

    async def extend(
        self, leases: Sequence[Lease], lease_until: datetime
    ) -> Mapping[Lease, Enrollment]:
        """Let the leases end later."""
        return await self._held(leases, lambda found, token: extended(found, token, lease_until))

    async def revive(
        self, organization_id: str, enrollment_ids: Sequence[str], now: datetime
    ) -> Mapping[str, Enrollment]:
        """Make dead Enrollments available."""
        named = [(organization_id, enrollment_id) for enrollment_id in enrollment_ids]
        done = await self._change(named, lambda _, found: revived(found, now))
        return {enrollment_ids[index]: enrollment for index, enrollment in done.items()}

    async def _held(
        self, leases: Sequence[Lease], rule: Callable[[Enrollment, str], Enrollment | None]
    ) -> Mapping[Lease, Enrollment]:
        named = [(lease.organization_id, lease.enrollment_id) for lease in leases]
        done = await self._change(named, lambda index, found: rule(found, leases[index].token))
        return {leases[index]: enrollment for index, enrollment in done.items()}

    async def _change(
        self,
        named: Sequence[tuple[str, str]],
        rule: Callable[[int, Enrollment], Enrollment | None],
    ) -> Mapping[int, Enrollment]:
        """Apply a rule to each Enrollment that is named; return what it made, by position."""
        found = await settle(self._hand_over.lock(list(dict.fromkeys(named)))) if named else ()
        stored = {(of, enrollment.enrollment_id): enrollment for of, enrollment in found}
        done: dict[int, Enrollment] = {}
        changes: list[EnrollmentChange] = []
        for index, place in enumerate(named):
            before = stored.get(place)
            after = None if before is None else rule(index, before)
            if before is not None and after is not None:
                done[index] = after
                if after != before:
                    changes.append(EnrollmentChange(place[0], before, after))
        await self._save(changes)
        return done

    async def _save(self, changes: Sequence[EnrollmentChange]) -> None:
        if changes:
            in_order = sorted(changes, key=lambda c: (c.organization_id, c.after.enrollment_id))
            await settle(self._hand_over.save(in_order))

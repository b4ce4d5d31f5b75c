"""Asking a store what events cancel: what waits for a Profile, and what is recorded already.

Knows in which order it is asked. What an answer means, `domain.withdrawals` says.
"""

from __future__ import annotations

from collections.abc import Sequence

from segmentflow_core.colour import settle
from segmentflow_core.domain.event import Enrollment, UserEvent
from segmentflow_core.domain.hand_over import EnrollmentChange
from segmentflow_core.domain.withdrawals import LookedUp, Questions, RecordedProbe
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports import Transaction
from segmentflow_core.ports.cancelling import CancellingRepository

__all__ = ["can_cancel", "look_up", "recorded_events", "save_withdrawn"]


def can_cancel(transaction: Transaction) -> bool:
    """Say whether a store keeps what cancels Enrollments."""
    return getattr(transaction, "cancelling", None) is not None


async def look_up(
    transaction: Transaction, organization_id: str, questions: Questions, known: LookedUp
) -> LookedUp:
    """Answer questions, and return the answers with those that were known."""
    waiting, locked, recorded = dict(known.waiting), dict(known.locked), dict(known.recorded)
    if questions.waiting:
        of_series = {each: who for who, series in questions.waiting.items() for each in series}
        asked = _cancelling(transaction).cancellable(organization_id, sorted(of_series))
        found: dict[str, list[Enrollment]] = {who: [] for who in questions.waiting}
        for enrollment in await settle(asked):
            found[of_series[enrollment.profile_id]].append(enrollment)
        waiting |= found
    if questions.locks:
        named = [(organization_id, enrollment_id) for enrollment_id in sorted(questions.locks)]
        locked |= dict.fromkeys(questions.locks)
        for _, enrollment in await settle(transaction.hand_over.lock(named)):
            locked[enrollment.enrollment_id] = enrollment
    if questions.recorded:
        recorded |= await recorded_events(transaction, organization_id, list(questions.recorded))
    return LookedUp(waiting, locked, recorded)


async def recorded_events(
    transaction: Transaction, organization_id: str, probes: Sequence[RecordedProbe]
) -> dict[RecordedProbe, Sequence[UserEvent]]:
    """Answer probes about recorded events; without any, nothing is asked."""
    if not probes:
        return {}
    return dict(await settle(_cancelling(transaction).recorded(organization_id, probes)))


async def save_withdrawn(
    transaction: Transaction,
    organization_id: str,
    withdrawn: Sequence[tuple[Enrollment, Enrollment]],
) -> None:
    """Save what events withdrew or marked, which is locked."""
    if withdrawn:
        changes = [EnrollmentChange(organization_id, *change) for change in withdrawn]
        await settle(transaction.hand_over.save(changes))


def _cancelling(transaction: Transaction) -> CancellingRepository:
    repository: CancellingRepository | None = getattr(transaction, "cancelling", None)
    if repository is None:
        raise ConfigurationError("This storage keeps no Journeys with cancelOn.")
    return repository

"""Forgetting by age, batch by batch: each of these is one transaction."""

from __future__ import annotations

from datetime import datetime

from attrs import frozen

from segmentflow_core.colour import settle
from segmentflow_core.domain.audit import AuditAction
from segmentflow_core.domain.retention import EventPlace, RemovedEnrollments, RemovedEvents
from segmentflow_core.ports import Transaction
from segmentflow_core.ports.retention import RetentionRepository
from segmentflow_core.usecases.audit import Actor, keep_record
from segmentflow_core.usecases.capabilities import capability

__all__ = ["Retained", "record_retention", "remove_old_enrollments", "remove_old_events"]


@frozen
class Retained:
    """What a run of retention removed; while it runs, what it has removed so far.

    Attributes:
        events: how many events went.
        held: how many events of that age stay, since an Enrollment that is waiting, claimed or
            dead refers to them.
        enrollments: how many finished Enrollments went.
        entries: how many of these left an entry, which their Journey's re-entry needs.
        reached: all events received before this instant have been looked at; None where no
            event was.
    """

    events: int = 0
    held: int = 0
    enrollments: int = 0
    entries: int = 0
    reached: datetime | None = None


async def remove_old_enrollments(
    transaction: Transaction, *, organization_id: str, finished_before: datetime, limit: int
) -> RemovedEnrollments:
    """Remove a batch of finished Enrollments."""
    repository = _retention(transaction)
    return await settle(
        repository.remove_enrollments(organization_id, finished_before, limit),
    )


async def remove_old_events(
    transaction: Transaction,
    *,
    organization_id: str,
    received_before: datetime,
    limit: int,
    after: EventPlace | None,
) -> RemovedEvents:
    """Remove a batch of events."""
    repository = _retention(transaction)
    return await settle(repository.remove_events(organization_id, received_before, limit, after))


async def record_retention(
    transaction: Transaction, *, organization_id: str, retained: Retained, actor: Actor
) -> None:
    """Keep the record of a run."""
    await keep_record(
        transaction,
        organization_id,
        actor,
        AuditAction.RETAINED,
        events=retained.events,
        enrollments=retained.enrollments,
    )


def _retention(transaction: Transaction) -> RetentionRepository:
    repository: RetentionRepository = capability(
        transaction, "retention", "This storage cannot forget by age."
    )
    return repository

"""Keeping and reading the record of what was done. A storage without one keeps none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from uuid import UUID

from attrs import frozen

from segmentflow_core.colour import settle
from segmentflow_core.domain.audit import AuditAction, AuditRecord
from segmentflow_core.domain.identifier import is_id
from segmentflow_core.ports import Transaction
from segmentflow_core.ports.audit import AuditRepository
from segmentflow_core.usecases.capabilities import capability

__all__ = ["Actor", "earlier_record", "keep_record", "list_audit"]


@frozen
class Actor:
    """Who does something, and when: drawn once, before the work may run again.

    Attributes:
        by: who, in the host's words; None where it does not say.
        now: when.
        audit_id: the id of the record.
    """

    by: str | None
    now: datetime
    audit_id: str


async def keep_record(
    transaction: Transaction,
    organization_id: str,
    actor: Actor,
    action: AuditAction,
    *subjects: str,
    **counts: int,
) -> None:
    """Keep a record in the transaction of what it records, where the storage keeps any.

    Args:
        transaction: in which that happens.
        organization_id: whose record.
        actor: who does it, and when.
        action: what is done.
        *subjects: the ids of what it is done to.
        **counts: how many, by what they are.
    """
    repository: AuditRepository | None = getattr(transaction, "audit", None)
    if repository is not None:
        record = AuditRecord(actor.audit_id, actor.now, action, subjects, counts, actor.by)
        await settle(repository.add(organization_id, record))


async def earlier_record(
    transaction: Transaction, organization_id: str, actor: Actor, action: AuditAction
) -> AuditRecord | None:
    """Return the record that an earlier run of the same work kept; None where none did.

    A commit may succeed and its answer be lost. The work then runs again, and finds what it was
    to do done already. The id of its record was drawn before either run.

    Args:
        transaction: of the later run.
        organization_id: whose record.
        actor: of both runs.
        action: what both were to do.
    """
    repository: AuditRepository | None = getattr(transaction, "audit", None)
    if repository is None or not is_id(actor.audit_id):
        return None
    following = str(UUID(int=UUID(actor.audit_id).int + 1))
    for record in await settle(repository.list(organization_id, 1, following)):
        if (record.audit_id, record.action) == (actor.audit_id, action):
            return record
    return None


async def list_audit(
    transaction: Transaction, organization_id: str, limit: int, before: str | None
) -> Sequence[AuditRecord]:
    """Return a page of the record, newest first by id.

    Raises:
        ConfigurationError: the storage keeps none.
    """
    repository: AuditRepository = capability(
        transaction, "audit", "This storage keeps no record of what was done."
    )
    found = await settle(repository.list(organization_id, limit, before))
    return sorted(found, key=lambda record: record.audit_id, reverse=True)

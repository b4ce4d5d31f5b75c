"""Keeping and reading the record of what was done. A storage without one keeps none."""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import frozen

from segmentflow_core.colour import settle
from segmentflow_core.domain.audit import AuditAction, AuditRecord
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports import Transaction
from segmentflow_core.ports.audit import AuditRepository

__all__ = ["Actor", "keep_record", "list_audit"]


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


async def list_audit(
    transaction: Transaction, organization_id: str, limit: int, before: str | None
) -> Sequence[AuditRecord]:
    """Return a page of the record, newest first by id.

    Raises:
        ConfigurationError: the storage keeps none.
    """
    repository: AuditRepository | None = getattr(transaction, "audit", None)
    if repository is None:
        raise ConfigurationError("This storage keeps no record of what was done.")
    found = await settle(repository.list(organization_id, limit, before))
    return sorted(found, key=lambda record: record.audit_id, reverse=True)

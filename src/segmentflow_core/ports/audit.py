"""What keeping the record of what was done needs of a store.

An adapter can do without. Its transactions then have no `audit`, and nothing is kept.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.audit import AuditAction, AuditRecord

__all__ = ["AuditAction", "AuditRecord", "AuditRepository", "KeepsAudit"]


class AuditRepository(Protocol):
    """What was done to people, Journeys and API Keys; written once, never changed."""

    def add(self, organization_id: str, record: AuditRecord, /) -> MaybeAwaitable[None]:
        """Keep a record, in the transaction of what it records.

        Where one of that id is kept already, it is the same, of an earlier run of this work
        whose commit was not heard of: nothing changes.
        """
        ...

    def list(
        self, organization_id: str, limit: int, before: str | None, /
    ) -> MaybeAwaitable[Sequence[AuditRecord]]:
        """Return the newest `limit` records by id, in any order; only ids below `before`."""
        ...


class KeepsAudit(Protocol):
    """A transaction of an adapter that keeps the record."""

    @property
    def audit(self) -> AuditRepository:
        """The record."""
        ...

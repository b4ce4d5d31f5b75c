"""`segmentflow audit`: what was done to people, Journeys and API Keys."""

from __future__ import annotations

from segmentflow_cli.options import COMMON, Before, Common, Limit
from segmentflow_core.wire import audit_document

__all__ = ["audit"]


def audit(*, limit: Limit = 20, before: Before = None, common: Common = COMMON) -> None:
    """List what was done to people, Journeys and API Keys, newest first."""
    with common.records() as records:
        found = records.audit(limit=limit, before=before, organization_id=common.organization)
    common.printer.audit([audit_document(record) for record in found])

"""`segmentflow audit`: what was done to people, Journeys and API Keys."""

from __future__ import annotations

from segmentflow_cli.ids import Page, whole_ids
from segmentflow_cli.options import COMMON, Before, Common, Limit
from segmentflow_core import Records
from segmentflow_core.wire import audit_document

__all__ = ["audit"]


def audit(*, limit: Limit = 20, before: Before = None, common: Common = COMMON) -> None:
    """List what was done to people, Journeys and API Keys, newest first."""
    whose = common.organization
    with common.records() as records:
        if before is not None:
            (before,) = whole_ids([before], _page(records, whose), "records")
        found = records.audit(limit=limit, before=before, organization_id=whose)
    common.printer.audit([audit_document(record) for record in found], limit)


def _page(records: Records, whose: str) -> Page:
    def page(limit: int, before: str | None) -> list[str]:
        found = records.audit(limit=limit, before=before, organization_id=whose)
        return [record.audit_id for record in found]

    return page

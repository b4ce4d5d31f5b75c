"""Counting what waits for workers, Journey by Journey, no further than told."""

from __future__ import annotations

from collections.abc import Collection
from datetime import datetime

from segmentflow_core.colour import settle
from segmentflow_core.domain.backlog import Backlog
from segmentflow_core.domain.journey import JourneyStatus
from segmentflow_core.ports import Transaction
from segmentflow_core.usecases.finding import finding_of
from segmentflow_core.usecases.reading import list_journeys

__all__ = ["count_backlogs"]


async def count_backlogs(
    transaction: Transaction,
    organization_id: str,
    journey_ids: Collection[str] | None,
    now: datetime,
    at_most: int,
) -> list[Backlog]:
    """Count what is available of each active Journey, or of those named, sorted by Journey id."""
    finding = finding_of(transaction)
    asked = [
        journey.journey_id
        for journey in await list_journeys(transaction, organization_id)
        if journey.definition.status is JourneyStatus.ACTIVE
        and (journey_ids is None or journey.journey_id in journey_ids)
    ]
    found = (
        await settle(finding.backlogs(organization_id, asked, now, at_most + 1)) if asked else {}
    )
    return [_backlog(journey_id, found.get(journey_id), now, at_most) for journey_id in asked]


def _backlog(
    journey_id: str, found: tuple[int, datetime] | None, now: datetime, at_most: int
) -> Backlog:
    if found is None:
        return Backlog(journey_id, 0, cut=False, lag=None)
    count, oldest = found
    return Backlog(journey_id, min(count, at_most), cut=count > at_most, lag=now - oldest)

"""Reading in the order that is promised, whatever order a store answers in.

Knows how each list is sorted, and that a version of a Journey is shown with its current status.
"""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from segmentflow_core.colour import settle
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.journey import Journey
from segmentflow_core.ports import Transaction

__all__ = ["list_events", "list_journeys", "read_journey"]


async def list_events(
    transaction: Transaction, organization_id: str, limit: int, before: str | None
) -> list[UserEvent]:
    """Return a page of events, newest first by id."""
    found = await settle(transaction.events.list(organization_id, limit, before))
    return sorted(found, key=lambda event: event.event_id, reverse=True)


async def list_journeys(transaction: Transaction, organization_id: str) -> Sequence[Journey]:
    """Return the current version of every Journey, by id."""
    found = await settle(transaction.journeys.list(organization_id))
    return sorted(found, key=lambda journey: journey.journey_id)


async def read_journey(
    transaction: Transaction, organization_id: str, journey_id: str, version: int | None
) -> Journey | None:
    """Return one version of a Journey, the current one by default, with the current status."""
    current = await settle(transaction.journeys.get(organization_id, journey_id))
    if current is None or version in (None, current.version):
        return current
    older = await settle(transaction.journeys.get_version(organization_id, journey_id, version))
    if older is None:
        return None
    status = current.definition.status
    return evolve(older, definition=evolve(older.definition, status=status))

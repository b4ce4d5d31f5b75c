"""Journeys: every version, which one is current, and which listen for an event."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import frozen

from segmentflow_core.ports import Journey, JourneyDefinition, JourneyStatus
from segmentflow_redis import documents
from segmentflow_redis.keys import key
from segmentflow_redis.ledger import Ledger

__all__ = ["Journeys"]


@frozen
class Journeys:
    """The published Journeys of an Organization."""

    ledger: Ledger

    async def list(self, organization_id: str) -> Sequence[Journey]:
        ids = documents.read_ids(await self.ledger.value(key(organization_id, "journeys")))
        found = await self.ledger.existing([key(organization_id, "journey", each) for each in ids])
        return [documents.read_journey(journey) for journey in found]

    async def get(self, organization_id: str, journey_id: str) -> Journey | None:
        return await self._read(key(organization_id, "journey", journey_id))

    async def get_version(
        self, organization_id: str, journey_id: str, version: int
    ) -> Journey | None:
        return await self._read(key(organization_id, "version", journey_id, str(version)))

    async def _read(self, place: str) -> Journey | None:
        found = await self.ledger.value(place)
        return None if found is None else documents.read_journey(found)

    async def publish(
        self, organization_id: str, versions: Sequence[Journey], statuses: Sequence[Journey]
    ) -> None:
        ledger = self.ledger
        index = key(organization_id, "journeys")
        ids = set(documents.read_ids(await ledger.value(index)))
        for journey in (*versions, *statuses):
            place = key(organization_id, "journey", journey.journey_id)
            current = await ledger.value(place)
            if current is not None:
                before = documents.read_journey(current).definition
                await self._listen(organization_id, before, JourneyStatus.ARCHIVED)
            await self._listen(organization_id, journey.definition, journey.definition.status)
            # Counted, so that a Journey never again has a value it once had.
            publication = documents.read_publication(current) + 1
            ledger.put(place, documents.write_journey(journey, publication))
        for journey in versions:
            place = key(organization_id, "version", journey.journey_id, str(journey.version))
            ledger.put(place, documents.write_journey(journey, 0))
        ids |= {journey.journey_id for journey in versions}
        ledger.put(index, documents.write_ids(sorted(ids)))

    async def _listen(
        self, organization_id: str, definition: JourneyDefinition, status: JourneyStatus
    ) -> None:
        listening = key(organization_id, "listening", definition.trigger.event)
        ids = set(documents.read_ids(await self.ledger.value(listening)))
        ids -= {definition.journey_id}
        if status is JourneyStatus.ACTIVE:
            ids |= {definition.journey_id}
        self.ledger.put(listening, documents.write_ids(sorted(ids)) if ids else None)

"""Journeys: every version, which one is current, and which listen for an event."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve, frozen

from segmentflow_core.ports import Journey, JourneyStatus
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

    async def get(
        self, organization_id: str, journey_id: str, version: int | None = None
    ) -> Journey | None:
        current_key = key(organization_id, "journey", journey_id)
        if version is None:
            stored = await self.ledger.value(current_key)
            return None if stored is None else documents.read_journey(stored)
        version_key = key(organization_id, "version", journey_id, str(version))
        stored, wanted = await self.ledger.values([current_key, version_key])
        if stored is None or wanted is None:
            return None
        current = documents.read_journey(stored)
        if current.version == version:
            return current
        older = documents.read_journey(wanted)
        status = current.definition.status
        return evolve(older, definition=evolve(older.definition, status=status))

    async def publish(self, organization_id: str, journeys: Sequence[Journey]) -> None:
        ledger = self.ledger
        index = key(organization_id, "journeys")
        ids = set(documents.read_ids(await ledger.value(index)))
        for journey in journeys:
            journey_id, definition = journey.journey_id, journey.definition
            current_key = key(organization_id, "journey", journey_id)
            version_key = key(organization_id, "version", journey_id, str(journey.version))
            current, stored = await ledger.values([current_key, version_key])
            # Counted, so that a Journey never again has a value it once had.
            publication = documents.read_publication(current) + 1
            document = documents.write_journey(journey, publication)
            if current is not None:
                before = documents.read_journey(current).definition
                await self._listen(organization_id, before.trigger.event, journey_id, False)
            active = definition.status is JourneyStatus.ACTIVE
            await self._listen(organization_id, definition.trigger.event, journey_id, active)
            ledger.put(current_key, document)
            if stored is None:
                ledger.put(version_key, document)
            ids.add(journey_id)
        ledger.put(index, documents.write_ids(sorted(ids)))

    async def _listen(
        self, organization_id: str, event: str, journey_id: str, listens: bool
    ) -> None:
        listening = key(organization_id, "listening", event)
        ids = set(documents.read_ids(await self.ledger.value(listening)))
        ids = ids | {journey_id} if listens else ids - {journey_id}
        self.ledger.put(listening, documents.write_ids(sorted(ids)) if ids else None)

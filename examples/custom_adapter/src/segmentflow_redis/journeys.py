"""Journeys: every version, which one is current, and which listen for an event."""

from __future__ import annotations

from collections.abc import Sequence

from attrs import evolve

from segmentflow_core.ports import Journey, JourneyStatus
from segmentflow_redis import documents
from segmentflow_redis.keys import key
from segmentflow_redis.ledger import Script
from segmentflow_redis.repository import Repository, performed, there

__all__ = ["Journeys"]


class Journeys(Repository):
    @performed
    def list(self, organization_id: str) -> Script[Sequence[Journey]]:
        ids = documents.read_ids((yield from self.ledger.value(key(organization_id, "journeys"))))
        found = yield from self.ledger.values([key(organization_id, "journey", i) for i in ids])
        return [documents.read_journey(journey) for journey in there(found)]

    @performed
    def get(
        self, organization_id: str, journey_id: str, version: int | None = None
    ) -> Script[Journey | None]:
        wanted = [key(organization_id, "journey", journey_id)]
        if version is not None:
            wanted.append(key(organization_id, "version", journey_id, str(version)))
        stored, *older = yield from self.ledger.values(wanted)
        if stored is None or older == [None]:
            return None
        current = documents.read_journey(stored)
        if not older or current.version == version:
            return current
        journey = documents.read_journey(there(older)[0])
        status = current.definition.status
        return evolve(journey, definition=evolve(journey.definition, status=status))

    @performed
    def publish(self, organization_id: str, journeys: Sequence[Journey]) -> Script[None]:
        ledger = self.ledger
        index = key(organization_id, "journeys")
        ids = set(documents.read_ids((yield from ledger.value(index))))
        for journey in journeys:
            journey_id, definition = journey.journey_id, journey.definition
            current_key = key(organization_id, "journey", journey_id)
            version_key = key(organization_id, "version", journey_id, str(journey.version))
            current, stored = yield from ledger.values([current_key, version_key])
            # Counted, so that a Journey never again has a value it once had.
            publication = documents.read_publication(current) + 1
            document = documents.write_journey(journey, publication)
            if current is not None:
                before = documents.read_journey(current).definition
                yield from self._listen(organization_id, before.trigger.event, journey_id, False)
            active = definition.status is JourneyStatus.ACTIVE
            yield from self._listen(organization_id, definition.trigger.event, journey_id, active)
            ledger.put(current_key, document)
            if stored is None:
                ledger.put(version_key, document)
            ids.add(journey_id)
        ledger.put(index, documents.write_ids(sorted(ids)))

    def _listen(
        self, organization_id: str, event: str, journey_id: str, listens: bool
    ) -> Script[None]:
        listening = key(organization_id, "listening", event)
        ids = set(documents.read_ids((yield from self.ledger.value(listening))))
        ids = ids | {journey_id} if listens else ids - {journey_id}
        self.ledger.put(listening, documents.write_ids(sorted(ids)) if ids else None)

"""One transaction, as the ports want it: a repository for each of its parts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from attrs import frozen

from segmentflow_core.ports import Profile, UserEvent
from segmentflow_redis.api_keys import ApiKeys
from segmentflow_redis.enrollments import Enrollments, HandOvers
from segmentflow_redis.journeys import Journeys
from segmentflow_redis.keys import key
from segmentflow_redis.ledger import Ledger, Range
from segmentflow_redis.profiles import load_events, load_profiles
from segmentflow_redis.tracking import Idempotency, Tracking

__all__ = ["RedisTransaction"]


@frozen
class Profiles:
    """The Profiles of an Organization."""

    ledger: Ledger

    async def get(self, organization_id: str, profile_id: str) -> Profile | None:
        found = await load_profiles(self.ledger, organization_id, [profile_id])
        return found[0] if found else None


@frozen
class Events:
    """The recorded events of an Organization."""

    ledger: Ledger

    async def get(self, organization_id: str, event_id: str) -> UserEvent | None:
        events = await self._read(organization_id, [event_id])
        return events[0] if events else None

    async def get_many(
        self, organization_id: str, event_ids: Sequence[str]
    ) -> Mapping[str, UserEvent]:
        events = await self._read(organization_id, event_ids)
        return {event.event_id: event for event in events}

    async def list(
        self, organization_id: str, limit: int, before: str | None = None
    ) -> Sequence[UserEvent]:
        page = Range.newest(key(organization_id, "events"), limit, before)
        (ids,) = await self.ledger.members([page])
        return await self._read(organization_id, [each.decode() for each in ids])

    async def _read(self, organization_id: str, event_ids: Sequence[str]) -> Sequence[UserEvent]:
        places = [key(organization_id, "event", each) for each in event_ids]
        found = await self.ledger.existing(places)
        return await load_events(self.ledger, [(organization_id, event) for event in found])


class RedisTransaction:
    """One transaction. Over a synchronous client, no method of its repositories suspends."""

    def __init__(self, ledger: Ledger) -> None:
        self.ledger = ledger
        self.tracking = Tracking(ledger)
        self.idempotency = Idempotency(ledger)
        self.profiles = Profiles(ledger)
        self.events = Events(ledger)
        self.journeys = Journeys(ledger)
        self.enrollments = Enrollments(ledger)
        self.hand_over = HandOvers(ledger)
        self.api_keys = ApiKeys(ledger)

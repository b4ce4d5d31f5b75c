"""One transaction: the ports over Redis, written once for both colours."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from segmentflow_core.ports import Profile, UserEvent
from segmentflow_redis import documents
from segmentflow_redis.api_keys import ApiKeys
from segmentflow_redis.enrollments import Enrollments, HandOvers
from segmentflow_redis.journeys import Journeys
from segmentflow_redis.keys import key
from segmentflow_redis.ledger import Ledger, Script
from segmentflow_redis.repository import Repository, keys, newest, performed, there
from segmentflow_redis.tracking import Idempotency, Tracking

__all__ = ["RedisTransaction"]


class Profiles(Repository):
    @performed
    def get(self, organization_id: str, profile_id: str) -> Script[Profile | None]:
        found = yield from self.ledger.value(key(organization_id, "profile", profile_id))
        return None if found is None else documents.read(Profile, found)


class Events(Repository):
    @performed
    def get(self, organization_id: str, event_id: str) -> Script[UserEvent | None]:
        found = yield from self.ledger.value(key(organization_id, "event", event_id))
        return None if found is None else documents.read(UserEvent, found)

    @performed
    def get_many(
        self, organization_id: str, event_ids: Sequence[str]
    ) -> Script[Mapping[str, UserEvent]]:
        found = yield from self.ledger.values(
            [key(organization_id, "event", event_id) for event_id in event_ids]
        )
        events = [documents.read(UserEvent, event) for event in found if event is not None]
        return {event.event_id: event for event in events}

    @performed
    def list(
        self, organization_id: str, limit: int, before: str | None = None
    ) -> Script[Sequence[UserEvent]]:
        page = newest(key(organization_id, "events"), limit, before)
        (ids,) = yield from self.ledger.members([page])
        found = yield from self.ledger.values(keys(organization_id, "event", ids))
        return [documents.read(UserEvent, event) for event in there(found)]


class RedisTransaction:
    """Every repository over one ledger, in the colour of whoever performs their scripts."""

    def __init__(self, ledger: Ledger, perform: Callable[[Script[Any]], Any]) -> None:
        self.tracking = Tracking(ledger, perform)
        self.idempotency = Idempotency(ledger, perform)
        self.profiles = Profiles(ledger, perform)
        self.events = Events(ledger, perform)
        self.journeys = Journeys(ledger, perform)
        self.enrollments = Enrollments(ledger, perform)
        self.hand_over = HandOvers(ledger, perform)
        self.api_keys = ApiKeys(ledger, perform)

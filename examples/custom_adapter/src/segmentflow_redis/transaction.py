"""One transaction: the ports over Redis, written once for both colours."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from segmentflow_core.ports import Profile, UserEvent
from segmentflow_redis.api_keys import ApiKeys
from segmentflow_redis.enrollments import Enrollments, HandOvers
from segmentflow_redis.journeys import Journeys
from segmentflow_redis.keys import key
from segmentflow_redis.ledger import Ledger, Script
from segmentflow_redis.profiles import load_events, load_profiles
from segmentflow_redis.repository import Repository, keys, newest, performed, there
from segmentflow_redis.tracking import Idempotency, Tracking

__all__ = ["RedisTransaction"]


class Profiles(Repository):
    @performed
    def get(self, organization_id: str, profile_id: str) -> Script[Profile | None]:
        found = yield from load_profiles(self.ledger, organization_id, [profile_id])
        return found[0] if found else None


class Events(Repository):
    @performed
    def get(self, organization_id: str, event_id: str) -> Script[UserEvent | None]:
        found = yield from self.ledger.value(key(organization_id, "event", event_id))
        events = yield from load_events(
            self.ledger, [(organization_id, event) for event in there([found])]
        )
        return events[0] if events else None

    @performed
    def list(
        self, organization_id: str, limit: int, before: str | None = None
    ) -> Script[Sequence[UserEvent]]:
        page = newest(key(organization_id, "events"), limit, before)
        (ids,) = yield from self.ledger.members([page])
        found = yield from self.ledger.values(keys(organization_id, "event", ids))
        events = [(organization_id, event) for event in there(found)]
        return (yield from load_events(self.ledger, events))


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

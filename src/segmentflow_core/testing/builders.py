"""Small builders: a clock that the test moves, ids that count, a request, a Journey."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

__all__ = [
    "DOCUMENTED_KEY",
    "DOCUMENTED_REQUEST",
    "FINGERPRINT_SECRET",
    "FixedClock",
    "SequentialIds",
    "a_journey",
    "a_request",
]

FINGERPRINT_SECRET: Final = "a secret for tests, of no use elsewhere"
DOCUMENTED_KEY: Final = "order.created:ord_9421"
DOCUMENTED_REQUEST: Final[Mapping[str, Any]] = {
    "event": "order.created",
    "profile": {
        "email": "alex@example.com",
        "externalId": "cus_123",
        "properties": {"firstName": "Alex", "plan": "Pro"},
    },
    "data": {"orderId": "ord_9421", "total": 49, "payment": {"token": "tok_live_abc"}},
    "redactedDataPaths": ["/event/payment/token"],
    "referenceId": "ord_9421",
    "occurredAt": "2026-05-31T12:00:00.000Z",
}
"""The request that every adapter must accept unchanged; its token must appear nowhere."""


class FixedClock:
    """A clock that moves only when a test moves it."""

    def __init__(self, start: datetime = datetime(2026, 6, 1, 12, 0, 0, 123456, UTC)) -> None:
        self._now = start

    def now(self) -> datetime:
        """Return the current instant."""
        return self._now

    def advance(self, **length: float) -> None:
        """Move the clock by a `timedelta` of these arguments; negative ones move it back."""
        self._now += timedelta(**length)


class SequentialIds:
    """Ids in the form of a UUIDv7 that count from one."""

    def __init__(self) -> None:
        self._count = 0

    def new_id(self) -> str:
        """Return the next id."""
        self._count += 1
        return f"019bf964-302b-7000-8000-{self._count:012x}"


def a_request(event: str = "order.created", **fields: Any) -> dict[str, Any]:
    """Return a valid request with the wire's names; `fields` replace or add members."""
    return {"event": event, "profile": {"email": "alex@example.com"}, **fields}


def a_journey(journey_id: str = "welcome", **fields: Any) -> dict[str, Any]:
    """Return the definition of an active Journey that listens for ``order.created``."""
    return {
        "id": journey_id,
        "name": journey_id.capitalize(),
        "status": "active",
        "trigger": {"event": "order.created"},
        **fields,
    }

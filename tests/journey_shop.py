"""A shop whose orders Journeys listen for: `welcome` each of them, `large` those of 40 and more."""

from __future__ import annotations

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request

WELCOME = a_journey()
LARGE = a_journey(
    "large",
    trigger={"event": "order.created", "where": {"path": "/event/total", "op": "gte", "value": 40}},
)


def a_shop(storage, clock, *journeys):
    """Give the shop's tracker; the shop has these Journeys, or `welcome` alone."""
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.journeys.publish(journeys or [WELCOME])
    return tracker


def order(tracker, clock, key, *, event="order.created", email=None, properties=None, **data):
    """Track a customer's order, an hour after what was before; of 50, unless its data say more."""
    clock.advance(hours=1)
    return tracker.track(
        a_request(
            event=event,
            profile={"email": email or f"{key}@example.com", "properties": properties or {}},
            data={"total": 50, **data},
            redactedDataPaths=["/event/payment"] if "payment" in data else [],
        ),
        f"key {key}",
    )

"""How the contract's tests read a whole store, to compare it before and after.

Knows the public calls that read. Must never look into a store.
"""

from __future__ import annotations

from typing import Any, Final

from segmentflow_core.testing.builders import a_journey
from segmentflow_core.wire import event_document, published_document

__all__ = ["EVERY_POLICY", "everything", "typed"]

EVERY_POLICY: Final = {
    "journeys": [
        a_journey("every"),
        a_journey("once", reentry={"policy": "once"}),
        a_journey("per-order", reentry={"policy": "once_per_key", "key": "/event/orderId"}),
    ]
}
"""Journeys that listen for one event, each with another re-entry policy."""


def everything(tracker: Any, organization_id: str = "default") -> tuple[Any, ...]:
    """Read everything a tracker can read, to compare the store before and after."""
    of: dict[str, Any] = {"organization_id": organization_id}
    events = tracker.records.events(limit=1000, **of)
    profiles = {event.profile_id: None for event in events}
    return (
        [event_document(event) for event in events],
        [tracker.records.profile(profile_id, **of) for profile_id in profiles],
        tracker.enrollments.list(limit=1000, **of),
        [published_document(journey) for journey in tracker.journeys.list(**of)],
    )


def typed(value: Any) -> Any:
    """Make values comparable as JSON: to Python 1, 1.0 and True are equal."""
    if isinstance(value, dict):
        return {name: typed(item) for name, item in value.items()}
    if isinstance(value, list):
        return [typed(item) for item in value]
    return (type(value).__name__, repr(value))

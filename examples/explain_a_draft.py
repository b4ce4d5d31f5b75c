"""Before a Journey is published: who would enter it, and why somebody would not."""

from __future__ import annotations

from datetime import UTC, datetime

from segmentflow_core import Tracker
from segmentflow_memory import MemoryStorage

DRAFT = {
    "id": "big-order",
    "status": "draft",
    "trigger": {
        "event": "order.created",
        "where": {"path": "/event/total", "op": "gte", "value": 40},
    },
    "reentry": {"policy": "once"},
}


def main() -> None:
    """Track four orders, rehearse a draft over them and ask about the one that is odd."""
    secret = "only for this example: no secret at all"
    tracker = Tracker(MemoryStorage(), fingerprint_key=secret)
    started = datetime.now(UTC)
    for number, total in enumerate([49, 39, "49", 80]):
        request = {
            "event": "order.created",
            "profile": {"email": f"p{number}@example.com"},
            "data": {"total": total},
        }
        tracker.track(request, f"order.created:{number}")
    rehearsal = tracker.journeys.rehearse([DRAFT], since=started)
    (journey,) = rehearsal.journeys
    skipped = ", ".join(f"{count} {reason}" for reason, count in journey.skipped.items())
    print(f"{journey.entered} of {journey.matched} would enter; {skipped}")

    odd = tracker.records.events()[1]
    (explained,) = tracker.records.explain(odd.event_id, journeys=[DRAFT]).journeys
    leaf = explained.condition
    assert leaf is not None
    print(f"{explained.reason}: {leaf.path} {leaf.op} {leaf.expected}: {leaf.reason}")


if __name__ == "__main__":
    main()

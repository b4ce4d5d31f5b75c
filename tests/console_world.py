"""A store with something of everything that the page shows, and canaries in it."""

from __future__ import annotations

from attrs import frozen

from segmentflow_core import EnrollmentStatus, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET

MARKUP = "<b>\"bold\" & 'brave'</b>"
"""What would be markup if a page did not escape it."""

SECRET = "tok_live_canary"
FAILURE = f"SMTP 451: try later {MARKUP}"

JOURNEYS = [
    {
        "id": "order-confirmation",
        "name": "Order confirmation",
        "status": "active",
        "trigger": {
            "event": "order.created",
            "where": {
                "all": [
                    {"path": "/event/total", "op": "gte", "value": 40},
                    {"path": "/profile/properties/plan", "op": "eq", "value": "Pro"},
                ]
            },
        },
        "reentry": {"policy": "once_per_key", "key": ["/event/orderId"]},
    },
    {
        "id": "abandoned-cart",
        "name": "Abandoned cart",
        "status": "active",
        "trigger": {"event": "cart.updated"},
        "delay": "PT1H",
        "cancelOn": [{"event": "order.created", "same": ["/event/cartId"]}],
    },
    {
        "id": "second-order",
        "name": MARKUP,
        "status": "active",
        "trigger": {
            "event": "order.created",
            "where": {"did": "order.created", "times": {"gte": 1}, "within": "P30D"},
        },
        "reentry": {"policy": "cooldown", "duration": "P7D"},
    },
    {
        "id": "paused & <waiting>",
        "status": "paused",
        "trigger": {"event": "signed.up"},
    },
]


@frozen
class World:
    """What is in the store."""

    tracker: Tracker
    alex: str
    order: str
    dead: str
    waiting: str


def a_world(storage, clock):
    """Fill a store with three weeks of a shop."""
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.journeys.publish(JOURNEYS, by="deploy")
    number = 0

    def track(event, data, **more):
        nonlocal number
        number += 1
        clock.advance(minutes=7)
        name = more.pop("name", f"person{number % 9}")
        profile = {
            "email": f"{name}@example.com",
            "externalId": f"cus_{name}",
            "properties": {"plan": ("Pro", "Free")[number % 3 == 0], **more.pop("properties", {})},
        }
        request = {"event": event, "profile": profile, "data": data, **more}
        return tracker.track(request, f"{event}:{number}")

    for day in range(18):
        for order in range(2 + day * 5 % 7):
            total = 20 + order * 17
            data = {"orderId": f"ord_{day}_{order}", "total": total, "cartId": f"cart_{order}"}
            if order == 1:
                del data["total"]
            track("order.created", data)
        track("cart.updated", {"cartId": f"cart_{day}"})
        clock.advance(hours=21)
    alex = track(
        "order.created",
        {
            "orderId": "ord_9421",
            "total": 49,
            "note": MARKUP,
            "payment": {"token": SECRET},
        },
        name="alex",
        referenceId="ord_9421",
        redactedDataPaths=["/event/payment/token"],
        properties={
            "plan": "Pro",
            "firstName": MARKUP,
            "tags": ["a\u202eb", {"b": 1}],
            "about": "She likes tea. " * 200,
            **{f"visited{number:02}": number for number in range(20)},
        },
    )
    track("signed.up", {"from": "landing"}, name="alex", properties={"plan": "Pro"})
    for claimed in tracker.enrollments.claim(limit=4, journey_id="order-confirmation"):
        tracker.enrollments.complete(claimed.lease)
    (entry, *_) = tracker.enrollments.list(
        profile_id=alex.profile_id, journey_id="order-confirmation"
    )
    for claimed in tracker.enrollments.claim(limit=100, journey_id="order-confirmation"):
        if claimed.enrollment.enrollment_id == entry.enrollment_id:
            tracker.enrollments.release(claimed.lease, error=FAILURE, max_attempts=1)
        else:
            tracker.enrollments.release(claimed.lease, failed=False)
    tracker.people.suppress("cus_person3", by="support")
    tracker.people.merge("cus_alex", "cus_person5", by="support")
    clock.advance(hours=2)
    (waiting, *_) = tracker.enrollments.list(
        profile_id=tracker.records.find_profile("cus_person1").profile_id,
        status=EnrollmentStatus.PENDING,
    )
    return World(
        tracker, alex.profile_id, alex.event_id, entry.enrollment_id, waiting.enrollment_id
    )

"""A shop records an order and its event: run it twice, and there is still one event."""

from __future__ import annotations

import os

from sqlalchemy import create_engine

from segmentflow_core import ProfileInput, Receipt, Tracker, TrackRequest
from segmentflow_sql import SqlStorage


def track_order(tracker: Tracker, order_id: str, total: int, card_token: str) -> Receipt:
    """Track one order under a key of its own, its card token kept out of storage."""
    return tracker.track(
        TrackRequest(
            event="order.created",
            profile=ProfileInput(email="alex@example.com", external_id="cus_123"),
            data={"orderId": order_id, "total": total, "payment": {"token": card_token}},
            redacted_data_paths=("/event/payment/token",),
            reference_id=order_id,
        ),
        idempotency_key=f"order.created:{order_id}",
    )


def main(url: str = "sqlite:///shop.db") -> None:
    """Track the same order twice and print both receipts."""
    secret = os.environ.get(
        "SEGMENTFLOW_FINGERPRINT_KEY", "only for this example: no secret at all"
    )
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=secret)
    for _ in range(2):
        receipt = track_order(tracker, "ord_9421", 49, "tok_live_abc")
        print(receipt.event_id, "replayed" if receipt.replayed else "recorded")
    storage.close()


if __name__ == "__main__":
    main()

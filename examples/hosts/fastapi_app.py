"""FastAPI: the ASGI app is mounted beside the host's own routes, and shares its tracker."""

from __future__ import annotations

from fastapi import FastAPI

from segmentflow_core import Tracker
from segmentflow_http import AsgiApp, Authenticator, Endpoint


def create_app(tracker: Tracker, authenticator: Authenticator) -> FastAPI:
    """Serve the host, and events.track at /tracking/api/v1/events."""
    app = FastAPI()

    def home() -> str:
        return "the shop"

    def place_order(order_id: str) -> dict[str, str]:
        """Place an order, and record it without a round trip: the tracker is right here."""
        receipt = tracker.track(
            {"event": "order.created", "profile": {"externalId": "cus_123"}},
            idempotency_key=f"order.created:{order_id}",
        )
        return {"eventId": receipt.event_id}

    app.get("/")(home)
    # A plain `def` runs in FastAPI's threads, where a synchronous tracker belongs.
    app.post("/orders/{order_id}")(place_order)
    app.mount("/tracking", AsgiApp(Endpoint(tracker, authenticator)))
    return app

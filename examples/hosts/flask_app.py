"""Flask: the WSGI app is mounted beside the host's own routes, and shares its tracker."""

from __future__ import annotations

from flask import Flask
from werkzeug.middleware.dispatcher import DispatcherMiddleware

from segmentflow_core import Tracker
from segmentflow_http import Authenticator, Endpoint, WsgiApp


def create_app(tracker: Tracker, authenticator: Authenticator) -> Flask:
    """Serve the host, and events.track at /tracking/api/v1/events."""
    app = Flask(__name__)

    def home() -> str:
        return "the shop"

    def place_order(order_id: str) -> dict[str, str]:
        """Place an order, and record it without a round trip: the tracker is right here."""
        receipt = tracker.track(
            {"event": "order.created", "profile": {"externalId": "cus_123"}},
            idempotency_key=f"order.created:{order_id}",
        )
        return {"eventId": receipt.event_id}

    app.add_url_rule("/", view_func=home)
    app.add_url_rule("/orders/<order_id>", view_func=place_order, methods=["POST"])
    events = WsgiApp(Endpoint(tracker, authenticator))
    mounted = DispatcherMiddleware(app.wsgi_app, {"/tracking": events})
    app.wsgi_app = mounted  # type: ignore[method-assign]
    return app

"""Flask: one view hands the request to the endpoint."""

from __future__ import annotations

from flask import Flask, Response, request

from segmentflow_core import Tracker
from segmentflow_http import Authenticator, Endpoint


def create_app(tracker: Tracker, authenticator: Authenticator) -> Flask:
    """Serve the host, and events.track at /tracking/api/v1/events."""
    endpoint = Endpoint(tracker, authenticator, prefix="/tracking")
    app = Flask(__name__)

    def home() -> str:
        return "the shop"

    def events(path: str) -> Response:
        early = endpoint.refuse_early(request.method, request.path, list(request.headers))
        # Werkzeug reads no more than this, whatever is announced.
        request.max_content_length = endpoint.max_bytes
        status, headers, body = early or endpoint(
            request.method, request.full_path, list(request.headers), request.get_data()
        )
        return Response(body, status, headers)

    app.add_url_rule("/", view_func=home)
    app.add_url_rule(
        "/tracking/<path:path>",
        view_func=events,
        methods=["DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"],
        provide_automatic_options=False,
    )
    return app

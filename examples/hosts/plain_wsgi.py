"""Plain WSGI, no framework: what is under /tracking goes to the WSGI app, the rest stays here."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any

from segmentflow_core import Tracker
from segmentflow_http import Authenticator, Endpoint, WsgiApp


def create_app(
    tracker: Tracker, authenticator: Authenticator
) -> Callable[[dict[str, Any], Callable[..., object]], Iterable[bytes]]:
    """Serve the host, and events.track at /tracking/api/v1/events."""
    events = WsgiApp(Endpoint(tracker, authenticator, prefix="/tracking"))

    def app(environ: dict[str, Any], start_response: Callable[..., object]) -> Iterable[bytes]:
        if environ["PATH_INFO"].startswith("/tracking/"):
            return events(environ, start_response)
        start_response("200 OK", [("content-type", "text/plain")])
        return [b"the shop"]

    return app

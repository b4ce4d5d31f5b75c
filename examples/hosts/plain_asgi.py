"""Plain ASGI, no framework: what is under /tracking goes to the ASGI app, the rest stays here."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, MutableMapping
from typing import Any

from segmentflow_core import Tracker
from segmentflow_http import AsgiApp, Authenticator, Endpoint

Scope = MutableMapping[str, Any]
Receive = Callable[[], Awaitable[MutableMapping[str, Any]]]
Send = Callable[[MutableMapping[str, Any]], Awaitable[None]]


def create_app(
    tracker: Tracker, authenticator: Authenticator
) -> Callable[[Scope, Receive, Send], Awaitable[None]]:
    """Serve the host, and events.track at /tracking/api/v1/events."""
    events = AsgiApp(Endpoint(tracker, authenticator, prefix="/tracking"))

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "lifespan" or scope["path"].startswith("/tracking/"):
            await events(scope, receive, send)
            return
        await send({"type": "http.response.start", "status": 200, "headers": []})
        await send({"type": "http.response.body", "body": b"the shop"})

    return app

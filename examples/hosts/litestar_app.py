"""Litestar: the ASGI app is mounted beside the host's own routes."""

from __future__ import annotations

from typing import Any

from litestar import Litestar, asgi, get
from litestar.types import Receive, Scope, Send

from segmentflow_core import Tracker
from segmentflow_http import AsgiApp, Authenticator, Endpoint


@get("/", sync_to_thread=False)
def home() -> str:
    """Answer for the host itself."""
    return "the shop"


def create_app(tracker: Tracker, authenticator: Authenticator) -> Litestar:
    """Serve the host, and events.track at /tracking/api/v1/events."""
    app: Any = AsgiApp(Endpoint(tracker, authenticator))

    @asgi("/tracking", is_mount=True, copy_scope=True)
    async def events(scope: Scope, receive: Receive, send: Send) -> None:
        # Litestar ends the path below a mount with a slash that the caller did not send, and does
        # not say where the mount is.
        below = {"path": scope["path"].rstrip("/"), "root_path": f"{scope['root_path']}/tracking"}
        await app({**scope, **below}, receive, send)

    return Litestar(route_handlers=[home, events])

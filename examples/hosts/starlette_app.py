"""Starlette: the ASGI app is mounted beside the host's own routes."""

from __future__ import annotations

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.routing import Mount, Route

from segmentflow_core import Tracker
from segmentflow_http import AsgiApp, Authenticator, Endpoint


async def home(_request: Request) -> PlainTextResponse:
    """Answer for the host itself."""
    return PlainTextResponse("the shop")


def create_app(tracker: Tracker, authenticator: Authenticator) -> Starlette:
    """Serve the host, and events.track at /tracking/api/v1/events."""
    events = AsgiApp(Endpoint(tracker, authenticator))
    return Starlette(routes=[Route("/", home), Mount("/tracking", events)])

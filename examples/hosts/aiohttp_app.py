"""aiohttp: one handler awaits the asynchronous endpoint."""

from __future__ import annotations

from aiohttp import web

from segmentflow_core import AsyncTracker
from segmentflow_http import AsyncEndpoint, Authenticator


def create_app(tracker: AsyncTracker, authenticator: Authenticator) -> web.Application:
    """Serve the host, and events.track at /tracking/api/v1/events."""
    endpoint = AsyncEndpoint(tracker, authenticator, prefix="/tracking")

    async def home(_request: web.Request) -> web.Response:
        return web.Response(text="the shop")

    async def events(request: web.Request) -> web.Response:
        method, path, pairs = request.method, request.path_qs, request.headers.items()
        answer = endpoint.refuse_early(method, path, pairs)
        if answer is None:
            # One byte past the limit is enough to see that a body is too long.
            received, limit = bytearray(), endpoint.max_bytes_at(path)
            async for part in request.content.iter_chunked(64 * 1024):
                received += part
                if len(received) > limit:
                    break
            answer = await endpoint(method, path, pairs, bytes(received))
        return web.Response(status=answer.status, headers=answer.headers, body=answer.body)

    app = web.Application()
    app.router.add_get("/", home)
    app.router.add_route("*", "/tracking/{path:.*}", events)
    return app

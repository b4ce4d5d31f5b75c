"""`events.track` as routes of a FastAPI app, in its documentation and with its errors.

Knows FastAPI alone; what is answered is the endpoint's. Needs the `fastapi` extra.
"""

from __future__ import annotations

from collections.abc import AsyncGenerator, Mapping, Sequence
from contextlib import asynccontextmanager
from enum import Enum
from typing import Annotated, Any, Final, cast

from fastapi import APIRouter, FastAPI, Request, Security
from fastapi import Response as FastApiResponse
from fastapi.datastructures import Default
from fastapi.routing import APIRoute
from fastapi.security import APIKeyHeader
from starlette.types import Receive, Scope, Send

from segmentflow_core import SegmentflowError
from segmentflow_core.errors import InternalError
from segmentflow_http.access import AnsweredHook, Around
from segmentflow_http.asgi import AsgiApp
from segmentflow_http.endpoint import AsyncEndpoint, Endpoint
from segmentflow_http.routes import (
    HEALTH,
    LIVENESS,
    OPENAPI,
    READINESS,
    ROUTES,
    Route,
)

__all__ = ["answer_errors", "events_router"]

_HEALTH: Final = (HEALTH, READINESS, LIVENESS)
_METHODS: Final = ("GET", "HEAD", "OPTIONS", "POST", "PUT", "PATCH", "DELETE")
_ANYTHING: Final = {"title": "JsonValue", "description": "Any JSON value."}

_api_key = APIKeyHeader(
    name="x-api-key",
    scheme_name="apiKey",
    description="A server-side API Key, sk_live_… or sk_test_….",
    auto_error=False,  # the endpoint asks who calls, and says what is wrong
)


def events_router(
    endpoint: Endpoint | AsyncEndpoint,
    *,
    tags: Sequence[str] = ("segmentflow",),
    health: bool = False,
    max_requests: int | None = None,
    on_answered: AnsweredHook | None = None,
    around: Sequence[Around] = (),
) -> APIRouter:
    """Return a router that answers as the endpoint does, to be included in an app.

    The app's own documentation shows each route with its body, its answers and its errors. A body
    is read no further than the endpoint's limit. An `Endpoint` runs in threads. An operation's id
    is its route's name, or what the host's own `generate_unique_id_function` makes of the route.

    Args:
        endpoint: what answers; without a prefix, which the app gives when it includes the router.
            A parameter of that prefix is documented where a dependency of the router takes it.
        tags: under which the routes are shown.
        health: whether ``/healthz``, ``/readyz`` and ``/livez`` are routes too.
        max_requests: how many requests are answered at the same time, as of `AsgiApp`.
        on_answered: is called with each answered request, as of `AsgiApp`.
        around: what surrounds each request, as of `AsgiApp`.

    Raises:
        ConfigurationError: `max_requests` is less than 1.
    """
    app = AsgiApp(endpoint, max_requests=max_requests, on_answered=on_answered, around=around)

    @asynccontextmanager
    async def closing(_: FastAPI) -> AsyncGenerator[None]:
        yield
        app.close()

    router = APIRouter(tags=list[str | Enum](tags), lifespan=closing)
    paths = endpoint.openapi["paths"]
    left_out = {OPENAPI, *(() if health else _HEALTH)}
    documented: dict[str, set[str]] = {}
    for route in ROUTES:
        if route not in left_out:
            documented.setdefault(route.path, set()).add(route.method)
            operation = paths[route.path][route.method.lower()]
            described = _resolved(operation, endpoint.openapi)
            for added in ("security", "operationId"):  # FastAPI adds them itself
                described.pop(added, None)
            _add(router, app, route, [route.method], described)
    for path, methods in documented.items():
        others = [method for method in _METHODS if method not in methods]
        # What a path does not take is refused in the endpoint's words, not in the framework's.
        _add(router, app, Route("", path, "", ""), others, None)
    return router


def answer_errors(app: FastAPI, endpoint: Endpoint | AsyncEndpoint) -> None:
    """Let the host's own routes answer a `SegmentflowError` as the endpoint does.

    Status, envelope and headers are the endpoint's, and an answer of 500 and above is one line of
    the log. An error that is caught in the route is none.

    Args:
        app: whose routes.
        endpoint: in whose words they answer.
    """

    async def answer(request: Request, error: Exception) -> FastApiResponse:
        refusal = error if isinstance(error, SegmentflowError) else InternalError()
        path, headers = request.url.path, request.headers.raw
        response = endpoint.refusal(refusal, request.method, path, headers)
        return FastApiResponse(response.body, response.status, response.headers)

    app.add_exception_handler(SegmentflowError, answer)


class _Passed(FastApiResponse):
    """The answer of an ASGI app, which reads the request itself."""

    def __init__(self, app: AsgiApp, depth: int) -> None:
        super().__init__()
        self._app, self._depth = app, depth

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        # Below the router, a path is as long as its route's; before it stands what the host chose.
        mount = scope["path"].rsplit("/", self._depth)[0]
        await self._app({**scope, "root_path": mount}, receive, send)


def _add(
    router: APIRouter,
    app: AsgiApp,
    route: Route,
    methods: Sequence[str],
    described: dict[str, Any] | None,
) -> None:
    depth = route.path.count("/")

    async def answer() -> FastApiResponse:
        return _Passed(app, depth)

    async def answer_caller(_: Annotated[str | None, Security(_api_key)]) -> FastApiResponse:
        return _Passed(app, depth)

    router.add_api_route(
        route.path,
        answer_caller if route.scope else answer,
        methods=list(methods),
        summary=route.summary or None,
        response_class=FastApiResponse,
        response_model=None,
        status_code=202 if described is not None and "202" in described["responses"] else 200,
        include_in_schema=described is not None,
        openapi_extra=described,
        name=route.operation_id or "refuse",
        # A default gives way to a function of the host's, where an id of the operation would not.
        generate_unique_id_function=Default(_name_of),
    )


def _name_of(route: APIRoute) -> str:
    return route.name


def _resolved(node: Any, document: Mapping[str, Any], inside: tuple[str, ...] = ()) -> Any:
    """Return a part of a document with what it refers to in place of each reference.

    A host's document has no place for the components of another one. What refers to itself is
    any JSON value.
    """
    if isinstance(node, list):
        return [_resolved(item, document, inside) for item in node]
    if not isinstance(node, dict):
        return node
    found = cast("dict[str, Any]", node)
    place = found.get("$ref")
    if not isinstance(place, str):
        return {name: _resolved(item, document, inside) for name, item in found.items()}
    if place in inside:
        return _ANYTHING
    *_, kind, name = place.split("/")
    referred = _resolved(document["components"][kind][name], document, (*inside, place))
    return {"title": name, **referred} if kind == "schemas" else referred

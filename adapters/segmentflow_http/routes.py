"""The table of routes. The endpoint and the OpenAPI document both read it."""

from __future__ import annotations

from typing import Final

from attrs import frozen

from segmentflow_core.errors import (
    IdempotencyInProgress,
    IdempotencyKeyRequired,
    IdempotencyKeyReuse,
    IdentityConflict,
    InsufficientScope,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    PayloadTooLarge,
    ProfileEmailRequired,
    ProfileTooLarge,
    SegmentflowError,
    StorageUnavailable,
    Unauthorized,
    UnsupportedMediaType,
)

__all__ = ["ERRORS", "EVENTS", "HEALTH", "OPENAPI", "ROUTES", "Route", "allowed_methods"]


@frozen
class Route:
    """One operation.

    Attributes:
        method: its method; GET implies HEAD.
        path: its path, below the prefix that the host chose.
        operation_id: its name in the OpenAPI document and in generated clients.
        summary: what it does.
        scope: what the caller's API Key must allow; None if anyone may call.
    """

    method: str
    path: str
    operation_id: str
    summary: str
    scope: str | None = None


EVENTS: Final = Route(
    "POST", "/api/v1/events", "trackEvent", "Record one event exactly once.", "events:write"
)
OPENAPI: Final = Route("GET", "/openapi.json", "getOpenApi", "Describe this API.")
HEALTH: Final = Route("GET", "/healthz", "getHealth", "Tell whether the store takes writes.")

ROUTES: Final = (EVENTS, OPENAPI, HEALTH)

ERRORS: Final[tuple[type[SegmentflowError], ...]] = (
    InvalidRequest,
    IdempotencyKeyRequired,
    Unauthorized,
    InsufficientScope,
    NotFound,
    MethodNotAllowed,
    IdempotencyKeyReuse,
    IdentityConflict,
    IdempotencyInProgress,
    PayloadTooLarge,
    UnsupportedMediaType,
    ProfileEmailRequired,
    ProfileTooLarge,
    StorageUnavailable,
    InternalError,
)
"""Every error that a route can answer, by status."""


def allowed_methods(path: str) -> tuple[str, ...]:
    """Return the methods of a path, sorted; none if there is no such path."""
    methods = {route.method for route in ROUTES if route.path == path}
    if not methods:
        return ()
    return tuple(sorted(methods | {"OPTIONS"} | ({"HEAD"} if "GET" in methods else set())))

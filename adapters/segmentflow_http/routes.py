"""The table of routes. The endpoint and the OpenAPI document both read it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from functools import cache
from typing import Final

from attrs import frozen

from segmentflow_core.errors import (
    IdempotencyInProgress,
    IdempotencyKeyRequired,
    IdempotencyKeyReuse,
    IdentityBlocked,
    IdentityConflict,
    InsufficientScope,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    ProfileEmailRequired,
    ProfileTooLarge,
    SegmentflowError,
    StorageUnavailable,
    Unauthorized,
    UnsupportedMediaType,
)

__all__ = [
    "BATCH",
    "ERASURE",
    "ERRORS",
    "EVENT",
    "EVENTS",
    "EXPLANATION",
    "HEALTH",
    "LIVENESS",
    "OPENAPI",
    "PROFILE",
    "PROFILES",
    "READINESS",
    "READING",
    "ROUTES",
    "STORY",
    "Route",
    "allowed_methods",
    "id_in",
    "routes_of",
    "shown_path",
]


@frozen
class Route:
    """One operation.

    Attributes:
        method: its method; GET implies HEAD.
        path: its path, below the prefix that the host chose; a name in braces stands for an id.
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
BATCH: Final = Route(
    "POST",
    "/api/v1/events/batch",
    "trackEvents",
    "Record up to a thousand events, each exactly once, in one transaction.",
    "events:write",
)
EVENT: Final = Route(
    "GET", "/api/v1/events/{eventId}", "getEvent", "Return one event.", "events:read"
)
EXPLANATION: Final = Route(
    "GET",
    "/api/v1/events/{eventId}/explanation",
    "explainEvent",
    "Say what each Journey that listens makes of one event, and why.",
    "events:read",
)
PROFILES: Final = Route(
    "GET",
    "/api/v1/profiles",
    "findProfile",
    "Return the Profile that has an email or an external id.",
    "profiles:read",
)
PROFILE: Final = Route(
    "GET", "/api/v1/profiles/{profileId}", "getProfile", "Return one Profile.", "profiles:read"
)
ERASURE: Final = Route(
    "DELETE",
    "/api/v1/profiles/{profileId}",
    "eraseProfile",
    "Erase a person: her identities and Properties, and what her events say of her.",
    "profiles:erase",
)
STORY: Final = Route(
    "GET",
    "/api/v1/profiles/{profileId}/events",
    "getStory",
    "Return a Profile's events, newest first, and what became of each.",
    "events:read",
)
OPENAPI: Final = Route("GET", "/openapi.json", "getOpenApi", "Describe this API.")
HEALTH: Final = Route("GET", "/healthz", "getHealth", "Tell whether the store takes writes.")
READINESS: Final = Route(
    "GET", "/readyz", "getReadiness", "Tell whether the store takes writes, as /healthz."
)
LIVENESS: Final = Route("GET", "/livez", "getLiveness", "Tell that the process answers.")

READING: Final = (EVENT, EXPLANATION, PROFILES, PROFILE, STORY)
"""What only reads, for a caller who may."""

ROUTES: Final = (EVENTS, BATCH, *READING, ERASURE, OPENAPI, HEALTH, READINESS, LIVENESS)
"""Every route. One whose path has no name in braces stands before those it would match."""

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
    IdentityBlocked,
    Overloaded,
    StorageUnavailable,
    InternalError,
)
"""Every error that a route can answer, by status."""


_PATTERNS: Final = {
    route.path: re.compile(re.sub(r"\\{\w+\\}", "([^/]+)", re.escape(route.path)))
    for route in ROUTES
}


_ENDS: Final = {path: re.compile(f"{each.pattern}$") for path, each in _PATTERNS.items()}

_by_path: Final[dict[str, dict[str, Route]]] = {}
for _route in ROUTES:
    _by_path.setdefault(_route.path, {})[_route.method] = _route


def routes_of(path: str) -> Mapping[str, Route]:
    """Return the routes of a path by their method; none if there is no such path.

    A path that is written out is itself, and no id: as OpenAPI matches paths.
    """
    found = _by_path.get(path)
    if found is None:
        matching = (each for each in _by_path if _PATTERNS[each].fullmatch(path))
        found = _by_path.get(next(matching, ""), {})
    return found


def id_in(route: Route, path: str) -> str:
    """Return what a path has where its route's has a name; empty where it has none."""
    found = _PATTERNS[route.path].fullmatch(path)
    return found[1] if found is not None and found.groups() else ""


def shown_path(path: str) -> str:
    """Return the path of the route that a host's path ends with; ``-`` if it is no route's."""
    if path in _by_path:
        return path
    ends = (route.path for route in ROUTES if _ENDS[route.path].search(path))
    return next(ends, "-")


def allowed_methods(path: str) -> tuple[str, ...]:
    """Return the methods of a path, sorted; none if there is no such path."""
    return _allowed(tuple(routes_of(path)))


@cache
def _allowed(methods: tuple[str, ...]) -> tuple[str, ...]:
    if not methods:
        return ()
    return tuple(sorted({*methods, "OPTIONS", *(["HEAD"] if "GET" in methods else [])}))

"""The paths of the page, as a table, and what each needs."""

from __future__ import annotations

import re
from typing import Final

from attrs import frozen

from segmentflow_console import views
from segmentflow_console.access import Scope
from segmentflow_console.actions import ACTIONS, Action
from segmentflow_console.asked import View

__all__ = ["FIND", "ROUTES", "STYLE", "Found", "Route", "route_of"]

STYLE: Final = "/style.css"
FIND: Final = "/people/find"


@frozen(repr=False)
class Route:
    """A path, and what answers there.

    Attributes:
        path: as it is written, ``{id}`` standing for an id.
        methods: what it takes beside HEAD, where it takes GET.
        scope: what somebody needs who asks.
        view: what answers, or None where an action does.
        action: what it does, or None.
        by_query: whether the query names the subject, by ``id``, since it may be any text.
    """

    path: str
    methods: tuple[str, ...]
    scope: Scope
    view: View | None = None
    action: Action | None = None
    by_query: bool = False


@frozen(repr=False)
class Found:
    """A route that a path leads to, and the id in the path."""

    route: Route
    subject: str


def _path_of(action: Action) -> str:
    return (
        f"/{action.of}/{action.name}"
        if action.of == "journeys"
        else f"/{action.of}/{{id}}/{action.name}"
    )


ROUTES: Final = (
    Route("/", ("GET",), Scope.READ, views.overview),
    Route("/people", ("GET",), Scope.READ, views.people),
    Route(FIND, ("POST",), Scope.READ, views.find),
    Route("/people/{id}", ("GET",), Scope.READ, views.person),
    Route("/events/{id}", ("GET",), Scope.READ, views.event),
    Route("/journeys", ("GET",), Scope.READ, views.journeys),
    Route("/journeys/show", ("GET",), Scope.READ, views.journey, by_query=True),
    Route("/queue", ("GET",), Scope.READ, views.queue),
    Route("/enrollments", ("GET",), Scope.READ, views.enrollments),
    Route("/enrollments/{id}", ("GET",), Scope.READ, views.enrollment),
    Route("/record", ("GET",), Scope.READ, views.record),
    *(
        Route(
            _path_of(action),
            ("GET", "POST"),
            action.scope,
            action=action,
            by_query=action.of == "journeys",
        )
        for action in ACTIONS
    ),
)
"""Every path but that of the style sheet, which needs no scope."""

_ID: Final = "([0-9A-Za-z-]{1,64})"
_PATTERNS: Final = tuple(
    (re.compile(re.escape(route.path).replace(r"\{id\}", _ID)), route) for route in ROUTES
)


def route_of(path: str) -> Found | None:
    """Return the route that a path leads to, or None.

    A path that is written in full goes before one with an id in it.
    """
    for pattern, route in sorted(_PATTERNS, key=lambda each: "{id}" in each[1].path):
        found = pattern.fullmatch(path)
        if found is not None:
            return Found(route, found[1] if pattern.groups else "")
    return None

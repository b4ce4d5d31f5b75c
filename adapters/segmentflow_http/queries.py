"""The queries that routes take.

Knows each operation's parameters, as a table that the OpenAPI document reads too. Must never let a
value of a query into a refusal.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final
from urllib.parse import parse_qsl

from segmentflow_core.errors import InvalidRequest, Violation
from segmentflow_http.routes import Route

__all__ = ["PARAMETERS", "read_query"]

PARAMETERS: Final[Mapping[str, tuple[str, ...]]] = {
    "findProfile": ("email", "externalId"),
    "getStory": ("journeyId", "limit", "before"),
    "explainEvent": ("journeyId",),
    "eraseProfile": ("block",),
}
"""The parameters that the query of each operation may have."""

_MOST_FIELDS: Final = 10


def read_query(route: Route, query: str) -> dict[str, str]:
    """Read a query, each parameter once.

    Raises:
        InvalidRequest: it is no form of UTF-8, or has what the route does not take.
    """
    known = PARAMETERS.get(route.operation_id, ())
    try:
        pairs = parse_qsl(
            query, keep_blank_values=True, errors="strict", max_num_fields=_MOST_FIELDS
        )
    except ValueError:
        raise InvalidRequest.from_violations(
            [Violation("/query", "must be a few parameters in UTF-8")]
        ) from None
    faults: dict[Violation, None] = {}
    given: dict[str, str] = {}
    for name, value in pairs:
        if name not in known:
            faults[Violation("/query", _taken(known))] = None
        elif name in given:
            faults[Violation(f"/query/{name}", "must be given once")] = None
        elif "\0" in value:
            faults[Violation(f"/query/{name}", "must not contain U+0000")] = None
        given[name] = value
    if faults:
        raise InvalidRequest.from_violations([*faults])
    return given


def _taken(known: tuple[str, ...]) -> str:
    return f"takes only {', '.join(known)}" if known else "takes no parameters"

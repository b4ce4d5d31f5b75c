"""What the reading routes answer. Must never let a value of a query into a refusal."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any, Final

from segmentflow_core import AsyncRecords, Records
from segmentflow_core.colour import settle
from segmentflow_core.errors import InvalidRequest, Violation
from segmentflow_core.ports import is_id
from segmentflow_core.wire import (
    event_document,
    explained_document,
    profile_document,
    story_document,
)
from segmentflow_http.queries import read_query
from segmentflow_http.routes import EVENT, EXPLANATION, PROFILE, PROFILES, Route, id_in

__all__ = ["MAX_PAGE", "MAX_PAGE_BYTES", "read_route"]

MAX_PAGE: Final = 100
"""How many events a page of a story has at most, and how many where the query does not say."""

MAX_PAGE_BYTES: Final = 1024 * 1024
"""How long a page of a story gets, but for an event that is longer alone. It ends earlier then, and
says where the next one starts."""

_AT_FIRST: Final = 5
"""How many events are read before it is known how long they are; then twice as many, and so on."""


async def read_route(
    records: Records | AsyncRecords, route: Route, path: str, query: str, organization_id: str
) -> Any:
    """Answer a reading route with a document.

    Raises:
        InvalidRequest: the query breaks a rule; every one is listed.
        NotFound: the Organization has no such record.
    """
    given = read_query(route, query)
    identifier = id_in(route, path)
    of = {"organization_id": organization_id}
    if route is PROFILES:
        email, external_id = given.get("email"), given.get("externalId")
        if (email is None) == (external_id is None):
            raise _refused(Violation("/query", "must have an email or an externalId"))
        found: Any = records.find_profile(email=email, external_id=external_id, **of)
        return profile_document(await settle(found))
    if route is PROFILE:
        found = records.profile(identifier, **of)
        return profile_document(await settle(found))
    if route is EVENT:
        found = records.event(identifier, **of)
        return event_document(await settle(found))
    journey_id = given.get("journeyId")
    if route is EXPLANATION:
        found = records.explain(identifier, journey_id=journey_id, **of)
        return explained_document(await settle(found))
    limit, before = _page(given)
    # Whose it is, first: the story itself would take an email or an external id as well.
    found = records.profile(identifier, **of)
    await settle(found)
    events: list[Any] = []
    size, count = 0, _AT_FIRST
    while True:
        count = min(count, limit - len(events))
        found = records.why(identifier, journey_id=journey_id, limit=count, before=before, **of)
        story = story_document(await settle(found))
        for event in story["events"]:
            size += len(json.dumps(event))
            if events and size > MAX_PAGE_BYTES:
                return {"events": events, "before": events[-1]["eventId"]}
            events.append(event)
        before = story["before"]
        if before is None or len(events) == limit:
            return {"events": events, "before": before}
        count *= 2


def _page(given: Mapping[str, str]) -> tuple[int, str | None]:
    """Return how many events a page has at most, and which id it starts before."""
    limit, before = given.get("limit", str(MAX_PAGE)), given.get("before")
    faults: list[Violation] = []
    count = int(limit) if limit.isascii() and limit.isdigit() and len(limit) < 4 else 0
    if not 1 <= count <= MAX_PAGE:
        faults.append(Violation("/query/limit", f"must be a number from 1 to {MAX_PAGE}"))
    if before is not None and not is_id(before):
        faults.append(Violation("/query/before", "must be an id, as a page before has it"))
    if faults:
        raise _refused(*faults)
    return count, before


def _refused(*violations: Violation) -> InvalidRequest:
    return InvalidRequest.from_violations(violations)

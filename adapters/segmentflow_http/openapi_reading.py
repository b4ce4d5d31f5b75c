"""The operations of the OpenAPI document on what is stored: their parameters and answers.

Knows the shape of each document. Bounds are those of the code that enforces them.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segmentflow_core import EnrollmentStatus
from segmentflow_core.explanation import SKIP_REASONS
from segmentflow_http.queries import PARAMETERS
from segmentflow_http.reading import MAX_PAGE
from segmentflow_http.routes import EVENT, EXPLANATION, PROFILE, PROFILES, STORY, Route

__all__ = ["ANSWERS", "ERASURE_EXAMPLE", "READING_SCHEMAS", "parameters_of"]

_ID: Final[dict[str, Any]] = {"type": "string", "format": "uuid"}
_TEXT: Final[dict[str, Any]] = {"type": "string"}
_MOMENT: Final[dict[str, Any]] = {"type": "string", "format": "date-time"}
_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0}
_OBJECT: Final[dict[str, Any]] = {"type": "object"}


def _or_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"oneOf": [schema, {"type": "null"}]}


def _all_of(properties: Mapping[str, Any], *optional: str) -> dict[str, Any]:
    """Describe an object that has all of these members and no other; some may be left out."""
    return {
        "type": "object",
        "additionalProperties": False,
        "required": [name for name in properties if name not in optional],
        "properties": dict(properties),
    }


def _listed(schema: Mapping[str, Any]) -> dict[str, Any]:
    return {"type": "array", "items": schema}


def _named(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


_OUTCOME: Final[dict[str, Any]] = {
    "journeyId": _TEXT,
    "version": {"type": "integer", "minimum": 1},
    "outcome": {"type": "string", "enum": ["enrolled", "skipped"]},
    "reason": _or_null({"type": "string", "enum": [str(reason) for reason in SKIP_REASONS]}),
}
_WITHDREW: Final[dict[str, Any]] = {
    **_listed(_all_of({"enrollmentId": _ID, "journeyId": _TEXT, "marked": {"type": "boolean"}})),
    "description": "Enrollments that it withdrew; those that a worker held were marked. Left out"
    " where there are none.",
}
_EVENT: Final[dict[str, Any]] = {
    "eventId": _ID,
    "profileId": _ID,
    "event": _TEXT,
    "data": {"type": "object", "description": "Redacted before it was stored."},
    "referenceId": _or_null(_TEXT),
    "occurredAt": _MOMENT,
    "receivedAt": _MOMENT,
    "withdrew": _WITHDREW,
}

READING_SCHEMAS: Final[dict[str, Any]] = {
    "Profile": _all_of(
        {
            "profileId": _ID,
            "email": _or_null(_TEXT),
            "externalId": _or_null(_TEXT),
            "properties": _OBJECT,
            "createdAt": _MOMENT,
            "updatedAt": _MOMENT,
            "aliases": {**_COUNT, "description": "How many identities merges brought it."},
            "suppressedAt": {
                **_or_null(_MOMENT),
                "description": "Since when no Journey enrols it.",
            },
            "mergedInto": {**_or_null(_ID), "description": "The Profile that stayed."},
            "erasedAt": {**_or_null(_MOMENT), "description": "When it was erased."},
            "scrubbedAt": {
                **_or_null(_MOMENT),
                "description": "When its events said no more of the person either.",
            },
        }
    ),
    "Erasure": _all_of(
        {
            "profileId": _ID,
            "withdrawn": {**_COUNT, "description": "Enrollments that this request withdrew."},
            "blocked": {**_COUNT, "description": "Identities that this request blocked."},
            "scrubbed": {**_COUNT, "description": "Records that this request scrubbed."},
            "done": {
                "type": "boolean",
                "description": "Whether nothing is left; if not, the same request goes on.",
            },
        }
    ),
    "Event": _all_of({**_EVENT, "outcomes": _listed(_all_of(_OUTCOME))}, "withdrew"),
    "Enrollment": _all_of(
        {
            "enrollmentId": _ID,
            "journeyId": _TEXT,
            "version": {"type": "integer", "minimum": 1},
            "profileId": _ID,
            "eventId": _ID,
            "entryKey": _or_null(_TEXT),
            "enteredAt": _MOMENT,
            "status": {"type": "string", "enum": [str(status) for status in EnrollmentStatus]},
            "availableAt": _or_null(_MOMENT),
            "attempts": _COUNT,
            "completedAt": _or_null(_MOMENT),
            "lastFailure": _or_null(_TEXT),
            "withdrawnAt": _or_null(_MOMENT),
            "cancelledBy": {**_or_null(_ID), "description": "The event that withdraws it."},
        }
    ),
    "Story": _all_of(
        {
            "events": _listed(
                _all_of(
                    {
                        **_EVENT,
                        "outcomes": _listed(
                            _all_of(
                                {
                                    **_OUTCOME,
                                    "enrollment": _or_null(_named("Enrollment")),
                                    "explanation": _OBJECT,
                                },
                                "explanation",
                            )
                        ),
                    },
                    "withdrew",
                )
            ),
            "before": {**_or_null(_ID), "description": "Where the next page starts."},
        }
    ),
    "Explanation": _all_of(
        {
            "eventId": _ID,
            "profileId": _ID,
            "event": _TEXT,
            "occurredAt": _MOMENT,
            "receivedAt": _MOMENT,
            "unmatchedPaths": _listed(_TEXT),
            "journeys": _listed(
                {
                    "type": "object",
                    "required": [*_OUTCOME, "enrollment"],
                    "properties": {
                        **_OUTCOME,
                        "version": _or_null(_OUTCOME["version"]),
                        "enrollment": {
                            **_or_null(_named("Enrollment")),
                            "description": "What the event made, as it stands now.",
                        },
                    },
                }
            ),
            "silent": _listed(_OBJECT),
            "withdrew": _WITHDREW,
            "otherEnrollments": {
                **_listed(_named("Enrollment")),
                "description": "What the event made in Journeys that do not listen for it today."
                " Left out where there are none.",
            },
        },
        "withdrew",
        "otherEnrollments",
    ),
}
"""The documents that reading answers with, by name."""

ANSWERS: Final[dict[str, tuple[str, str]]] = {
    EVENT.operation_id: ("The event, with its outcomes.", "Event"),
    EXPLANATION.operation_id: ("What each Journey that listens makes of it.", "Explanation"),
    PROFILES.operation_id: ("The Profile.", "Profile"),
    PROFILE.operation_id: ("The Profile.", "Profile"),
    STORY.operation_id: ("A page of the story.", "Story"),
}
"""What each operation answers: a description, and the name of the document's schema."""

ERASURE_EXAMPLE: Final[Mapping[str, Any]] = {
    "profileId": "019bf964-302b-7a7f-add2-589343ef9f31",
    "withdrawn": 1,
    "blocked": 2,
    "scrubbed": 14,
    "done": True,
}
"""What the erasure of one person answers."""

_QUERY: Final[dict[str, tuple[str, dict[str, Any]]]] = {
    "email": ("The Profile's email today, in any case; or give an externalId.", _TEXT),
    "externalId": ("The Profile's external id; or give an email.", _TEXT),
    "journeyId": ("Only this Journey.", _TEXT),
    "limit": (
        "How many events to look at, at most.",
        {"type": "integer", "minimum": 1, "maximum": MAX_PAGE, "default": MAX_PAGE},
    ),
    "block": (
        "Refuse events with the person's identities from now on. Decided by the first request.",
        {"type": "boolean", "default": False},
    ),
    "before": ("Only events below this id: `before` of the page before.", _ID),
}


def parameters_of(route: Route) -> list[dict[str, Any]]:
    """Describe the parameters of an operation, in its path and in its query."""
    names = [part[1:-1] for part in route.path.split("/") if part.startswith("{")]
    return [
        *({"name": name, "in": "path", "required": True, "schema": _ID} for name in names),
        *(
            {
                "name": name,
                "in": "query",
                "description": _QUERY[name][0],
                "schema": _QUERY[name][1],
            }
            for name in PARAMETERS.get(route.operation_id, ())
        ),
    ]

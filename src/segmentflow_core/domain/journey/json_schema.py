"""The JSON Schema of a Journey file, for editors: made from the tables that check one.

Knows the tables of Journeys and conditions, and JSON Schema 2020-12. A schema cannot
express size, depth, ids given twice, the order of a window or of two counts, how many leaves
count earlier events, that 1.0 is no whole number here, or real calendar dates:
`journey_definitions` checks those.
"""

from __future__ import annotations

from typing import Any, Final

from segmentflow_core.domain.condition import condition_json_schema
from segmentflow_core.domain.duration import DURATION_SCHEMA_PATTERN
from segmentflow_core.domain.journey.definition import (
    MAX_CANCEL_RULES,
    MAX_KEY_PARTS,
    MAX_NAME,
    MAX_TIMES,
    OPTIONAL_REENTRY_MEMBERS,
    REENTRY_MEMBERS,
    JourneyStatus,
    ReentryPolicy,
)

__all__ = ["journey_file_json_schema"]


def journey_file_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a Journey file.

    Its `$defs` are `journey` and those of the condition's schema.
    """
    condition = condition_json_schema()
    return {
        "$schema": condition["$schema"],
        "title": "Journey file",
        **_object({"journeys": {"type": "array", "items": {"$ref": "#/$defs/journey"}}}),
        "$defs": {"journey": _JOURNEY, **condition["$defs"]},
    }


def _object(members: dict[str, Any], *optional: str, description: str = "") -> dict[str, Any]:
    schema: dict[str, Any] = {
        "type": "object",
        "properties": members,
        "required": [name for name in members if name not in optional],
        "additionalProperties": False,
    }
    return {"description": description, **schema} if description else schema


def _name(description: str) -> dict[str, Any]:
    return {"description": description, "type": "string", "minLength": 1, "maxLength": MAX_NAME}


def _duration(description: str) -> dict[str, Any]:
    return {"description": description, "type": "string", "pattern": DURATION_SCHEMA_PATTERN}


def _moment(description: str) -> dict[str, Any]:
    return {"description": description, "type": "string", "format": "date-time"}


_PATH: Final = {"$ref": "#/$defs/statePath"}
_REENTRY_MEMBERS: Final[dict[str, Any]] = {
    "key": {
        "description": "Where in the state document the parts of the entry key stand.",
        "oneOf": [
            _PATH,
            {"type": "array", "items": _PATH, "minItems": 1, "maxItems": MAX_KEY_PARTS},
        ],
    },
    "duration": _duration("How long after an entry the next one is let in."),
    "times": {
        "description": "How many entries are let in.",
        "type": "integer",
        "minimum": 1,
        "maximum": MAX_TIMES,
    },
    "within": _duration("For how long an entry counts."),
}
_POLICIES: Final[dict[ReentryPolicy, str]] = {
    ReentryPolicy.EVERY_EVENT: "Every event enrols.",
    ReentryPolicy.ONCE: "A Profile enters once.",
    ReentryPolicy.ONCE_PER_KEY: "A Profile enters once for each entry key.",
    ReentryPolicy.COOLDOWN: "A Profile enters again only when the duration is over.",
    ReentryPolicy.AT_MOST: "A Profile enters so many times within a period, or so many with a key.",
}


def _reentry() -> dict[str, Any]:
    return {
        "oneOf": [
            _object(
                {
                    "policy": {"const": str(policy)},
                    **{name: _REENTRY_MEMBERS[name] for name in (*needed, *optional)},
                },
                *optional,
                description=_POLICIES[policy],
            )
            for policy, needed in REENTRY_MEMBERS.items()
            for optional in [OPTIONAL_REENTRY_MEMBERS.get(policy, ())]
        ]
    }


_WINDOW: Final = {
    **_object(
        {
            "from": _moment("The first instant."),
            "until": _moment("The first instant after it."),
        },
        "from",
        "until",
        description="When an event must have happened.",
    ),
    "minProperties": 1,
}
_JOURNEY: Final = _object(
    {
        "id": _name("Unique in the Organization."),
        "name": _name("For people; the id where it is left out."),
        "status": {
            "description": "Only an active Journey listens.",
            "enum": [str(status) for status in JourneyStatus],
        },
        "trigger": _object(
            {
                "event": _name("The event's name, matched exactly."),
                "where": {"$ref": "#/$defs/condition"},
            },
            "where",
            description="What the Journey listens for.",
        ),
        "reentry": _reentry(),
        "window": _WINDOW,
        "maxLateness": _duration("How long after it happened an event may be received."),
        "sample": _object(
            {
                "percent": {"type": "number", "minimum": 0, "maximum": 100},
                "seed": _name("One seed is one choice of Profiles, for ever."),
            },
            description="The share of Profiles that may enter.",
        ),
        "delay": _duration("How long after it happened an Enrollment waits to be handed over."),
        "cancelOn": {
            "description": "Which later events of the Profile withdraw an Enrollment.",
            "type": "array",
            "items": _object(
                {
                    "event": _name("The event's name, matched exactly."),
                    "same": {
                        "description": "Where both events must have equal values.",
                        "type": "array",
                        "items": _PATH,
                        "minItems": 1,
                        "maxItems": MAX_KEY_PARTS,
                    },
                },
                "same",
            ),
            "minItems": 1,
            "maxItems": MAX_CANCEL_RULES,
        },
    },
    "name",
    "reentry",
    "window",
    "maxLateness",
    "sample",
    "delay",
    "cancelOn",
    description="An automation with a trigger.",
)

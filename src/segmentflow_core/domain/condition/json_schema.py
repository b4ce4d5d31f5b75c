"""The JSON Schema of a condition, made from the operator table.

Knows the table and JSON Schema 2020-12. A schema cannot express depth, size, the order
of two counts, how many leaves count earlier events, that 1.0 is no count, or real calendar dates:
`check_condition` checks those.
"""

from __future__ import annotations

from typing import Any, Final

from segmentflow_core.domain.condition.did import MAX_EVENT_NAME, MAX_SAME, MAX_TIMES, TIMES
from segmentflow_core.domain.condition.operators import OPERATORS, Operator
from segmentflow_core.domain.duration import DURATION_SCHEMA_PATTERN

__all__ = ["condition_json_schema"]

_TOKENS: Final = "(/([^~/]|~[01])*)"
_STATE_PATH: Final = (
    f"^(/event{_TOKENS}+|/profile/email|/profile/externalId|/profile/properties{_TOKENS}+)$"
)
_ITEM_PATH: Final = f"^{_TOKENS}*$"


def condition_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a condition's definition.

    `$defs` holds `condition`, whose paths start at the state document, `itemCondition`, whose
    paths start at one item of an array, and `earlierCondition`, whose paths start at the state
    document of an earlier event. The schema itself is `condition`.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Condition",
        "$ref": "#/$defs/condition",
        "$defs": {
            "condition": _node("condition", "statePath", _did()),
            "itemCondition": _node("itemCondition", "itemPath"),
            "earlierCondition": _node("earlierCondition", "statePath"),
            "statePath": {
                "description": "JSON Pointer (RFC 6901) into the state document.",
                "type": "string",
                "pattern": _STATE_PATH,
            },
            "itemPath": {
                "description": 'JSON Pointer (RFC 6901) into one item; "" is the item itself.',
                "type": "string",
                "pattern": _ITEM_PATH,
            },
        },
    }


def _node(name: str, path: str, *more: dict[str, Any]) -> dict[str, Any]:
    inner = {"$ref": f"#/$defs/{name}"}
    several = {"type": "array", "items": inner, "minItems": 1}
    return {
        "oneOf": [
            _object({"all": several}, "Every one of the conditions is met."),
            _object({"any": several}, "At least one of the conditions is met."),
            _object({"not": inner}, "The condition is not met."),
            *(_leaf(operator, path) for operator in OPERATORS.values()),
            *more,
        ]
    }


def _leaf(operator: Operator, path: str) -> dict[str, Any]:
    members: dict[str, Any] = {"path": {"$ref": f"#/$defs/{path}"}, "op": {"const": operator.name}}
    if operator.value == "condition":
        members["value"] = {"$ref": "#/$defs/itemCondition"}
    elif operator.value is not None:
        members["value"] = {"description": operator.value.summary, **operator.value.schema}
    return _object(members, f"What the path finds {operator.summary}.")


_COUNT: Final[dict[str, Any]] = {"type": "integer", "minimum": 0, "maximum": MAX_TIMES}


def _did() -> dict[str, Any]:
    counts: dict[str, Any] = {
        op: {"type": "array", "items": _COUNT, "minItems": 2, "maxItems": 2}
        if op == "between"
        else _COUNT
        for op in TIMES
    }
    members: dict[str, Any] = {
        "did": {
            "description": "The name of the earlier events that are counted.",
            "type": "string",
            "minLength": 1,
            "maxLength": MAX_EVENT_NAME,
        },
        "times": {
            "description": "How many there must be; one or more where it is left out.",
            "oneOf": [
                _object({op: count}, f"There must be {TIMES[op]}.") for op, count in counts.items()
            ],
        },
        "within": {
            "description": "How long before the event they may have occurred.",
            "type": "string",
            "pattern": DURATION_SCHEMA_PATTERN,
        },
        "where": {
            "description": "What each of them must meet.",
            "$ref": "#/$defs/earlierCondition",
        },
        "same": {
            "description": "Where each must have the value that the event itself has.",
            "type": "array",
            "items": {"$ref": "#/$defs/statePath"},
            "minItems": 1,
            "maxItems": MAX_SAME,
        },
    }
    summary = "The Profile has done this before, so many times."
    return {**_object(members, summary), "required": ["did"]}


def _object(members: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }

"""The JSON Schema of a condition, made from the operator table.

Knows the table and JSON Schema 2020-12. A schema cannot express depth, size or real
calendar dates: `check_condition` checks those.
"""

from __future__ import annotations

from typing import Any, Final

from segmentflow_core.domain.condition.operators import OPERATORS, Operator

__all__ = ["condition_json_schema"]

_TOKENS: Final = "(/([^~/]|~[01])*)"
_STATE_PATH: Final = (
    f"^(/event{_TOKENS}+|/profile/email|/profile/externalId|/profile/properties{_TOKENS}+)$"
)
_ITEM_PATH: Final = f"^{_TOKENS}*$"


def condition_json_schema() -> dict[str, Any]:
    """Return the JSON Schema (2020-12) of a condition's definition.

    `$defs` holds `condition`, whose paths start at the state document, and `itemCondition`,
    whose paths start at one item of an array. The schema itself is `condition`.
    """
    return {
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Condition",
        "$ref": "#/$defs/condition",
        "$defs": {
            "condition": _node("condition", "statePath"),
            "itemCondition": _node("itemCondition", "itemPath"),
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


def _node(name: str, path: str) -> dict[str, Any]:
    inner = {"$ref": f"#/$defs/{name}"}
    several = {"type": "array", "items": inner, "minItems": 1}
    return {
        "oneOf": [
            _object({"all": several}, "Every one of the conditions is met."),
            _object({"any": several}, "At least one of the conditions is met."),
            _object({"not": inner}, "The condition is not met."),
            *(_leaf(operator, path) for operator in OPERATORS.values()),
        ]
    }


def _leaf(operator: Operator, path: str) -> dict[str, Any]:
    members: dict[str, Any] = {"path": {"$ref": f"#/$defs/{path}"}, "op": {"const": operator.name}}
    if operator.value == "condition":
        members["value"] = {"$ref": "#/$defs/itemCondition"}
    elif operator.value is not None:
        members["value"] = {"description": operator.value.summary, **operator.value.schema}
    return _object(members, f"What the path finds {operator.summary}.")


def _object(members: dict[str, Any], description: str) -> dict[str, Any]:
    return {
        "description": description,
        "type": "object",
        "properties": members,
        "required": list(members),
        "additionalProperties": False,
    }

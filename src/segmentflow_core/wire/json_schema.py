"""The wire's documents as JSON Schema (2020-12), from the same classes and limits as the checks.

Rules of the request that a schema cannot express are written in its descriptions.
"""

from __future__ import annotations

import re
from typing import Any, Final

from attrs import fields_dict

from segmentflow_core.domain.event import Receipt
from segmentflow_core.domain.request import (
    DEFAULT_LIMITS,
    EMAIL_PATTERN,
    MAX_EMAIL,
    MAX_NAME,
    PLACEHOLDERS,
    Limits,
    ProfileInput,
    TrackRequest,
)
from segmentflow_core.wire.documents import camel_case, receipt_document

__all__ = [
    "IDEMPOTENCY_KEY_SCHEMA",
    "json_value_schema",
    "receipt_json_schema",
    "request_json_schema",
]

_NO_NULL_CHARACTER: Final = r"^[^\u0000]*$"
_NAME: Final = {
    "type": "string",
    "minLength": 1,
    "maxLength": MAX_NAME,
    "pattern": _NO_NULL_CHARACTER,
}
_WHITE_SPACE: Final = (
    "\\t-\\r\\u001c- \\u0085\\u00a0\\u1680\\u2000-\\u200a\\u2028\\u2029\\u202f\\u205f\\u3000"
)
_DEFINITION: Final = "#/$defs/JsonValue"

IDEMPOTENCY_KEY_SCHEMA: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    # A header cannot start or end with a space. One pair of double quotes is taken off.
    "pattern": r'^(?!""$)[!-~]([ -~]*[!-~])?$',
}

_REQUEST: Final[dict[str, dict[str, Any]]] = {
    "event": {**_NAME, "description": "The event's name, matched exactly."},
    "profile": {"description": "Whom it is about: an email, an external id, or both."},
    "data": {"description": "The event's own data."},
    "redacted_data_paths": {
        "type": "array",
        "items": {"type": "string", "pattern": r"^/event/([^~\u0000]|~[01])*$"},
        "description": "JSON Pointers (RFC 6901) to what must not be stored.",
    },
    "reference_id": {**_NAME, "description": "The caller's own id; for correlation only."},
    "occurred_at": {
        "type": "string",
        "format": "date-time",
        "description": "When it happened; default: on receipt. Seconds may be left out.",
    },
}
_PROFILE: Final[dict[str, dict[str, Any]]] = {
    "email": {
        "type": "string",
        "maxLength": MAX_EMAIL,
        "pattern": EMAIL_PATTERN,
        "description": "Identifies the Profile, whatever its case; trimmed.",
    },
    "external_id": {**_NAME, "description": "The caller's own id of the Profile."},
    "properties": {"description": "Profile Properties to set; null removes one."},
}


def json_value_schema(reference: str = _DEFINITION) -> dict[str, Any]:
    """Describe a JSON value that a request may hold.

    The bounds of integers are left out. To a schema 1e300 is an integer, so they would refuse
    it, while it is admitted as a double.

    Args:
        reference: where this schema stands, for values inside values.
    """
    return {
        "description": "Any JSON. A number without a fraction and an exponent lies in -2^63 to "
        "2^64-1; any other is a finite double.",
        "anyOf": [
            {"type": ["null", "boolean", "number"]},
            {"type": "string", "pattern": _NO_NULL_CHARACTER},
            {"type": "array", "items": {"$ref": reference}},
            _object(reference),
        ],
    }


def request_json_schema(
    limits: Limits = DEFAULT_LIMITS, *, json_value: str | None = None
) -> dict[str, Any]:
    """Describe the request of `events.track`.

    Args:
        limits: what it may hold.
        json_value: where `json_value_schema` stands; default: inside this schema.
    """
    anything = _object(json_value or _DEFINITION)
    external_id = {} if limits.allow_placeholder_ids else {"not": {"pattern": _placeholders()}}
    profile = {
        "type": "object",
        "additionalProperties": False,
        "anyOf": [{"required": ["email"]}, {"required": ["externalId"]}],
        "properties": _properties(
            ProfileInput, _PROFILE, properties=anything, external_id=external_id
        ),
    }
    schema = {
        "type": "object",
        "description": f"At most {limits.max_bytes} bytes of UTF-8, nested {limits.max_depth} deep;"
        " no U+0000, no lone surrogates and no member twice.",
        "additionalProperties": False,
        "required": ["event", "profile"],
        "properties": _properties(TrackRequest, _REQUEST, profile=profile, data=anything),
    }
    return schema if json_value else {**schema, "$defs": {"JsonValue": json_value_schema()}}


def receipt_json_schema() -> dict[str, Any]:
    """Describe the answer to an accepted event."""
    document = receipt_document(Receipt("", "", 0, 0, 0))
    kinds: dict[type, dict[str, Any]] = {
        str: {"type": "string", "format": "uuid"},
        int: {"type": "integer", "minimum": 0},
    }
    return {
        "type": "object",
        "additionalProperties": False,
        "required": list(document),
        "properties": {name: kinds[type(value)] for name, value in document.items()},
    }


def _placeholders() -> str:
    """Return the pattern of external ids that are refused; JSON Schema knows no flag for case."""
    words = [
        "".join(f"[{c.upper()}{c.lower()}]" if c.isalpha() else re.escape(c) for c in word)
        for word in PLACEHOLDERS
    ]
    return f"^({'|'.join(words)}|[{_WHITE_SPACE}]+)$"


def _object(reference: str) -> dict[str, Any]:
    return {
        "type": "object",
        "propertyNames": {"pattern": _NO_NULL_CHARACTER},
        "additionalProperties": {"$ref": reference},
    }


def _properties(
    kind: type[Any], rules: dict[str, dict[str, Any]], **nested: dict[str, Any]
) -> dict[str, dict[str, Any]]:
    return {camel_case(name): {**nested.get(name, {}), **rules[name]} for name in fields_dict(kind)}

"""The batch of the OpenAPI document: its schemas and examples, made from those of one event."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from segmentflow_core.wire import MAX_BATCH

__all__ = ["BATCH_ANSWER_EXAMPLE", "batch_example", "batch_schemas"]

_KEY: Final[dict[str, Any]] = {
    "type": "string",
    "minLength": 1,
    "maxLength": 255,
    "pattern": "^[ -~]*$",
    "description": "The same for every retry of this event, in a batch or alone; case-sensitive.",
}
_RESULT: Final[dict[str, Any]] = {
    "status": {"type": "integer", "description": "The status that the event alone would get."},
    "receipt": {"$ref": "#/components/schemas/Receipt"},
    "idempotentReplayed": {
        "const": True,
        "description": "Present where an earlier call with the same key recorded the event.",
    },
    "redactionUnmatched": {
        "type": "integer",
        "minimum": 1,
        "description": "How many of redactedDataPaths name nothing in data, where any do.",
    },
    "error": {"$ref": "#/components/schemas/Error"},
    "shouldRetry": {
        "type": "boolean",
        "description": "Whether the same event, with the same key, may yet be accepted.",
    },
}


def batch_schemas(request: Mapping[str, Any], max_bytes: int) -> dict[str, Any]:
    """Describe a batch and its answer, by name.

    Args:
        request: the schema of one request.
        max_bytes: how many bytes a batch may have.
    """
    return {
        "Batch": {
            "type": "object",
            "description": f"At most {max_bytes} bytes of UTF-8.",
            "additionalProperties": False,
            "required": ["events"],
            "properties": {
                "events": {
                    "type": "array",
                    "maxItems": MAX_BATCH,
                    "items": {"$ref": "#/components/schemas/BatchedEvent"},
                }
            },
        },
        "BatchedEvent": {
            **request,
            "required": ["idempotencyKey", *request["required"]],
            "properties": {"idempotencyKey": _KEY, **request["properties"]},
        },
        "BatchResults": {
            "type": "object",
            "additionalProperties": False,
            "required": ["results"],
            "properties": {"results": {"type": "array", "items": _result()}},
        },
    }


def batch_example(request: Mapping[str, Any], key: str) -> dict[str, Any]:
    """Return a batch of two events, of which the second gives no Profile."""
    second = {"idempotencyKey": "order.paid:ord_9421", "event": "order.paid"}
    return {"events": [{"idempotencyKey": key, **request}, second]}


_MISSING: Final = {"path": "/events/1/profile", "message": "is required"}

BATCH_ANSWER_EXAMPLE: Final[Mapping[str, Any]] = {
    "results": [
        {
            "status": 202,
            "receipt": {
                "eventId": "019bf964-302b-7a7f-add2-589343ef9f32",
                "profileId": "019bf964-302b-7a7f-add2-589343ef9f31",
                "matchedJourneys": 0,
                "enrolledJourneys": 0,
                "skippedJourneys": 0,
            },
        },
        {
            "status": 400,
            "error": {
                "error": "invalid_request",
                "message": "The request is not valid.",
                "details": {
                    "violations": [{"path": "/events/1/profile", "message": "is required"}]
                },
            },
            "shouldRetry": False,
        },
    ]
}
"""The answer to `batch_example`."""


def _result() -> dict[str, Any]:
    accepted = ("status", "receipt", "idempotentReplayed", "redactionUnmatched")
    refused = ("status", "error", "shouldRetry")
    return {
        "oneOf": [
            {
                "type": "object",
                "additionalProperties": False,
                "required": ["status", names[1]],
                "properties": {name: _RESULT[name] for name in names},
            }
            for names in (accepted, refused)
        ]
    }

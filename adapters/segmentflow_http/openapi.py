"""The OpenAPI 3.1 document, made from the table of routes, the table of errors and the rules.

Rules are taken from the code that enforces them, never written here again.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping, Sequence
from typing import Any, Final

from segmentflow_core import Limits, SegmentflowError, __version__
from segmentflow_core.errors import (
    IdempotencyInProgress,
    InsufficientScope,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    StorageUnavailable,
    Unauthorized,
    UnsupportedMediaType,
)
from segmentflow_core.wire import (
    IDEMPOTENCY_KEY_SCHEMA,
    json_value_schema,
    receipt_json_schema,
    request_json_schema,
)
from segmentflow_http.batches import DEFAULT_MAX_BATCH_BYTES
from segmentflow_http.erasing import AT_MOST
from segmentflow_http.openapi_batch import BATCH_ANSWER_EXAMPLE, batch_example, batch_schemas
from segmentflow_http.openapi_reading import (
    ANSWERS,
    ERASURE_EXAMPLE,
    READING_SCHEMAS,
    parameters_of,
)
from segmentflow_http.routes import (
    BATCH,
    ERASURE,
    ERRORS,
    EVENTS,
    HEALTH,
    LIVENESS,
    OPENAPI,
    PROFILE,
    READINESS,
    READING,
    Route,
)

__all__ = ["DOCUMENTED_KEY", "DOCUMENTED_RECEIPT", "DOCUMENTED_REQUEST", "openapi_document"]

DOCUMENTED_KEY: Final = "order.created:ord_9421"
DOCUMENTED_REQUEST: Final[Mapping[str, Any]] = {
    "event": "order.created",
    "profile": {
        "email": "alex@example.com",
        "externalId": "cus_123",
        "properties": {"firstName": "Alex", "plan": "Pro"},
    },
    "data": {"orderId": "ord_9421", "total": 49, "payment": {"token": "tok_live_abc"}},
    "redactedDataPaths": ["/event/payment/token"],
    "referenceId": "ord_9421",
    "occurredAt": "2026-05-31T12:00:00.000Z",
}
"""The example that every face accepts as it stands. See docs/reference/rules/request.md."""

DOCUMENTED_RECEIPT: Final[Mapping[str, Any]] = {
    "eventId": "019bf964-302b-7a7f-add2-589343ef9f32",
    "profileId": "019bf964-302b-7a7f-add2-589343ef9f31",
    "matchedJourneys": 0,
    "enrolledJourneys": 0,
    "skippedJourneys": 0,
}

_JSON_VALUE: Final = "#/components/schemas/JsonValue"

_ELSEWHERE: Final = (NotFound, MethodNotAllowed)
"""Answers to paths and methods that the document does not describe."""

_OF_BATCHES: Final = (
    InvalidRequest,
    Unauthorized,
    InsufficientScope,
    IdempotencyInProgress,
    PayloadTooLarge,
    UnsupportedMediaType,
    Overloaded,
    StorageUnavailable,
    InternalError,
)
"""What a batch may be answered with in place of its results."""

_OF_STORED: Final = (
    InvalidRequest,
    Unauthorized,
    InsufficientScope,
    NotFound,
    PayloadTooLarge,
    Overloaded,
    StorageUnavailable,
    InternalError,
)
"""What reading and erasing may answer with in place of a document."""

_TEXTS: Final[dict[str, Any]] = {"type": "array", "items": {"type": "string"}}

_DETAILS: Final[dict[str, dict[str, tuple[dict[str, Any], Any]]]] = {
    "invalid_request": {
        "violations": (
            {
                "type": "array",
                "items": {
                    "type": "object",
                    "required": ["path", "message"],
                    "properties": {"path": {"type": "string"}, "message": {"type": "string"}},
                },
                "description": "Every broken rule, by JSON Pointer.",
            },
            [{"path": "/redactedDataPath", "message": "is not a known field"}],
        ),
    },
    "insufficient_scope": {
        "required": ({**_TEXTS, "description": "The scopes needed."}, ["events:write"]),
    },
    "idempotency_key_reuse": {
        "changedPaths": (
            {**_TEXTS, "description": "What differs from the first request, by JSON Pointer."},
            ["/data/total"],
        ),
        "redactedPaths": (
            {**_TEXTS, "description": "What the request redacts and so was not compared."},
            ["/data/payment/token"],
        ),
    },
    "payload_too_large": {
        "maxBytes": (
            {"type": "integer", "description": "How many bytes a request may have."},
            256 * 1024,
        ),
    },
}
"""What `details` holds, by error code: each member by name, its schema, an example."""

_RESPONSE_HEADERS: Final[dict[str, dict[str, Any]]] = {
    "x-should-retry": {
        "description": "Whether the same request, with the same key, may yet be accepted.",
        "schema": {"type": "string", "enum": ["true", "false"]},
    },
    "retry-after": {
        "description": "Seconds to wait before that.",
        "schema": {"type": "integer", "minimum": 0},
    },
    "idempotent-replayed": {
        "description": "Present where this is the answer to an earlier call with the same key.",
        "schema": {"type": "string", "const": "true"},
    },
    "redaction-unmatched": {
        "description": "How many of redactedDataPaths name nothing in data, where any do: each "
        "may be mistyped, and protects nothing.",
        "schema": {"type": "integer", "minimum": 1},
    },
    "x-request-id": {
        "description": "What names the request in the logs: as sent, or made.",
        "schema": {"type": "string"},
    },
    "allow": {
        "description": "The methods of this path.",
        "schema": {"type": "string"},
    },
}


def openapi_document(
    limits: Limits, *, prefix: str = "", max_batch_bytes: int = DEFAULT_MAX_BATCH_BYTES
) -> dict[str, Any]:
    """Describe the API.

    Args:
        limits: how much JSON one request may hold.
        prefix: what the host puts before every path.
        max_batch_bytes: how many bytes a batch may have.
    """
    request = request_json_schema(limits, json_value=_JSON_VALUE)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "segmentflow",
            "version": __version__,
            "summary": "Records identified business events durably and exactly once.",
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/"}],
        "paths": {
            prefix + EVENTS.path: {"post": _track_operation()},
            prefix + BATCH.path: {"post": _batch_operation()},
            **{prefix + route.path: {"get": _reading_operation(route)} for route in READING},
            prefix + ERASURE.path: {
                "get": _reading_operation(PROFILE),
                "delete": _erasing_operation(),
            },
            prefix + OPENAPI.path: {
                "get": _operation(OPENAPI, {"200": _answer("This document.", {"type": "object"})})
            },
            **{prefix + route.path: {"get": _health_operation(route)} for route in _HEALTH},
        },
        "components": {
            "securitySchemes": {
                "apiKey": {
                    "type": "apiKey",
                    "in": "header",
                    "name": "x-api-key",
                    "description": "A server-side API Key, sk_live_… or sk_test_….",
                }
            },
            "headers": _RESPONSE_HEADERS,
            "schemas": {
                "TrackRequest": request,
                "JsonValue": json_value_schema(_JSON_VALUE),
                "Receipt": receipt_json_schema(),
                "Health": {
                    "type": "object",
                    "required": ["status"],
                    "properties": {"status": {"type": "string", "const": "ok"}},
                },
                **batch_schemas(request, max_batch_bytes),
                **READING_SCHEMAS,
                "Error": _error_schema(),
            },
        },
    }


def _track_operation() -> dict[str, Any]:
    accepted = _answer("The receipt.", _schema("Receipt"), example=DOCUMENTED_RECEIPT)
    for name in ("idempotent-replayed", "redaction-unmatched"):
        accepted["headers"][name] = _header(name)
    refused = [cls for cls in ERRORS if cls not in _ELSEWHERE]
    return {
        **_operation(EVENTS, {"202": accepted, **_refusals(refused)}),
        "security": [{"apiKey": []}],
        "parameters": [
            {
                "name": "idempotency-key",
                "in": "header",
                "required": True,
                "description": "The same for every retry of this event; case-sensitive.",
                "schema": IDEMPOTENCY_KEY_SCHEMA,
                "example": DOCUMENTED_KEY,
            }
        ],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _schema("TrackRequest"),
                    "example": DOCUMENTED_REQUEST,
                }
            },
        },
    }


def _batch_operation() -> dict[str, Any]:
    answered = _answer(
        "A result for each event, in order.", _schema("BatchResults"), example=BATCH_ANSWER_EXAMPLE
    )
    refused = [cls for cls in ERRORS if cls in _OF_BATCHES]
    return {
        **_operation(BATCH, {"200": answered, **_refusals(refused)}),
        "security": [{"apiKey": []}],
        "requestBody": {
            "required": True,
            "content": {
                "application/json": {
                    "schema": _schema("Batch"),
                    "example": batch_example(DOCUMENTED_REQUEST, DOCUMENTED_KEY),
                }
            },
        },
    }


_HEALTH: Final[Mapping[Route, str]] = {
    HEALTH: "The store takes writes.",
    READINESS: "The store takes writes.",
    LIVENESS: "The process answers.",
}


def _health_operation(route: Route) -> dict[str, Any]:
    unavailable = [cls for cls in ERRORS if cls.status >= 500 and route is not LIVENESS]
    good = _answer(_HEALTH[route], _schema("Health"), example={"status": "ok"})
    return _operation(route, {"200": good, **_refusals(unavailable)})


def _reading_operation(route: Route) -> dict[str, Any]:
    description, name = ANSWERS[route.operation_id]
    refused = [cls for cls in ERRORS if cls in _OF_STORED]
    return {
        **_operation(route, {"200": _answer(description, _schema(name)), **_refusals(refused)}),
        "security": [{"apiKey": []}],
        "parameters": parameters_of(route),
    }


def _erasing_operation() -> dict[str, Any]:
    answers = {
        "200": _answer("Nothing is left.", _schema("Erasure"), example=ERASURE_EXAMPLE),
        "202": _answer(
            "Something is left: the same request goes on with it.",
            _schema("Erasure"),
            example={**ERASURE_EXAMPLE, "scrubbed": AT_MOST, "done": False},
        ),
    }
    refused = [cls for cls in ERRORS if cls in _OF_STORED]
    return {
        **_operation(ERASURE, {**answers, **_refusals(refused)}),
        "security": [{"apiKey": []}],
        "parameters": parameters_of(ERASURE),
    }


def _operation(route: Route, responses: dict[str, Any]) -> dict[str, Any]:
    return {"operationId": route.operation_id, "summary": route.summary, "responses": responses}


def _refusals(errors: Sequence[type[SegmentflowError]]) -> dict[str, Any]:
    """Describe errors by status; errors of the same status are examples of one answer."""
    by_status: dict[int, list[type[SegmentflowError]]] = defaultdict(list)
    for cls in errors:
        by_status[cls.status].append(cls)
    refusals: dict[str, Any] = {}
    for status, classes in sorted(by_status.items()):
        description = " ".join(cls.default_message for cls in classes)
        answer = _answer(description, _schema("Error"))
        answer["content"]["application/json"]["examples"] = {
            cls.code: {"value": _example(cls)} for cls in classes
        }
        headers = answer["headers"]
        if any(cls.should_retry is not None for cls in classes):
            headers["x-should-retry"] = _header("x-should-retry")
        if any(cls.retry_after is not None for cls in classes):
            headers["retry-after"] = _header("retry-after")
        refusals[str(status)] = answer
    return refusals


def _example(cls: type[SegmentflowError]) -> dict[str, Any]:
    details = {name: value for name, (_, value) in _DETAILS.get(cls.code, {}).items()}
    return cls(details=details).envelope()


def _error_schema() -> dict[str, Any]:
    return {
        "type": "object",
        "additionalProperties": False,
        "required": ["error", "message", "details"],
        "properties": {
            "error": {
                "type": "string",
                "enum": sorted(cls.code for cls in ERRORS),
                "description": "Stable; meant for programs.",
            },
            "message": {"type": "string", "description": "Meant for people."},
            "details": {
                "type": "object",
                "properties": {
                    name: schema
                    for members in _DETAILS.values()
                    for name, (schema, _) in members.items()
                },
            },
        },
    }


def _answer(description: str, schema: dict[str, Any], *, example: Any = None) -> dict[str, Any]:
    content: dict[str, Any] = {"schema": schema}
    if example is not None:
        content["example"] = example
    return {
        "description": description,
        "headers": {"x-request-id": _header("x-request-id")},
        "content": {"application/json": content},
    }


def _schema(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/schemas/{name}"}


def _header(name: str) -> dict[str, Any]:
    return {"$ref": f"#/components/headers/{name}"}

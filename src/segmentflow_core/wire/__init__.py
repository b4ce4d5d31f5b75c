"""JSON in and out: requests parsed strictly, what the library returns as documents, schemas."""

from __future__ import annotations

from segmentflow_core.domain.request import RequestDocument, plain_request, request_document
from segmentflow_core.wire.batches import MAX_BATCH, BatchErrors, parse_batch
from segmentflow_core.wire.documents import (
    api_key_document,
    audit_document,
    claimed_document,
    enrollment_document,
    erasure_document,
    event_document,
    journey_stats_document,
    merge_document,
    profile_document,
    published_document,
    receipt_document,
    suppression_document,
    template_gaps_document,
)
from segmentflow_core.wire.explanations import (
    explained_document,
    rehearsal_document,
    story_document,
)
from segmentflow_core.wire.json_schema import (
    IDEMPOTENCY_KEY_SCHEMA,
    json_value_schema,
    receipt_json_schema,
    request_json_schema,
)
from segmentflow_core.wire.json_text import parse_json, parse_request

__all__ = [
    "IDEMPOTENCY_KEY_SCHEMA",
    "MAX_BATCH",
    "BatchErrors",
    "RequestDocument",
    "api_key_document",
    "audit_document",
    "claimed_document",
    "enrollment_document",
    "erasure_document",
    "event_document",
    "explained_document",
    "journey_stats_document",
    "json_value_schema",
    "merge_document",
    "parse_batch",
    "parse_json",
    "parse_request",
    "plain_request",
    "profile_document",
    "published_document",
    "receipt_document",
    "receipt_json_schema",
    "rehearsal_document",
    "request_document",
    "request_json_schema",
    "story_document",
    "suppression_document",
    "template_gaps_document",
]

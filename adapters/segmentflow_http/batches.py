"""What `POST /api/v1/events/batch` answers: one result for each event, in order.

Knows how a receipt or an error becomes a result. Must never let a value of an event into one.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from segmentflow_core import AsyncTracker, Receipt, SegmentflowError, Tracker
from segmentflow_core.colour import settle
from segmentflow_core.errors import InvalidRequest, StorageRefused, Violation
from segmentflow_core.wire import BatchErrors, parse_batch, receipt_document
from segmentflow_http.messages import shown_error

__all__ = ["DEFAULT_MAX_BATCH_BYTES", "track_batch"]

DEFAULT_MAX_BATCH_BYTES: Final = 1024 * 1024
"""How many bytes a batch may have: a kilobyte for each of a thousand events."""


async def track_batch(
    tracker: Tracker | AsyncTracker,
    headers: Mapping[str, str],
    body: bytes,
    *,
    organization_id: str,
    max_bytes: int,
    on_failure: Callable[[SegmentflowError], object],
) -> dict[str, Any]:
    """Track a batch in one transaction, and return the answer's document.

    Args:
        tracker: records the events.
        headers: the request's.
        body: the batch.
        organization_id: whose events they are.
        max_bytes: how long the batch may be.
        on_failure: is called with each error of an event that is the service's own.

    Raises:
        InvalidRequest: the batch itself breaks a rule; nothing of it is recorded.
        PayloadTooLarge: it is longer than `max_bytes`.
        SegmentflowError: the store failed; nothing of it is recorded.
    """
    if "idempotency-key" in headers:
        message = "must not be given: each event of a batch has an idempotencyKey"
        raise InvalidRequest.from_violations([Violation("/headers/idempotency-key", message)])
    calls = parse_batch(body, max_bytes)
    results = await _results(tracker, calls, organization_id)
    errors = BatchErrors.for_batch(len(body))
    documents: list[dict[str, Any]] = []
    for index, result in enumerate(results):
        if isinstance(result, Receipt):
            documents.append(_accepted(result))
            continue
        if result.status >= 500:
            on_failure(result)
        documents.append(_refused(result, errors.document(index, shown_error(result))))
    return {"results": documents}


async def _results(
    tracker: Tracker | AsyncTracker, calls: Sequence[tuple[Any, Any]], organization_id: str
) -> list[Receipt | SegmentflowError]:
    try:
        tracked: Any = tracker.track_many(calls, organization_id=organization_id)
        results: list[Receipt | SegmentflowError] = await settle(tracked)
    except StorageRefused as refusal:
        # Raised of one call, and of more than one it is the result of its own.
        if len(calls) != 1:
            raise
        return [refusal]
    return results


def _accepted(receipt: Receipt) -> dict[str, Any]:
    """Write a receipt, and what a single event's answer says in its headers."""
    document: dict[str, Any] = {"status": 202, "receipt": receipt_document(receipt)}
    if receipt.replayed:
        document["idempotentReplayed"] = True
    if receipt.unmatched_paths:
        document["redactionUnmatched"] = len(receipt.unmatched_paths)
    return document


def _refused(error: SegmentflowError, envelope: Mapping[str, Any]) -> dict[str, Any]:
    document: dict[str, Any] = {"status": error.status, "error": envelope}
    if error.should_retry is not None:
        document["shouldRetry"] = error.should_retry
    return document

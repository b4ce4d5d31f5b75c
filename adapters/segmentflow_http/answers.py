"""Reading an answer of the service: a receipt, or the error that its code names.

Must never put anything else of an answer into an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx
from attrs import frozen

from segmentflow_core import Receipt, SegmentflowError
from segmentflow_core.errors import ERROR_CLASSES
from segmentflow_http.retries import may_yet_succeed

__all__ = [
    "BatchAnswer",
    "PassingAnswer",
    "UnexpectedAnswer",
    "Unreachable",
    "read_answer",
    "read_batch",
    "unmatched_paths",
]

_BY_CODE: Final = {cls.code: cls for cls in ERROR_CLASSES}
_MAX_DIGITS: Final = 10
_COUNTS: Final = ("matchedJourneys", "enrolledJourneys", "skippedJourneys")


class Unreachable(SegmentflowError):
    """The service could not be reached, or the connection broke before the answer."""

    code = "unreachable"
    status = 503
    should_retry = True
    default_message = "The service could not be reached."


class UnexpectedAnswer(SegmentflowError):
    """Something other than the service answered.

    `details["status"]` is the answer's status, where the answer could be read that far.
    """

    code = "unexpected_answer"
    status = 502
    default_message = "The service gave an answer that is not of this API."


class PassingAnswer(UnexpectedAnswer):
    """An unexpected answer that may pass, such as a proxy's page that says 502, 503 or 504."""

    should_retry = True


@frozen
class BatchAnswer:
    """What the service says of a batch.

    Attributes:
        results: a receipt or an error for each event, in order.
        again: of each, whether the service says to try again.
        unmatched: how many redaction paths of all events name nothing.
    """

    results: tuple[Receipt | SegmentflowError, ...]
    again: tuple[bool, ...]
    unmatched: int


def read_answer(response: httpx.Response) -> Receipt | SegmentflowError:
    """Return the receipt, or the error to raise."""
    document = _json(response)
    if response.status_code == 202 and _is_receipt(document):
        return _receipt(document, response.headers.get("idempotent-replayed") == "true")
    return _error(document, response.status_code) or _unexpected(response)


def read_batch(response: httpx.Response, count: int) -> BatchAnswer | SegmentflowError:
    """Return what became of each of `count` events, or the error of the whole batch."""
    document = _json(response)
    if response.status_code != 200 or not isinstance(document, dict):
        return _error(document, response.status_code) or _unexpected(response)
    items = document.get("results")
    if not isinstance(items, list) or len(items) != count:
        return _unexpected(response)
    results: list[Receipt | SegmentflowError] = []
    for index, item in enumerate(items):
        result = _result(item, f"/events/{index}")
        if result is None:
            return _unexpected(response)
        results.append(result)
    again = tuple(item.get("shouldRetry") is True for item in items)
    unmatched = [item.get("redactionUnmatched") for item in items]
    return BatchAnswer(tuple(results), again, sum(n for n in unmatched if type(n) is int))


def _result(item: Any, at: str) -> Receipt | SegmentflowError | None:
    """Read the result of one event of a batch; None where it is no result."""
    if not isinstance(item, dict):
        return None
    status = item.get("status")
    if status == 202 and _is_receipt(item.get("receipt")):
        return _receipt(item["receipt"], item.get("idempotentReplayed") is True)
    error = _error(item.get("error"), status)
    if error is not None:
        error.details = _below(error.details, at)
    return error


def _below(details: Mapping[str, Any], at: str) -> dict[str, Any]:
    """Return details whose paths start at one event of a batch, in place of the batch's root."""

    def shortened(path: Any) -> Any:
        return path.removeprefix(at) if isinstance(path, str) else path

    below = dict(details)
    for name in ("changedPaths", "redactedPaths"):
        if isinstance(below.get(name), list):
            below[name] = [shortened(path) for path in below[name]]
    if isinstance(below.get("violations"), list):
        below["violations"] = [
            {**each, "path": shortened(each.get("path"))} if isinstance(each, dict) else each
            for each in below["violations"]
        ]
    return below


def _receipt(document: Mapping[str, Any], replayed: bool) -> Receipt:
    matched, enrolled, skipped = (document[name] for name in _COUNTS)
    ids = (document["eventId"], document["profileId"])
    return Receipt(*ids, matched, enrolled, skipped, replayed)


def _error(document: Any, status: object) -> SegmentflowError | None:
    """Return the error of an envelope, by its code; None where it is none of the service's."""
    if not isinstance(document, dict):
        return None
    cls = _BY_CODE.get(str(document.get("error")))
    details = document.get("details")
    if cls is None or cls.status != status or not isinstance(details, dict):
        return None
    return cls(str(document.get("message")), details=details)


def _unexpected(response: httpx.Response) -> UnexpectedAnswer:
    kind = PassingAnswer if may_yet_succeed(response) else UnexpectedAnswer
    return kind(details={"status": response.status_code})


def unmatched_paths(response: httpx.Response) -> int:
    """Return how many redaction paths the service says named nothing."""
    told = response.headers.get("redaction-unmatched", "")
    return int(told) if told.isascii() and told.isdigit() and len(told) < _MAX_DIGITS else 0


def _json(response: httpx.Response) -> Any:
    """Return the document of an answer; None where it is no JSON, or nested too deep to read."""
    try:
        return response.json()
    except (ValueError, RecursionError):
        return None


def _is_receipt(document: Any) -> bool:
    return (
        isinstance(document, dict)
        and all(isinstance(document.get(name), str) for name in ("eventId", "profileId"))
        and all(type(document.get(name)) is int for name in _COUNTS)
    )

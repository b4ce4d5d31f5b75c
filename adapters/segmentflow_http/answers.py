"""Reading an answer of the service: a receipt, or the error that its code names.

Must never put anything else of an answer into an error.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

import httpx

from segmentflow_core import Receipt, SegmentflowError
from segmentflow_core.errors import ERROR_CLASSES
from segmentflow_http.retries import may_yet_succeed

__all__ = ["PassingAnswer", "UnexpectedAnswer", "Unreachable", "read_answer", "unmatched_paths"]

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


def read_answer(response: httpx.Response) -> Receipt | SegmentflowError:
    """Return the receipt, or the error to raise."""
    document = _json(response)
    if isinstance(document, dict):
        if response.status_code == 202 and _is_receipt(document):
            matched, enrolled, skipped = (document[name] for name in _COUNTS)
            replayed = response.headers.get("idempotent-replayed") == "true"
            ids = (document["eventId"], document["profileId"])
            return Receipt(*ids, matched, enrolled, skipped, replayed)
        cls = _BY_CODE.get(str(document.get("error")))
        details = document.get("details")
        if cls is not None and cls.status == response.status_code and isinstance(details, dict):
            return cls(str(document.get("message")), details=details)
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


def _is_receipt(document: Mapping[str, Any]) -> bool:
    return all(isinstance(document.get(name), str) for name in ("eventId", "profileId")) and all(
        type(document.get(name)) is int for name in _COUNTS
    )

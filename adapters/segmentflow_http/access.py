"""The access log: one JSON object for each request.

Must never show a body, a key or an unknown path: a caller may have put a secret there. What names
a request, `correlation` says.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final, TypeAlias

from attrs import frozen

from segmentflow_http.correlation import REQUEST_ID, traceparent_of
from segmentflow_http.messages import AnyHeaders, Response
from segmentflow_http.routes import shown_path

__all__ = ["Answered", "AnsweredHook", "log_answered", "tell_answered"]

LOG: Final = logging.getLogger("segmentflow.access")
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


@frozen
class Answered:
    """One answered request.

    Attributes:
        method: its method; ``-`` for one that HTTP does not define.
        path: the route's path; ``-`` for a path that is no route.
        status: the status of the answer.
        error: the code of the error in the answer, or None.
        replayed: whether the answer repeats an earlier one.
        received_bytes: the length of the body.
        seconds: the time from the request to the answer.
        request_id: what the answer's `x-request-id` says.
        traceparent: the trace that the request is part of (W3C), or None.
    """

    method: str
    path: str
    status: int
    error: str | None
    replayed: bool
    received_bytes: int
    seconds: float
    request_id: str
    traceparent: str | None


AnsweredHook: TypeAlias = Callable[[Answered], None]
"""Called with each answered request."""


def tell_answered(
    hook: AnsweredHook | None,
    request: tuple[str, str, AnyHeaders],
    response: Response,
    received_bytes: int,
    started: float,
) -> None:
    """Call a hook with what may be shown of a request and its answer; what it raises is dropped.

    Args:
        hook: what to call, or None.
        request: the method, the path and the headers.
        response: the answer.
        received_bytes: the length of the body.
        started: `time.perf_counter()` when the request arrived.
    """
    if hook is None:
        return
    method, path, headers = request
    details = Answered(
        method if method in _METHODS else "-",
        shown_path(path),
        response.status,
        response.code,
        "idempotent-replayed" in response.headers,
        received_bytes,
        time.perf_counter() - started,
        response.headers.get(REQUEST_ID, "-"),
        traceparent_of(headers),
    )
    with suppress(Exception):
        hook(details)


def log_answered(details: Answered) -> None:
    """Write one line about a request to the logger ``segmentflow.access``."""
    line: dict[str, object] = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "method": details.method,
        "path": details.path,
        "status": details.status,
        "error": details.error,
        "replayed": details.replayed,
        "receivedBytes": details.received_bytes,
        "milliseconds": round(details.seconds * 1000, 2),
        "requestId": details.request_id,
    }
    if details.traceparent is not None:
        line["traceparent"] = details.traceparent
    LOG.info(json.dumps(line))

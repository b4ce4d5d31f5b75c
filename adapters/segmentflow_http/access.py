"""The access log: one JSON object a request.

Must never show a body, a key, or a path that is not ours: whatever a caller puts there
could be a secret.
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

from segmentflow_http.messages import Response
from segmentflow_http.routes import ROUTES

__all__ = ["Answered", "AnsweredHook", "log_answered", "tell_answered"]

LOG: Final = logging.getLogger("segmentflow.access")
_METHODS: Final = frozenset({"DELETE", "GET", "HEAD", "OPTIONS", "PATCH", "POST", "PUT"})


@frozen
class Answered:
    """One answered request.

    Attributes:
        method: its method; ``-`` for one that HTTP does not define.
        path: the route's path; ``-`` for one that is not ours.
        status: the status answered.
        error: the code of the error answered, or None.
        replayed: whether the answer was an earlier one's.
        received_bytes: how long the body was.
        seconds: how long it took.
    """

    method: str
    path: str
    status: int
    error: str | None
    replayed: bool
    received_bytes: int
    seconds: float


AnsweredHook: TypeAlias = Callable[[Answered], None]
"""What is told of each answered request."""


def tell_answered(
    hook: AnsweredHook | None,
    request: tuple[str, str],
    response: Response,
    received_bytes: int,
    started: float,
) -> None:
    """Tell a hook what may be said of a request and its answer; what it raises is dropped.

    Args:
        hook: who is told; None is nobody.
        request: its method and path.
        response: what was answered.
        received_bytes: how long the body was.
        started: `time.perf_counter()` when the request came.
    """
    if hook is None:
        return
    method, path = request
    details = Answered(
        method if method in _METHODS else "-",
        next((route.path for route in ROUTES if path.endswith(route.path)), "-"),
        response.status,
        response.code,
        "idempotent-replayed" in response.headers,
        received_bytes,
        time.perf_counter() - started,
    )
    with suppress(Exception):
        hook(details)


def log_answered(details: Answered) -> None:
    """Write the line of a request to the logger ``segmentflow.access``."""
    line = {
        "time": datetime.now(UTC).isoformat(timespec="milliseconds"),
        "method": details.method,
        "path": details.path,
        "status": details.status,
        "error": details.error,
        "replayed": details.replayed,
        "receivedBytes": details.received_bytes,
        "milliseconds": round(details.seconds * 1000, 2),
    }
    LOG.info(json.dumps(line))

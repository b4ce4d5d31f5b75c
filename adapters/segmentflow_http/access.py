"""The access log: one JSON object for each request.

Must never show a body, a key or an unknown path: a caller may have put a secret there. What names
a request, `correlation` says.
"""

from __future__ import annotations

import json
import logging
import time
from collections.abc import Callable, Generator, Sequence
from contextlib import AbstractContextManager, contextmanager, suppress
from datetime import UTC, datetime
from typing import Final, TypeAlias

from attrs import frozen

from segmentflow_http.authentication import Caller
from segmentflow_http.correlation import REQUEST_ID, traceparent_of
from segmentflow_http.messages import AnyHeaders, Response
from segmentflow_http.routes import shown_path

__all__ = ["Answered", "AnsweredHook", "Around", "log_answered", "surrounded", "tell_answered"]

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
        organization_id: the Organization of the caller; None of one who is not known, or was
            not asked for.
        key_id: the id of the caller's API Key, or None.
        event_id: the event that the answer is about, where it is one that was recorded; or None.
        client: the address that the request came from, as the server knows it, or None.
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
    organization_id: str | None = None
    key_id: str | None = None
    event_id: str | None = None
    client: str | None = None


AnsweredHook: TypeAlias = Callable[[Answered], None]
"""Called with each answered request."""

Around: TypeAlias = Callable[[str, str, str | None], AbstractContextManager[AnsweredHook]]
"""Entered before a request is answered, with its method, its route's path and its trace, and left
after; what it gives is called with the answered request, if it is answered."""


@contextmanager
def surrounded(
    around: Sequence[Around], hook: AnsweredHook | None, request: tuple[str, str, AnyHeaders]
) -> Generator[AnsweredHook | None]:
    """Give the hook of a request that all of `around` surround; what one raises is dropped.

    Args:
        around: what surrounds it, the outermost first.
        hook: what is to be called as well, or None.
        request: the method, the path and the headers.
    """
    if not around:
        yield hook
        return
    method, path, headers = request
    shown = (method if method in _METHODS else "-", shown_path(path), traceparent_of(headers))
    hooks = [] if hook is None else [hook]
    left = list[AbstractContextManager[AnsweredHook]]()
    for each in around:
        with suppress(Exception):
            manager = each(*shown)
            hooks.append(manager.__enter__())
            left.append(manager)

    def answered(details: Answered) -> None:
        for each in hooks:
            with suppress(Exception):
                each(details)

    try:
        yield answered
    finally:
        for manager in reversed(left):
            with suppress(Exception):
                manager.__exit__(None, None, None)


def tell_answered(
    hook: AnsweredHook | None,
    request: tuple[str, str, AnyHeaders],
    response: Response,
    received_bytes: int,
    started: float,
    *,
    caller: Caller | None = None,
    client: str | None = None,
) -> None:
    """Call a hook with what may be shown of a request and its answer; what it raises is dropped.

    Args:
        hook: what to call, or None.
        request: the method, the path and the headers.
        response: the answer.
        received_bytes: the length of the body.
        started: `time.perf_counter()` when the request arrived.
        caller: who called, where that is known.
        client: the address that the request came from.
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
        None if caller is None else caller.organization_id,
        None if caller is None else caller.key_id,
        response.event_id,
        client,
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
    line |= {
        name: value
        for name, value in (
            ("traceparent", details.traceparent),
            ("organizationId", details.organization_id),
            ("apiKeyId", details.key_id),
            ("eventId", details.event_id),
            ("client", details.client),
        )
        if value is not None
    }
    if LOG.isEnabledFor(logging.INFO):
        # As `LOG.info`, which would look for who called it.
        LOG.handle(LOG.makeRecord(LOG.name, logging.INFO, __file__, 0, json.dumps(line), (), None))

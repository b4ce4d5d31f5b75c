"""The endpoint: (method, path, headers, body) in, (status, headers, body) out.

Knows the order of the checks: route, method, size, caller, media type, request. Knows no
framework and no event loop: one conversation, written as a generator, yields each call that
may have to be awaited, and `Endpoint` or `AsyncEndpoint` makes it. Must never let a
value from a request, or anything about an inner failure, into an answer or a log.
"""

from __future__ import annotations

import inspect
import logging
import traceback
from collections.abc import Callable, Generator, Mapping
from typing import Any, Final, TypeAlias

from segmentflow_core import AsyncTracker, SegmentflowError, Tracker
from segmentflow_core.errors import (
    IdempotencyKeyRequired,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    StorageUnavailable,
    Violation,
)
from segmentflow_core.wire import parse_request, receipt_document
from segmentflow_http.authentication import Authenticator
from segmentflow_http.messages import (
    AnyHeaders,
    Response,
    check_length,
    check_media_type,
    error_response,
    json_response,
    read_headers,
)
from segmentflow_http.openapi import openapi_document
from segmentflow_http.routes import EVENTS, OPENAPI, allowed_methods

__all__ = ["AsyncEndpoint", "Endpoint"]

_Step: TypeAlias = Callable[[], Any]
_Conversation: TypeAlias = Generator[_Step, Any, Response]

_LOG: Final = logging.getLogger("segmentflow.http")
_NO_EVENT: Final = "00000000-0000-7000-8000-000000000000"


class _Core:
    """The conversation, whichever way its steps are taken."""

    def __init__(
        self, tracker: Tracker | AsyncTracker, authenticator: Authenticator, prefix: str
    ) -> None:
        self._tracker = tracker
        self._authenticator = authenticator
        self._prefix = prefix.rstrip("/")
        self._openapi = openapi_document(tracker.limits, prefix=self._prefix)

    @property
    def max_bytes(self) -> int:
        """Return how long a body may be; more need not be read."""
        return self._tracker.limits.max_bytes

    def refuse_early(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the refusal of a request whose body need not be read, or None.

        For hosts that read the body themselves: whatever is refused by its route, its method
        or the size it announces is refused the same way when it is called with the body.
        """
        try:
            self._route(method, path)
            check_length(read_headers(headers), 0, self.max_bytes)
        except SegmentflowError as error:
            return _as_asked(method, self._refusal(error, path))
        return None

    def _converse(self, method: str, path: str, headers: AnyHeaders, body: bytes) -> _Conversation:
        """Answer a request; what may have to be awaited is yielded to be called."""
        try:
            response = yield from self._answer(method, path, headers, body)
        except SegmentflowError as error:
            response = self._refusal(error, path)
        except Exception as error:  # noqa: BLE001 - whatever it is, the caller learns nothing of it
            _log_failure(error)
            response = error_response(InternalError())
        return _as_asked(method, response)

    def _answer(self, method: str, path: str, headers: AnyHeaders, body: bytes) -> _Conversation:
        path = self._route(method, path)
        if method == "OPTIONS":
            return Response(204, {"allow": ", ".join(allowed_methods(path))}, b"")
        read = read_headers(headers)
        check_length(read, len(body), self.max_bytes)
        if path == EVENTS.path:
            return (yield from self._track(read, body))
        if path == OPENAPI.path:
            return json_response(200, self._openapi)
        return (yield from self._health())

    def _track(self, headers: Mapping[str, str], body: bytes) -> _Conversation:
        assert EVENTS.scope is not None
        scope = EVENTS.scope
        caller = yield lambda: self._authenticator.authenticate(headers, scope)
        check_media_type(headers)
        key = headers.get("idempotency-key")
        try:
            request = parse_request(body, self._tracker.limits)
        except InvalidRequest as refusal:
            if key:
                raise
            missing = Violation("/idempotencyKey", "is required")
            faults = (*refusal.violations, missing)
            raise IdempotencyKeyRequired.from_violations(faults) from None
        receipt = yield lambda: self._tracker.track(
            request, key, organization_id=caller.organization_id
        )
        replayed = {"idempotent_replayed": "true"} if receipt.replayed else {}
        return json_response(202, receipt_document(receipt), **replayed)

    def _health(self) -> _Conversation:
        """Read what is never there: a store that says so is in good health."""
        try:
            yield lambda: self._tracker.records.event(_NO_EVENT)
        except NotFound:
            return json_response(200, {"status": "ok"})
        except SegmentflowError as error:
            _log_failure(error)
        return error_response(StorageUnavailable())

    def _route(self, method: str, path: str) -> str:
        """Return the path below the prefix, where it and the method are known.

        Raises:
            NotFound: there is no such path.
            MethodNotAllowed: it does not have this method.
        """
        allowed = self._allowed(path)
        if not allowed:
            raise NotFound
        if method not in allowed:
            raise MethodNotAllowed
        return self._below(path)

    def _allowed(self, path: str) -> tuple[str, ...]:
        return allowed_methods(self._below(path)) if path.startswith(self._prefix) else ()

    def _below(self, path: str) -> str:
        return path.partition("?")[0].removeprefix(self._prefix)

    def _refusal(self, error: SegmentflowError, path: str) -> Response:
        if isinstance(error, MethodNotAllowed):
            return error_response(error, allow=", ".join(self._allowed(path)))
        if error.status == InternalError.status:
            _log_failure(error)
        return error_response(error)


class Endpoint(_Core):
    """Answers HTTP requests with a `Tracker`; safe to share between threads.

    Args:
        tracker: records the events; its limits are the endpoint's.
        authenticator: decides who calls.
        prefix: what comes before ``/api/v1/events`` and the other paths, such as ``/tracking``.
    """

    def __init__(self, tracker: Tracker, authenticator: Authenticator, *, prefix: str = "") -> None:
        super().__init__(tracker, authenticator, prefix)

    def __call__(self, method: str, path: str, headers: AnyHeaders, body: bytes) -> Response:
        """Answer one request. Never raises, whatever the request.

        Args:
            method: as sent, uppercase.
            path: without the host's own mount point; a query is ignored. Where the host has
                decoded it already, a ``?`` within it has to be ``%3F`` again.
            headers: a mapping, or pairs; names in any case.
            body: the whole body, empty for none.
        """
        conversation = self._converse(method, path, headers, body)
        try:
            step = next(conversation)
            while True:
                try:
                    result = step()
                except Exception as error:  # noqa: BLE001 - the conversation deals with it
                    step = conversation.throw(error)
                else:
                    step = conversation.send(result)
        except StopIteration as finished:
            response: Response = finished.value
            return response


class AsyncEndpoint(_Core):
    """Answers HTTP requests with an `AsyncTracker`; as `Endpoint`, awaited."""

    def __init__(
        self, tracker: AsyncTracker, authenticator: Authenticator, *, prefix: str = ""
    ) -> None:
        super().__init__(tracker, authenticator, prefix)

    async def __call__(self, method: str, path: str, headers: AnyHeaders, body: bytes) -> Response:
        """Answer one request; as `Endpoint.__call__`."""
        conversation = self._converse(method, path, headers, body)
        try:
            step = next(conversation)
            while True:
                try:
                    result = step()
                    if inspect.isawaitable(result):
                        result = await result
                except Exception as error:  # noqa: BLE001 - the conversation deals with it
                    step = conversation.throw(error)
                else:
                    step = conversation.send(result)
        except StopIteration as finished:
            response: Response = finished.value
            return response


def _as_asked(method: str, response: Response) -> Response:
    """Leave the body out where only the head was asked for (RFC 9110, section 9.3.2)."""
    return response._replace(body=b"") if method == "HEAD" else response


def _log_failure(error: Exception) -> None:
    """Log where it failed and as what; a message or a repr could hold what was sent."""
    frames = traceback.extract_tb(error.__traceback__)
    where = " < ".join(f"{frame.name} ({frame.filename}:{frame.lineno})" for frame in frames[::-1])
    code = error.code if isinstance(error, SegmentflowError) else "internal_error"
    _LOG.error("%s: %s at %s", code, type(error).__name__, where)

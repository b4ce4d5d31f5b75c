"""The endpoint: (method, path, headers, body) in, (status, headers, body) out.

Knows the order of the checks: route, method, size, caller, media type, request. Knows no
framework and no event loop: the answer is one `async def`, which `Endpoint` drives and
`AsyncEndpoint` awaits. Must never let a value from a request, or anything about an inner
failure, into an answer or a log.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Coroutine, Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final, TypeAlias

from attrs import frozen

from segmentflow_core import AsyncTracker, Receipt, SegmentflowError, Tracker
from segmentflow_core.colour import drive, settle
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyKeyRequired,
    InternalError,
    InvalidRequest,
    MethodNotAllowed,
    NotFound,
    StorageUnavailable,
    Violation,
)
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.wire import parse_request, receipt_document
from segmentflow_http.authentication import Authenticator, Caller
from segmentflow_http.batches import DEFAULT_MAX_BATCH_BYTES, track_batch
from segmentflow_http.colours import refuse_awaited, refuse_kind
from segmentflow_http.correlation import REQUEST_ID, new_request_id, request_id_of
from segmentflow_http.erasing import erase_profile
from segmentflow_http.failures import FailureLog
from segmentflow_http.messages import (
    AnyHeaders,
    Response,
    check_length,
    check_media_type,
    error_response,
    idempotency_key,
    json_response,
    read_headers,
)
from segmentflow_http.openapi import openapi_document
from segmentflow_http.reading import read_route
from segmentflow_http.routes import (
    BATCH,
    ERASURE,
    EVENTS,
    HEALTH,
    LIVENESS,
    OPENAPI,
    READINESS,
    Route,
    allowed_methods,
    routes_of,
)

__all__ = ["AsyncEndpoint", "Endpoint"]

_LOG: Final = logging.getLogger("segmentflow.http")
InThread: TypeAlias = Callable[[Callable[[Tracker], Any]], Awaitable[Any]]
"""Calls what it is given in a thread, with a `Tracker`; awaited, it returns the result."""

_LONG: Final = 16 * 1024
"""Bytes of a request from which on an event loop would be busy for long with checking it."""

_AWAITED: Final = "An asynchronous authenticator needs an AsyncEndpoint."


@frozen(repr=False)
class _Asked:
    """One request, as a host gives it."""

    method: str
    path: str
    headers: AnyHeaders
    body: bytes
    mount: str
    on_caller: Callable[[Caller], object] | None


class _EitherEndpoint:
    """What both endpoints share: the checks and the answer, written once."""

    def __init__(
        self,
        tracker: Tracker | AsyncTracker,
        authenticator: Authenticator,
        prefix: str,
        max_batch_bytes: int,
        readiness: Callable[[], object] | None,
    ) -> None:
        if type(max_batch_bytes) is not int or max_batch_bytes < 1:
            raise ConfigurationError("max_batch_bytes must be at least 1.")
        self._tracker = tracker
        self._authenticator = authenticator
        if prefix and not prefix.startswith("/"):
            raise ConfigurationError("prefix must start with a slash, or be empty.")
        self._prefix = prefix.rstrip("/")
        self._max_batch_bytes = max_batch_bytes
        self._readiness = readiness
        self._in_thread: InThread | None = None
        self._reads_in_thread: InThread | None = None
        self._failures = FailureLog()
        self._openapi = openapi_document(
            tracker.limits, prefix=self._prefix, max_batch_bytes=max_batch_bytes
        )

    @property
    def max_bytes(self) -> int:
        """Return the longest body that any path accepts; the host need not read further."""
        return max(self._tracker.limits.max_bytes, self._max_batch_bytes)

    @property
    def openapi(self) -> Mapping[str, Any]:
        """Return the OpenAPI document, which is not to be changed."""
        return self._openapi

    def max_bytes_at(self, path: str) -> int:
        """Return the longest body that a path accepts; the host need not read further there."""
        if self._below(path) == BATCH.path:
            return self._max_batch_bytes
        return self._tracker.limits.max_bytes

    def refuse_early(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the answer to a request whose body need not be read, or None.

        For hosts that read the body themselves. A request with a wrong route, method or
        announced size gets the same refusal here as when it is called with its body. ``/livez``
        is answered here, so that it waits for no thread and no store.
        """
        try:
            below = self._route(method, path)
            check_length(read_headers(headers), 0, self.max_bytes_at(path))
        except SegmentflowError as error:
            return self.refusal(error, method, path, headers)
        if below == LIVENESS.path and method != "OPTIONS":
            return _as_asked(method, _alive(), request_id_of(headers))
        return None

    async def _refuse_caller(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the refusal of a caller who is not known or may not do this, or None."""
        request_id = request_id_of(headers)
        try:
            route = self._route_of(method, path)
            if route is not None and route.scope is not None:
                read = read_headers(headers)
                await settle(self._authenticator.authenticate(read, route.scope))
        except SegmentflowError as error:
            response = self._refusal(error, path, request_id)
        except Exception as error:  # noqa: BLE001 - as of any answer
            self._failures.failed(error, request_id)
            response = error_response(InternalError())
        else:
            return None
        return _as_asked(method, response, request_id)

    def refusal(
        self, error: SegmentflowError, method: str, path: str, headers: AnyHeaders
    ) -> Response:
        """Return the answer to a request that the host itself has to refuse.

        Args:
            error: why.
            method: as sent.
            path: as the endpoint is given it.
            headers: the request's.
        """
        request_id = request_id_of(headers)
        return _as_asked(method, self._refusal(error, path, request_id), request_id)

    async def _answer(self, asked: _Asked) -> Response:
        """Answer a request; every failure becomes an answer too."""
        request_id = ""
        try:
            request_id = request_id_of(asked.headers)
            response = await self._result(asked, request_id)
        except SegmentflowError as error:
            response = self._refusal(error, asked.path, request_id)
        except Exception as error:  # noqa: BLE001 - the caller must learn nothing of any failure
            self._failures.failed(error, request_id)
            response = error_response(InternalError())
        return _as_asked(asked.method, response, request_id or new_request_id())

    async def _result(self, asked: _Asked, request_id: str) -> Response:
        method, path, body = asked.method, asked.path, asked.body
        below = self._route(method, path)
        if method == "OPTIONS":
            return Response(204, {"allow": ", ".join(allowed_methods(below))}, b"")
        route = self._route_of(method, path)
        assert route is not None
        read = read_headers(asked.headers)
        check_length(read, len(body), self.max_bytes_at(path))
        if route is EVENTS:
            return await self._track(asked, read)
        if route is BATCH:
            return await self._track_batch(asked, read, request_id)
        if route is OPENAPI:
            return json_response(200, {**self._openapi, "servers": [{"url": asked.mount or "/"}]})
        if route is LIVENESS:
            return _alive()
        if route in (HEALTH, READINESS):
            return await self._health(request_id)
        caller = await self._known(asked, read, route)
        query = path.partition("?")[2]
        if route is ERASURE:
            return await self._erase(below, query, caller)
        return await self._read(
            lambda tracker: _read_response(tracker, route, below, query, caller.organization_id)
        )

    async def _read(
        self, read: Callable[[Tracker | AsyncTracker], Coroutine[Any, Any, Response]]
    ) -> Response:
        """Write an answer that may be long: in a thread, where the host has one for that."""
        if self._reads_in_thread is None:
            return await read(self._tracker)
        response: Response = await self._reads_in_thread(lambda tracker: drive(read(tracker)))
        return response

    async def _erase(self, path: str, query: str, caller: Caller) -> Response:
        """Erase a Profile, or go on with it: 200 once nothing is left, 202 until then."""
        document = await erase_profile(
            self._tracker.records,
            self._tracker.people,
            path,
            query,
            organization_id=caller.organization_id,
            by=caller.by,
        )
        return json_response(200 if document["done"] else 202, document)

    async def _known(self, asked: _Asked, headers: Mapping[str, str], route: Route) -> Caller:
        """Return who calls, and tell the host."""
        assert route.scope is not None
        caller: Caller = await settle(self._authenticator.authenticate(headers, route.scope))
        if asked.on_caller is not None:
            with suppress(Exception):  # as every hook of the host's
                asked.on_caller(caller)
        return caller

    async def _track(self, asked: _Asked, headers: Mapping[str, str]) -> Response:
        caller = await self._known(asked, headers, EVENTS)
        check_media_type(headers)
        key = idempotency_key(headers)
        if self._in_thread is None or len(asked.body) < _LONG:
            receipt = await _tracked(self._tracker, asked.body, key, caller)
        else:
            receipt = await self._in_thread(
                lambda tracker: drive(_tracked(tracker, asked.body, key, caller))
            )
        told: dict[str, str] = {}
        if receipt.replayed:
            told["idempotent_replayed"] = "true"
        if receipt.unmatched_paths:
            told["redaction_unmatched"] = str(len(receipt.unmatched_paths))
        return json_response(202, receipt_document(receipt), **told)

    async def _track_batch(
        self, asked: _Asked, headers: Mapping[str, str], request_id: str
    ) -> Response:
        caller = await self._known(asked, headers, BATCH)
        check_media_type(headers)
        track = partial(
            track_batch,
            headers=headers,
            body=asked.body,
            organization_id=caller.organization_id,
            max_bytes=self._max_batch_bytes,
            on_failure=partial(self._failures.failed, request_id=request_id),
        )
        if self._in_thread is None:
            return json_response(200, await track(self._tracker))
        return json_response(200, await self._in_thread(lambda tracker: drive(track(tracker))))

    async def _health(self, request_id: str) -> Response:
        """Say whether the store takes writes: one that only answers questions tracks nothing."""
        try:
            await settle((self._readiness or self._tracker.records.check_writes)())
        except SegmentflowError as error:
            self._failures.failed(error, request_id)
            return error_response(StorageUnavailable())
        return _alive()

    def _route(self, method: str, path: str) -> str:
        """Return the path below the prefix.

        Raises:
            NotFound: there is no such path.
            MethodNotAllowed: the path does not have this method.
        """
        allowed = self._allowed(path)
        if not allowed:
            raise NotFound
        if method not in allowed:
            raise MethodNotAllowed
        return self._below(path)

    def _route_of(self, method: str, path: str) -> Route | None:
        return routes_of(self._below(path)).get("GET" if method == "HEAD" else method)

    def _allowed(self, path: str) -> tuple[str, ...]:
        return allowed_methods(self._below(path)) if path.startswith(self._prefix) else ()

    def _below(self, path: str) -> str:
        return path.partition("?")[0].removeprefix(self._prefix)

    def _refusal(self, error: SegmentflowError, path: str, request_id: str) -> Response:
        if isinstance(error, MethodNotAllowed):
            return error_response(error, allow=", ".join(self._allowed(path)))
        if error.status >= InternalError.status:
            self._failures.failed(error, request_id)
        return error_response(error)


class Endpoint(_EitherEndpoint):
    """Answers HTTP requests with a `Tracker`; safe to share between threads.

    Args:
        tracker: records the events; its limits are the endpoint's.
        authenticator: decides who calls.
        prefix: what comes before ``/api/v1/events`` and the other paths, such as ``/tracking``.
        max_batch_bytes: how many bytes a batch of events may have.
        readiness: asks whether the store takes writes, and raises where it does not; by default
            the tracker's `records.check_writes`.

    Raises:
        ConfigurationError: the tracker or the authenticator must be awaited: it needs an
            `AsyncEndpoint`; or `max_batch_bytes` is less than 1.
    """

    def __init__(
        self,
        tracker: Tracker,
        authenticator: Authenticator,
        *,
        prefix: str = "",
        max_batch_bytes: int = DEFAULT_MAX_BATCH_BYTES,
        readiness: Callable[[], None] | None = None,
    ) -> None:
        refuse_kind(tracker, AsyncTracker, "An AsyncTracker needs an AsyncEndpoint.")
        refuse_awaited(authenticator.authenticate, _AWAITED)
        super().__init__(tracker, authenticator, prefix, max_batch_bytes, readiness)

    @forgets_locals
    def __call__(
        self,
        method: str,
        path: str,
        headers: AnyHeaders,
        body: bytes,
        *,
        mount: str = "",
        on_caller: Callable[[Caller], object] | None = None,
    ) -> Response:
        """Answer one request. Never raises, whatever the request.

        Args:
            method: as sent, uppercase.
            path: without the host's own mount point, and with the query, which only reading
                takes. If the host has decoded the path, write a ``?`` within it as ``%3F`` again.
            headers: a mapping, or pairs; names in any case.
            body: the whole body, empty for none.
            mount: the host's own mount point, percent-encoded, with no slash at its end: where
                the OpenAPI document says that the API is.
            on_caller: is called with who calls, once that is known: for the host's own log. What
                it raises is dropped.
        """
        try:
            return drive(self._answer(_Asked(method, path, headers, body, mount, on_caller)))
        except RuntimeError:
            # Only `drive` raises here: the authenticator returned something to wait for, which
            # nobody could see when the endpoint was made.
            _LOG.error(_AWAITED)
        return _as_asked(method, error_response(InternalError()), request_id_of(headers))

    @forgets_locals
    def refuse_caller(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the refusal of a caller who is not known or may not do this, or None.

        For hosts that read the body themselves, before they keep much of one that comes slowly or
        is long. A call with the body asks for the caller again. Never raises.
        """
        try:
            return drive(self._refuse_caller(method, path, headers))
        except RuntimeError:  # as in `__call__`
            _LOG.error(_AWAITED)
        return _as_asked(method, error_response(InternalError()), request_id_of(headers))


class AsyncEndpoint(_EitherEndpoint):
    """Answers HTTP requests with an `AsyncTracker`; as `Endpoint`, awaited.

    Args:
        tracker: records the events.
        authenticator: decides who calls.
        prefix: as for `Endpoint`.
        max_batch_bytes: as for `Endpoint`.
        readiness: as for `Endpoint`, and may have to be awaited.
        in_thread: is given what tracks a batch or a long event, calls it in a thread with a
            `Tracker` over the same store, and returns its result, awaited: to check a long batch
            may take a second, in which an event loop would do nothing else. By default all is
            tracked on the loop.
        reads_in_thread: as `in_thread`, and is given what reads and writes down an answer, which
            may be long.

    Raises:
        ConfigurationError: the tracker is a `Tracker`, which needs an `Endpoint`.
    """

    def __init__(
        self,
        tracker: AsyncTracker,
        authenticator: Authenticator,
        *,
        prefix: str = "",
        max_batch_bytes: int = DEFAULT_MAX_BATCH_BYTES,
        readiness: Callable[[], object] | None = None,
        in_thread: InThread | None = None,
        reads_in_thread: InThread | None = None,
    ) -> None:
        refuse_kind(tracker, Tracker, "A Tracker needs an Endpoint.")
        super().__init__(tracker, authenticator, prefix, max_batch_bytes, readiness)
        self._in_thread = in_thread
        self._reads_in_thread = reads_in_thread

    @forgets_locals
    async def __call__(
        self,
        method: str,
        path: str,
        headers: AnyHeaders,
        body: bytes,
        *,
        mount: str = "",
        on_caller: Callable[[Caller], object] | None = None,
    ) -> Response:
        """Answer one request; as `Endpoint.__call__`."""
        return await self._answer(_Asked(method, path, headers, body, mount, on_caller))

    @forgets_locals
    async def refuse_caller(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the refusal of a caller, or None; as `Endpoint.refuse_caller`."""
        return await self._refuse_caller(method, path, headers)


async def _tracked(
    tracker: Tracker | AsyncTracker, body: bytes, key: str | None, caller: Caller
) -> Receipt:
    try:
        request = parse_request(body, tracker.limits)
    except InvalidRequest as refusal:
        if key:
            raise
        missing = Violation("/idempotencyKey", "is required")
        faults = (*refusal.violations, missing)
        raise IdempotencyKeyRequired.from_violations(faults) from None
    receipt: Receipt = await settle(
        tracker.track(request, key, organization_id=caller.organization_id)
    )
    return receipt


async def _read_response(
    tracker: Tracker | AsyncTracker, route: Route, path: str, query: str, organization_id: str
) -> Response:
    document = await read_route(tracker.records, route, path, query, organization_id)
    return json_response(200, document)


def _alive() -> Response:
    return json_response(200, {"status": "ok"})


def _as_asked(method: str, response: Response, request_id: str) -> Response:
    """Name the request, and leave out the body of an answer to HEAD (RFC 9110, section 9.3.2)."""
    headers = {**response.headers, REQUEST_ID: request_id}
    return response._replace(headers=headers, body=b"" if method == "HEAD" else response.body)

"""The ASGI app (ASGI 3, HTTP and lifespan), also to read as a model for other wirings.

Reads a body no further than the limit, and one that comes in parts only of a caller who is known.
Serves an `Endpoint` in a bounded pool of threads, but what is asked about the app itself, which has
a thread of its own; an `AsyncEndpoint` on the event loop. Needs asyncio.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import (
    Awaitable,
    Callable,
    Container,
    Coroutine,
    Mapping,
    MutableMapping,
    Sequence,
)
from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from functools import partial
from inspect import isawaitable
from typing import Any, Final, TypeAlias, TypeVar, cast

from segmentflow_core.colour import is_asynchronous
from segmentflow_core.errors import (
    ConfigurationError,
    InvalidRequest,
    Overloaded,
    PayloadTooLarge,
    StorageUnavailable,
)
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_http.access import AnsweredHook, Around, surrounded, tell_answered
from segmentflow_http.authentication import Caller
from segmentflow_http.messages import (
    AnyHeaders,
    Response,
    has_two_lengths,
    mount_point,
    quoted_path,
    read_headers,
    with_query,
)
from segmentflow_http.routes import HEALTH, LIVENESS, OPENAPI, READINESS, shown_path
from segmentflow_http.served import AsyncServed, Served

__all__ = ["AsgiApp"]

_Scope: TypeAlias = MutableMapping[str, Any]
_Receive: TypeAlias = Callable[[], Awaitable[MutableMapping[str, Any]]]
_Send: TypeAlias = Callable[[MutableMapping[str, Any]], Awaitable[None]]

_POLICY_VIOLATION: Final = 1008
_ALWAYS_ANSWERED: Final = (HEALTH.path, READINESS.path, LIVENESS.path, OPENAPI.path)

T = TypeVar("T")


def _is_count(value: object) -> bool:
    return type(value) is int and value >= 1


class _Gone(Exception):
    """The client left before it had sent the whole request."""


class AsgiApp:
    """Serves an endpoint to an ASGI server, or mounted in an ASGI framework.

    Args:
        endpoint: what answers: an `Endpoint` or an `AsyncEndpoint`, or the page of an operator.
        threads: how many calls of an `Endpoint` run at the same time; others wait.
        max_requests: how many requests are answered at the same time, or wait to be; others are
            refused at once as `overloaded`, but those about the app itself. None takes them all.
        on_answered: is called with each answered request, for example `log_answered`.
        around: what surrounds each request, the outermost first; for example spans and metrics.
        on_shutdown: is called when the server shuts down, after the last answer; and awaited, if
            it has to be.
        closing: says whether the server is about to stop: answers then tell the client to close
            its connection, and a request that the server cuts off is answered.

    Raises:
        ConfigurationError: `threads` or `max_requests` is less than 1.
    """

    def __init__(
        self,
        endpoint: Served | AsyncServed,
        *,
        threads: int = 8,
        max_requests: int | None = None,
        on_answered: AnsweredHook | None = None,
        around: Sequence[Around] = (),
        on_shutdown: Callable[[], object] | None = None,
        closing: Callable[[], bool] = lambda: False,
    ) -> None:
        if not _is_count(threads):
            raise ConfigurationError("threads must be at least 1.")
        if not (max_requests is None or _is_count(max_requests)):
            raise ConfigurationError("max_requests must be at least 1, or None.")
        self._endpoint = endpoint
        self._awaited = is_asynchronous(endpoint.__call__)
        self._threads = threads
        # By whether it is for what is asked about the app itself.
        self._pools: dict[bool, ThreadPoolExecutor] = {}
        self._room = max_requests
        self._on_answered = on_answered
        self._around = tuple(around)
        self._on_shutdown = on_shutdown
        self._closing = closing

    # Not marked itself: what is marked takes any arguments. uvicorn calls an app without arguments,
    # and where that works, it takes the app for a function that makes one.
    async def __call__(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        """Serve one connection scope."""
        try:
            await self._serve(scope, receive, send)
        except BaseException:
            del scope, receive, send
            raise

    @forgets_locals
    async def _serve(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        if scope["type"] == "http":
            await self._http(scope, receive, send)
        elif scope["type"] == "lifespan":
            await self._lifespan(receive, send)
        elif scope["type"] == "websocket":
            await receive()
            await send({"type": "websocket.close", "code": _POLICY_VIOLATION})

    def close(self) -> object:
        """End its threads, and call `on_shutdown`.

        For a host that mounts the app and does not pass the lifespan on to it.

        Returns:
            What `on_shutdown` returned, for the host to await if it has to be; or None.
        """
        while self._pools:
            self._pools.popitem()[1].shutdown()
        return None if self._on_shutdown is None else self._on_shutdown()

    async def _http(self, scope: _Scope, receive: _Receive, send: _Send) -> None:
        started = time.perf_counter()
        method = scope["method"]
        root_path = scope.get("root_path", "")
        path = quoted_path(scope["path"].removeprefix(root_path))
        headers: AnyHeaders = [(bytes(name), bytes(value)) for name, value in scope["headers"]]
        with suppress(InvalidRequest):  # said of them once there is somebody to say it
            headers = read_headers(headers)
        request = (method, path, headers)
        with surrounded(self._around, self._on_answered, request) as on_answered:
            await self._respond((scope, receive, send), request, started, on_answered)

    async def _respond(
        self,
        connection: tuple[_Scope, _Receive, _Send],
        request: tuple[str, str, AnyHeaders],
        started: float,
        on_answered: AnsweredHook | None,
    ) -> None:
        scope, _, send = connection
        method, path, headers = request
        callers: list[Caller] = []
        cut_off: asyncio.CancelledError | None = None
        try:
            response, length = await self._response(connection, request, callers.append)
        except _Gone:
            return
        except asyncio.CancelledError as error:
            if not self._closing():
                raise
            # The time of the stop is over. The caller is told, and does not have to guess.
            response = self._endpoint.refusal(StorageUnavailable(), method, path, headers)
            length, cut_off = 0, error
        if self._closing() or has_two_lengths(_names(headers)):
            response = response._replace(headers={**response.headers, "connection": "close"})
        # A client that has left meanwhile gets its answer when it tries again.
        with suppress(OSError):
            await _send(send, response)
        client = scope.get("client")
        tell_answered(
            on_answered,
            request,
            response,
            length,
            started,
            caller=callers[0] if callers else None,
            client=client[0] if client else None,
        )
        if cut_off is not None:
            raise cut_off

    async def _response(
        self,
        connection: tuple[_Scope, _Receive, _Send],
        request: tuple[str, str, AnyHeaders],
        on_caller: Callable[[Caller], object],
    ) -> tuple[Response, int]:
        """Return the answer to a request, and how long its body is.

        Raises:
            _Gone: the client left.
        """
        scope, receive, _ = connection
        method, path, headers = request
        body = b""
        response = self._endpoint.refuse_early(method, path, headers)
        response = response or self._refusal(method, path, headers)
        if response is None:
            try:
                first = await receive()
                if first.get("more_body", False):  # it may be long, and come slowly
                    response = await self._refuse_caller(method, path, headers)
                if response is None:
                    body = await _read(first, receive, self._endpoint.max_bytes_at(path))
            except PayloadTooLarge as error:
                response = self._endpoint.refusal(error, method, path, headers)
        if response is None:
            target = with_query(path, bytes(scope.get("query_string", b"")).decode("latin-1"))
            mount = mount_point(scope.get("root_path", ""))
            call = partial(
                self._endpoint, method, target, headers, body, mount=mount, on_caller=on_caller
            )
            # Others may have come while the body did.
            response = self._refusal(method, path, headers)
            if response is None:
                answer = self._answer(call, aside=shown_path(path) in _ALWAYS_ANSWERED)
                response = await _while_there(receive, answer)
        return response, len(body)

    def _refusal(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the refusal of a request that there is no room for."""
        if self._room == 0 and shown_path(path) not in _ALWAYS_ANSWERED:
            return self._endpoint.refusal(Overloaded(), method, path, headers)
        return None

    async def _answer(self, call: Callable[[], Any], *, aside: bool) -> Response:
        if not self._room:
            return await self._answered(call, aside)
        self._room -= 1
        try:
            return await self._answered(call, aside)
        finally:
            self._room += 1

    async def _answered(self, call: Callable[[], Any], aside: bool) -> Response:
        if self._awaited:
            response: Response = await call()
            return response
        return await self._in_a_thread(call, aside=aside)

    async def _refuse_caller(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        refuse = cast(
            "Callable[[], Any]", partial(self._endpoint.refuse_caller, method, path, headers)
        )
        refused: Response | None = await (refuse() if self._awaited else self._in_a_thread(refuse))
        return refused

    async def _in_a_thread(self, call: Callable[[], T], *, aside: bool = False) -> T:
        """Call in a thread; what is aside waits for others of its kind, and for no other call."""
        pool = self._pools.get(aside)
        if pool is None:
            count, name = (1, "segmentflow-health") if aside else (self._threads, "segmentflow")
            pool = self._pools[aside] = ThreadPoolExecutor(count, thread_name_prefix=name)
        return await asyncio.get_running_loop().run_in_executor(pool, call)

    async def _lifespan(self, receive: _Receive, send: _Send) -> None:
        await receive()
        await send({"type": "lifespan.startup.complete"})
        await receive()
        ended = self.close()
        if isawaitable(ended):
            await ended
        await send({"type": "lifespan.shutdown.complete"})


async def _read(first: MutableMapping[str, Any], receive: _Receive, limit: int) -> bytes:
    """Read a body, of which the first message has come; stop as soon as it is too long.

    Raises:
        PayloadTooLarge: the body is longer than `limit` bytes.
        _Gone: the client left.
    """
    parts: list[bytes] = []
    length = 0
    message = first
    while True:
        if message["type"] == "http.disconnect":
            raise _Gone
        part = message.get("body", b"")
        length += len(part)
        if length > limit:
            raise PayloadTooLarge(details={"maxBytes": limit})
        parts.append(part)
        if not message.get("more_body", False):
            return b"".join(parts)
        message = await receive()


async def _while_there(receive: _Receive, answer: Coroutine[Any, Any, Response]) -> Response:
    """Await an answer for as long as its client is there; nobody works for one who has left.

    Raises:
        _Gone: the client left; the answer was cancelled.
    """
    task = asyncio.current_task()
    assert task is not None
    left = answered = False

    def look(watched: asyncio.Future[MutableMapping[str, Any]]) -> None:
        nonlocal left
        if (
            not answered
            and not watched.cancelled()
            and watched.exception() is None
            and watched.result()["type"] == "http.disconnect"
        ):
            left = True
            task.cancel()

    watching = asyncio.ensure_future(receive())
    watching.add_done_callback(look)
    try:
        return await answer
    except asyncio.CancelledError:
        if left and task.cancelling() == 1:  # nobody else cancelled it, too
            raise _Gone from None
        raise
    finally:
        answered = True
        watching.cancel()
        if left:
            task.uncancel()


def _names(headers: AnyHeaders) -> Container[str]:
    """Return the names of headers, lowercase as every server gives them."""
    if isinstance(headers, Mapping):
        return headers
    pairs: Any = headers
    return {name.decode("latin-1") for name, _ in pairs}


async def _send(send: _Send, response: Response) -> None:
    headers = [(name.encode(), value.encode()) for name, value in response.headers.items()]
    await send({"type": "http.response.start", "status": response.status, "headers": headers})
    await send({"type": "http.response.body", "body": response.body})

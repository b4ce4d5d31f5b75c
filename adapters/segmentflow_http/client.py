"""A client of the HTTP API, on httpx: `Client` and `AsyncClient`, the same call in two colours.

Tries again what may yet be accepted, always under the same idempotency key, and raises the
library's own errors, by code. The call is one `async def`, which `Client` drives and
`AsyncClient` awaits. Must never put a value of a request into an error.
"""

from __future__ import annotations

import json
import random
import re
import time
from collections.abc import Awaitable, Callable, Mapping
from datetime import datetime
from types import TracebackType
from typing import Any, Final, Self, TypeVar
from uuid import uuid4

import anyio
import httpx
from attrs import frozen

from segmentflow_core import Receipt, SegmentflowError, TrackRequest, __version__
from segmentflow_core.colour import MaybeAwaitable, drive, settle
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyKeyRequired,
    InvalidRequest,
    Violation,
)
from segmentflow_core.ports import format_instant
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.wire import request_document
from segmentflow_http.answers import (
    PassingAnswer,
    UnexpectedAnswer,
    Unreachable,
    read_answer,
    unmatched_paths,
)
from segmentflow_http.colours import refuse_kind
from segmentflow_http.retries import DEFAULT_RETRIES, Retried, Retries, Uniform, pause_after

__all__ = [
    "AsyncClient",
    "Client",
    "PassingAnswer",
    "Retried",
    "Retries",
    "UnexpectedAnswer",
    "Unreachable",
]

_PATH: Final = "/api/v1/events"
# A space at either end would be lost over HTTP, and the key would be another one.
_KEY: Final = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
_VISIBLE: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|[0-9A-Fa-f:.]+")
_MAX_HOST: Final = 253
_MAX_PORT: Final = 65_535

T = TypeVar("T")


@frozen(repr=False)
class _Conversation:
    """What a client and the service say to each other about one event, in either colour."""

    url: str
    api_key: str
    retries: Retries
    on_retried: Callable[[Retried], None] | None
    on_unmatched: Callable[[int], None] | None
    post: Callable[..., MaybeAwaitable[httpx.Response]]
    sleep: Callable[[float], MaybeAwaitable[object]]
    uniform: Uniform

    async def track(
        self,
        request: TrackRequest | Mapping[str, Any],
        idempotency_key: str | None,
        generate_key: bool,
    ) -> Receipt:
        """Send an event until there is an answer that no further attempt can change."""
        key = _checked_key(str(uuid4()) if generate_key else idempotency_key)
        content = _encoded(request)

        def read(response: httpx.Response) -> Receipt | SegmentflowError:
            answer = read_answer(response)
            if isinstance(answer, Receipt):
                self._tell_unmatched(unmatched_paths(response))
            return answer

        answer = await self._answered(content, {"idempotency-key": _quoted(key)}, read)
        if isinstance(answer, SegmentflowError):
            raise answer
        return answer

    async def _answered(
        self,
        content: bytes,
        headers: Mapping[str, str],
        read: Callable[[httpx.Response], T | SegmentflowError],
    ) -> T | SegmentflowError:
        """Send a body until there is an answer that no further attempt can change; read that."""
        attempt = 1
        while True:
            response = await self._sent(content, headers)
            answer = response if isinstance(response, SegmentflowError) else read(response)
            if not isinstance(answer, SegmentflowError):
                return answer
            pause = pause_after(attempt, response, self.retries, self.uniform)
            if pause is None:
                return answer
            if self.on_retried is not None:
                self.on_retried(Retried(attempt, answer.code, pause))
            await settle(self.sleep(pause))
            attempt += 1

    def _tell_unmatched(self, count: int) -> None:
        if count and self.on_unmatched is not None:
            self.on_unmatched(count)

    async def _sent(
        self, content: bytes, headers: Mapping[str, str]
    ) -> httpx.Response | SegmentflowError:
        """Send a request once; return the answer, or the error that says why there is none."""
        given = {
            "x-api-key": self.api_key,
            "content-type": "application/json",
            "accept": "application/json",
            "user-agent": f"segmentflow-core/{__version__}",
            **headers,
        }
        try:
            return await settle(self.post(self.url, content=content, headers=given))
        except httpx.RequestError as error:
            # Of the library's own, and returned: httpx's error holds the request.
            return _failure(error)


def _failure(error: httpx.RequestError) -> SegmentflowError:
    """Return what a failed request says about trying again; see httpx's page of exceptions."""
    if isinstance(error, httpx.DecodingError):
        return PassingAnswer()
    if isinstance(error, (httpx.TooManyRedirects, httpx.UnsupportedProtocol)):
        return UnexpectedAnswer()
    return Unreachable()


class Client:
    """Tracks events over HTTP. Safe to share between threads; close it, or use it in a `with`.

    Args:
        base_url: where the service is, such as ``https://events.example.com``.
        api_key: an API Key with the scope ``events:write``.
        retries: how often to try, and how long to wait in between.
        timeout: seconds for each step of one attempt.
        http: an httpx client to use instead of an own one; it is not closed.
        on_retried: is called with each failed attempt that is followed by another.
        on_unmatched: is called where redaction paths of an accepted request name nothing, with
            how many: a mistyped path protects nothing.
        sleep: waits the given seconds; default `time.sleep`.
        uniform: draws a pause between two bounds.

    Raises:
        ConfigurationError: `base_url` is no http or https URL, or has a query or a fragment;
            `api_key` cannot be an API Key, or `http` is asynchronous.
    """

    @forgets_locals
    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        retries: Retries = DEFAULT_RETRIES,
        timeout: float = 10.0,
        http: httpx.Client | None = None,
        on_retried: Callable[[Retried], None] | None = None,
        on_unmatched: Callable[[int], None] | None = None,
        sleep: Callable[[float], object] = time.sleep,
        uniform: Uniform = random.uniform,
    ) -> None:
        url = _checked_url(base_url) + _PATH
        _check_api_key(api_key)
        refuse_kind(http, httpx.AsyncClient, "An httpx.AsyncClient needs an AsyncClient.")
        sender = http or httpx.Client(timeout=timeout)
        self._conversation = _Conversation(
            url, api_key, retries, on_retried, on_unmatched, sender.post, sleep, uniform
        )
        self._own = sender if http is None else None

    @forgets_locals
    def track(
        self,
        request: TrackRequest | Mapping[str, Any],
        idempotency_key: str | None = None,
        *,
        generate_key: bool = False,
    ) -> Receipt:
        """Track one event; try again while that may help, always under the same idempotency key.

        Args:
            request: a `TrackRequest`, or a mapping with the wire's names.
            idempotency_key: 1 to 255 printable ASCII characters, no space at either end; the
                same for every retry, in other processes too.
            generate_key: make a random key instead. It protects only the retries within this
                call: a second call is another event.

        Raises:
            SegmentflowError: the service's refusal, by code.
            Unreachable: no attempt reached the service and brought back an answer.
            UnexpectedAnswer: something other than the service answered.
        """
        return drive(self._conversation.track(request, idempotency_key, generate_key))

    def close(self) -> None:
        """Close the client's own connections; those of `http` stay open."""
        if self._own is not None:
            self._own.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.close()


class AsyncClient:
    """As `Client`, awaited; on asyncio or trio, whichever runs."""

    @forgets_locals
    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        retries: Retries = DEFAULT_RETRIES,
        timeout: float = 10.0,
        http: httpx.AsyncClient | None = None,
        on_retried: Callable[[Retried], None] | None = None,
        on_unmatched: Callable[[int], None] | None = None,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        uniform: Uniform = random.uniform,
    ) -> None:
        url = _checked_url(base_url) + _PATH
        _check_api_key(api_key)
        refuse_kind(http, httpx.Client, "An httpx.Client needs a Client.")
        sender = http or httpx.AsyncClient(timeout=timeout)
        self._conversation = _Conversation(
            url, api_key, retries, on_retried, on_unmatched, sender.post, sleep, uniform
        )
        self._own = sender if http is None else None

    @forgets_locals
    async def track(
        self,
        request: TrackRequest | Mapping[str, Any],
        idempotency_key: str | None = None,
        *,
        generate_key: bool = False,
    ) -> Receipt:
        """Track one event; as `Client.track`."""
        return await self._conversation.track(request, idempotency_key, generate_key)

    async def close(self) -> None:
        """Close the client's own connections; those of `http` stay open."""
        if self._own is not None:
            await self._own.aclose()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self.close()


def _checked_url(base_url: object) -> str:
    """Return the address of a service without a slash at its end.

    Raises:
        ConfigurationError: no request can be sent there. httpx would say so only when one is.
    """
    if isinstance(base_url, str):
        try:
            url = httpx.URL(base_url)
            host = url.raw_host.decode("ascii")
        except (httpx.InvalidURL, UnicodeError):
            host = ""
        else:
            port_is_one = url.port is None or 0 < url.port <= _MAX_PORT
            if url.scheme not in ("http", "https") or url.query or url.fragment or not port_is_one:
                host = ""
        if len(host) <= _MAX_HOST and _HOST.fullmatch(host) is not None:
            return base_url.rstrip("/")
    # Raised outside the handler, and without the URL, which may hold a password.
    raise ConfigurationError(
        "base_url must be an http or https URL, without a query and a fragment."
    )


def _check_api_key(api_key: str) -> None:
    if _VISIBLE.fullmatch(api_key) is None:
        raise ConfigurationError("An API Key consists of visible ASCII characters.")


def _checked_key(key: Any) -> str:
    if not key:
        raise IdempotencyKeyRequired.from_violations([Violation("/idempotencyKey", "is required")])
    if not isinstance(key, str) or _KEY.fullmatch(key) is None:
        message = "must be 1 to 255 printable ASCII characters, with no space at either end"
        raise InvalidRequest.from_violations([Violation("/idempotencyKey", message)])
    return key


def _quoted(key: str) -> str:
    """Put a key that is in double quotes into another pair, since the service takes one off."""
    return f'"{key}"' if len(key) > 1 and key[0] == key[-1] == '"' else key


def _encoded(request: object) -> bytes:
    try:
        document: Any = request_document(request) if isinstance(request, TrackRequest) else request
        text = json.dumps(document, default=_plain, allow_nan=False, ensure_ascii=False)
        return text.encode()
    except Exception:  # noqa: BLE001, S110 - a value's own code may raise anything
        pass
    # Raised outside the handler: the encoder's error quotes what it could not encode.
    raise InvalidRequest.from_violations([Violation("", "holds a value that is not JSON")])


def _plain(value: object) -> Any:
    """Write what a `TrackRequest` may hold besides JSON's own types."""
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return format_instant(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError

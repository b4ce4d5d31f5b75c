"""A client of the HTTP API, on httpx: `Client` and `AsyncClient`, the same call in two colours.

Tries again what may yet be accepted, always under the same idempotency key, and raises the
library's own errors, by code. The call is one `async def`, which `Client` drives and
`AsyncClient` awaits. Must never put a value of a request into an error.
"""

from __future__ import annotations

import random
import re
import time
from collections.abc import Awaitable, Callable, Sequence
from types import TracebackType
from typing import Final, Self

import anyio
import httpx

from segmentflow_core import Receipt
from segmentflow_core.colour import drive
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_http.answers import PassingAnswer, UnexpectedAnswer, Unreachable
from segmentflow_http.batches import DEFAULT_MAX_BATCH_BYTES
from segmentflow_http.colours import refuse_kind
from segmentflow_http.conversation import AnyRequest, Conversation, Result
from segmentflow_http.retries import DEFAULT_RETRIES, Retried, Retries, Uniform, is_seconds

__all__ = [
    "AsyncClient",
    "Client",
    "PassingAnswer",
    "Retried",
    "Retries",
    "UnexpectedAnswer",
    "Unreachable",
]

_VISIBLE: Final = re.compile(r"[!-~]+")
_HOST: Final = re.compile(r"(?:[A-Za-z0-9_-]{1,63}\.)*[A-Za-z0-9_-]{1,63}\.?|[0-9A-Fa-f:.]+")
_MAX_HOST: Final = 253
_MAX_PORT: Final = 65_535


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
            `api_key` cannot be an API Key, `http` is asynchronous, or another argument breaks
            its rule.
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
        url = _checked_url(base_url)
        _check_settings(api_key, retries, timeout)
        refuse_kind(http, httpx.AsyncClient, "An httpx.AsyncClient needs an AsyncClient.")
        _check_sender(http, httpx.Client)
        sender = http or httpx.Client(timeout=timeout)
        self._conversation = Conversation(
            url, api_key, retries, on_retried, on_unmatched, sender.post, sleep, uniform
        )
        self._own = sender if http is None else None

    @forgets_locals
    def track(
        self,
        request: AnyRequest,
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
            ConfigurationError: a key is given, and another one is to be made.
            InvalidRequest: the request holds what is no JSON; nothing is sent.
            SegmentflowError: the service's refusal, by code.
            Unreachable: no attempt reached the service and brought back an answer.
            UnexpectedAnswer: something other than the service answered.
        """
        return drive(self._conversation.track(request, idempotency_key, generate_key))

    @forgets_locals
    def track_many(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        *,
        max_batch_bytes: int = DEFAULT_MAX_BATCH_BYTES,
    ) -> list[Result]:
        """Track events in batches of at most a thousand; one receipt or error per call, in order.

        A refused call does not hinder the others. A batch is tried again as one event is, and so
        is what of it may yet be accepted. Once a batch fails as a whole, its error is that of each
        of its calls and of those behind it, which are not sent: `should_retry` says whether to
        keep them. Paths in errors start at the call's own request.

        Args:
            calls: pairs of request and idempotency key, as `track` takes them.
            max_batch_bytes: how long a batch may be; the service has a bound of its own.

        Raises:
            ConfigurationError: `calls` are not pairs; nothing is sent.
        """
        return drive(self._conversation.track_many(calls, max_batch_bytes))

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
        url = _checked_url(base_url)
        _check_settings(api_key, retries, timeout)
        refuse_kind(http, httpx.Client, "An httpx.Client needs a Client.")
        _check_sender(http, httpx.AsyncClient)
        sender = http or httpx.AsyncClient(timeout=timeout)
        self._conversation = Conversation(
            url, api_key, retries, on_retried, on_unmatched, sender.post, sleep, uniform
        )
        self._own = sender if http is None else None

    @forgets_locals
    async def track(
        self,
        request: AnyRequest,
        idempotency_key: str | None = None,
        *,
        generate_key: bool = False,
    ) -> Receipt:
        """Track one event; as `Client.track`."""
        return await self._conversation.track(request, idempotency_key, generate_key)

    @forgets_locals
    async def track_many(
        self,
        calls: Sequence[tuple[AnyRequest, str | None]],
        *,
        max_batch_bytes: int = DEFAULT_MAX_BATCH_BYTES,
    ) -> list[Result]:
        """Track events in batches; as `Client.track_many`."""
        return await self._conversation.track_many(calls, max_batch_bytes)

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
    # An empty query or fragment is none to httpx, and what is put behind it would be lost.
    if isinstance(base_url, str) and not {"?", "#"} & set(base_url):
        try:
            url = httpx.URL(base_url)
            host = url.raw_host.decode("ascii")
        except (httpx.InvalidURL, UnicodeError):
            host = ""
        else:
            port_is_one = url.port is None or 0 < url.port <= _MAX_PORT
            if url.scheme not in ("http", "https") or not port_is_one:
                host = ""
        if len(host) <= _MAX_HOST and _HOST.fullmatch(host) is not None:
            return base_url.rstrip("/")
    # Raised outside the handler, and without the URL, which may hold a password.
    raise ConfigurationError(
        "base_url must be an http or https URL, without a query and a fragment."
    )


def _check_settings(api_key: object, retries: object, timeout: object) -> None:
    if not isinstance(api_key, str) or _VISIBLE.fullmatch(api_key) is None:
        raise ConfigurationError("An API Key consists of visible ASCII characters.")
    if not isinstance(retries, Retries):
        raise ConfigurationError("retries must be Retries.")
    if not is_seconds(timeout) or timeout == 0:
        raise ConfigurationError("timeout must be a number of seconds.")


def _check_sender(http: object, kind: type[object]) -> None:
    if http is not None and not isinstance(http, kind):
        raise ConfigurationError(f"http must be an httpx.{kind.__name__}.")

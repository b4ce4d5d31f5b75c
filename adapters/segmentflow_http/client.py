"""A client of the HTTP API, on httpx: `Client` and `AsyncClient`, the same call in two colours.

Retries what may yet be accepted, always under the same idempotency key, and raises the
library's own errors, by code. One conversation, written as a generator, decides; the
two clients send and wait. Must never put a value of a request into an error.
"""

from __future__ import annotations

import json
import math
import random
import re
import time
from collections.abc import Awaitable, Callable, Generator, Mapping
from contextlib import suppress
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from types import TracebackType
from typing import Any, Final, Self, TypeAlias
from uuid import uuid4

import anyio
import httpx
from attrs import frozen

from segmentflow_core import Receipt, SegmentflowError, TrackRequest, __version__
from segmentflow_core.errors import (
    ERROR_CLASSES,
    ConfigurationError,
    IdempotencyKeyRequired,
    InvalidRequest,
    Violation,
)
from segmentflow_core.ports import format_instant
from segmentflow_core.wire import request_document

__all__ = ["AsyncClient", "Client", "Retried", "Retries", "UnexpectedAnswer", "Unreachable"]

_PATH: Final = "/api/v1/events"
# Over HTTP a space at either end would be lost on the way, and with it the key's identity.
_KEY: Final = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
_VISIBLE: Final = re.compile(r"[!-~]+")
_BY_CODE: Final = {cls.code: cls for cls in ERROR_CLASSES}
_RETRIED_STATUSES: Final = frozenset({408, 429})
_COUNTS: Final = ("matchedJourneys", "enrolledJourneys", "skippedJourneys")

Uniform: TypeAlias = Callable[[float, float], float]


class Unreachable(SegmentflowError):
    """The service could not be reached, or the connection broke before the answer."""

    code = "unreachable"
    status = 503
    should_retry = True
    default_message = "The service could not be reached."


class UnexpectedAnswer(SegmentflowError):
    """The answer is none of this API; `details["status"]` says which status it had."""

    code = "unexpected_answer"
    status = 502
    default_message = "The service gave an answer that is not of this API."


@frozen
class Retries:
    """How often to try, and how long to wait in between.

    Attributes:
        attempts: how often to send at most, the first time included.
        first_pause: seconds, at most, before the second attempt; doubles with each more.
        longest_pause: seconds no pause exceeds.
        longest_retry_after: a service that asks to wait longer is not waited for.
    """

    attempts: int = 5
    first_pause: float = 0.25
    longest_pause: float = 8.0
    longest_retry_after: float = 60.0

    def __attrs_post_init__(self) -> None:
        numbers = (self.first_pause, self.longest_pause, self.longest_retry_after)
        if self.attempts < 1 or not all(math.isfinite(n) and n >= 0 for n in numbers):
            raise ConfigurationError("attempts must be at least 1, and no pause negative.")


@frozen
class Retried:
    """One failed attempt that is followed by another.

    Attributes:
        attempt: which one failed, counted from 1.
        code: the code of its error.
        pause: seconds until the next.
    """

    attempt: int
    code: str
    pause: float


@frozen(repr=False)
class _Send:
    """Send the request; the answer is a response, or None where there was none."""

    content: bytes
    headers: Mapping[str, str]


@frozen
class _Pause:
    """Wait this many seconds."""

    seconds: float


_Conversation: TypeAlias = Generator[_Send | _Pause, httpx.Response | None, Receipt]


class _Core:
    """What both colours share."""

    def __init__(
        self,
        base_url: str,
        api_key: str,
        retries: Retries,
        on_retried: Callable[[Retried], None] | None,
        uniform: Uniform,
    ) -> None:
        if _VISIBLE.fullmatch(api_key) is None:
            raise ConfigurationError("An API Key consists of visible ASCII characters.")
        self.url = base_url.rstrip("/") + _PATH
        self._api_key = api_key
        self._retries = retries
        self._on_retried = on_retried
        self._uniform = uniform

    def converse(
        self,
        request: TrackRequest | Mapping[str, Any],
        idempotency_key: str | None,
        generate_key: bool,
    ) -> _Conversation:
        """Track one event: what to send and how long to wait, until there is an answer."""
        key = _checked_key(str(uuid4()) if generate_key else idempotency_key)
        send = _Send(
            _encoded(request),
            {
                "x-api-key": self._api_key,
                "idempotency-key": key,
                "content-type": "application/json",
                "accept": "application/json",
                "user-agent": f"segmentflow-core/{__version__}",
            },
        )
        attempt = 1
        while True:
            response = yield send
            answer = Unreachable() if response is None else _answer(response)
            if isinstance(answer, Receipt):
                return answer
            pause = self._pause(response, attempt)
            if pause is None:
                raise answer
            if self._on_retried is not None:
                self._on_retried(Retried(attempt, answer.code, pause))
            yield _Pause(pause)
            attempt += 1

    def _pause(self, response: httpx.Response | None, attempt: int) -> float | None:
        """Return how long to wait before another attempt; None where there is to be none."""
        rules = self._retries
        if attempt >= rules.attempts or not (response is None or _may_yet_succeed(response)):
            return None
        longest = min(rules.longest_pause, rules.first_pause * 2 ** (attempt - 1))
        asked = None if response is None else _retry_after(response)
        if asked is None:
            return self._uniform(0, longest)
        if asked > rules.longest_retry_after:
            return None
        # Those that were told to come back together are not to come back at once.
        return asked + self._uniform(0, rules.first_pause)


class Client:
    """Tracks events over HTTP. Safe to share between threads; close it, or use it in a `with`.

    Args:
        base_url: where the service is, such as ``https://events.example.com``.
        api_key: an API Key with the scope ``events:write``.
        retries: how often to try, and how long to wait in between.
        timeout: seconds for each step of one attempt.
        http: an httpx client to use in place of one's own; it is not closed.
        on_retried: is told of each failed attempt that is followed by another.
        sleep: waits; default `time.sleep`.
        uniform: draws a pause between two bounds.

    Raises:
        ConfigurationError: `api_key` can be none.
    """

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        retries: Retries = Retries(),
        timeout: float = 10.0,
        http: httpx.Client | None = None,
        on_retried: Callable[[Retried], None] | None = None,
        sleep: Callable[[float], object] = time.sleep,
        uniform: Uniform = random.uniform,
    ) -> None:
        self._core = _Core(base_url, api_key, retries, on_retried, uniform)
        self._own = httpx.Client(timeout=timeout) if http is None else None
        self._http = http or self._own
        self._sleep = sleep

    def track(
        self,
        request: TrackRequest | Mapping[str, Any],
        idempotency_key: str | None = None,
        *,
        generate_key: bool = False,
    ) -> Receipt:
        """Track one event, trying again while that may help, under one idempotency key.

        Args:
            request: a `TrackRequest`, or a mapping with the wire's names.
            idempotency_key: 1 to 255 printable ASCII characters, no space at either end; the
                same for every retry, in other processes too.
            generate_key: make a random key instead. It protects this call's own retries
                only: calling again is another event.

        Raises:
            SegmentflowError: the service's refusal, by code.
            Unreachable: every attempt failed on the way.
            UnexpectedAnswer: something else than the service answered.
        """
        conversation = self._core.converse(request, idempotency_key, generate_key)
        assert self._http is not None
        try:
            step = next(conversation)
            while True:
                response = None
                if isinstance(step, _Pause):
                    self._sleep(step.seconds)
                else:
                    with suppress(httpx.TransportError):
                        response = self._http.post(
                            self._core.url, content=step.content, headers=dict(step.headers)
                        )
                step = conversation.send(response)
        except StopIteration as finished:
            receipt: Receipt = finished.value
            return receipt

    def close(self) -> None:
        """Close the connections, where they are the client's own."""
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

    def __init__(
        self,
        base_url: str,
        api_key: str,
        *,
        retries: Retries = Retries(),
        timeout: float = 10.0,
        http: httpx.AsyncClient | None = None,
        on_retried: Callable[[Retried], None] | None = None,
        sleep: Callable[[float], Awaitable[object]] = anyio.sleep,
        uniform: Uniform = random.uniform,
    ) -> None:
        self._core = _Core(base_url, api_key, retries, on_retried, uniform)
        self._own = httpx.AsyncClient(timeout=timeout) if http is None else None
        self._http = http or self._own
        self._sleep = sleep

    async def track(
        self,
        request: TrackRequest | Mapping[str, Any],
        idempotency_key: str | None = None,
        *,
        generate_key: bool = False,
    ) -> Receipt:
        """Track one event; as `Client.track`."""
        conversation = self._core.converse(request, idempotency_key, generate_key)
        assert self._http is not None
        try:
            step = next(conversation)
            while True:
                response = None
                if isinstance(step, _Pause):
                    await self._sleep(step.seconds)
                else:
                    with suppress(httpx.TransportError):
                        response = await self._http.post(
                            self._core.url, content=step.content, headers=dict(step.headers)
                        )
                step = conversation.send(response)
        except StopIteration as finished:
            receipt: Receipt = finished.value
            return receipt

    async def close(self) -> None:
        """Close the connections, where they are the client's own."""
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


def _checked_key(key: str | None) -> str:
    if not key:
        raise IdempotencyKeyRequired.from_violations([Violation("/idempotencyKey", "is required")])
    if _KEY.fullmatch(key) is None:
        message = "must be 1 to 255 printable ASCII characters, with no space at either end"
        raise InvalidRequest.from_violations([Violation("/idempotencyKey", message)])
    return key


def _encoded(request: TrackRequest | Mapping[str, Any]) -> bytes:
    document = request_document(request) if isinstance(request, TrackRequest) else dict(request)
    try:
        text = json.dumps(document, default=_plain, allow_nan=False, ensure_ascii=False)
        return text.encode()
    except (TypeError, ValueError, RecursionError):
        pass
    # Outside the handler: the encoder's own error shows what it could not encode.
    raise InvalidRequest.from_violations([Violation("", "holds a value that is not JSON")])


def _plain(value: object) -> Any:
    """Write what a `TrackRequest` may hold beside JSON's own types."""
    if isinstance(value, datetime) and value.utcoffset() is not None:
        return format_instant(value)
    if isinstance(value, Mapping):
        return dict(value)
    raise TypeError


def _answer(response: httpx.Response) -> Receipt | SegmentflowError:
    """Read a receipt, or the error by its code."""
    try:
        document: Any = response.json()
    except ValueError:
        document = None
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
    return UnexpectedAnswer(details={"status": response.status_code})


def _is_receipt(document: Mapping[str, Any]) -> bool:
    return all(isinstance(document.get(name), str) for name in ("eventId", "profileId")) and all(
        isinstance(document.get(name), int) for name in _COUNTS
    )


def _may_yet_succeed(response: httpx.Response) -> bool:
    """Tell whether the same request may be accepted later: as told, or else by its status."""
    told = response.headers.get("x-should-retry")
    if told in ("true", "false"):
        return bool(told == "true")
    return response.status_code in _RETRIED_STATUSES or response.status_code >= 500


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that ``retry-after`` asks for (RFC 9110, section 10.2.3)."""
    asked = response.headers.get("retry-after")
    if asked is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return float(asked)
    try:
        moment = parsedate_to_datetime(asked)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())

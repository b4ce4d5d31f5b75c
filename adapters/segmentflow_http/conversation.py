"""What a client and the service say to each other, in either colour.

Sends events, alone or in batches, until no further attempt can change the answer. Must never put
a value of a request into an error.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Final, TypeAlias, TypeVar
from uuid import uuid4

import httpx
from attrs import frozen

from segmentflow_core import Receipt, SegmentflowError, TrackRequest, __version__
from segmentflow_core.colour import MaybeAwaitable, settle
from segmentflow_core.errors import (
    ConfigurationError,
    IdempotencyKeyRequired,
    InvalidRequest,
    PayloadTooLarge,
    Violation,
)
from segmentflow_core.wire import MAX_BATCH, plain_request
from segmentflow_http.answers import (
    PassingAnswer,
    UnexpectedAnswer,
    Unreachable,
    read_answer,
    read_batch,
    unmatched_paths,
)
from segmentflow_http.retries import Retried, Retries, Uniform, pause_after
from segmentflow_http.routes import BATCH, EVENTS

__all__ = ["AnyRequest", "Conversation", "Result"]

# A space at either end would be lost over HTTP, and the key would be another one.
_KEY: Final = re.compile(r"[!-~](?:[ -~]{0,253}[!-~])?")
_START: Final = b'{"events":['
_END: Final = b"]}"

AnyRequest: TypeAlias = TrackRequest | Mapping[str, Any]
"""A request as a value, or as a mapping with the wire's names."""

Result: TypeAlias = Receipt | SegmentflowError
"""What becomes of one call of a batch."""

T = TypeVar("T")


@frozen(repr=False)
class Conversation:
    """What a client and the service say to each other, in either colour."""

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
        request: AnyRequest,
        idempotency_key: str | None,
        generate_key: bool,
    ) -> Receipt:
        """Send an event until there is an answer that no further attempt can change."""
        if generate_key and idempotency_key is not None:
            raise ConfigurationError("Give an idempotency_key, or let one be made; not both.")
        key = _checked_key(str(uuid4()) if generate_key else idempotency_key)
        content = _encoded(request)

        def read(response: httpx.Response) -> Receipt | SegmentflowError:
            answer = read_answer(response)
            if isinstance(answer, Receipt):
                self._tell_unmatched(unmatched_paths(response))
            return answer

        headers = {"idempotency-key": _quoted(key)}
        answer = await self._answered(EVENTS.path, lambda: content, headers, read)
        if isinstance(answer, SegmentflowError):
            raise answer
        return answer

    async def track_many(self, calls: object, max_batch_bytes: int) -> list[Result]:
        """Send events in batches; what hinders one batch as a whole ends the sending."""
        pairs = _checked_calls(calls)
        results: dict[int, Result] = {}
        events: dict[int, bytes] = {}
        for index, (request, key) in enumerate(pairs):
            try:
                events[index] = _keyed(_encoded(request), _checked_key(key))
            except (InvalidRequest, PayloadTooLarge) as refusal:
                results[index] = refusal.with_traceback(None)
        for batch in _batches(events, max_batch_bytes):
            failure = await self._track_batch({index: events[index] for index in batch}, results)
            if failure is not None:
                results |= {index: failure for index in events if index not in results}
                break
        return [results[index] for index in range(len(pairs))]

    async def _track_batch(
        self, events: Mapping[int, bytes], results: dict[int, Result]
    ) -> SegmentflowError | None:
        """Send a batch, and again what of it may yet be accepted; note what became of each event.

        Returns:
            What hindered the whole batch, or None.
        """
        left = dict(events)

        def content() -> bytes:
            return _START + b",".join(left.values()) + _END

        def read(response: httpx.Response) -> None | SegmentflowError:
            answer = read_batch(response, len(left))
            if isinstance(answer, SegmentflowError):
                return answer
            self._tell_unmatched(answer.unmatched)
            passing = None
            for index, result, again in zip(list(left), answer.results, answer.again, strict=True):
                results[index] = result
                if again and isinstance(result, SegmentflowError):
                    passing = passing or result
                else:
                    del left[index]
            return passing

        failure = await self._answered(BATCH.path, content, {}, read)
        if failure is None or any(results.get(index) is failure for index in left):
            return None
        results |= dict.fromkeys(left, failure)
        return failure

    async def _answered(
        self,
        path: str,
        content: Callable[[], bytes],
        headers: Mapping[str, str],
        read: Callable[[httpx.Response], T | SegmentflowError],
    ) -> T | SegmentflowError:
        """Send a body until there is an answer that no further attempt can change; read that."""
        attempt = 1
        while True:
            response = await self._sent(path, content(), headers)
            answer = response if isinstance(response, SegmentflowError) else read(response)
            if not isinstance(answer, SegmentflowError):
                return answer
            # A batch is answered with 200 though some of its events are to be tried again.
            told = answer if getattr(response, "is_success", False) else response
            pause = pause_after(attempt, told, self.retries, self.uniform)
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
        self, path: str, content: bytes, headers: Mapping[str, str]
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
            return await settle(self.post(self.url + path, content=content, headers=given))
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


def _checked_calls(calls: object) -> list[tuple[Any, Any]]:
    """Return calls as pairs of request and key, neither of them checked.

    Raises:
        ConfigurationError: they are no sequence of pairs.
    """
    message = "calls must be a list of pairs: request and idempotency key."
    if not isinstance(calls, Sequence) or isinstance(calls, (str, bytes, bytearray)):
        raise ConfigurationError(message)
    pairs: list[tuple[Any, Any]] = []
    for call in calls:
        if not isinstance(call, (tuple, list)) or len(call) != 2:
            raise ConfigurationError(message)
        pairs.append((call[0], call[1]))
    return pairs


def _keyed(request: bytes, key: str) -> bytes:
    """Put the key into a request that is an object; the service refuses any other."""
    if not request.startswith(b"{"):
        return request
    rest = request[1:] if request == b"{}" else b"," + request[1:]
    return b'{"idempotencyKey":' + json.dumps(key).encode() + rest


def _batches(events: Mapping[int, bytes], max_bytes: int) -> Iterator[list[int]]:
    """Divide events, in order, into batches that the service takes; a long one goes alone."""
    batch: list[int] = []
    size = 0
    for index, event in events.items():
        if batch and (len(batch) == MAX_BATCH or size + len(event) + 1 > max_bytes):
            yield batch
            batch = []
        size = (size if batch else len(_START + _END)) + len(event) + 1
        batch.append(index)
    if batch:
        yield batch


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


def _encoded(request: AnyRequest) -> bytes:
    return json.dumps(plain_request(request), ensure_ascii=False).encode()

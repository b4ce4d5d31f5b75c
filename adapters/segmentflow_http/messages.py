"""Responses, and the reading of headers (RFC 9110). Knows no route and no tracker."""

from __future__ import annotations

import json
import re
from collections.abc import Container, Iterable, Mapping
from typing import Any, Final, NamedTuple, TypeAlias
from urllib.parse import quote

from segmentflow_core.errors import (
    InternalError,
    InvalidRequest,
    PayloadTooLarge,
    SegmentflowError,
    StorageUnavailable,
    UnsupportedMediaType,
    Violation,
)

__all__ = [
    "AnyHeaders",
    "ReadHeaders",
    "Response",
    "check_length",
    "check_media_type",
    "error_response",
    "has_two_lengths",
    "idempotency_key",
    "json_response",
    "mount_point",
    "quoted_path",
    "read_headers",
    "shown_error",
    "with_query",
]

_Pairs: TypeAlias = Iterable[tuple[str | bytes, str | bytes]]
AnyHeaders: TypeAlias = Mapping[str, str] | _Pairs
"""Headers as any framework gives them: a mapping, or pairs in which a name may repeat."""

_ONCE: Final = (
    "authorization",
    "content-encoding",
    "content-length",
    "content-type",
    "idempotency-key",
    "x-api-key",
)
"""Headers that are read here. Two values for one of them would be two requests in one."""

_DIGITS: Final = re.compile(r"[0-9]{1,19}")
_MEDIA_TYPE: Final = re.compile(
    r'application/json[ \t]*(?:;[ \t]*(?:charset[ \t]*=[ \t]*(?:utf-8|"utf-8"))?[ \t]*)?',
    re.IGNORECASE,
)


_RECEIPT: Final = re.compile(rb'{"eventId":"([0-9a-f-]*)"')
"""How the answer to a recorded event starts: no other way to find the id is as quick."""


class ReadHeaders(dict[str, str]):
    """Headers by their lowercase names, as `read_headers` has read them: it need not again."""


class Response(NamedTuple):
    """An answer, ready for any framework.

    Attributes:
        status: the status code.
        headers: lowercase names, each once.
        body: the bytes; empty for HEAD.
    """

    status: int
    headers: dict[str, str]
    body: bytes

    @property
    def code(self) -> str | None:
        """Return the error's code, or None for a response that is no error."""
        if self.status < 400 or not self.body or not self._is_json:
            return None
        code: str = json.loads(self.body)["error"]
        return code

    @property
    def event_id(self) -> str | None:
        """Return the id of the event that was recorded, now or earlier, or None."""
        if self.status != 202 or not self.body or not self._is_json:
            return None
        if (found := _RECEIPT.match(self.body)) is not None:
            return found[1].decode()
        event_id: str | None = json.loads(self.body).get("eventId")
        return event_id

    @property
    def _is_json(self) -> bool:
        return self.headers.get("content-type") == "application/json"


def quoted_path(path: str) -> str:
    """Write a path as the endpoint reads it, when the server has decoded it and cut the query off.

    A question mark that is still in it was sent as ``%3F``: it starts no query.
    """
    return path.replace("?", "%3F")


def mount_point(path: str | bytes) -> str:
    """Write the path that an app is mounted at, which the server has decoded, as in a URL."""
    quoted = quote(path).strip("/")
    # Never two slashes: a name behind them would be another host's.
    return f"/{quoted}" if quoted else ""


def with_query(path: str, query: str) -> str:
    """Put the query that a server has cut off behind the path again."""
    return f"{path}?{query}" if query else path


def read_headers(headers: AnyHeaders) -> ReadHeaders:
    """Read headers by their lowercase names; those of one name with a comma between them.

    Raises:
        InvalidRequest: a header that is read here is given twice; each such header is listed.
    """
    given: Any = headers
    if type(given) is ReadHeaders:
        return given
    pairs: _Pairs = given.items() if isinstance(given, Mapping) else given
    found = ReadHeaders()
    repeated: dict[str, None] = {}
    for raw_name, raw_value in pairs:
        name, value = _text(raw_name).lower(), _text(raw_value)
        if name not in found:
            found[name] = value
            continue
        # RFC 9113, section 8.2.3: cookies come in several, and are one header again.
        found[name] += f"; {value}" if name == "cookie" else f", {value}"
        if name in _ONCE:
            repeated[name] = None
    if repeated:
        raise InvalidRequest.from_violations(
            [Violation(f"/headers/{name}", "must be given once") for name in sorted(repeated)]
        )
    return found


def idempotency_key(headers: Mapping[str, str]) -> str | None:
    """Return the idempotency key, without one pair of enclosing double quotes.

    draft-ietf-httpapi-idempotency-key-header sends the key as a quoted string. Nothing within
    the quotes is unescaped.
    """
    given = headers.get("idempotency-key")
    if given is not None and len(given) > 1 and given[0] == given[-1] == '"':
        return given[1:-1]
    return given


def has_two_lengths(names: Container[str]) -> bool:
    """Tell whether lowercase header names give a body two lengths: a proxy may read the other.

    RFC 9112, section 6.3: the connection of such a request must be closed after the answer.
    """
    return "content-length" in names and "transfer-encoding" in names


def check_length(headers: Mapping[str, str], received: int, limit: int) -> None:
    """Refuse a body that is too large, by its announced or its received length.

    Raises:
        InvalidRequest: the announced length is not a number, or not the only one.
        PayloadTooLarge: either length is more than `limit` bytes.
    """
    if has_two_lengths(headers):
        raise InvalidRequest.from_violations(
            [Violation("/headers/transfer-encoding", "must not stand beside content-length")]
        )
    announced = headers.get("content-length")
    if announced is not None and _DIGITS.fullmatch(announced) is None:
        raise InvalidRequest.from_violations(
            [Violation("/headers/content-length", "must be a number of bytes")]
        )
    if max(received, int(announced or 0)) > limit:
        raise PayloadTooLarge(details={"maxBytes": limit})


def check_media_type(headers: Mapping[str, str]) -> None:
    """Accept ``application/json``, uncompressed, with no parameter except ``charset=utf-8``.

    Raises:
        UnsupportedMediaType: the body is declared as something else, or as nothing.
    """
    declared = _MEDIA_TYPE.fullmatch(headers.get("content-type", ""))
    if declared is None or headers.get("content-encoding", "identity").lower() != "identity":
        raise UnsupportedMediaType


def json_response(status: int, document: Any, **headers: str) -> Response:
    """Answer with a JSON document; underscores in header names stand for hyphens."""
    body = json.dumps(document, separators=(",", ":"), ensure_ascii=False).encode()
    return _response(status, body, headers)


def shown_error(error: SegmentflowError) -> SegmentflowError:
    """Return what callers are told of an error.

    Every inner failure (500) says the same, without details. A store that is unavailable is
    named by its own code alone: where it is, is nothing for callers.
    """
    if error.status == InternalError.status:
        return InternalError()
    if isinstance(error, StorageUnavailable):
        return StorageUnavailable(details=error.details)
    return error


def error_response(error: SegmentflowError, **headers: str) -> Response:
    """Answer with the envelope of an error, as far as callers are told of it."""
    should_retry, error = error.should_retry, shown_error(error)
    if should_retry is not None:
        headers["x_should_retry"] = "true" if should_retry else "false"
    if error.retry_after is not None:
        headers["retry_after"] = str(error.retry_after)
    if error.status == 401:
        # RFC 9110, section 11.6.1: a 401 names the scheme to use.
        headers["www_authenticate"] = "ApiKey"
    return json_response(error.status, error.envelope(), **headers)


def _response(status: int, body: bytes, headers: Mapping[str, str]) -> Response:
    return Response(
        status,
        {
            "content-type": "application/json",
            "content-length": str(len(body)),
            "cache-control": "no-store",
            **{name.replace("_", "-"): value for name, value in headers.items()},
        },
        body,
    )


def _text(value: str | bytes) -> str:
    return value if isinstance(value, str) else value.decode("latin-1")

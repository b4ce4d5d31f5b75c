"""The WSGI app (PEP 3333): an `Endpoint` for a WSGI server, or mounted in a WSGI framework."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from http import HTTPStatus
from typing import Any, Final

from segmentflow_core.errors import InvalidRequest, Violation
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_http.access import AnsweredHook, Around, surrounded, tell_answered
from segmentflow_http.authentication import Caller
from segmentflow_http.colours import refuse_awaited
from segmentflow_http.messages import (
    Response,
    mount_point,
    quoted_path,
    with_query,
)
from segmentflow_http.served import Served

__all__ = ["WsgiApp"]


_SHORT: Final = 64 * 1024
"""How many bytes of a body are read before the caller is known."""


class WsgiApp:
    """Serves an endpoint, one request a call.

    WSGI servers join headers of one name with a comma before this app sees them. So a header
    given twice is not refused as such. Two API Keys become one unknown key: 401. But
    `idempotency-key` given as ``k1`` twice becomes the key ``k1,k1``, which is not ``k1``
    (keys may hold commas): the event is recorded a second time.

    Args:
        endpoint: what answers: an `Endpoint`, or the page of an operator.
        on_answered: is called with each answered request, for example `log_answered`.
        around: what surrounds each request; as for `AsgiApp`.

    Raises:
        ConfigurationError: the endpoint is an `AsyncEndpoint`, which needs an `AsgiApp`.
    """

    def __init__(
        self,
        endpoint: Served,
        *,
        on_answered: AnsweredHook | None = None,
        around: Sequence[Around] = (),
    ) -> None:
        refuse_awaited(endpoint.__call__, "An AsyncEndpoint needs an AsgiApp.")
        self._endpoint = endpoint
        self._on_answered = on_answered
        self._around = tuple(around)

    @forgets_locals
    def __call__(
        self, environ: dict[str, Any], start_response: Callable[..., object]
    ) -> Iterable[bytes]:
        """Serve one request."""
        response = self.answer(environ)
        phrase = HTTPStatus(response.status).phrase
        start_response(f"{response.status} {phrase}", list(response.headers.items()))
        return [response.body]

    @forgets_locals
    def answer(self, environ: Mapping[str, Any]) -> Response:
        """Answer one request; for a view of a WSGI framework.

        Args:
            environ: the request as the server gave it. Nobody must have read its body.
        """
        started = time.perf_counter()
        method, path = environ["REQUEST_METHOD"], quoted_path(environ.get("PATH_INFO", ""))
        headers = _headers(environ)
        request = (method, path, headers)
        with surrounded(self._around, self._on_answered, request) as on_answered:
            return self._answer(environ, request, started, on_answered)

    def _answer(
        self,
        environ: Mapping[str, Any],
        request: tuple[str, str, list[tuple[str, str]]],
        started: float,
        on_answered: AnsweredHook | None,
    ) -> Response:
        method, path, headers = request
        body = b""
        callers: list[Caller] = []
        response = self._endpoint.refuse_early(method, path, headers)
        if response is None and (endless := _endless(environ)) is not None:
            response = self._endpoint.refusal(endless, method, path, headers)
        if response is None and _is_long(environ):
            response = self._endpoint.refuse_caller(method, path, headers)
        if response is None:
            body = _read(environ, self._endpoint.max_bytes_at(path))
            target = with_query(path, environ.get("QUERY_STRING", ""))
            mount = mount_point(_sent(environ.get("SCRIPT_NAME", "")))
            response = self._endpoint(
                method, target, headers, body, mount=mount, on_caller=callers.append
            )
        tell_answered(
            on_answered,
            request,
            response,
            len(body),
            started,
            caller=callers[0] if callers else None,
            client=environ.get("REMOTE_ADDR") or None,
        )
        return response


def _headers(environ: Mapping[str, Any]) -> list[tuple[str, str]]:
    headers = [
        (name[5:].replace("_", "-"), value)
        for name, value in environ.items()
        if name.startswith("HTTP_")
    ]
    # Some servers set these two empty where the request has none.
    given = [name for name in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(name)]
    return headers + [(name.replace("_", "-"), environ[name]) for name in given]


def _endless(environ: Mapping[str, Any]) -> InvalidRequest | None:
    """Refuse a chunked body whose end the server does not tell the app; None of any other."""
    if (
        environ.get("CONTENT_LENGTH")
        or "HTTP_TRANSFER_ENCODING" not in environ
        or environ.get("wsgi.input_terminated")
    ):
        return None
    message = "is not read by this server: send the body with content-length"
    fault = Violation("/headers/transfer-encoding", message)
    return InvalidRequest.from_violations([fault])


def _is_long(environ: Mapping[str, Any]) -> bool:
    """Tell whether a body may be too long to be kept of just anybody; its length was checked."""
    announced = environ.get("CONTENT_LENGTH")
    if announced:
        return int(announced) > _SHORT
    return bool(environ.get("wsgi.input_terminated"))


def _sent(text: str) -> bytes:
    """Return the bytes that a server gives as text (PEP 3333); some frameworks decode them."""
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode()


def _read(environ: Mapping[str, Any], limit: int) -> bytes:
    """Read the body; one byte past the limit shows that it is too long."""
    length = environ.get("CONTENT_LENGTH")
    if length:
        body: bytes = environ["wsgi.input"].read(int(length))
        return body
    if environ.get("wsgi.input_terminated"):
        return _read_all(environ["wsgi.input"], limit + 1)
    return b""


def _read_all(stream: Any, most: int) -> bytes:
    parts: list[bytes] = []
    while most > 0 and (part := stream.read(most)):
        parts.append(part)
        most -= len(part)
    return b"".join(parts)

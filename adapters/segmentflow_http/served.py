"""What the ASGI and the WSGI app serve: an endpoint, or another page of this shape."""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from segmentflow_core import SegmentflowError
from segmentflow_http.authentication import Caller
from segmentflow_http.messages import AnyHeaders, Response

__all__ = ["AsyncServed", "Served"]


class Served(Protocol):
    """Answers requests; as `Endpoint`, whose methods say what each argument is."""

    def max_bytes_at(self, path: str) -> int:
        """Return the longest body that a path accepts."""
        ...

    def refuse_early(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the answer to a request whose body need not be read, or None."""
        ...

    def refusal(
        self, error: SegmentflowError, method: str, path: str, headers: AnyHeaders
    ) -> Response:
        """Return the answer to a request that the app itself has to refuse."""
        ...

    def refuse_caller(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the refusal of a caller who is not known or may not do this, or None."""
        ...

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
        """Answer one request."""
        ...


class AsyncServed(Protocol):
    """Answers requests, awaited; as `Served`."""

    def max_bytes_at(self, path: str) -> int:
        """Return the longest body that a path accepts."""
        ...

    def refuse_early(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the answer to a request whose body need not be read, or None."""
        ...

    def refusal(
        self, error: SegmentflowError, method: str, path: str, headers: AnyHeaders
    ) -> Response:
        """Return the answer to a request that the app itself has to refuse."""
        ...

    async def refuse_caller(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the refusal of a caller who is not known or may not do this, or None."""
        ...

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
        """Answer one request."""
        ...

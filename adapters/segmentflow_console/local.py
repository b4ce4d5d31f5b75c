"""The page for one person on this machine: a token in a URL, once, then the cookie of a session."""

from __future__ import annotations

import hmac
import re
import secrets
import threading
from collections.abc import Callable, Mapping
from datetime import datetime, timedelta
from typing import Final

from segmentflow_console.access import Operator
from segmentflow_console.console import Console
from segmentflow_console.facades import Facades
from segmentflow_console.forms import read_query
from segmentflow_console.pages import go_to
from segmentflow_console.routes import STYLE
from segmentflow_core import SegmentflowError
from segmentflow_core.errors import InsufficientScope, Unauthorized
from segmentflow_core.ports import Clock
from segmentflow_core.system import SystemClock
from segmentflow_http import Caller, Response
from segmentflow_http.messages import AnyHeaders, read_headers

__all__ = ["SIGN_IN", "LocalConsole"]

SIGN_IN: Final = "/sign-in"
_LIFETIME: Final = timedelta(hours=12)
_HOST: Final = re.compile(r"(?:127\.0\.0\.1|localhost|\[::1\])(?::[0-9]{1,5})?")
_UNKNOWN: Final = "Open the address that was printed: it lets one browser in, once."
_AGAIN: Final = (
    "This address was used already, or is not the one that was printed. Start the page again."
)


class LocalConsole:
    """A `Console` for whoever has the URL that the command printed; used by `segmentflow console`.

    Only requests to this machine's own names are answered: a name of somebody else's that leads
    here is refused. All of it is below a path that nobody can guess, and its cookie is for that
    path: browsers send a cookie to every port of a host, so to whatever else serves pages here.

    Args:
        facades: the store.
        operator: who she is, and what she may do.
        port: where it is served, which tells its cookie from those of other ports.
        clock: tells the time; default the machine's.
    """

    def __init__(
        self, facades: Facades, operator: Operator, *, port: int, clock: Clock | None = None
    ) -> None:
        self._operator = operator
        self._clock = clock or SystemClock()
        self._console = Console(facades, self._who, clock=self._clock)
        self._cookie = f"segmentflow_console_{port}"
        self._guard = threading.Lock()
        self._place = f"/{secrets.token_urlsafe(16)}"
        self._token: str | None = secrets.token_urlsafe(32)
        self._path = f"{self._place}{SIGN_IN}?token={self._token}"
        self._session: tuple[str, datetime] | None = None

    @property
    def path(self) -> str:
        """Return the path that lets somebody in, once."""
        return self._path

    def max_bytes_at(self, path: str) -> int:
        """Return the longest body that a path accepts."""
        return self._console.max_bytes_at(path)

    def refuse_early(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the answer to a request whose body need not be read, or None."""
        return self._console.refuse_early(method, path, headers)

    def refusal(
        self, error: SegmentflowError, method: str, path: str, headers: AnyHeaders
    ) -> Response:
        """Return the answer to a request that the host itself has to refuse."""
        return self._console.refusal(error, method, path, headers)

    def refuse_caller(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the refusal of somebody who is not known, or None."""
        below = self._below(path)
        if below is None:
            return self.refusal(Unauthorized(_UNKNOWN), method, path, headers)
        return self._console.refuse_caller(method, below, headers)

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
        """Answer one request; as `Console.__call__`."""
        try:
            read = read_headers(headers)
            if _HOST.fullmatch(read.get("host", "")) is None:
                raise InsufficientScope("This page is for this machine alone.")
            below = self._below(path)
            if below is None:
                raise Unauthorized(_UNKNOWN)
            place = f"{mount}{self._place}"
            if below.partition("?")[0] == SIGN_IN and method == "GET":
                return self._sign_in(below.partition("?")[2], place)
        except SegmentflowError as error:
            return self.refusal(error, method, path, headers)
        return self._console(method, below, headers, body, mount=place, on_caller=on_caller)

    def _below(self, path: str) -> str | None:
        """Return a path below the page's own; None of one that is elsewhere."""
        whole, mark, query = path.partition("?")
        first, slash, rest = whole.removeprefix("/").partition("/")
        if _same(f"/{first}", self._place):
            return f"{slash}{rest}{mark}{query}"
        # Refusals, which do not say where the page is, have its style too.
        return path if whole == STYLE else None

    def _sign_in(self, query: str, place: str) -> Response:
        given = read_query(query).get("token", "")
        with self._guard:
            if self._token is None or not _same(given, self._token):
                raise Unauthorized(_AGAIN)
            self._token = None
            secret = secrets.token_urlsafe(32)
            self._session = (secret, self._clock.now() + _LIFETIME)
        cookie = f"{self._cookie}={secret}; HttpOnly; SameSite=Strict; Path={place}"
        return go_to(place, "/", {}, set_cookie=cookie)

    def _who(self, headers: Mapping[str, str]) -> Operator:
        session = self._session
        if session is not None and self._clock.now() < session[1]:
            given = _cookie(headers.get("cookie", ""), self._cookie)
            if _same(given, session[0]):
                return self._operator
        raise Unauthorized(_UNKNOWN)


def _same(given: str, secret: str) -> bool:
    return hmac.compare_digest(given.encode(), secret.encode())


def _cookie(header: str, name: str) -> str:
    """Return a cookie's value; whatever else this machine's pages have set is passed over."""
    for part in header.split(";"):
        named, _, value = part.strip().partition("=")
        if named == name:
            return value
    return ""

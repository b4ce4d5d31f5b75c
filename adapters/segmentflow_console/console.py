"""The page: (method, path, headers, body) in, (status, headers, body) out.

Knows the order of the checks: path, method, who asks, her scope, where a form comes from, its
token. Knows no framework and no event loop: the answer is one `async def`, which `Console` drives
and `AsyncConsole` awaits. Must never show the secret of anything, nor why something failed inside.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

from attrs import frozen

from segmentflow_console.access import Operator, Scope, Who, nobody
from segmentflow_console.actions import ACTIONS, DONE
from segmentflow_console.asked import Asked, GoTo, Page
from segmentflow_console.facades import Facades
from segmentflow_console.forms import FormRefused, FormTokens, check_origin, read_form, read_query
from segmentflow_console.pages import STYLE_VERSION, go_to, html, render, style_sheet, url
from segmentflow_console.routes import FIND, STYLE, Found, route_of
from segmentflow_console.views import REASONS
from segmentflow_core import SegmentflowError
from segmentflow_core.colour import drive, is_asynchronous, settle
from segmentflow_core.errors import (
    ConfigurationError,
    InsufficientScope,
    InternalError,
    MethodNotAllowed,
    NotFound,
    Unauthorized,
)
from segmentflow_core.ports import Clock
from segmentflow_core.system import SystemClock
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_http import Caller, Response
from segmentflow_http.correlation import REQUEST_ID, request_id_of
from segmentflow_http.failures import FailureLog
from segmentflow_http.messages import AnyHeaders, check_length, read_headers, shown_error

__all__ = ["AsyncConsole", "Console"]

_MAX_BYTES: Final = 16 * 1024
_SHORTEST_KEY: Final = 32
_TITLES: Final = {401: "Not signed in", 403: "Not allowed", 404: "Not found"}
_AWAITED: Final = "What has to be awaited needs an AsyncConsole."


@frozen(repr=False)
class _Request:
    """One request, as a host gives it."""

    method: str
    path: str
    headers: AnyHeaders
    body: bytes
    mount: str
    operator: Operator | None


class _EitherConsole:
    """What both colours share: the checks and the answer, written once."""

    def __init__(
        self,
        facades: Facades,
        who: Who,
        *,
        key: bytes | None,
        origins: Sequence[str],
        clock: Clock | None,
    ) -> None:
        if key is not None and len(key) < _SHORTEST_KEY:
            raise ConfigurationError(f"key must have at least {_SHORTEST_KEY} bytes.")
        if isinstance(origins, str):
            raise ConfigurationError("origins must be a list, such as ['https://ops.example.com'].")
        self._facades = facades
        self._who = who
        self._tokens = FormTokens(secrets.token_bytes(_SHORTEST_KEY) if key is None else key)
        self._origins = tuple(origins)
        self._clock = clock or SystemClock()
        self._failures = FailureLog()

    def max_bytes_at(self, path: str) -> int:  # noqa: ARG002 - all are alike
        """Return the longest body that a path accepts; the host need not read further."""
        return _MAX_BYTES

    def refuse_early(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the answer to a request whose body need not be read, or None.

        A path that is none is answered by the call, which knows where the page is mounted.
        """
        try:
            check_length(read_headers(headers), 0, _MAX_BYTES)
        except SegmentflowError as error:
            return self.refusal(error, method, path, headers)
        return None

    def refusal(
        self,
        error: SegmentflowError,
        method: str,
        path: str,  # noqa: ARG002 - as an endpoint is asked
        headers: AnyHeaders,
    ) -> Response:
        """Return the answer to a request that the host itself has to refuse."""
        request_id = request_id_of(headers)
        return _as_asked(method, self._failed(error, request_id, "", None), request_id)

    async def _refuse_caller(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        request_id = request_id_of(headers)
        try:
            found = _found(method, path)
            if found is not None:
                await self._operator(read_headers(headers), found.route.scope, None)
        except Exception as error:  # noqa: BLE001 - as of any answer
            return _as_asked(method, self._failed(error, request_id, "", None), request_id)
        return None

    async def _answer(self, request: _Request) -> Response:
        """Answer a request; every failure becomes an answer too."""
        request_id = request_id_of(request.headers)
        known: list[Operator] = []
        try:
            response = await self._result(request, known.append)
        except Exception as error:  # noqa: BLE001 - nobody must learn anything of any failure
            operator = known[0] if known else None
            response = self._failed(error, request_id, request.mount, operator)
        return _as_asked(request.method, response, request_id)

    async def _result(
        self, request: _Request, on_operator: Callable[[Operator], object]
    ) -> Response:
        path, _, query = request.path.partition("?")
        found = _found(request.method, path)
        if found is None:
            return style_sheet()
        headers = read_headers(request.headers)
        check_length(headers, len(request.body), _MAX_BYTES)
        operator = await self._operator(headers, found.route.scope, request.operator)
        on_operator(operator)
        values = read_query(query)
        subject = values.get("id", "") if found.route.by_query else found.subject
        form: Mapping[str, str] = {}
        if request.method == "POST":
            check_origin(headers, self._origins)
            form = read_form(headers, request.body)
            purpose = _purpose(found, subject)
            self._tokens.check(form.get("token", ""), operator, purpose, self._clock.now())
        asked = Asked(self._facades, operator, self._clock.now(), subject, values, form)
        given = await self._given(found, asked, request.method)
        if isinstance(given, GoTo):
            return go_to(request.mount, given.path, given.query)
        return self._page(given, asked, request.mount, found)

    async def _given(self, found: Found, asked: Asked, method: str) -> Page | GoTo:
        action, view = found.route.action, found.route.view
        if view is not None:
            return await view(asked)
        assert action is not None
        place = await action.exists(asked)
        if method == "POST":
            return await action.do(asked)
        return Page("confirm.html", action.question, {"action": action, "from": place})

    async def _operator(
        self, headers: Mapping[str, str], scope: Scope, given: Operator | None
    ) -> Operator:
        """Return who asks, if she may.

        Raises:
            Unauthorized: nobody knows who it is.
            InsufficientScope: she may not.
        """
        operator: Operator | None = given or await settle(self._who(headers))
        if operator is None:
            raise Unauthorized("This page does not know who you are.")
        if scope not in operator.scopes:
            raise InsufficientScope(
                f"This needs the scope {scope}, which you do not have here.",
                details={"required": str(scope)},
            )
        return operator

    def _page(self, page: Page, asked: Asked, mount: str, found: Found) -> Response:
        operator, now = asked.operator, asked.now
        here = partial(url, mount)
        values = {
            **_frame(page.title, mount, operator),
            **page.values,
            "asked": asked,
            "now": now,
            "may": {action.name: action.scope in operator.scopes for action in ACTIONS},
            "reasons": REASONS,
            "done": DONE.get(asked.query.get("done", "")),
            "find_token": self._tokens.make(operator, FIND, now),
            "token": self._tokens.make(operator, _purpose(found, asked.subject), now),
            "here": here(found.route.path.replace("{id}", asked.subject), _named(found, asked)),
        }
        return html(render(page.template, values), page.status)

    def _failed(
        self, error: Exception, request_id: str, mount: str, operator: Operator | None
    ) -> Response:
        """Return the page of a failure: what a refusal says, and nothing of any other."""
        status, message, code = 403, str(error), "form_refused"
        if not isinstance(error, FormRefused):
            known = error if isinstance(error, SegmentflowError) else InternalError()
            if known.status >= InternalError.status:
                self._failures.failed(error, request_id)
            shown = shown_error(known)
            status, message, code = shown.status, shown.message, shown.code
        values = {
            **_frame(_TITLES.get(status, "Refused" if status < 500 else "Failed"), mount, operator),
            "status": status,
            "message": message,
            "code": code,
            "request_id": request_id,
        }
        return html(render("refused.html", values), status)


class Console(_EitherConsole):
    """The operator's page over synchronous facades; safe to share between threads.

    Args:
        facades: the store: a `Tracker`, or `StoreFacades` where there is none.
        who: is given the headers of each request, and says who asks, as an `Operator`, or None.
            By default nobody is let in.
        key: a secret of at least 32 bytes that the tokens of forms are made with. Give one where
            several processes serve the page, the same to each; by default each makes its own.
        origins: where the page is, such as ``https://ops.example.com``, for hosts behind a proxy
            that changes the header ``host``; by default what that header names.
        clock: tells the time; default the machine's.

    Raises:
        ConfigurationError: an argument breaks its rule, or has to be awaited: that needs an
            `AsyncConsole`.
    """

    def __init__(
        self,
        facades: Facades,
        who: Who = nobody,
        *,
        key: bytes | None = None,
        origins: Sequence[str] = (),
        clock: Clock | None = None,
    ) -> None:
        if is_asynchronous(facades.records.event) or is_asynchronous(who):
            raise ConfigurationError(_AWAITED)
        super().__init__(facades, who, key=key, origins=origins, clock=clock)

    @forgets_locals
    def __call__(
        self,
        method: str,
        path: str,
        headers: AnyHeaders,
        body: bytes,
        *,
        mount: str = "",
        on_caller: Callable[[Caller], object] | None = None,  # noqa: ARG002 - as an endpoint
        operator: Operator | None = None,
    ) -> Response:
        """Answer one request. Never raises, whatever the request.

        Args:
            method: as sent, uppercase.
            path: without the host's own mount point, and with the query. If the host has decoded
                the path, write a ``?`` within it as ``%3F`` again.
            headers: a mapping, or pairs; names in any case.
            body: the whole body, empty for none.
            mount: the host's own mount point, percent-encoded, with no slash at its end: every
                link begins with it.
            on_caller: is not called: an operator is no `Caller`.
            operator: who asks, where the host knows it already; `who` is not asked then.
        """
        try:
            return drive(self._answer(_Request(method, path, headers, body, mount, operator)))
        except RuntimeError as error:
            # Only `drive` raises here: `who` returned something to wait for, which nobody could
            # see when the console was made.
            return self._awaited(error, method, headers)

    @forgets_locals
    def refuse_caller(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the refusal of somebody who is not known or may not do this, or None."""
        try:
            return drive(self._refuse_caller(method, path, headers))
        except RuntimeError as error:  # as in `__call__`
            return self._awaited(error, method, headers)

    def _awaited(self, error: RuntimeError, method: str, headers: AnyHeaders) -> Response:
        request_id = request_id_of(headers)
        return _as_asked(method, self._failed(error, request_id, "", None), request_id)


class AsyncConsole(_EitherConsole):
    """The operator's page over asynchronous facades; as `Console`, awaited.

    Args:
        facades: the store: an `AsyncTracker`, or what has the same four facades.
        who: as for `Console`, and may have to be awaited.
        key: as for `Console`.
        origins: as for `Console`.
        clock: as for `Console`.

    Raises:
        ConfigurationError: an argument breaks its rule, or the facades are synchronous.
    """

    def __init__(
        self,
        facades: Facades,
        who: Who = nobody,
        *,
        key: bytes | None = None,
        origins: Sequence[str] = (),
        clock: Clock | None = None,
    ) -> None:
        if not is_asynchronous(facades.records.event):
            raise ConfigurationError("What is synchronous needs a Console.")
        super().__init__(facades, who, key=key, origins=origins, clock=clock)

    @forgets_locals
    async def __call__(
        self,
        method: str,
        path: str,
        headers: AnyHeaders,
        body: bytes,
        *,
        mount: str = "",
        on_caller: Callable[[Caller], object] | None = None,  # noqa: ARG002 - as an endpoint
        operator: Operator | None = None,
    ) -> Response:
        """Answer one request; as `Console.__call__`."""
        return await self._answer(_Request(method, path, headers, body, mount, operator))

    @forgets_locals
    async def refuse_caller(self, method: str, path: str, headers: AnyHeaders) -> Response | None:
        """Return the refusal of somebody, or None; as `Console.refuse_caller`."""
        return await self._refuse_caller(method, path, headers)


def _found(method: str, path: str) -> Found | None:
    """Return the route of a request; None for the style sheet.

    Raises:
        NotFound: there is no such path.
        MethodNotAllowed: the path does not have this method.
    """
    below = path.partition("?")[0] or "/"
    asked = "GET" if method == "HEAD" else method
    found = None if below == STYLE else route_of(below)
    if found is None and below != STYLE:
        raise NotFound
    if asked not in (("GET",) if found is None else found.route.methods):
        raise MethodNotAllowed
    return found


def _purpose(found: Found, subject: str) -> str:
    """Return what a form at this route is for: the path, and what it is done to."""
    return found.route.path if found.route.path == FIND else f"{found.route.path} {subject}"


def _named(found: Found, asked: Asked) -> dict[str, str]:
    return {"id": asked.subject} if found.route.by_query else {}


def _frame(title: str, mount: str, operator: Operator | None) -> dict[str, Any]:
    """Return what every page shows around its own content."""
    return {
        "title": title,
        "operator": operator,
        "url": partial(_linked, mount),
        "style": url(mount, STYLE, {"v": STYLE_VERSION}),
    }


def _linked(mount: str, path: str, **query: Any) -> str:
    return url(mount, path, query)


def _as_asked(method: str, response: Response, request_id: str) -> Response:
    """Name the request, and leave out the body of an answer to HEAD (RFC 9110, section 9.3.2)."""
    headers = {**response.headers, REQUEST_ID: request_id}
    return response._replace(headers=headers, body=b"" if method == "HEAD" else response.body)

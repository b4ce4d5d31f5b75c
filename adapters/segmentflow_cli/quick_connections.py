"""Connections of `segmentflow serve` whose requests httptools reads, in C.

httptools, and uvicorn's protocol over it, leave to others what h11 does itself: how long the head
of a request may be, that it names its host once, that no trailer becomes a header, that an answer
comes behind those to the requests before, and that whoever offers another protocol may stay with
this one. That is here. Imported where httptools is installed.
"""

from __future__ import annotations

from collections import deque
from importlib import import_module
from typing import Any, Final

from segmentflow_cli.connections import TimedConnection

__all__ = ["HttptoolsConnection"]

_httptools: Any = import_module("httptools")
_Protocol: Any = import_module("uvicorn.protocols.http.httptools_impl").HttpToolsProtocol

_MAX_HEAD: Final = 16 * 1024
"""How many bytes of a request that comes in parts may be no body: of its head, or its chunks."""

_LENIENCE: Final = 16
"""How many such bytes more each byte of a body allows: as a chunk of its own it has six."""

_MAX_BEHIND: Final = 128
"""How many requests may wait for the answers to those before them, on one connection."""


_INVALID: Final = "is not valid HTTP"


class _Refused(Exception):
    """Ends the reading of a request that breaks a rule of HTTP."""


class HttptoolsConnection(TimedConnection, _Protocol):  # type: ignore[misc]  # a class at run time
    """A connection whose requests httptools reads."""

    parser: Any
    pipeline: deque[Any]

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._in_head = True
        self._in_request = False
        self._unread = self._is_offered = False
        self._surplus = 0
        self._unanswered: list[Any] = []  # a deque takes half a kilobyte, empty

    def _read(self, data: bytes) -> None:
        """Read requests; of a connection that broke a rule, nothing more."""
        if self._unread:
            return
        self._unset_keepalive_if_required()
        self._surplus += len(data)
        try:
            self._feed(data)
        except _httptools.HttpParserError:
            self.logger.warning("Invalid HTTP request received.")
            self.send_400_response(_INVALID)
            return
        if self._surplus > _MAX_HEAD and (self._in_head or self._in_request):
            self.send_400_response("has too much that is no body")

    def _feed(self, data: bytes) -> None:
        """Let the parser read; where a request offers another protocol, once more without that.

        The parser reads no body of such a request, nor anything behind it.
        """
        while data:
            try:
                self.parser.feed_data(data)
            except _httptools.HttpParserUpgrade as offer:
                data = self._head_without_offer() + data[offer.args[0] :]
                self._is_offered = False
                self.parser = _httptools.HttpRequestParser(self)
                # As uvicorn does: what follows the last request of a connection is no fault of it.
                self.parser.set_dangerous_leniencies(lenient_data_after_close=True)
            else:
                return

    def _head_without_offer(self) -> bytes:
        method, version = self.parser.get_method(), self.parser.get_http_version().encode()
        kept = [each for each in self.headers if each[0] not in (b"connection", b"upgrade")]
        lines = [b"%b: %b" % each for each in (*kept, (b"connection", b"close"))]
        return b"\r\n".join((b"%b %b HTTP/%b" % (method, self.url, version), *lines, b"", b""))

    def connection_lost(self, exc: Exception | None) -> None:
        """Let go of every request that has no answer yet, and not of the last one alone."""
        for cycle in self._left():
            cycle.disconnected = True
            cycle.message_event.set()
        super().connection_lost(exc)

    def send_400_response(self, msg: str) -> None:
        """Refuse what comes now, behind the answers to what came before, and close."""
        self._unread = True
        before = self._left()
        refused = before.pop() if before and before[-1].more_body else None
        if before:
            self.pipeline = deque(each for each in self.pipeline if each[0] is not refused)
            self.cycle = before[-1]
            self.cycle.keep_alive = False
        elif self._in_request and not self._in_head and (not refused or refused.response_started):
            self.transport.close()  # it was answered before all of it had come
        else:
            super().send_400_response(msg)

    def on_message_begin(self) -> None:
        """Begin a request."""
        self._in_head = self._in_request = True
        self._surplus = 0
        if len(self._left()) > _MAX_BEHIND:
            raise _Refused
        super().on_message_begin()

    def on_header(self, name: bytes, value: bytes) -> None:
        """Take a header, without the space around it, and no trailer (RFC 9110, section 6.5)."""
        if self._in_head:
            super().on_header(name, value.strip(b" \t"))

    def on_headers_complete(self) -> None:
        """Check what httptools does not (RFC 9112, sections 3.2 and 6.1), and begin to answer."""
        version = self.parser.get_http_version()
        hosts = [value for name, value in self.headers if name == b"host"]
        codings = [value.lower() for name, value in self.headers if name == b"transfer-encoding"]
        if (
            version not in ("1.0", "1.1")
            or len(hosts) > 1
            or (version == "1.1" and not hosts)
            or codings not in ([], [b"chunked"])
            or self.parser.get_method() == b"CONNECT"
        ):
            raise _Refused
        if self.parser.should_upgrade():
            self._is_offered = True
            return
        super().on_headers_complete()
        self._in_head = False
        self._surplus = 0
        self._unanswered.append(self.cycle)
        if not self.parser.should_keep_alive():  # not every uvicorn looks
            self.cycle.keep_alive = False

    def on_body(self, body: bytes) -> None:
        """Take a part of a body."""
        self._surplus -= (_LENIENCE + 1) * len(body)
        super().on_body(body)

    def on_message_complete(self) -> None:
        """End a request."""
        if self._is_offered:
            return
        self._in_request = False
        super().on_message_complete()

    def _left(self) -> list[Any]:
        """Return the answers that are to come, in order."""
        while self._unanswered and self._unanswered[0].response_complete:
            del self._unanswered[0]
        return list(self._unanswered)

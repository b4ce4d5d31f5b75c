"""Connections of `segmentflow serve` that wait for nobody for ever.

A request that does not arrive as a whole within its time, and a connection on which none ever
starts, are closed without an answer; so is one whose answers nobody takes away for as long. A slow
caller must not hold what others need. Knows uvicorn's
protocols for HTTP: the one over httptools where that is installed, else the one over h11. Imported
when a process serves, so that only serving needs uvicorn.
"""

from __future__ import annotations

import asyncio
import os
import socket
import struct
from contextlib import suppress
from importlib.util import find_spec
from typing import Any, Final

from uvicorn.protocols.http.h11_impl import H11Protocol

from segmentflow_cli.serve import READ_TIMEOUT
from segmentflow_core.errors import InvalidRequest, Violation
from segmentflow_http.correlation import new_request_id
from segmentflow_http.messages import error_response

__all__ = ["H11Connection", "SlowlyRead", "TimedConnection", "new_connection"]

_AT_ONCE: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""Of a socket's SO_LINGER: closing it drops what was not taken away."""


_MOST_READ: Final = 8 * 1024
"""How many bytes are read at a time; and, of a body, before the app asks for it."""

_read_into: Final = bytearray(_MOST_READ)
"""Each read is taken out of it at once, so one is enough for every connection."""


class TimedConnection(asyncio.Protocol):
    """Beside a protocol of uvicorn's: a deadline from the first byte of a request to its last.

    Another one runs while an answer, or the last of a connection, waits to be taken away.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
    flow: Any
    cycle: Any
    """What answers the request that arrived last, or arrives; None before the first."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seconds = float(os.environ[READ_TIMEOUT])
        self._deadline: asyncio.TimerHandle | None = None
        self._patience: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Start the time of the first request with the connection."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Start the time of a request with its first byte, and end it with its last.

        Of a body that is longer, no more is read until the app asks for it, or has answered.
        """
        self._read(data)
        cycle = self.cycle
        if cycle is not None and not cycle.response_complete and len(cycle.body) >= _MOST_READ:
            self.flow.pause_reading()
        if not self._waits():
            self._end()
        elif self._deadline is None:
            self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time of a request that will never arrive."""
        self._end()
        self._taken_away()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        """Start the time in which an answer must be taken away."""
        super().pause_writing()
        self._to_be_taken_away()

    def resume_writing(self) -> None:
        """End that time."""
        self._taken_away()
        super().resume_writing()

    def on_response_complete(self) -> None:
        """Start that time for the last answer of a connection: it closes once that is taken."""
        super().on_response_complete()  # type: ignore[misc]  # of uvicorn's protocols
        if self.transport.is_closing():
            self._to_be_taken_away()

    def timeout_keep_alive_handler(self) -> None:
        """Start that time for a connection that is closed since it was idle."""
        super().timeout_keep_alive_handler()  # type: ignore[misc]  # of uvicorn's protocols
        self._to_be_taken_away()

    def send_400_response(self, msg: str) -> None:
        """Refuse what is no HTTP as every request is refused, and close."""
        refused = InvalidRequest.from_violations([Violation("", msg)])
        answer = error_response(refused, x_request_id=new_request_id(), connection="close")
        lines = [f"{name}: {value}\r\n" for name, value in answer.headers.items()]
        head = "".join(("HTTP/1.1 400 Bad Request\r\n", *lines, "\r\n"))
        self.transport.write(head.encode("ascii") + answer.body)
        self.transport.close()

    def _to_be_taken_away(self) -> None:
        self._taken_away()
        self._patience = self.loop.call_later(self._seconds, self._abort)

    def _abort(self) -> None:
        self._patience = None
        open_socket: Any = self.transport.get_extra_info("socket")
        if open_socket is not None:
            # Else the system keeps what is left for a caller who does not take it.
            with suppress(OSError):
                open_socket.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _AT_ONCE)
        self.transport.abort()

    def _taken_away(self) -> None:
        if self._patience is not None:
            self._patience.cancel()
            self._patience = None

    def _read(self, data: bytes) -> None:
        super().data_received(data)

    def _waits(self) -> bool:
        """Tell whether something of a request is still to come."""
        cycle = self.cycle
        return cycle is None or cycle.response_complete or cycle.more_body

    def _start(self) -> None:
        self._deadline = self.loop.call_later(self._seconds, self._expire)

    def _end(self) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None

    def _expire(self) -> None:
        self._deadline = None
        if self._waits():
            self.transport.close()
            self._to_be_taken_away()


class H11Connection(TimedConnection, H11Protocol):
    """A connection whose requests h11 reads, which bounds their heads itself."""

    def _unsupported_upgrade_warning(self) -> None:
        """Say nothing: the request is answered as any other."""


class SlowlyRead(asyncio.BufferedProtocol):
    """A connection of which an event loop reads a little at a time.

    It would otherwise read a quarter of a megabyte, of each connection that has so much, before
    anybody could say that its caller is unknown. It stands before the connection and is none
    itself, since uvloop lets no `asyncio.Protocol` say how much is read.
    """

    __slots__ = ("_connection",)

    def __init__(self, connection: TimedConnection) -> None:
        self._connection = connection

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """As the connection."""
        self._connection.connection_made(transport)

    def connection_lost(self, exc: Exception | None) -> None:
        """As the connection."""
        self._connection.connection_lost(exc)

    def eof_received(self) -> bool | None:
        """As the connection."""
        return self._connection.eof_received()

    def pause_writing(self) -> None:
        """As the connection."""
        self._connection.pause_writing()

    def resume_writing(self) -> None:
        """As the connection."""
        self._connection.resume_writing()

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - the loop's name for it
        """Return what to read into."""
        return _read_into

    def buffer_updated(self, nbytes: int) -> None:
        """Take what was read."""
        self._connection.data_received(bytes(memoryview(_read_into)[:nbytes]))


def new_connection(**options: Any) -> asyncio.BaseProtocol:
    """Return a new connection to serve, as uvicorn asks for one."""
    return SlowlyRead(_connection_class()(**options))


def _connection_class() -> type[TimedConnection]:
    """Return the class of connections to serve."""
    if find_spec("httptools") is None:
        return H11Connection
    from segmentflow_cli.quick_connections import HttptoolsConnection  # noqa: PLC0415 - see above

    return HttptoolsConnection

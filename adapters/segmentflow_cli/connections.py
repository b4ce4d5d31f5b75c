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

__all__ = ["H11Connection", "TimedConnection", "connection_class"]

_AT_ONCE: Final = struct.pack("hh" if os.name == "nt" else "ii", 1, 0)
"""Of a socket's SO_LINGER: closing it drops what was not taken away."""


class TimedConnection(asyncio.Protocol):
    """Beside a protocol of uvicorn's: a deadline from the first byte of a request to its last.

    Another one runs while an answer, or the last of a connection, waits to be taken away.
    """

    loop: asyncio.AbstractEventLoop
    transport: asyncio.Transport
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
        """Start the time of a request with its first byte, and end it with its last."""
        self._read(data)
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


def connection_class() -> type[asyncio.Protocol]:
    """Return the class of connections to serve."""
    if find_spec("httptools") is None:
        return H11Connection
    from segmentflow_cli.quick_connections import HttptoolsConnection  # noqa: PLC0415 - see above

    return HttptoolsConnection

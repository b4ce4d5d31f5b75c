"""Connections of `segmentflow serve` that wait for nobody for ever.

A request that does not arrive as a whole within its time, and a connection on which none ever
starts, are closed without an answer: a slow caller must not hold what others need. Knows uvicorn's
protocols for HTTP, of which it uses the one that uvicorn itself would. Imported when a process
serves, so that only serving needs uvicorn.
"""

from __future__ import annotations

import asyncio
import os
from typing import Any

from uvicorn.protocols.http.auto import AutoHTTPProtocol

from segmentflow_cli.serve import READ_TIMEOUT

__all__ = ["BoundedProtocol"]

_Protocol: Any = AutoHTTPProtocol


class BoundedProtocol(_Protocol):  # type: ignore[misc]  # the class is chosen when it is imported
    """uvicorn's protocol, with a deadline from the first byte of a request to its last."""

    def __init__(self, *arguments: Any, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._seconds = float(os.environ[READ_TIMEOUT])
        self._deadline: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:
        """Start the time of the first request with the connection."""
        super().connection_made(transport)
        self._start()

    def data_received(self, data: bytes) -> None:
        """Start the time of a request with its first byte, and end it with its last."""
        super().data_received(data)
        if not self._waits():
            self._end()
        elif self._deadline is None:
            self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """End the time of a request that will never arrive."""
        self._end()
        super().connection_lost(exc)

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

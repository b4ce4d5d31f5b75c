"""Logs that nobody reads: lines for a pipe or a file, which no caller waits for.

A pipe that is full would stop whoever writes to it, and with it every request. So lines wait here,
a bounded number of them, and a thread of its own writes them. What finds no room is dropped; a line
says how many were, as soon as there is somebody to read it. Knows logging and file descriptors.
"""

from __future__ import annotations

import json
import logging
import os
import select
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

__all__ = ["LineHandler", "dropped_as_json", "dropped_as_text", "hurry_all"]

_MOST_LINES: Final = 10_000
_MOST_BYTES: Final = 4 * 1024 * 1024
_REST: Final = 0.01
"""How many seconds lines wait for others, as long as one write takes them all: to wake the thread
at each line would cost every request more than the line itself."""

_AT_ONCE: Final = 4096
"""What a pipe takes whole (PIPE_BUF), however many processes write to it."""

_handlers: Final[list[LineHandler]] = []

_PATIENCE: Final = 2.0
"""How many seconds an end waits for somebody to read the last lines."""


def hurry_all() -> None:
    """Let every handler of this process hurry; may be called in a signal's handler."""
    for handler in _handlers:
        handler.hurry()


def dropped_as_json(count: int) -> str:
    """Write a line of the access log that says how many are missing before it."""
    now = datetime.now(UTC).isoformat(timespec="milliseconds")
    return json.dumps({"time": now, "dropped": count})


def dropped_as_text(count: int) -> str:
    """Write a line for people that says how many are missing before it."""
    return f"{count} lines of this log were dropped: nobody read them."


class LineHandler(logging.Handler):
    """Writes each record as a line, in a thread of its own.

    Args:
        fd: where to: 1 is standard output, 2 standard error.
        as_json: whether a line that counts dropped ones is JSON.
        most: how many lines wait.
    """

    def __init__(self, fd: int, *, as_json: bool = False, most: int = _MOST_LINES) -> None:
        super().__init__()
        _handlers.append(self)
        self._fd = fd
        self._most = most
        self._told: Callable[[int], str] = dropped_as_json if as_json else dropped_as_text
        self._waiting: deque[bytes] = deque()
        self._bytes = 0
        self._dropped = 0
        self._full = self._writes = self._hurries = self._stuck = False
        self._changed = threading.Condition()
        self._thread: threading.Thread | None = None

    def hurry(self) -> None:
        """Wait for each line from now on, for a bounded time: the process is about to end."""
        self._hurries = True

    def emit(self, record: logging.LogRecord) -> None:
        """Take a line to be written, or count it as dropped."""
        try:
            line = self.format(record).encode("utf-8", "backslashreplace") + b"\n"
        except Exception:  # noqa: BLE001 - as every handler of logging's
            self.handleError(record)
            return
        with self._changed:
            if not self._has_room(len(line)):
                self._dropped += 1
                return
            self._tell_dropped()
            self._take(line)
        if self._hurries and not self._stuck:
            self._stuck = not self.wait(_PATIENCE)

    def wait(self, seconds: float) -> bool:
        """Wait until every line is written; say whether that was so in time."""
        with self._changed:
            return self._changed.wait_for(lambda: not (self._waiting or self._writes), seconds)

    def close(self) -> None:
        """Write what waits, for as long as it may be that somebody reads it."""
        self.wait(0.0 if self._full or self._stuck else _PATIENCE)
        with suppress(ValueError):
            _handlers.remove(self)
        super().close()

    def _has_room(self, length: int) -> bool:
        """Say whether a line may wait; after a full queue, not before half of it is written."""
        most = self._most // 2 if self._full else self._most
        self._full = len(self._waiting) >= most or self._bytes + length > _MOST_BYTES
        return not self._full

    def _tell_dropped(self) -> None:
        if self._dropped:
            self._take(self._told(self._dropped).encode() + b"\n")
            self._dropped = 0

    def _take(self, line: bytes) -> None:
        self._waiting.append(line)
        self._bytes += len(line)
        if self._thread is None:
            self._thread = threading.Thread(
                target=self._write_all, name="segmentflow-log", daemon=True
            )
            self._thread.start()
        self._changed.notify()

    def _write_all(self) -> None:
        while True:
            with self._changed:
                self._writes = False
                self._changed.notify_all()
                self._changed.wait_for(lambda: self._waiting)
                rests = self._bytes < _AT_ONCE and not self._hurries
            if rests:
                time.sleep(_REST)
            with self._changed:
                self._writes = True
                lines = self._next_lines()
            written = _write(self._fd, b"".join(lines))
            with self._changed:
                if not written:
                    self._dropped += len(lines)
                elif not self._waiting:
                    self._tell_dropped()

    def _next_lines(self) -> list[bytes]:
        """Take one line, and those that go with it in one write."""
        lines = [self._waiting.popleft()]
        length = len(lines[0])
        while self._waiting and length + len(self._waiting[0]) <= _AT_ONCE:
            lines.append(self._waiting.popleft())
            length += len(lines[-1])
        self._bytes -= length
        return lines


def _write(fd: int, data: bytes) -> bool:
    """Write all of it, for however long that takes; say whether it could be written."""
    left = memoryview(data)
    while left:
        try:
            left = left[os.write(fd, left) :]
        except BlockingIOError:
            # Whoever shares the pipe has made it one that does not wait.
            select.select([], [fd], [], 1.0)
        except OSError:
            return False
    return True

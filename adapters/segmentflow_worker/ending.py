"""The end of a process that works: within its time, even where the store does not answer.

A worker that is told to stop ends by itself, but not before the store has answered what it asks.
A store that hangs would keep it for ever. For commands, whose process is theirs to end; a host that
calls `Worker.run` decides about its own.
"""

from __future__ import annotations

import logging
import math
import os
import signal
import socket
import threading
import time
from collections.abc import Generator
from contextlib import contextmanager
from datetime import timedelta
from typing import Final, NoReturn

__all__ = ["ended_in_time"]

_LOG: Final = logging.getLogger("segmentflow.worker")
_LEFT_BEHIND: Final = (
    "The store does not answer: the process ends. What it holds is handed over again when its"
    " leases have run out."
)
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)

_BEYOND_GRACE: Final = 5.0
"""Seconds after the grace for giving back what handlers did not finish."""

_AFTER_SECOND: Final = 3.0
"""Seconds for the same after a second signal."""

_LAST_WORDS: Final = 1.0
"""Seconds for the last line of the log, which nobody may be reading."""

_AT_ONCE: Final = 3600.0
"""Seconds of a wait: an operating system takes no longer ones than some days."""


@contextmanager
def ended_in_time(grace: timedelta) -> Generator[None]:
    """End this process where SIGTERM or SIGINT came, and this block does not end in its time.

    That is 5 seconds after the grace, or 3 seconds after a second signal. It then logs a line, and
    exits with status 1.

    Signals are heard in a thread of its own, whatever the main thread waits for. Does nothing
    where this is not the main thread, since signals are somebody else's there.

    Args:
        grace: of the worker, from the first signal on.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    told, telling = socket.socketpair()
    telling.setblocking(False)
    watch = threading.Thread(
        target=_watch, args=(told, grace.total_seconds()), name="segmentflow-stop", daemon=True
    )
    watch.start()
    before = signal.set_wakeup_fd(telling.fileno(), warn_on_full_buffer=False)
    _heard.add(telling)
    try:
        yield
    finally:
        _heard.discard(telling)
        signal.set_wakeup_fd(before)
        telling.close()
        watch.join()
        told.close()


_heard: Final[set[socket.socket]] = set()
"""By what this process hears of its signals, while it does."""


def _forget_in_child() -> None:
    """Let a process that a handler forked not tell its parent of its own signals."""
    if _heard:
        _heard.clear()
        signal.set_wakeup_fd(-1)


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_forget_in_child)


def _watch(told: socket.socket, grace: float) -> None:
    """Wait for signals, then for their end."""
    end, allowed = math.inf, grace + _BEYOND_GRACE
    while True:
        left = end - time.monotonic()
        if left <= 0:
            _end()
        told.settimeout(None if end == math.inf else min(left, _AT_ONCE))
        try:
            numbers = told.recv(64)
        except TimeoutError:
            continue
        if not numbers:
            return
        for number in numbers:
            if number in _SIGNALS:
                end, allowed = min(end, time.monotonic() + allowed), _AFTER_SECOND


def _end() -> NoReturn:
    # In a thread: whoever holds the lock of the log may be waiting for its reader.
    saying = threading.Thread(target=_LOG.error, args=(_LEFT_BEHIND,), daemon=True)
    saying.start()
    saying.join(_LAST_WORDS)
    os._exit(1)

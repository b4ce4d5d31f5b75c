"""The end of a process that serves: within its time, whatever hangs.

uvicorn finishes the requests that were accepted, for most of the grace, and cuts the others
off. Then threads are left that wait for a store, and for one that hangs they would wait for ever:
the process ends without them. What they began the store undoes, or has done; nobody was told so.
"""

from __future__ import annotations

import logging
import os
import signal
import threading
import time
from asyncio import sleep
from collections.abc import Callable
from contextlib import ExitStack
from types import FrameType
from typing import Any, Final

from segmentflow_cli.lines import hurry_all

__all__ = ["Stop", "time_to_answer"]

_LOG: Final = logging.getLogger("segmentflow.http")
_LEFT_BEHIND: Final = "The store does not answer: the process ends, and leaves its work to it."
_STUCK: Final = "The process does not stop by itself within its time: it ends now."

_AFTER_ANSWERS: Final = 1.5
"""Seconds of the grace, or half of a short one, that are left once no more answers are awaited."""

_AT_LEAST: Final = 0.25
"""Seconds for the last transactions, whatever is left of the grace."""

_LAST_WORDS: Final = 0.25
"""Seconds for what the server itself still has to do and to say."""

_STUCK_AFTER: Final = 10.0
"""Seconds beyond the grace after which even the event loop must have come to its end."""


class Stop:
    """Whether the process was told to stop, and when it must have ended.

    Args:
        grace: seconds from then on to finish in.
    """

    def __init__(self, grace: float) -> None:
        self._grace = grace
        self._told = threading.Event()
        self._told_at = 0.0

    @classmethod
    def when_told(cls, grace: float) -> Stop:
        """Return the stop of this process, which SIGTERM and SIGINT tell.

        uvicorn handles the signals meanwhile, and is called as before. It closes the connections
        that it has then; the clients of one that it accepts in that moment would keep it open.
        """
        stop = cls(grace)
        if threading.current_thread() is threading.main_thread():
            for number in (signal.SIGTERM, signal.SIGINT):
                before = signal.getsignal(number)
                if callable(before):
                    signal.signal(number, stop.noting(before))
            threading.Thread(target=stop.watch, name="segmentflow-stop", daemon=True).start()
        return stop

    @property
    def is_near(self) -> Callable[[], bool]:
        """Return what says whether the process was told to stop."""
        return self._told.is_set

    def noting(
        self, before: Callable[[int, FrameType | None], Any]
    ) -> Callable[[int, FrameType | None], None]:
        """Return a signal's handler that notes the stop before another one handles it."""

        def noted(number: int, frame: FrameType | None) -> None:
            if not self._told_at:
                self._told_at = time.monotonic()
            self._told.set()
            hurry_all()
            before(number, frame)

        return noted

    def watch(self) -> None:
        """End the process where even its event loop has come to no end."""
        self._told.wait()
        time.sleep(self._grace + _STUCK_AFTER)
        _end(_STUCK, 1)

    async def close(self, stack: ExitStack) -> None:
        """Close a stack in a thread, and end the process soon where that comes to no end."""
        closing = threading.Thread(target=stack.close, name="segmentflow-close", daemon=True)
        closing.start()
        end = self._told_at + self._grace
        until = max(time.monotonic() + _AT_LEAST, end - _LAST_WORDS)
        while closing.is_alive():
            if time.monotonic() > until:
                threading.Thread(target=_end_soon, name="segmentflow-end", daemon=True).start()
                return
            await sleep(0.01)


def time_to_answer(grace: float) -> float:
    """Return how many seconds of a grace may pass until requests are cut off.

    Never none at all: uvicorn would tell of requests that it cut off where there are none.
    """
    return max(grace - _AFTER_ANSWERS, grace / 2, 0.05)


def _end_soon() -> None:
    time.sleep(_LAST_WORDS)
    _end(_LEFT_BEHIND, 0)


def _end(why: str, status: int) -> None:
    _LOG.error(why)
    os._exit(status)

"""An interrupt that waits for the batch in hand, so that what is reported is what is stored."""

from __future__ import annotations

import signal
import threading
from collections.abc import Generator
from contextlib import contextmanager
from types import FrameType

__all__ = ["interrupted_afterwards"]


@contextmanager
def interrupted_afterwards() -> Generator[None]:
    """Let an interrupt wait until this block has ended; a second one waits for nothing.

    Does nothing where interrupts are somebody else's: in other threads, and where they are ignored.

    Raises:
        KeyboardInterrupt: one came.
    """
    before = signal.getsignal(signal.SIGINT)
    in_main_thread = threading.current_thread() is threading.main_thread()
    if before is not signal.default_int_handler or not in_main_thread:
        yield
        return
    came = False

    def note(_number: int, _frame: FrameType | None) -> None:
        nonlocal came
        if came:
            raise KeyboardInterrupt
        came = True

    signal.signal(signal.SIGINT, note)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)
    if came:
        raise KeyboardInterrupt

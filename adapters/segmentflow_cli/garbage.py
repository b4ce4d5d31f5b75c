"""The search for cyclic garbage, in a process of our own that serves for long.

Knows Python's collector. A library leaves it to its host; this is for the host that we are.
"""

from __future__ import annotations

import gc
from collections.abc import Generator
from contextlib import contextmanager
from typing import Final

__all__ = ["rarely_searched"]

_THRESHOLDS: Final = (10_000, 20, 20)
"""How many new objects there are before a search; how many of those before an older one."""


@contextmanager
def rarely_searched() -> Generator[None]:
    """Leave what lives already out of every search, and search less often.

    Modules and statements live as long as the process. While all of them are looked at, no
    request gets an answer.
    """
    if not hasattr(gc, "freeze"):  # another Python's collector, which works in small steps
        yield
        return
    before = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*_THRESHOLDS)
    try:
        yield
    finally:
        gc.set_threshold(*before)
        gc.unfreeze()

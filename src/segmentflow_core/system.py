"""The machine's clock and fresh ids: what a facade uses where the host gives nothing else."""

from __future__ import annotations

import os
import threading
import time
from datetime import UTC, datetime

__all__ = ["SystemClock", "Uuid7Factory"]


class SystemClock:
    """The machine's clock."""

    def now(self) -> datetime:
        """Return the current instant in UTC."""
        return datetime.now(UTC)


class Uuid7Factory:
    """UUIDv7 (RFC 9562, section 5.7): ordered within a process, unguessable between them.

    Within one millisecond the random part counts up (section 6.2, method 2), so ids sort
    in the order they were made even then.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._millisecond = 0
        self._random = 0

    def new_id(self) -> str:
        """Return a fresh id."""
        millisecond = time.time_ns() // 1_000_000
        entropy = int.from_bytes(os.urandom(10))
        with self._lock:
            if millisecond > self._millisecond:
                self._millisecond = millisecond
                # The top bit stays clear: room to count.
                self._random = entropy & ((1 << 73) - 1)
            else:
                self._random += 1 + (entropy & 0xFFFFFFFF)
            millisecond, random = self._millisecond, self._random
        return "%08x-%04x-7%03x-%04x-%012x" % (  # noqa: UP031 - the quickest way to format it
            millisecond >> 16,
            millisecond & 0xFFFF,
            random >> 62 & 0xFFF,
            0x8000 | (random >> 48 & 0x3FFF),
            random & 0xFFFFFFFFFFFF,
        )

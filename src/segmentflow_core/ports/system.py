"""What tells the time and makes ids: ports, so that rules never ask for either."""

from __future__ import annotations

from datetime import datetime
from typing import Protocol

__all__ = ["Clock", "IdFactory"]


class Clock(Protocol):
    """Tells the time."""

    def now(self) -> datetime:
        """Return the current instant, aware, in UTC, to the microsecond."""
        ...


class IdFactory(Protocol):
    """Makes ids."""

    def new_id(self) -> str:
        """Return a fresh UUIDv7 (RFC 9562, section 5.7) in its lowercase text form."""
        ...

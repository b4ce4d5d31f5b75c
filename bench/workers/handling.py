"""A process that works until it is killed: a `Worker` whose handlers have an effect.

Its machine's clock may be ahead: then every clock that the library could read is.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from attrs import frozen
from sqlalchemy import create_engine

from bench.workers.ledger import make_effect
from segmentflow_core.system import SystemClock
from segmentflow_sql import SqlStorage
from segmentflow_worker import Assignment, Worker

__all__ = ["JOURNEY", "Hand", "work"]

JOURNEY: Final = "welcome"
_WAIT: Final = 60.0


@frozen
class Hand:
    """One worker's process.

    Attributes:
        url: of the store.
        lease: of its claims.
        ahead: how far its machine's clock is ahead.
        concurrency: how many handlers it runs at once.
        first_lines: where it notes when each handler began, instead of having effects.
    """

    url: str
    lease: timedelta
    ahead: timedelta = timedelta()
    concurrency: int = 8
    first_lines: Path | None = None


def work(hand: Hand) -> None:
    """Work until killed, or stopped by SIGTERM."""
    if hand.ahead:
        _put_clock_ahead(hand.ahead)
    engine = create_engine(hand.url)
    storage = SqlStorage(engine, wait=_WAIT)
    handle = _effect(engine) if hand.first_lines is None else _first_line(hand.first_lines)
    Worker(
        storage,
        {JOURNEY: handle},
        concurrency=hand.concurrency,
        lease=hand.lease,
        max_attempts=1_000_000,
        longest_poll=timedelta(milliseconds=200),
    ).run()
    storage.close()


def _effect(engine: Any) -> Callable[[Assignment], object]:
    return lambda it: make_effect(engine, it.idempotency_key, it.attempt)


def _first_line(file: Path) -> Callable[[Assignment], object]:
    notes = file.open("a", buffering=1)

    def handle(assignment: Assignment) -> None:
        began = time.monotonic()
        notes.write(f"{assignment.event.event_id} {began}\n")

    return handle


def _put_clock_ahead(ahead: timedelta) -> None:
    count, real = int(ahead.total_seconds() * 1e9), time.time_ns
    time.time_ns = lambda: real() + count
    setattr(SystemClock, "now", lambda _: datetime.now(UTC) + ahead)  # noqa: B010 - it is a method

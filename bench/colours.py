"""One event on a store, by an asynchronous tracker and by a synchronous one, in turn."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import Any

from sqlalchemy.ext.asyncio import create_async_engine

from bench.timing import alternate
from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_sql import AsyncSqlStorage

__all__ = ["both_colours"]


def both_colours(
    url: str,
    tracker: Tracker,
    request: Mapping[str, Any],
    key: Callable[[], str],
    *,
    calls: int,
    rounds: int,
) -> tuple[float, float]:
    """Return the seconds that an event takes asynchronously, and synchronously.

    Args:
        url: of the store, as SQLAlchemy's asynchronous engines take it.
        tracker: a synchronous one on the same store.
        request: that is tracked.
        key: makes a new idempotency key.
        calls: how many are timed together.
        rounds: how often, in turn.
    """
    with asyncio.Runner() as runner:
        storage = AsyncSqlStorage(create_async_engine(url))
        asynchronous = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
        taken = alternate(
            lambda: runner.run(asynchronous.track(request, key())),
            lambda: tracker.track(request, key()),
            calls,
            rounds,
        )
        runner.run(storage.close())
    return taken

"""Waiting on an event loop for no longer than a caller does."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from typing import TypeVar

from segmentflow_core.ports.gathering import NotAnswered

__all__ = ["answered_within"]

T = TypeVar("T")


async def answered_within(seconds: float | None, awaited: Awaitable[T]) -> T:
    """Return what is awaited.

    Args:
        seconds: how long to wait at most; None for ever.
        awaited: is cancelled where it takes longer.

    Raises:
        NotAnswered: it took longer.
    """
    bound = asyncio.timeout(seconds)
    try:
        async with bound:
            return await awaited
    except TimeoutError:
        if seconds is None or not bound.expired():
            raise
    raise NotAnswered(seconds)

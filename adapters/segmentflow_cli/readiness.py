"""Whether the store takes writes, asked outside the queue of those who write.

In a thread of its own, so that slow work elsewhere says nothing of the store; and by one of those
who ask at once for all of them.
"""

from __future__ import annotations

import asyncio

from segmentflow_core import AsyncRecords
from segmentflow_core.ports import AsyncStorage

__all__ = ["Readiness"]


class Readiness:
    """Asks a store for a write that writes nothing.

    Args:
        storage: the store, which shares no threads with others.
    """

    def __init__(self, storage: AsyncStorage) -> None:
        self._records = AsyncRecords(storage)
        self._asking: asyncio.Task[None] | None = None

    async def __call__(self) -> None:
        """Return once the store has taken a write.

        Raises:
            SegmentflowError: it took none, or did not answer in time.
        """
        if self._asking is None:
            self._asking = asyncio.ensure_future(self._records.check_writes())
            self._asking.add_done_callback(self._answered)
        await asyncio.shield(self._asking)

    def _answered(self, asked: asyncio.Task[None]) -> None:
        self._asking = None
        if not asked.cancelled():
            asked.exception()  # whoever asked may have left

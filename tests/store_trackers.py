"""Trackers on a store of SQL, and many calls of one at the same time."""

from __future__ import annotations

import asyncio

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


async def tracked(tracker, numbers):
    busy = asyncio.Semaphore(4)

    async def one(number):
        async with busy:
            return await tracker.track(a_request(), f"{number}")

    return await asyncio.gather(*map(one, numbers))

"""Trackers on a store of SQL, and many calls of one at the same time."""

from __future__ import annotations

import asyncio

from sqlalchemy import create_engine

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_sql import SqlStorage


def create_store(postgres, name):
    """Create a database with our tables on a server; return its name."""
    with postgres.connect() as connection:
        connection.execute(f"CREATE DATABASE {name}")
    storage = SqlStorage(create_engine(postgres.url(name)))
    storage.create_all()
    storage.close()
    return name


def a_tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


async def tracked(tracker, numbers):
    busy = asyncio.Semaphore(4)

    async def one(number):
        async with busy:
            return await tracker.track(a_request(), f"{number}")

    return await asyncio.gather(*map(one, numbers))

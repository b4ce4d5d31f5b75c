"""A primary that crashes, and a standby that is promoted: what was acknowledged is there."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import psycopg
import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_sql import AsyncSqlStorage, SqlStorage
from servers import Postgres, Standby
from store_trackers import a_tracker

pytestmark = pytest.mark.server_side

CALLERS, BEFORE, AFTER = 4, 10, 10
"""How many call at once, and how often each calls before the crash and after it."""


@pytest.fixture
def primary():
    postgres = Postgres(durable=False)
    yield postgres
    postgres.stop()


@pytest.fixture
def standby(primary):
    storage = SqlStorage(create_engine(primary.url()))
    storage.create_all()
    storage.close()
    standby = Standby(primary)
    yield standby
    standby.stop()


class Crash:
    """Crashes the primary when every caller has called often enough; later, promotes the standby.

    Meanwhile whoever connects finds the standby, which takes no writes.
    """

    def __init__(self, primary, standby):
        self._primary, self._standby = primary, standby
        self._left = CALLERS * BEFORE
        self._guard = threading.Lock()
        self._due = threading.Event()

    def count(self):
        with self._guard:
            self._left -= 1
            if not self._left:
                self._due.set()

    def happen(self):
        assert self._due.wait(60)
        self._primary.crash()
        connection = psycopg.connect(f"host={self._standby.host} user=postgres", autocommit=True)
        sessions = "SELECT FROM pg_stat_activity WHERE application_name = 'tracking'"
        while connection.execute(sessions).fetchone() is None:
            pass  # until somebody has found it read-only
        connection.close()
        self._standby.promote()


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_promoted_standby_has_what_was_acknowledged_and_tracking_goes_on(
    primary, standby, runner, colour
):
    crash = Crash(primary, standby)
    servers = f"host={primary.host},{standby.host} user=postgres application_name=tracking"

    async def called(tracker, caller):
        receipts = []
        for number in range(BEFORE + AFTER):
            receipts.append(await tracker.track(a_request(), f"{caller}-{number}"))
            crash.count()
        return receipts

    async def all_called(tracker):
        return await asyncio.gather(*[called(tracker, caller) for caller in range(CALLERS)])

    def called_in_thread(tracker, caller):
        receipts = []
        for number in range(BEFORE + AFTER):
            receipts.append(tracker.track(a_request(), f"{caller}-{number}"))
            crash.count()
        return receipts

    with ThreadPoolExecutor(CALLERS + 1) as threads:
        happening = threads.submit(crash.happen)
        if colour == "sync":
            connect = partial(psycopg.connect, servers)
            storage = SqlStorage(create_engine("postgresql+psycopg://", creator=connect))
            tracker = a_tracker(storage)
            calls = [threads.submit(called_in_thread, tracker, n) for n in range(CALLERS)]
            answers = [call.result() for call in calls]
            storage.close()
        else:
            connect = partial(psycopg.AsyncConnection.connect, servers)
            engine = create_async_engine("postgresql+psycopg://", async_creator=connect)
            storage = AsyncSqlStorage(engine)
            tracker = AsyncTracker(storage, fingerprint_key=FINGERPRINT_SECRET)
            answers = runner.run(all_called(tracker))
            runner.run(storage.close())
        happening.result()
    acknowledged = {receipt.event_id for receipts in answers for receipt in receipts}
    assert len(acknowledged) == CALLERS * (BEFORE + AFTER)
    engine = create_engine(f"postgresql+psycopg://postgres@/postgres?host={standby.host}")
    stored = a_tracker(SqlStorage(engine)).records.events(limit=1000)
    engine.dispose()
    assert {event.event_id for event in stored} == acknowledged

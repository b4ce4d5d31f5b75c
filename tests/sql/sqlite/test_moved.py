"""A store whose file is taken away while it is open."""

from __future__ import annotations

import asyncio
import os
import shutil

import pytest
from sqlalchemy import create_engine
from sqlalchemy.ext.asyncio import create_async_engine

from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.colour import drive
from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.testing import FINGERPRINT_SECRET, a_request
from segmentflow_http import Endpoint, KnownKeys
from segmentflow_sql import AsyncSqlStorage, SqlStorage

pytestmark = pytest.mark.skipif(os.name == "nt", reason="an open file cannot be moved there")


@pytest.fixture
def file(tmp_path):
    return tmp_path / "store.db"


@pytest.fixture
def storage(file):
    storage = SqlStorage(create_engine(f"sqlite:///{file}"))
    storage.create_all()
    yield storage
    storage.close()


@pytest.fixture
def tracker(storage):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)


def delete(file):
    file.unlink()


def replace(file):
    copy = file.with_suffix(".copy")
    shutil.copy(file, copy)
    copy.replace(file)


@pytest.mark.parametrize("change", [delete, replace])
def test_a_file_that_was_deleted_or_replaced_is_written_to_no_more(file, tracker, change):
    tracker.track(a_request(), "1")
    kept = file.with_suffix(".kept")
    os.link(file, kept)
    change(file)
    endpoint = Endpoint(tracker, KnownKeys(["k" * 32]))
    for call in (lambda: tracker.track(a_request(), "2"), tracker.records.check_writes):
        with pytest.raises(StorageUnavailable, match="deleted or replaced") as failure:
            call()
        assert failure.value.details["error"] == "SQLITE_READONLY_DBMOVED"
        assert str(file) in str(failure.value)
    assert endpoint("GET", "/readyz", {}, b"").status == 503
    assert file.exists() is (change is replace)  # nobody made another one
    kept.replace(file)
    assert endpoint("GET", "/readyz", {}, b"").status == 200
    tracker.track(a_request(), "3")
    assert len(tracker.records.events()) == 2


def test_a_file_that_goes_while_a_transaction_runs_takes_no_commit(file, storage, tracker):
    tracker.track(a_request(), "1")

    (event,) = tracker.records.events()

    def work(transaction):
        drive(transaction.idempotency.purge(event.received_at, 1))
        file.unlink()

    with pytest.raises(StorageUnavailable, match="deleted or replaced"):
        storage.run(work)


def test_an_asynchronous_store_notices_too(file, storage):
    async def main():
        engine = create_async_engine(f"sqlite+aiosqlite:///{file}")
        kept = AsyncSqlStorage(engine)
        tracker = AsyncTracker(kept, fingerprint_key=FINGERPRINT_SECRET)
        await tracker.track(a_request(), "1")
        replace(file)
        with pytest.raises(StorageUnavailable, match="deleted or replaced"):
            await tracker.track(a_request(), "2")
        await kept.close()

    asyncio.run(main())

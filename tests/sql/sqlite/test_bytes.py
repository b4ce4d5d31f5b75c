"""What an event stores does not grow with a Profile that it does not change."""

from __future__ import annotations

import sqlite3

import pytest

from segmentflow_core import Tracker
from segmentflow_core.testing import DOCUMENTED_KEY, FINGERPRINT_SECRET, a_request
from segmentflow_sql import open_storage

EVENTS = 300


@pytest.mark.parametrize("count", [0, 900], ids=["empty", "large"])
def test_an_event_stores_as_much_on_a_large_profile_as_on_an_empty_one(tmp_path, count):
    path = tmp_path / "store.db"
    storage = open_storage(f"sqlite:///{path}")
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    properties = {f"property {number}": "x" * 80 for number in range(count)}
    who = {"email": "alex@example.com"}
    tracker.track(a_request(profile={**who, "properties": properties}), DOCUMENTED_KEY)
    before = pages(path)
    tracker.track_many(
        [(a_request("e", data={"n": n}, profile=who), f"{n:04}") for n in range(EVENTS)]
    )
    stored = pages(path) - before
    # 40 bytes of request, its ids, its key and their index: never a copy of 80 kB.
    assert stored * 4096 / EVENTS < 900
    assert tracker.records.events(limit=1)[0].profile["properties"] == properties
    storage.close()


def pages(path):
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        connection.execute("VACUUM")
        ((count,),) = connection.execute("PRAGMA page_count").fetchall()
    connection.close()
    return count

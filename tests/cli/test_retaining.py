"""Forgetting by age from the command line."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from segmentflow_core import Tracker
from segmentflow_core.system import SystemClock
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from terminals import terminal


@pytest.fixture
def tracker(storage):
    """Give a tracker on a store with 250 events of three days ago; for one, a worker is to come."""
    clock = FixedClock(SystemClock().now() - timedelta(days=3))
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.journeys.publish([a_journey()])
    for number in range(250):
        event = "order.created" if number < 2 else "other"
        tracker.track(a_request(event), f"{number}")
        clock.advance(seconds=1)
    (claimed,) = tracker.enrollments.claim(limit=1)
    tracker.enrollments.complete(claimed.lease)
    return tracker


def test_it_removes_what_is_old_and_says_how_much(run, tracker):
    status, out, err = run("retain", "--events", "4d", "--enrollments", "P4D", "--yes")
    assert (status, err) == (0, "")
    assert out == "Removed 0 events and 0 Enrollments.\n"
    status, out, _ = run("retain", "--events", "1d12h", "--yes", "--by", "cron", "--json")
    assert status == 0
    assert json.loads(out) == {
        "events": 249,
        "held": 1,
        "enrollments": 0,
        "entries": 0,
        "vacuumed": False,
    }
    _, out, _ = run("retain", "--enrollments", "PT1H", "--events", "2d", "--yes")
    assert out == (
        "Removed 0 events and 1 Enrollment. 1 event stays: an Enrollment of it is not finished.\n"
    )
    _, out, _ = run("audit", "--json")
    records = json.loads(out)
    assert [(r["action"], r["counts"], r["by"]) for r in records] == [
        ("retained", {"events": 0, "enrollments": 1}, None),
        ("retained", {"events": 249, "enrollments": 0}, "cron"),
        *[(r["action"], r["counts"], r["by"]) for r in records[2:]],
    ]
    assert len(tracker.records.events()) == 1


def test_it_asks_first(run, tracker, monkeypatch):
    status, out, err = run("retain", "--events", "1d")
    assert (status, out) == (1, "")
    assert err.startswith("not_confirmed: This cannot be undone")
    for typed, removed in (("n\n", 0), ("y\n", 249)):
        with terminal(monkeypatch, typed) as shown:
            status, _, _ = run("retain", "--events", "1d", "--enrollments", "90m")
        (page,) = shown
        question = "Remove events of more than 1 day and Enrollments of more than 1:30:00?"
        assert question in " ".join(page.split())
        assert status is (0 if removed else 1)
        assert len(tracker.records.events(limit=1000)) == 250 - removed


def test_it_shows_its_progress_on_a_terminal_only(run, tracker, monkeypatch):
    with terminal(monkeypatch, "") as shown:
        assert run("retain", "--events", "1d", "--enrollments", "1d", "--yes")[0] == 0
    (page,) = shown
    assert "removing" in page
    assert "249 events, 1 Enrollments" in page


def test_interrupted_it_says_how_to_go_on_and_records_what_went(run, storage, tracker):
    # One transaction looks for rows that follow an archiving, two remove.
    storage.left = 3
    status, out, err = run("retain", "--events", "1d", "--batch", "100", "--yes")
    assert (status, out) == (130, "")
    assert "Run it again" in err
    storage.left = None
    assert len(tracker.records.events(limit=1000)) == 51
    assert tracker.records.audit()[0].counts == {"events": 199, "enrollments": 0}
    assert run("retain", "--events", "1d", "--yes")[0] == 0
    assert len(tracker.records.events(limit=1000)) == 1


@pytest.mark.parametrize(
    "arguments",
    [(), ("--events", "0d"), ("--events", "400"), ("--enrollments", "-1d"), ("--limit", "5")],
    ids=" ".join,
)
def test_what_it_cannot_read_is_wrong_usage(run, tracker, arguments):
    assert run("retain", *arguments, "--yes")[0] == 2
    assert len(tracker.records.events(limit=1000)) == 250


def test_vacuuming_elsewhere_is_refused_before_anything_goes(run, tracker):
    status, out, err = run("retain", "--events", "1d", "--vacuum", "--yes")
    assert (status, out) == (1, "")
    assert "Only a store on SQLite" in err
    assert len(tracker.records.events(limit=1000)) == 250


def test_a_sqlite_file_gets_smaller(run, tmp_path, monkeypatch):
    store = tmp_path / "store.db"
    monkeypatch.setenv("SEGMENTFLOW_STORE", f"sqlite:///{store}")
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", FINGERPRINT_SECRET)
    assert run("init")[0] == 0
    from segmentflow_sql import open_storage

    storage = open_storage(f"sqlite:///{store}")
    clock = FixedClock(SystemClock().now() - timedelta(days=3))
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.track_many([(a_request(data={"x": "x" * 5000}), f"{n}") for n in range(50)])
    storage.close()
    status, out, err = run("retain", "--vacuum", "--events", "1d", "--yes")
    assert (status, err) == (0, "")
    assert out == "Removed 50 events and 0 Enrollments. The file is vacuumed.\n"
    assert store.stat().st_size < 250_000
    assert run("retain", "--vacuum", "--json")[0] == 0

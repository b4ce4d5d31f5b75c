from __future__ import annotations

import re
from datetime import timedelta

import pytest

from command_answers import answer
from segmentflow_cli import main
from segmentflow_cli.journey_stats import age
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_memory import MemoryStorage


@pytest.fixture
def tracker(monkeypatch):
    """Give a tracker of ninety minutes ago, on the store that each run opens."""
    storage = MemoryStorage()
    monkeypatch.setattr("segmentflow_memory.open_storage", lambda _url: storage)
    monkeypatch.setenv("SEGMENTFLOW_STORE", "memory://")
    clock = FixedClock()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    where = {"path": "/event/total", "op": "gte", "value": 40}
    large = {"event": "order.created", "where": where}
    tracker.journeys.publish([a_journey(), a_journey("large", trigger=large)])
    for number in range(3):
        clock.advance(days=1)
        tracker.track(a_request(data={"total": 20 * number}), f"{number}")
    return tracker


@pytest.fixture
def run(capsys):
    def run(*arguments):
        status = main(["journeys", "stats", *arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


PERIOD = ("--since", "2026-06-01", "--until", "2026-06-05")


def test_a_page_counts_each_journey(run, tracker):
    status, out, err = run(*PERIOD)
    assert (status, err) == (0, "")
    first, _, large, welcome = out.splitlines()
    assert first == (
        "3 events received since 2026-06-01T00:00:00.000Z and before 2026-06-05T00:00:00.000Z"
    )
    columns = [re.split(r" {2,}", line.strip()) for line in (large, welcome)]
    assert [each[:4] for each in columns] == [["large", "3", "1", "1"], ["welcome", "3", "3", "3"]]
    assert columns[0][5:] == ["1 pending", "2 condition_not_met"]
    assert columns[1][5:] == ["3 pending"]
    assert re.fullmatch(r"[0-9]+d[0-9]+h", columns[1][4])


def test_json_is_what_the_library_counts(run, tracker):
    document = answer(run("large", *PERIOD, "--json"))
    (counts,) = document["journeys"]
    assert (document["events"], counts["journeyId"], counts["enrolled"]) == (3, "large", 1)
    assert answer(run("--since", "1h", "--json"))["events"] == 0


def test_a_page_says_what_it_left_out(run, tracker):
    page = run(*PERIOD, "--at-most", "1")[1]
    assert "The period was cut: only the newest 1 rows were looked at." in page
    assert "More wait than were looked at" in page


def test_a_journey_that_is_not_there_is_not_found(run, tracker):
    status, _, err = run("unheard-of")
    assert (status, err.splitlines()[0]) == (1, "not_found: Not found: no Journey has this id.")
    assert run("--at-most", "0")[0] == 2
    assert run("--since", "tomorrow")[0] == 2


@pytest.mark.parametrize(
    ("waits", "shown"),
    [
        (timedelta(seconds=0), "0s"),
        (timedelta(seconds=59.9), "59s"),
        (timedelta(minutes=5), "5m0s"),
        (timedelta(hours=2, seconds=5), "2h0m"),
        (timedelta(days=3, hours=4, minutes=5), "3d4h"),
    ],
)
def test_how_long_somebody_waits_is_shown_in_two_units(waits, shown):
    assert age(waits.total_seconds()) == shown

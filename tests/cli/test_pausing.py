"""`segmentflow journeys pause`, `activate` and `archive`."""

from __future__ import annotations

import json

import pytest

from command_answers import answer
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from terminals import terminal


@pytest.fixture
def tracker(storage):
    """Let three people wait in a Journey."""
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey()])
    tracker.track_many([(a_request(), f"key {number}") for number in range(3)])
    return tracker


def waiting(tracker):
    return [str(each.status) for each in tracker.enrollments.list()].count("pending")


def test_a_journey_is_paused_and_activated_and_says_so(run, tracker):
    for command, became in (("pause", "paused"), ("activate", "active")):
        changed, again = (run("journeys", command, "welcome") for _ in range(2))
        was = "was active already" if command == "activate" else "was paused already"
        assert changed == (0, f"Journey welcome is {became}.\n", "")
        assert again == (0, f"Journey welcome {was}.\n", "")
        assert tracker.journeys.get("welcome").definition.status == became
    document = answer(run("journeys", "pause", "welcome", "--by", "ops", "--json"))
    assert (document["id"], document["status"], document["change"]) == (
        "welcome",
        "paused",
        "new_status",
    )
    assert "ops" in {record.by for record in tracker.records.audit()}
    assert waiting(tracker) == 3


@pytest.mark.parametrize("command", ["pause", "activate", "archive"])
def test_a_journey_that_is_not_there_is_not_found(run, tracker, command):
    assert waiting(tracker) == 3
    status, out, err = run("journeys", command, "other", "--json")
    assert (status, out, json.loads(err)["error"]) == (1, "", "not_found")


@pytest.mark.parametrize("typed", ["\n", "no\n", "y\n", " YES \n"])
def test_archiving_asks_on_a_terminal(run, tracker, monkeypatch, typed):
    with terminal(monkeypatch, typed) as shown:
        status, _, _ = run("journeys", "archive", "welcome")
    (page,) = shown
    assert "Archive Journey welcome, and withdraw what waits in it?" in page
    assert "This cannot be undone. [y/N]" in page
    archived = "y" in typed.lower()
    assert (status == 0) is archived is ("not_confirmed" not in page) is (waiting(tracker) == 0)


def test_archiving_without_a_terminal_needs_to_be_told_so_and_lets_the_rows_follow(run, tracker):
    status, out, err = run("journeys", "archive", "welcome")
    assert (status, out, waiting(tracker)) == (1, "", 3)
    assert err.startswith("not_confirmed: This cannot be undone")
    done = run("journeys", "archive", "welcome", "--yes")
    assert done == (0, "Journey welcome is archived; 3 Enrollments withdrawn.\n", "")
    assert waiting(tracker) == tracker.journeys.finish_archiving() == 0
    again = answer(run("journeys", "archive", "welcome", "--json"))
    assert (again["change"], again["withdrawn"]) == ("unchanged", 0)


def test_an_archiving_that_is_stopped_goes_on_with_the_same_command(run, storage, tracker):
    storage.left = 1
    status, out, err = run("journeys", "archive", "welcome", "--yes")
    storage.left = None
    assert (status, out, waiting(tracker)) == (130, "", 0)
    assert "segmentflow journeys archive welcome" in " ".join(err.split())
    again = run("journeys", "archive", "welcome")
    assert again == (0, "Journey welcome was archived already; 3 Enrollments withdrawn.\n", "")


def test_the_record_names_a_journey_whole_on_eighty_columns(run, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "80")
    (folder / "j.json").write_text(json.dumps({"journeys": [a_journey("order-confirmation")]}))
    paused = ["journeys", "pause", "order-confirmation", "--by", "kim@example.com"]
    for command in (["init"], ["journeys", "apply", "j.json"], paused):
        assert run(*command)[0] == 0
    assert "order-confirmation" in run("audit")[1].split()

"""`segmentflow work`: handlers of a host's module, until nothing is there or a signal comes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from command_answers import answer
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import open_storage

MODULE = """
from pathlib import Path
from threading import Event

def handle(assignment):
    with Path("did").open("a") as file:
        file.write(f"{assignment.idempotency_key}\\n")

async def refuse(assignment):
    raise ValueError("no answer")

def wait(assignment):
    print("begun", flush=True)
    Event().wait()

def yields(assignment):
    yield

HANDLERS = {"welcome": handle, "second": refuse}
WAITING = {"welcome": wait}
NUMBER = 5
"""


@pytest.fixture
def tracker(folder, monkeypatch):
    """Give a tracker on the default store, and handlers beside it."""
    (folder / "mails.py").write_text(MODULE)
    monkeypatch.setattr("sys.path", [*sys.path])
    monkeypatch.setitem(sys.modules, "mails", None)
    del sys.modules["mails"]
    storage = open_storage("sqlite:///segmentflow.db")
    storage.create_all()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey("welcome"), a_journey("second")])
    yield tracker
    storage.close()


def statuses(tracker):
    return {each.journey_id: each.status for each in tracker.enrollments.list()}


def test_what_waits_is_logged_where_that_is_asked_for(run, tracker, folder):
    tracker.track(a_request(), "1")
    handlers = ("work", "mails:HANDLERS", "--drain", "--measure", "30s")
    status, _, err = run(*handlers)
    assert status == 0
    assert "welcome: 1 waiting, lag 0:00:0" in err
    assert run(*handlers, "--all-organizations")[0] == 1


def test_what_is_available_is_worked_on_and_counted(run, tracker, folder):
    tracker.track(a_request(), "1")
    status, out, err = run("work", "mails:HANDLERS", "--drain", "--max-attempts", "1", "--json")
    assert (status, json.loads(out)) == (0, {"completed": 1})
    assert statuses(tracker) == {"welcome": "completed", "second": "dead"}
    (done,) = tracker.enrollments.list(journey_id="welcome")
    assert (folder / "did").read_text() == f"{done.enrollment_id}\n"
    assert f"INFO segmentflow.worker: welcome {done.enrollment_id}: completed" in err
    assert "ValueError; dead" in err
    (dead,) = answer(run("enrollments", "list", "--status", "dead", "--json"))
    assert dead["lastFailure"] == "ValueError: no answer"
    assert "Completed 0 Enrollments." in run("work", "mails:HANDLERS", "--drain")[1]


def test_one_function_handles_every_journey_of_every_organization(run, tracker):
    tracker.track(a_request(), "1")
    tracker.journeys.publish([a_journey("third")], organization_id="acme")
    tracker.track(a_request(), "1", organization_id="acme")
    out = run("work", "mails:handle", "--drain", "--all-organizations", "--json")[1]
    assert json.loads(out) == {"completed": 3}


@pytest.mark.parametrize(
    ("target", "said"),
    [
        ("mails", "MODULE:HANDLERS"),
        (":HANDLERS", "MODULE:HANDLERS"),
        ("no_such_module:HANDLERS", "no_such_module"),
        ("mails:NO_SUCH", "NO_SUCH"),
        ("mails:NUMBER", "NUMBER"),
        (".mails:HANDLERS", "MODULE:HANDLERS"),
        ("..mails:handle", "MODULE:HANDLERS"),
        ("mails.:handle", "MODULE:HANDLERS"),
        ("mails:yields", "The handler yields"),
    ],
)
def test_what_handles_nothing_is_refused_by_name(run, tracker, target, said):
    status, out, err = run("work", target, "--drain")
    assert (status, out) == (1, "")
    assert said in err


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_gives_back_what_does_not_end_and_the_status_is_0(tracker, folder, number):
    tracker.track(a_request(), "1")
    command = ("work", "mails:WAITING", "--grace", "0", "--json")
    with subprocess.Popen(
        [sys.executable, "-m", "segmentflow_cli", *command],
        cwd=folder,
        env={**os.environ, "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        text=True,
    ) as process:
        assert process.stdout.readline() == "begun\n"
        process.send_signal(number)
        assert json.loads(process.stdout.readline()) == {"completed": 0}
        assert process.wait(60) == 0
    (back,) = tracker.enrollments.list(journey_id="welcome")
    assert (back.status, back.attempts) == ("pending", 0)

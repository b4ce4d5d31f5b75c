"""What becomes of standard output that cannot hold, or no longer takes, what is printed."""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET
from segmentflow_sql import open_storage

COMMAND = [sys.executable, "-m", "segmentflow_cli"]
NAME = "注文.作成 é 😀"
REQUEST = {"event": NAME, "profile": {"email": "a@example.com"}, "data": {NAME: NAME}}
COMMANDS = [
    ["events", "list", "--json"],
    ["journeys", "schema"],
    pytest.param(["events", "list"], marks=pytest.mark.deep),
]
posix = pytest.mark.skipif(os.name != "posix", reason="there are no such files: NOT TESTED")


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("SEGMENTFLOW_STORE", raising=False)
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", FINGERPRINT_SECRET)
    (tmp_path / "request.json").write_text(json.dumps(REQUEST))
    return tmp_path


@pytest.fixture(scope="module")
def with_an_event(tmp_path_factory):
    """Give a store that holds one event, for each test to copy, and the event's id."""
    path = tmp_path_factory.mktemp("store") / "segmentflow.db"
    storage = open_storage(f"sqlite:///{path}")
    storage.create_all()
    receipt = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET).track(REQUEST, "k")
    storage.close()
    return path, receipt.event_id


@pytest.fixture
def event_id(with_an_event, folder):
    path, event_id = with_an_event
    shutil.copy(path, folder)
    return event_id


def run(*arguments, encoding="utf-8", **more):
    environment = {**os.environ, "PYTHONIOENCODING": encoding, "COLUMNS": "200"}
    more = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, **more}
    return subprocess.run([*COMMAND, *arguments], env=environment, check=False, **more)


@pytest.mark.parametrize(
    "encoding", ["cp1252", "ascii", "utf-8", pytest.param("latin-1", marks=pytest.mark.deep)]
)
def test_json_can_be_written_in_every_encoding(event_id, encoding):
    shown = run("events", "show", event_id, "--json", encoding=encoding)
    explained = run("explain", "--event", event_id, "--json", encoding=encoding)
    for done in (shown, explained):
        assert (done.returncode, done.stderr) == (0, b"")
        assert json.loads(done.stdout.decode(encoding))["event"] == NAME
    assert json.loads(shown.stdout)["data"] == {NAME: NAME}
    assert (b"\\u" in shown.stdout) == (encoding != "utf-8")


@pytest.mark.parametrize("encoding", ["ascii", pytest.param("cp1252", marks=pytest.mark.deep)])
def test_a_page_shows_what_its_encoding_cannot_hold_as_escapes(event_id, encoding):
    for arguments in (("show", event_id), ("list",)):
        done = run("events", *arguments, encoding=encoding)
        assert (done.returncode, done.stderr) == (0, b"")
        assert b"\\u6ce8\\u6587" in done.stdout
    assert run("explain", "--event", event_id, encoding=encoding).returncode == 0
    assert run("demo", encoding=encoding).returncode == 0


@pytest.mark.usefixtures("event_id")
@pytest.mark.parametrize("encoding", ["cp1252", "utf-8"])
def test_a_refusal_can_be_written_in_every_encoding(folder, encoding):
    (folder / "request.json").write_text(json.dumps({NAME: 1}))
    plain = run("track", "request.json", "--idempotency-key", "k", encoding=encoding)
    as_json = run("track", "request.json", "--idempotency-key", "k", "--json", encoding=encoding)
    assert (plain.returncode, as_json.returncode) == (1, 1)
    assert b"Traceback" not in plain.stderr
    violations = json.loads(as_json.stderr)["details"]["violations"]
    assert f"/{NAME}" in [violation["path"] for violation in violations]


@posix
@pytest.mark.usefixtures("event_id")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_closed_pipe_ends_the_command_quietly(command):
    reading, writing = os.pipe()
    os.close(reading)
    done = run(*command, stdout=writing)
    os.close(writing)
    assert (done.returncode, done.stderr) == (1, b"")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="no /dev/full: NOT TESTED")
@pytest.mark.usefixtures("event_id")
@pytest.mark.parametrize("command", COMMANDS)
def test_a_full_disk_is_said(command):
    with Path("/dev/full").open("wb") as full:
        done = run(*command, stdout=full)
    assert done.returncode == 1
    assert done.stderr == b"standard input or output: No space left on device\n"


@posix
@pytest.mark.usefixtures("event_id")
def test_no_standard_output_at_all_hinders_nothing():
    done = run("events", "list", "--json", stdout=None, preexec_fn=lambda: os.close(1))
    assert (done.returncode, done.stderr) == (0, b"")


@posix
@pytest.mark.usefixtures("event_id")
@pytest.mark.parametrize("form", [[], ["--json"]])
def test_an_interrupted_import_says_how_to_go_on(form):
    line = json.dumps({"event": "x", "profile": {"email": "a@example.com"}}).encode() + b"\n"
    with subprocess.Popen(
        [*COMMAND, "import", "-", "--batch", "1", *form],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        # Whoever runs the tests in the background lets their processes ignore it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    ) as process:
        process.stdin.write(line * 3)
        process.stdin.flush()
        deadline = time.monotonic() + 60
        while len(json.loads(run("events", "list", "--json").stdout)) < 4:
            assert time.monotonic() < deadline
        process.send_signal(signal.SIGINT)
        assert process.wait(60) == 130
        out, err = process.stdout.read().decode(), process.stderr.read().decode()
    assert "Traceback" not in err
    if form:
        assert (json.loads(out)["recorded"], err) == (3, "")
    else:
        assert "Interrupted: 3 lines, 3 recorded" in out
        assert "Run the same command again" in out

"""An import that is killed or interrupted, and run again."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys

import pytest

from command_answers import answer
from import_files import a_file, a_line, counts, stored

pytestmark = pytest.mark.usefixtures("store")


def test_an_import_killed_again_and_again_ends_with_each_line_once(folder, run):
    lines = [a_line(n, None if n % 2 else f"key {n}") for n in range(400)]
    path = a_file(folder, *lines)
    (folder / "piped").mkdir()
    piped = folder / "piped" / path.name
    piped.symlink_to("/dev/stdin")
    for _ in range(3):
        # The pipe gives the kill its moment: some lines are recorded, and more are waited for.
        importing = subprocess.Popen(
            [sys.executable, "-m", "segmentflow_cli", "import", str(piped), "--batch", "7"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
        )
        before = stored(folder)[0]
        importing.stdin.write(b"\n".join(path.read_bytes().splitlines()[: before + 100]))
        importing.stdin.flush()
        while stored(folder)[0] == before:
            assert importing.poll() is None
        importing.send_signal(signal.SIGKILL)
        importing.wait()
        importing.stdin.close()
    assert 0 < stored(folder)[0] < 400
    report = answer(run("import", path, "--json"))
    assert report["recorded"] + report["replayed"] == 400
    assert report["recorded"] > 0
    assert stored(folder) == (400, 400)


def test_an_interrupted_import_reports_and_can_go_on(folder):
    importing = subprocess.Popen(
        [sys.executable, "-m", "segmentflow_cli", "import", "-", "--batch", "1", "--json"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        # A shell that runs the tests in the background has them ignore it, and so would this.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),  # noqa: PLW1509
    )
    importing.stdin.write(f"{a_line(1)}\n{a_line(2)}\n".encode())
    importing.stdin.flush()
    while stored(folder)[0] < 2:
        assert importing.poll() is None
    os.kill(importing.pid, signal.SIGINT)
    out, _ = importing.communicate()
    assert importing.returncode == 130
    # It may come between the commit of the second line and its being counted, and waits for that.
    assert counts(json.loads(out)) == (2, 0, [])

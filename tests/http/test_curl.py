"""The documented call as the README has it, with curl, against `segmentflow serve`."""

from __future__ import annotations

import json
import re
import shlex
import shutil
import subprocess
from pathlib import Path

import pytest

from http_serving import KEY, served
from segmentflow_core.testing import DOCUMENTED_REQUEST

CURL = shutil.which("curl")
README = Path(__file__).parents[2] / "README.md"

pytestmark = pytest.mark.skipif(CURL is None, reason="curl is not installed: curl NOT TESTED")


HTTP = Path(__file__).parents[2] / "docs" / "reference" / "http.md"


def documented_command(url, key):
    """Give the README's command, its address and its key replaced, as the shell would split it."""
    (text,) = re.findall(r"^curl (?:.*\\\n)*.*$", README.read_text("utf-8"), re.MULTILINE)
    return split(text, url, key)


def split(text, url, key):
    for documented, ours in (("http://127.0.0.1:8000", url), ("$KEY", key)):
        assert documented in text
        text = text.replace(documented, ours)
    return shlex.split(text.replace("\\\n", " "))


@pytest.fixture
def curl(tmp_path):
    """Run the command where the documented request is; give status, headers, body."""
    examples = tmp_path / "examples"
    examples.mkdir()
    (examples / "order.json").write_text(json.dumps(DOCUMENTED_REQUEST, indent=2))

    def curl(url, key=KEY):
        command = [*documented_command(url, key), "--silent", "--show-error", "--noproxy", "*"]
        done = subprocess.run(
            [*command, "--dump-header", "headers.txt"],
            cwd=tmp_path,
            capture_output=True,
            check=True,
        )
        first, *lines = (tmp_path / "headers.txt").read_text().splitlines()
        headers = dict(line.lower().split(": ", 1) for line in lines if line)
        return int(first.split()[1]), headers, done.stdout

    return curl


def test_the_documented_command_gets_the_documented_answer_and_a_replay(curl):
    with served("memory://") as server:
        (status, headers, body), again = curl(server.url), curl(server.url)
        refused = curl(server.url, "wk_" + "x" * 40)
    receipt = json.loads(body)
    assert (status, "idempotent-replayed" in headers) == (202, False)
    assert list(receipt) == [
        "eventId",
        "profileId",
        "matchedJourneys",
        "enrolledJourneys",
        "skippedJourneys",
    ]
    assert list(receipt.values())[2:] == [0, 0, 0]
    assert (again[0], again[1]["idempotent-replayed"], again[2]) == (202, "true", body)
    assert (refused[0], refused[1]["x-should-retry"]) == (401, "false")
    assert "Ingest API" in json.loads(refused[2])["message"]


def test_the_documented_batch_gets_the_documented_answer():
    text = HTTP.read_text("utf-8")
    (command,) = re.findall(r"^```sh\n(curl .*?)^```", text, re.MULTILINE | re.DOTALL)
    (shown,) = re.findall(r"^```json\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    with served("memory://") as server:
        arguments = [*split(command, server.url, KEY), "--silent", "--show-error", "--noproxy", "*"]
        done = subprocess.run(arguments, capture_output=True, check=True)
    accepted, refused = json.loads(done.stdout)["results"]
    expected = json.loads(shown)["results"]
    assert refused == expected[1]
    assert {**accepted["receipt"], "eventId": 0, "profileId": 0} == {
        **expected[0]["receipt"],
        "eventId": 0,
        "profileId": 0,
    }

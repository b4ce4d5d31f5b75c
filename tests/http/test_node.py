"""The documented call from JavaScript, against `segmentflow serve`."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from http_serving import KEY, served

NODE = shutil.which("node")
SCRIPT = Path(__file__).parents[2] / "examples" / "node" / "track.mjs"

pytestmark = pytest.mark.skipif(NODE is None, reason="Node is not installed: fetch NOT TESTED")


def fetch(url, key=KEY):
    environment = {**os.environ, "SEGMENTFLOW_URL": url, "SEGMENTFLOW_API_KEY": key}
    done = subprocess.run(
        [NODE, SCRIPT], capture_output=True, text=True, check=True, env=environment
    )
    return json.loads(done.stdout)


def test_nodes_fetch_gets_the_documented_answer_and_a_replay():
    with served("memory://") as server:
        first, again, refused = fetch(server.url), fetch(server.url), fetch(server.url, "wk_x" * 9)
    assert (first["status"], first["replayed"], first["shouldRetry"]) == (202, False, None)
    assert set(first["body"]) == {
        "eventId",
        "profileId",
        "matchedJourneys",
        "enrolledJourneys",
        "skippedJourneys",
    }
    assert again == {**first, "replayed": True}
    assert (refused["status"], refused["shouldRetry"]) == (401, "false")
    assert refused["body"]["error"] == "unauthorized"

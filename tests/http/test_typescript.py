"""A client generated from the OpenAPI document, compiled strictly and run against the server.

Needs npm and its registry, so it runs where it is asked for: `nox -s typescript`.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from pathlib import Path

import pytest

from http_serving import KEY, served
from segmentflow_core import Limits
from segmentflow_http import openapi_document

EXAMPLE = Path(__file__).parents[2] / "examples" / "typescript"

pytestmark = pytest.mark.skipif(
    "SEGMENTFLOW_TYPESCRIPT" not in os.environ, reason="asked for by `nox -s typescript`"
)


def test_a_generated_client_gets_the_documented_answer(tmp_path):
    for name in ("package.json", "tsconfig.json", "track.ts"):
        shutil.copy(EXAMPLE / name, tmp_path)
    (tmp_path / "openapi.json").write_text(json.dumps(openapi_document(Limits())))
    npm = shutil.which("npm")
    assert npm is not None, "npm is not installed"
    for command in (["install", "--no-audit", "--no-fund"], ["run", "generate"], ["run", "build"]):
        done = subprocess.run(
            [npm, *command], cwd=tmp_path, capture_output=True, text=True, check=False
        )
        assert done.returncode == 0, done.stdout + done.stderr

    def call(key):
        environment = {
            **os.environ,
            "SEGMENTFLOW_URL": server.url,
            "SEGMENTFLOW_API_KEY": key,
        }
        done = subprocess.run(
            ["node", "built/track.js"],
            cwd=tmp_path,
            capture_output=True,
            text=True,
            check=True,
            env=environment,
        )
        return json.loads(done.stdout)

    with served("memory://") as server:
        accepted, refused = call(KEY), call("wk_public")
    assert accepted["status"] == 202
    assert accepted["receipt"]["matchedJourneys"] == 0
    assert refused == {"status": 401, "code": "unauthorized"}

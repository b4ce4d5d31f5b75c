"""The adapter in examples/custom_adapter, as a package of its own that the command finds.

Its own tests, in its own folder, run with these.
"""

from __future__ import annotations

import ast
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from redis_server import RedisServer
from segmentflow_core.testing import DOCUMENTED_KEY, DOCUMENTED_REQUEST, FINGERPRINT_SECRET

pytestmark = pytest.mark.once
ADAPTER = Path(__file__).parents[2] / "examples" / "custom_adapter"
PUBLIC = (
    "segmentflow_core",
    "segmentflow_core.codecs",
    "segmentflow_core.colour",
    "segmentflow_core.errors",
    "segmentflow_core.ports",
)
JOURNEYS = {
    "journeys": [{"id": "thanks", "status": "active", "trigger": {"event": "order.created"}}]
}


def imported(path):
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            yield node.module
        elif isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)


@pytest.mark.parametrize("path", sorted(ADAPTER.rglob("src/**/*.py")), ids=lambda path: path.name)
def test_the_adapter_imports_public_names_only(path):
    ours = {module for module in imported(path) if module.startswith("segmentflow_core")}
    assert {module for module in ours if not module.startswith("segmentflow_core.ports.")} <= {
        *PUBLIC
    }


@pytest.fixture(scope="module")
def installed(tmp_path_factory):
    """Give a folder with the adapter's own distribution, as pip installs it."""
    place = tmp_path_factory.mktemp("site")
    options = ("--quiet", "--no-deps", "--no-build-isolation", "--no-index", "--target", place)
    subprocess.run(
        [sys.executable, "-m", "pip", "install", *options, ADAPTER],
        check=True,
        env={**os.environ, "PIP_DISABLE_PIP_VERSION_CHECK": "1"},
    )
    return place


@pytest.fixture(scope="module")
def server():
    server = RedisServer()
    yield server
    server.stop()


@pytest.fixture
def run(installed, server, tmp_path):
    """Give a function that runs the command on the server, and returns its JSON document."""

    def run(*arguments, document=None):
        done = subprocess.run(
            [sys.executable, "-m", "segmentflow_cli", *arguments, "--json"],
            input=None if document is None else json.dumps(document),
            capture_output=True,
            check=False,
            text=True,
            cwd=tmp_path,
            env={
                **os.environ,
                "PYTHONPATH": str(installed),
                "SEGMENTFLOW_FINGERPRINT_KEY": FINGERPRINT_SECRET,
                "SEGMENTFLOW_STORE": server.url,
            },
        )
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_the_command_finds_the_adapter_by_the_urls_scheme(run, tmp_path):
    journeys = tmp_path / "journeys.json"
    journeys.write_text(json.dumps(JOURNEYS))
    run("init")
    run("journeys", "apply", str(journeys))
    track = ("track", "-", "--idempotency-key", DOCUMENTED_KEY)
    receipt = run(*track, document=dict(DOCUMENTED_REQUEST))
    assert receipt["enrolledJourneys"] == 1
    assert run(*track, document=dict(DOCUMENTED_REQUEST)) == receipt
    (event,) = run("events", "list")
    assert event["eventId"] == receipt["eventId"]
    assert event["data"]["payment"] == {"token": "[REDACTED]"}
    (claimed,) = run("enrollments", "claim")
    assert claimed["state"]["event"]["orderId"] == "ord_9421"
    assert run("keys", "create", "--scope", "events:write")["scopes"] == ["events:write"]


def test_without_the_adapter_the_command_says_what_is_installed(tmp_path):
    done = subprocess.run(
        [sys.executable, "-m", "segmentflow_cli", "events", "list", "--json"],
        capture_output=True,
        check=False,
        text=True,
        cwd=tmp_path,
        env={
            **{name: value for name, value in os.environ.items() if name != "PYTHONPATH"},
            "SEGMENTFLOW_STORE": "redis://localhost:6379/0",
            "SEGMENTFLOW_FINGERPRINT_KEY": FINGERPRINT_SECRET,
        },
    )
    assert done.returncode == 1
    assert "sqlite" in json.loads(done.stderr)["details"]["installed"]


def test_the_adapters_own_tests_run_in_its_own_folder(installed, server):
    done = subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "-k", "the_documented"],
        capture_output=True,
        check=False,
        text=True,
        cwd=ADAPTER,
        env={**os.environ, "PYTHONPATH": str(installed), "PYTHONDONTWRITEBYTECODE": "1"},
    )
    assert done.returncode == 0, done.stdout
    assert " passed" in done.stdout

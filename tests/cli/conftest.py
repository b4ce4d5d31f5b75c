"""The command as a test runs it, in a folder of its own."""

from __future__ import annotations

import json

import pytest

from segmentflow_cli import main
from segmentflow_core.testing import DOCUMENTED_REQUEST
from stopped_storage import StoppedStorage


@pytest.fixture(autouse=True)
def nobody_says_how_wide_the_terminal_is(monkeypatch):
    """Where tests run side by side, each process is told a width."""
    monkeypatch.delenv("COLUMNS", raising=False)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """Work in an empty folder, without settings from the environment."""
    monkeypatch.chdir(tmp_path)
    for name in ("SEGMENTFLOW_STORE", "SEGMENTFLOW_FINGERPRINT_KEY", "SEGMENTFLOW_REDACT"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(folder, capsys):
    """Run the command; give its exit status, stdout and stderr."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def request_file(folder):
    """Write the documented request to a file."""
    path = folder / "request.json"
    path.write_text(json.dumps(DOCUMENTED_REQUEST))
    return path


@pytest.fixture
def store(run):
    """Create the default store, with its secret."""
    assert run("init")[0] == 0


@pytest.fixture
def storage(folder, monkeypatch):
    """Keep one store in memory between the runs of a test, in place of the default one."""
    storage = StoppedStorage()
    monkeypatch.setattr("segmentflow_memory.open_storage", lambda _url: storage)
    monkeypatch.setenv("SEGMENTFLOW_STORE", "memory://")
    monkeypatch.setenv("COLUMNS", "300")
    return storage

"""What people see: lists, and what a terminal must not be given."""

from __future__ import annotations

import json

import pytest

from command_answers import answer
from segmentflow_core.testing import DOCUMENTED_REQUEST, a_journey


@pytest.fixture
def wide(run, folder, request_file, monkeypatch):
    """Fill a store with what no terminal of 80 columns has room for."""
    monkeypatch.delenv("COLUMNS", raising=False)
    (folder / "j.json").write_text(json.dumps({"journeys": [a_journey("the-journey-" * 8)]}))
    run("init")
    run("journeys", "apply", "j.json")
    run("track", request_file, "--idempotency-key", "k")
    run("keys", "create", "--scope", "events:write", "--label", "the key of the shop " * 5)


@pytest.mark.usefixtures("wide")
@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("keys list", ["keyId", "createdAt"]),
        ("profiles list", ["profileId", "email", "createdAt"]),
        ("events list", ["eventId", "profileId", "occurredAt"]),
        ("journeys list", ["id", "status"]),
        ("enrollments list", ["enrollmentId", "journeyId", "profileId", "status"]),
        ("enrollments claim", ["enrollmentId", "journeyId", "profileId"]),
    ],
)
def test_what_is_listed_goes_whole_into_a_pipe_a_row_a_line(run, command, names):
    page = run(*command.split())[1]
    (found,) = answer(run(*command.replace("claim", "list").split(), "--json"))
    (row,) = [line.split() for line in page.splitlines() if line.startswith(found[names[0]])]
    assert [found[name] for name in names if found[name] not in row] == []


@pytest.mark.usefixtures("store")
def test_what_is_listed_is_on_one_line_whatever_it_is_called(run, folder):
    (folder / "r.json").write_text(json.dumps({**DOCUMENTED_REQUEST, "event": "a\nb c"}))
    run("track", "r.json", "--idempotency-key", "k")
    (_, row) = run("events", "list")[1].splitlines()
    assert "a\\u000ab c" in row


@pytest.mark.usefixtures("store")
def test_what_a_terminal_would_obey_is_shown_as_an_escape(run, folder, monkeypatch):
    monkeypatch.setenv("COLUMNS", "200")
    sent = {
        "event": "\x1b[2J\x9b\u202e",
        "profile": {"email": "a@example.com"},
        "data": {"\x9b": 1},
    }
    path = folder / "request.json"
    path.write_text(json.dumps(sent))
    receipt = answer(run("track", path, "--idempotency-key", "k", "--json"))
    pages = [run("events", "list")[1], run("events", "show", receipt["eventId"])[1]]
    path.write_text(json.dumps({**sent, "\x9b": 1}))
    pages.append(run("track", path, "--idempotency-key", "other")[2])
    for page in pages:
        assert "\\u009b" in page
        assert not set("\x1b\x9b\u202e") & set(page)
    assert answer(run("events", "list", "--json"))[0]["event"] == sent["event"]

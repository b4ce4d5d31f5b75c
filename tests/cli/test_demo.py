"""`segmentflow demo`."""

from __future__ import annotations

import shlex
import subprocess
import sys

import pytest

from command_answers import answer
from segmentflow_core.testing import FINGERPRINT_SECRET

TOKEN = "tok_live_abc"


def test_the_demo_tells_the_whole_story_and_keeps_the_secret(folder):
    path = folder / "demo.db"
    done = subprocess.run(
        [sys.executable, "-m", "segmentflow_cli", "demo", "--store", f"sqlite:///{path}"],
        capture_output=True,
        text=True,
        check=True,
    )
    for part in ("Replayed", "idempotency_key_reuse", "/data/total", "[REDACTED]", "enrolled"):
        assert part in done.stdout
    assert done.stderr == ""
    assert TOKEN not in done.stdout
    left = list(folder.iterdir())
    assert path in left
    assert not any(TOKEN.encode() in file.read_bytes() for file in left)


def test_the_demo_leaves_nothing_behind_without_a_store(run, folder):
    status, out, _ = run("demo")
    assert status == 0
    assert "[REDACTED]" in out
    assert list(folder.iterdir()) == []


def test_the_demo_as_json_is_one_document(run):
    story = answer(run("demo", "--json"))
    assert story["receipt"] == story["replay"]
    assert story["refusal"]["details"] == {
        "changedPaths": ["/data/total"],
        "redactedPaths": ["/data/payment/token"],
    }
    assert story["event"]["data"]["payment"] == {"token": "[REDACTED]"}
    assert [outcome["outcome"] for outcome in story["event"]["outcomes"]] == ["skipped", "enrolled"]


def test_the_demo_may_be_run_twice_on_one_store(run):
    url = ("--store", "sqlite:///demo.db")
    first = answer(run("demo", "--json", *url))
    assert answer(run("demo", "--json", *url)) == first
    assert "seen the demo before" in run("demo", *url)[1]


def test_the_demo_is_told_for_any_organization(run):
    url = ("--store", "sqlite:///demo.db")
    story = answer(run("demo", "--json", "--organization", "acme", *url))
    assert answer(run("events", "list", "--json", *url)) == []
    acme = ("--organization", "acme")
    assert answer(run("events", "list", "--json", *acme, *url)) == [story["event"]]
    assert len(answer(run("journeys", "list", "--json", *acme, *url))) == 3


@pytest.mark.parametrize(
    "store",
    [(), ("--store", "sqlite:///demo.db", "--organization", "a shop")],
    ids=["none", "one"],
)
def test_the_demo_is_short_and_ends_with_what_to_type_next(run, monkeypatch, store):
    monkeypatch.setenv("COLUMNS", "80")
    for _ in range(2):
        lines = run("demo", *store)[1].splitlines()
        assert len(lines) <= 40
        assert max(map(len, lines[: lines.index("Next")])) <= 80
    steps = [shlex.split(line, comments=True) for line in lines[lines.index("Next") + 1 :]]
    assert len(steps) == (3 if store else 4)
    for program, *step in steps:
        assert program == "segmentflow"
        assert run(*step)[0] == 0


@pytest.mark.usefixtures("storage")
def test_the_demo_repeats_no_url_that_may_hold_a_password(run, monkeypatch):
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", FINGERPRINT_SECRET)
    page = run("demo", "--store", "memory://alex:canary@host")[1]
    assert "--store URL" in page
    assert "canary" not in page

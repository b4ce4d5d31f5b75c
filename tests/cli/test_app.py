"""Tracking, reading and purging by the command; what it refuses and its exit statuses."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

from command_answers import answer
from segmentflow_core.testing import DOCUMENTED_KEY, DOCUMENTED_REQUEST


@pytest.mark.usefixtures("store")
def test_track_prints_the_receipt_and_events_show_what_is_stored(run, request_file):
    key = ("--idempotency-key", DOCUMENTED_KEY)
    receipt = answer(run("track", request_file, *key, "--json"))
    assert list(receipt) == [
        "eventId",
        "profileId",
        "matchedJourneys",
        "enrolledJourneys",
        "skippedJourneys",
    ]
    assert answer(run("track", request_file, *key, "--json")) == receipt
    assert "Replayed" in run("track", request_file, *key)[1]
    event = answer(run("events", "show", receipt["eventId"], "--json"))
    assert list(event) == [
        "eventId",
        "profileId",
        "event",
        "data",
        "referenceId",
        "occurredAt",
        "receivedAt",
        "outcomes",
    ]
    assert event["occurredAt"] == "2026-05-31T12:00:00.000Z"
    assert event["data"]["payment"] == {"token": "[REDACTED]"}
    assert answer(run("events", "list", "--json")) == [event]
    assert receipt["eventId"] in run("events", "show", receipt["eventId"])[1]


@pytest.mark.usefixtures("store")
def test_a_request_may_come_from_standard_input(folder):
    done = subprocess.run(
        [sys.executable, "-m", "segmentflow_cli", "track", "-", "--idempotency-key", "k", "--json"],
        input=json.dumps(DOCUMENTED_REQUEST).encode(),
        capture_output=True,
        check=True,
    )
    assert json.loads(done.stdout)["matchedJourneys"] == 0


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("asked", "as_json"),
    [
        (["--json"], True),
        (["--json=true"], True),
        (["--json=Yes"], True),
        (["--json=false"], False),
        ([], False),
    ],
)
def test_a_refusal_has_the_form_that_was_asked_for(run, asked, as_json):
    status, out, err = run("events", "show", *asked, "nothing")
    assert (status, out) == (1, "")
    assert err.startswith('{"error": "not_found"') is as_json
    assert err.startswith("not_found: ") is not as_json


@pytest.mark.usefixtures("store")
def test_what_follows_two_hyphens_is_no_option(run, folder):
    (folder / "--json").write_text("{}")
    assert run("track", "--idempotency-key", "k", "--", "--json")[2].startswith("invalid_request:")


@pytest.mark.usefixtures("store")
def test_a_refusal_lists_every_fault_and_shows_no_value(run, folder):
    bad = folder / "bad.json"
    bad.write_text(
        '{"event": "", "profile": {"email": "canary-1"}, "redactedDataPath": "canary-2"}'
    )
    status, out, err = run("track", bad, "--idempotency-key", "k")
    assert (status, out) == (1, "")
    for path in ("invalid_request", "/event", "/profile/email", "/redactedDataPath"):
        assert path in err
    assert "canary" not in err


@pytest.mark.usefixtures("store")
def test_a_missing_key_and_a_changed_request_are_refused_by_code(run, request_file, folder):
    status, _, err = run("track", request_file, "--json")
    assert (status, json.loads(err)["error"]) == (1, "idempotency_key_required")
    run("track", request_file, "--idempotency-key", "k")
    changed = folder / "changed.json"
    changed.write_text(json.dumps({**DOCUMENTED_REQUEST, "event": "order.paid"}))
    status, _, err = run("track", changed, "--idempotency-key", "k")
    assert status == 1
    assert "idempotency_key_reuse" in err
    assert "/event differs" in err


@pytest.mark.usefixtures("store")
def test_organizations_are_apart(run, request_file):
    run("track", request_file, "--idempotency-key", "k", "--organization", "acme")
    assert answer(run("events", "list", "--json")) == []
    assert len(answer(run("events", "list", "--json", "--organization", "acme"))) == 1


@pytest.mark.usefixtures("store")
def test_purge_says_how_many_keys_it_removed(run, request_file):
    run("track", request_file, "--idempotency-key", "k")
    assert answer(run("purge", "--json")) == {"purged": 0}
    assert "Removed 0" in run("purge")[1]


def test_an_unknown_event_is_not_found(run):
    run("init")
    status, _, err = run("events", "show", "nothing", "--json")
    assert (status, json.loads(err)["error"]) == (1, "not_found")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("track",),
        ("events", "list", "--limit", "x"),
        ("events", "list", "--limit", "0"),
        ("--store",),
        ("--store", "memory://", "nonsense"),
        ("--store", "memory://", "events", "nonsense"),
        ("--nonsense", "events", "list"),
        ("--limit", "1", "events", "list"),
    ],
    ids=" ".join,
)
def test_wrong_usage_has_a_status_of_its_own(run, arguments):
    assert run(*arguments)[0] == 2


def test_a_refusal_is_json_wherever_that_was_asked_for(run):
    run("init")
    status, out, err = run("--json", "events", "show", "nothing")
    assert (status, out, json.loads(err)["error"]) == (1, "", "not_found")


@pytest.mark.parametrize("port", ["99999", "65536", "-5", "-1", "http"])
@pytest.mark.parametrize("form", ["--port {}", "--port={}"])
def test_a_port_that_is_none_is_wrong_usage(run, port, form):
    status, out, err = run("serve", *form.format(port).split())
    assert (status, out) == (2, "")
    assert "port" in err


def test_a_file_that_is_not_there_is_wrong_usage(run):
    run("init")
    status, _, err = run("track", "nothing.json", "--idempotency-key", "k")
    assert status == 2
    assert "nothing.json" in err

"""What the command keeps out of the store, and what it says of paths that name nothing."""

from __future__ import annotations

import json

import pytest

from command_answers import answer
from segmentflow_core.testing import DOCUMENTED_REQUEST, a_journey, a_request

CANARY = "canary-4111"


@pytest.fixture
def write(folder):
    def write(name, *documents):
        path = folder / name
        path.write_text("\n".join(map(json.dumps, documents)))
        return path

    return write


def a_secret_request(**members):
    data = {"form": {"password": CANARY}, "items": [{"token": CANARY}]}
    return a_request(**{"data": data, **members})


def stored(run, *arguments):
    """Return the data of every event, newest first, once the store is known to hold no canary."""
    events = answer(run("events", "list", "--json", *arguments))
    return [event["data"] for event in events]


REDACTED = {"form": {"password": "[REDACTED]"}, "items": [{"token": "[REDACTED]"}]}


@pytest.mark.parametrize(
    ("options", "listed"),
    [
        (["--redact", "/event/items/*/token", "--redact-name", "PASSWORD"], None),
        (["--redact", "/event/items", "--redact", "/event/form/password"], None),
        (["--redact-name", "token", "--redact-name", "password"], None),
        ([], " /event/items/*/token , Password,,"),
        (["--redact-name", "password"], "token"),
    ],
)
@pytest.mark.usefixtures("store")
def test_an_event_is_tracked_without_what_options_and_environment_name(
    run, write, monkeypatch, options, listed
):
    if listed is not None:
        monkeypatch.setenv("SEGMENTFLOW_REDACT", listed)
    file = write("request.json", a_secret_request())
    printed = run("track", file, "--idempotency-key", "1", *options, "--json")
    answer(printed)
    explained = run("explain", "--request", file, *options, "--json")
    assert CANARY not in repr([printed, explained])
    (data,) = stored(run)
    assert data["form"] == {"password": "[REDACTED]"}
    files = [path for path in file.parent.iterdir() if path.name.startswith("segmentflow.db")]
    assert all(CANARY.encode() not in path.read_bytes() for path in files)


@pytest.mark.usefixtures("store")
def test_a_request_is_explained_under_the_policy(run, write):
    where = {"path": "/event/form/password", "op": "starts_with", "value": "can"}
    drafts = write(
        "j.json", {"journeys": [a_journey(trigger={"event": "order.created", "where": where})]}
    )
    file = write("request.json", a_secret_request())
    arguments = ("explain", "--request", file, "--journeys", drafts)
    assert "it is redacted" in run(*arguments, "--redact-name", "password")[1]
    assert CANARY in run(*arguments)[1]


@pytest.mark.usefixtures("store")
def test_a_path_that_names_nothing_is_said_on_stderr_of_a_replay_too(run, write):
    file = write("request.json", a_request(redactedDataPaths=["/event/a", "/event/\u202eb"]))
    arguments = ("track", file, "--idempotency-key", "1")
    for _ in range(2):
        status, out, err = run(*arguments)
        assert (status, "names nothing" in out) == (0, False)
        assert err.splitlines() == [
            "The redaction path /event/a names nothing.",
            "The redaction path /event/\\u202eb names nothing.",
        ]
    status, out, err = run(*arguments, "--json")
    assert (status, set(json.loads(out))) == (
        0,
        {"eventId", "profileId", "matchedJourneys", "enrolledJourneys", "skippedJourneys"},
    )
    assert json.loads(err) == {"unmatchedPaths": ["/event/a", "/event/\u202eb"]}


@pytest.mark.usefixtures("store")
def test_a_path_that_names_nothing_is_refused_where_that_was_asked_for(run, write):
    file = write("request.json", a_request(redactedDataPaths=["/event/a"]))
    arguments = ("track", file, "--idempotency-key", "1", "--refuse-unmatched", "--json")
    status, out, err = run(*arguments)
    assert (status, out) == (1, "")
    assert json.loads(err)["details"]["violations"] == [
        {"path": "/redactedDataPaths/0", "message": "names nothing in data"}
    ]
    assert not stored(run)


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("command", ["track", "import", "explain", "serve"])
def test_a_wrong_path_is_said_before_anything_is_done(run, write, monkeypatch, command):
    file = write("request.json", DOCUMENTED_REQUEST)
    arguments = {"explain": ["--request", file], "serve": []}.get(command, [file])
    for path, given in (("/profile/email", ["--redact", "/profile/email"]), ("/event", [])):
        monkeypatch.setenv("SEGMENTFLOW_REDACT", "" if given else "/event")
        status, _, err = run(command, *arguments, *given)
        assert status == 1
        assert f"The path '{path}' of a RedactionPolicy must start with /event/" in err
    assert not stored(run)


# --- import ---------------------------------------------------------------------------


@pytest.mark.usefixtures("store")
def test_an_import_counts_the_paths_that_name_nothing(run, write):
    lines = [a_secret_request(redactedDataPaths=[f"/event/{n}", "/event/x"]) for n in range(3)]
    file = write("history.ndjson", *lines, {"event": ""})
    options = ("--redact", "/event/items/*/token", "--redact-name", "password")
    for _ in range(2):
        status, out, _ = run("import", file, *options, "--json")
        assert (status, json.loads(out)["unmatchedPaths"]) == (1, 6)
    assert "6 redaction paths named nothing" in run("import", file, *options)[1]
    assert "redaction paths" not in run("import", write("other", a_request()))[1]
    assert stored(run)[1:] == [REDACTED] * 3


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "change",
    [
        lambda card: a_request(data={"a": [{"Card": card}]}),
        lambda card: a_request(data=[{"card": card}]),
        lambda card: a_request(data=card),
        lambda card: a_request(data={"pan": card}),
        lambda card: a_request(profile={"email": "a@b.co", "properties": {"card": card}}),
        lambda card: a_request(profile={"email": "a@b.co", "properties": [card]}),
        lambda card: a_request(profile={"email": "a@b.co", "card": card}),
        lambda card: a_request(profile=[card]),
        lambda card: {"request": a_request(data={"card": card})},
        lambda card: {"request": a_request(), "card": card},
    ],
)
def test_a_source_tells_nothing_of_what_the_policy_redacts_of_a_first_line(run, write, change):
    def source(card):
        file = write("history.ndjson", change(card), a_request())
        options = ("--redact-name", "card", "--redact", "/event/pan", "--json")
        return json.loads(run("import", file, *options)[1])["source"]

    assert source("4111") == source("4242")


@pytest.mark.usefixtures("store")
def test_a_policy_that_redacts_nothing_of_a_first_line_keeps_the_source(run, write):
    file = write("history.ndjson", a_request(data={"a": 1}), a_request(data={"card": 2}))
    before = answer(run("import", file, "--json"))
    after = answer(run("import", file, "--redact-name", "card", "--json"))
    assert after["source"] == before["source"]
    assert after["replayed"] == 2

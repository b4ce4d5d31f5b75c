from __future__ import annotations

import io
import json
import os
import stat
import subprocess
import sys

import pytest

from segmentflow_cli import main
from segmentflow_cli.stores import find_secret, opened, secret_file
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.journeys import journey_file_json_schema
from segmentflow_core.testing import DOCUMENTED_KEY, DOCUMENTED_REQUEST, a_journey

TOKEN = "tok_live_abc"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for name in ("SEGMENTFLOW_STORE", "SEGMENTFLOW_FINGERPRINT_KEY"):
        monkeypatch.delenv(name, raising=False)
    return tmp_path


@pytest.fixture
def run(capsys):
    """Run the command; give its exit status, stdout and stderr."""

    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


@pytest.fixture
def request_file(folder):
    path = folder / "request.json"
    path.write_text(json.dumps(DOCUMENTED_REQUEST))
    return path


@pytest.fixture
def store(run):
    assert run("init")[0] == 0


def answer(result):
    status, out, err = result
    assert (status, err) == (0, "")
    return json.loads(out)


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
    assert story["refusal"]["details"] == {"changedPaths": ["/data/total"]}
    assert story["event"]["data"]["payment"] == {"token": "[REDACTED]"}
    assert [outcome["outcome"] for outcome in story["event"]["outcomes"]] == ["skipped", "enrolled"]


def test_the_demo_may_be_run_twice_on_one_store(run):
    url = ("--store", "sqlite:///demo.db")
    first = answer(run("demo", "--json", *url))
    assert answer(run("demo", "--json", *url)) == first
    assert "seen the demo before" in run("demo", *url)[1]


def test_init_creates_the_store_and_a_secret_only_its_owner_can_read(run, folder):
    created = answer(run("init", "--json"))
    secret = folder / created["secretFile"]
    assert created["secretCreated"]
    assert len(secret.read_text().strip().encode()) >= 32
    if os.name == "posix":
        assert stat.S_IMODE(secret.stat().st_mode) == 0o600
    before = secret.read_bytes()
    assert not answer(run("init", "--json"))["secretCreated"]
    assert secret.read_bytes() == before
    assert before.decode().strip() not in run("init")[1]


@pytest.mark.parametrize(
    ("url", "name"),
    [
        ("sqlite:///p.db", "p.db"),
        ("sqlite+pysqlite:///p.db", "p.db"),
        ("sqlite+pysqlite:///p.db?timeout=5", "p.db"),
        ("sqlite:///a%20b.db", "a b.db"),
        ("sqlite:///file:p.db?uri=true", "p.db"),
    ],
)
def test_every_url_of_a_sqlite_file_has_its_secret_beside_the_file(
    run, folder, request_file, url, name
):
    created = answer(run("init", "--store", url, "--json"))
    assert created == {"secretFile": f"{name}.fingerprint-key", "secretCreated": True}
    assert {name, f"{name}.fingerprint-key"} <= {path.name for path in folder.iterdir()}
    assert run("track", request_file, "--idempotency-key", "k", "--store", url)[0] == 0


@pytest.mark.parametrize(
    "url",
    [
        "sqlite://",
        "sqlite:///:memory:",
        "sqlite+pysqlite://",
        "sqlite:///file::memory:?uri=true",
        "memory://",
    ],
)
def test_a_store_in_memory_has_no_secret_file(run, folder, url):
    created = answer(run("init", "--store", url, "--json"))
    assert created == {"secretFile": None, "secretCreated": False}
    assert list(folder.iterdir()) == []
    assert secret_file("sqlite:///file:p?mode=memory&uri=true") is None


def test_init_writes_no_secret_where_the_environment_has_one(run, folder, monkeypatch):
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", "x" * 32)
    assert answer(run("init", "--json")) == {"secretFile": None, "secretCreated": False}
    assert [path.name for path in folder.iterdir()] == ["segmentflow.db"]


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
def test_journeys_are_applied_listed_and_shown(run, folder, request_file):
    yaml, toml, other = (folder / name for name in ("j.yaml", "j.toml", "j.json"))
    yaml.write_text(
        """
journeys:
  - id: order-confirmation
    name: Order confirmation
    status: active
    trigger:
      event: order.created
      where:
        all:
          - {path: /event/total, op: gte, value: 40}
          - {path: /profile/properties/plan, op: eq, value: Pro}
    reentry: {policy: once_per_key, key: [/event/orderId]}
    window: {from: 2026-01-01T00:00:00Z, until: 2027-01-01T00:00:00Z}
"""
    )
    toml.write_text(
        '[[journeys]]\nid = "t"\nstatus = "paused"\ntrigger = {event = "order.created"}\n'
        "window = {from = 2026-01-01T00:00:00Z}\n"
    )
    other.write_text(json.dumps({"journeys": [a_journey("j")]}))
    assert "would change" in run("journeys", "apply", yaml, "--dry-run")[1]
    assert answer(run("journeys", "list", "--json")) == []
    assert "new, version 1" in run("journeys", "apply", yaml)[1]
    (again,) = answer(run("journeys", "apply", yaml, "--json"))
    assert (again["change"], again["version"]) == ("unchanged", 1)
    yaml.write_text(yaml.read_text().replace("value: 40", "value: 30"))
    assert "/trigger/where/all/0/value" in run("journeys", "apply", yaml, "--dry-run")[1]
    (changed,) = answer(run("journeys", "apply", yaml, "--json"))
    assert (changed["change"], changed["version"]) == ("new_version", 2)
    assert changed["changed"] == ["/trigger/where/all/0/value"]
    for file in (toml, other):
        assert run("journeys", "apply", file)[0] == 0
    listed = answer(run("journeys", "list", "--json"))
    assert [journey["id"] for journey in listed] == ["j", "order-confirmation", "t"]
    shown = answer(run("journeys", "show", "order-confirmation", "--json"))
    assert shown["reentry"] == {"policy": "once_per_key", "key": ["/event/orderId"]}
    assert shown["window"]["until"] == "2027-01-01T00:00:00.000Z"
    receipt = answer(run("track", request_file, "--idempotency-key", "k", "--json"))
    assert (receipt["matchedJourneys"], receipt["enrolledJourneys"]) == (2, 2)
    entered = answer(run("enrollments", "list", "--journey", "j", "--json"))
    assert [item["eventId"] for item in entered] == [receipt["eventId"]]
    assert "order-confirmation" in run("journeys", "list")[1]
    assert "pending" in run("enrollments", "list")[1]
    assert "order.created" in run("events", "list")[1]


@pytest.mark.parametrize("form", [(), ("--json",), ("--json", "--organization", "acme")])
def test_the_schema_of_a_journey_file_is_printed(run, form):
    assert answer(run("journeys", "schema", *form)) == journey_file_json_schema()


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("text", "form"),
    [
        ("journeys: [{id: a, status: active, trigger: {event: NO}}]", ()),
        ('  {"journeys": [{"id": "a", "status": "active", "trigger": {"event": "NO"}}]}', ()),
        ("{journeys: [{id: a, status: active, trigger: {event: NO}}]}", ("--format", "yaml")),
        (
            '[[journeys]]\nid = "a"\nstatus = "active"\ntrigger = {event = "NO"}',
            ("--format", "toml"),
        ),
    ],
)
def test_journeys_may_come_from_standard_input(run, monkeypatch, text, form):
    monkeypatch.setattr("sys.stdin", io.TextIOWrapper(io.BytesIO(text.encode())))
    (applied,) = answer(run("journeys", "apply", "-", *form, "--json"))
    assert (applied["id"], applied["trigger"]) == ("a", {"event": "NO"})


@pytest.mark.usefixtures("store")
def test_the_format_of_a_journey_file_may_be_given_whatever_its_suffix(run, folder):
    (folder / "a.txt").write_text('{"journeys": [')
    assert (
        "is not valid JSON, at line 1" in run("journeys", "apply", "a.txt", "--format", "json")[2]
    )
    assert "is not valid YAML, at line 1" in run("journeys", "apply", "a.txt")[2]
    assert run("journeys", "apply", "a.txt", "--format", "xml")[0] == 2


def test_the_demo_is_told_for_any_organization(run):
    url = ("--store", "sqlite:///demo.db")
    story = answer(run("demo", "--json", "--organization", "acme", *url))
    assert answer(run("events", "list", "--json", *url)) == []
    acme = ("--organization", "acme")
    assert answer(run("events", "list", "--json", *acme, *url)) == [story["event"]]
    assert len(answer(run("journeys", "list", "--json", *acme, *url))) == 3


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
@pytest.mark.parametrize(
    ("name", "text", "path"),
    [
        ("a.yaml", "journeys: [{id: a, id: b}]", ""),
        ("a.yaml", "journeys: &x [*x]", ""),
        ("a.yaml", "{", ""),
        ("a.toml", "=", ""),
        ("a.json", "{", ""),
        ("a.json", "[]", "/journeys"),
        ("a.yaml", "journeys: [{id: a, status: on, trigger: {event: x}}]", "/journeys/0/status"),
        ("a.yaml", "x" * (4 * 1024 * 1024 + 1), ""),
        ("a.json", '{"journeys": [' + '{"id": "x"},' * 1_000_000 + "{}]}", ""),
        ("a.json", '{"journeys": [], "journeys": []}', "/journeys"),
        ("a.yaml", "journeys: [{[a]: b}]", ""),
        ("a.yaml", "journeys: [{1: b}]", "/journeys/0"),
        ("a.yaml", "journeys: [!!python/object:os.system {}]", ""),
        ("a.yaml", "journeys: !!set {a}", ""),
    ],
    ids=lambda value: value[:40],
)
def test_a_bad_journey_file_is_refused_with_the_path(run, folder, name, text, path):
    (folder / name).write_text(text)
    status, out, err = run("journeys", "apply", name, "--json")
    refusal = json.loads(err)
    assert (status, out) == (1, "")
    assert refusal["error"] == "invalid_journey"
    assert refusal["details"]["violations"][0]["path"] == path
    assert answer(run("journeys", "list", "--json")) == []


def listening(op, value):
    where = {"path": "/event/a", "op": op, "value": value}
    return {"trigger": {"event": "x", "where": where}}


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("change", "path", "why"),
    [
        (listening("like", "a"), "/1/trigger/where/op", "must be one of eq, ne"),
        (listening("matches", "(a+)+$"), "/1/trigger/where/op", "must be one of eq, ne"),
        (listening("gt", "40"), "/1/trigger/where/value", "must be a number"),
        (
            {"reentry": {"policy": "cooldown", "duration": "P1M"}},
            "/1/reentry/duration",
            "must be an ISO 8601 duration",
        ),
        ({"maxLateness": "PT0S"}, "/1/maxLateness", "must be longer than nothing"),
        ({"colour": "red"}, "/1/colour", "is not a known field"),
        ({"id": "first"}, "/1/id", "is also the id of the Journey at /journeys/0"),
    ],
)
def test_one_bad_journey_refuses_its_file_with_the_path_and_the_reason(
    run, folder, change, path, why
):
    journeys = [a_journey("first"), {**a_journey("second"), **change}]
    (folder / "a.json").write_text(json.dumps({"journeys": journeys}))
    status, out, err = run("journeys", "apply", "a.json", "--json")
    (violation,) = json.loads(err)["details"]["violations"]
    assert (status, out, violation["path"]) == (1, "", f"/journeys{path}")
    assert violation["message"].startswith(why)
    assert answer(run("journeys", "list", "--json")) == []


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("name", ["a.yaml", "a.toml", "a.json"])
def test_a_file_nested_too_deep_is_refused_for_that(run, folder, name):
    (folder / name).write_text({"a.toml": "a = "}.get(name, "") + "[" * 100_000)
    assert "is nested too deep to read" in run("journeys", "apply", name)[2]


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


@pytest.mark.usefixtures("store")
def test_what_tracks_nothing_needs_no_secret(run, folder, request_file):
    (folder / "journeys.json").write_text(json.dumps({"journeys": [a_journey("a")]}))
    answer(run("journeys", "apply", "journeys.json", "--json"))
    key = ("--idempotency-key", "k", "--json")
    receipt = answer(run("track", request_file, *key))
    secret = folder / "segmentflow.db.fingerprint-key"
    kept = secret.read_bytes()
    secret.unlink()
    answer(run("journeys", "apply", "journeys.json", "--json"))
    for command in (
        *(("journeys", "list"), ("journeys", "show", "a"), ("events", "list")),
        *(("events", "show", receipt["eventId"]), ("explain", "--event", receipt["eventId"])),
        *(("explain", "--request", request_file), ("enrollments", "list"), ("purge",)),
    ):
        assert answer(run(*command, "--json"))
    for command in (("track", request_file, *key), ("import", request_file)):
        assert "no fingerprint secret" in run(*command)[2]
    secret.write_bytes(kept)
    assert answer(run("track", request_file, *key)) == receipt


def test_an_unknown_event_is_not_found(run):
    run("init")
    status, _, err = run("events", "show", "nothing", "--json")
    assert (status, json.loads(err)["error"]) == (1, "not_found")


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        (("import", "request.json"), "no fingerprint secret"),
        (("track", "request.json"), "no fingerprint secret"),
        (("events", "list"), "Run `segmentflow init`"),
        (("events", "list", "--store", "unknown://x"), "No storage adapter"),
        (("init", "--store", "memory://named"), "memory://"),
    ],
)
@pytest.mark.usefixtures("request_file")
def test_a_wrong_setting_is_explained(run, arguments, why):
    status, _, err = run(*arguments)
    assert status == 1
    assert "invalid_configuration" in err
    assert why in err


@pytest.mark.parametrize(
    "url",
    [
        "postgresql://canary:canary",
        "postgresql://u:canary@[::canary/db",
        "postgresql://u:p@host:canary/db",
        "postgresql+canary://u:canary@host/db",
        "sqlite+canary:///canary.db",
        "sqlite:///canary%00.db",
        "sqlite:///x.db?timeout=canary",
        "sqlite:///x.db?cached_statements=99999999999999999999",
        "canary",
        "",
    ],
)
def test_a_store_url_that_cannot_be_used_is_refused_and_not_shown(run, monkeypatch, url):
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", "x" * 32)
    status, out, err = run("init", "--store", url)
    assert (status, out) == (1, "")
    assert err.startswith("invalid_configuration")
    assert "canary" not in err
    with pytest.raises(ConfigurationError) as refused, opened(url, create=True):
        pass
    assert refused.value.__context__ is None


@pytest.mark.usefixtures("store")
def test_a_secret_that_is_not_utf_8_is_refused_and_not_shown(run, folder, request_file):
    (folder / "segmentflow.db.fingerprint-key").write_bytes(b"canary" * 8 + b"\xff")
    status, out, err = run("track", request_file)
    assert (status, out) == (1, "")
    assert "not UTF-8" in err
    assert "canary" not in err
    with pytest.raises(ConfigurationError) as refused:
        find_secret("sqlite:///segmentflow.db")
    assert refused.value.__context__ is None


def test_a_secret_of_the_environment_that_is_not_utf_8_is_refused(run, request_file, monkeypatch):
    run("init")
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", "canary" * 8 + "\udcff")
    status, _, err = run("track", request_file)
    assert (status, "canary" in err) == (1, False)
    assert err.startswith("invalid_configuration")


@pytest.mark.parametrize(
    "arguments",
    [
        ("nonsense",),
        ("track",),
        ("events", "list", "--limit", "x"),
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


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "command",
    [
        ("events", "list"),
        ("journeys", "show", "a"),
        ("track", "request.json", "--idempotency-key", "k"),
        ("keys", "list"),
        ("purge",),
        ("import", "lines.ndjson"),
    ],
    ids=" ".join,
)
@pytest.mark.parametrize(
    "common",
    [
        ("--json",),
        ("--json", "--organization", "acme", "--store", "sqlite:///other.db"),
        ("--store=sqlite:///other.db", "--json", "--organization=acme"),
    ],
    ids=" ".join,
)
def test_the_common_options_may_stand_before_the_command_as_well(
    run, folder, request_file, command, common
):
    (folder / "journeys.json").write_text(json.dumps({"journeys": [a_journey("a")]}))
    (folder / "lines.ndjson").write_text(json.dumps(DOCUMENTED_REQUEST))
    run("init", "--store", "sqlite:///other.db")
    run("journeys", "apply", "journeys.json", *common)
    assert run("track", request_file, "--idempotency-key", "k", *common)[0] == 0
    run(*command, *common)
    behind = run(*command, *common)
    assert behind[0] == 0
    assert run(*common, *command) == behind
    first, *others = command
    assert run(first, *common, *others) == behind


@pytest.mark.usefixtures("store")
def test_common_options_may_stand_on_both_sides_of_the_command_but_each_once(run, request_file):
    run("track", request_file, "--idempotency-key", "k", "--organization", "acme")
    split = ("--organization", "acme", "events", "list", "--json")
    assert len(answer(run(*split))) == 1
    assert run("--organization", "acme", "events", "list", "--organization", "acme")[0] == 2
    assert run("--organization", "acme", "--organization", "acme", "events", "list")[0] == 2


def test_a_refusal_is_json_wherever_that_was_asked_for(run):
    run("init")
    status, out, err = run("--json", "events", "show", "nothing")
    assert (status, out, json.loads(err)["error"]) == (1, "", "not_found")


@pytest.mark.parametrize("asked", [("--help",), ("--json", "--help"), ("--store", "x", "-h"), ()])
def test_help_says_where_the_common_options_stand(run, asked):
    status, out, _ = run(*asked)
    assert status == 0
    assert "before or after the command" in " ".join(out.split())


@pytest.mark.parametrize(
    "asked", [("--json", "events", "list", "--help"), ("events", "--json", "list", "-h")]
)
def test_help_of_a_command_may_follow_common_options(run, asked):
    status, out, _ = run(*asked)
    assert status == 0
    assert "segmentflow events list" in out
    assert "--store" in out


@pytest.mark.parametrize("port", ["99999", "65536", "-5", "-1", "http"])
@pytest.mark.parametrize("form", ["--port {}", "--port={}"])
def test_a_port_that_is_none_is_wrong_usage(run, port, form):
    status, out, err = run("serve", *form.format(port).split())
    assert (status, out) == (2, "")
    assert "port" in err


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    "command",
    [
        ("journeys", "apply", "-"),
        ("import", "-"),
        ("track", "-", "--idempotency-key", "k"),
        ("explain", "--request", "-"),
    ],
    ids=" ".join,
)
def test_standard_input_that_is_closed_is_said_to_be(run, monkeypatch, command):
    monkeypatch.setattr("sys.stdin", None)
    status, out, err = run(*command)
    assert (status, out) == (2, "")
    assert err.startswith("standard input: ")


def test_a_file_that_is_not_there_is_wrong_usage(run):
    run("init")
    status, _, err = run("track", "nothing.json", "--idempotency-key", "k")
    assert status == 2
    assert "nothing.json" in err


def test_the_store_may_be_named_by_the_environment(run, folder, monkeypatch):
    monkeypatch.setenv("SEGMENTFLOW_STORE", "sqlite:///elsewhere.db")
    assert run("init")[0] == 0
    assert (folder / "elsewhere.db").exists()


@pytest.fixture
def narrow(run, folder, request_file, monkeypatch):
    """Fill a store, and make the terminal narrower than any list of it."""
    monkeypatch.setenv("COLUMNS", "80")
    (folder / "j.json").write_text(json.dumps({"journeys": [a_journey("the-journey-" * 8)]}))
    run("init")
    run("journeys", "apply", "j.json")
    run("track", request_file, "--idempotency-key", "k")
    run("keys", "create", "--scope", "events:write", "--label", "the key of the shop " * 5)


@pytest.mark.usefixtures("narrow")
@pytest.mark.parametrize(
    ("command", "names"),
    [
        ("keys list", ["keyId", "createdAt"]),
        ("events list", ["eventId", "profileId", "occurredAt"]),
        ("journeys list", ["id", "status"]),
        ("enrollments list", ["enrollmentId", "journeyId", "profileId", "status"]),
        ("enrollments claim", ["enrollmentId", "journeyId", "profileId"]),
    ],
)
def test_what_is_listed_can_be_copied_from_a_terminal_of_80_columns(run, command, names):
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

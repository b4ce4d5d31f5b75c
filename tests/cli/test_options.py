"""Common options on either side of a command, help, and `-` for standard input."""

from __future__ import annotations

import json
import re
from io import BytesIO, TextIOWrapper

import pytest

from command_answers import answer
from segmentflow_cli import load_journeys
from segmentflow_core.testing import DOCUMENTED_REQUEST, a_journey


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


@pytest.mark.parametrize("asked", [("--help",), ("--json", "--help"), ("--store", "x", "-h"), ()])
def test_help_says_where_the_common_options_stand(run, asked):
    status, out, _ = run(*asked)
    assert status == 0
    assert "before or after the command" in " ".join(out.split())
    assert re.findall(r"╭─ (.*?) ─", out) == [
        "Start",
        "Record events",
        "Journeys and workers",
        "People",
        "Run it",
        "The command itself",
    ]


@pytest.mark.parametrize(
    "asked", [("--json", "events", "list", "--help"), ("events", "--json", "list", "-h")]
)
def test_help_of_a_command_may_follow_common_options(run, asked):
    status, out, _ = run(*asked)
    assert status == 0
    assert "segmentflow events list" in out
    assert "--store" in out


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


@pytest.mark.parametrize(
    "where",
    [
        ("bash", ".local/share/bash-completion/completions/segmentflow", ".bashrc"),
        ("zsh", ".zsh/completions/_*segmentflow", ".zshrc"),
        ("fish", ".config/fish/completions/segmentflow.fish", None),
    ],
)
def test_the_shell_is_let_complete_commands(run, folder, monkeypatch, where):
    shell, script, starts = where
    monkeypatch.setenv("HOME", str(folder))
    for name in ("ZSH", "ZSH_CUSTOM", "ZDOTDIR"):
        monkeypatch.delenv(name, raising=False)
    for _ in range(2):
        assert run("--install-completion", "--shell", shell)[0] == 0
    (script,) = folder.glob(script)
    text = script.read_text()
    assert all(word in text for word in ("enrollments", "withdraw", "--idempotency-key"))
    if starts is not None:
        assert (folder / starts).read_text().count("\n") == 2


MARK = b"\xef\xbb\xbf"
JOURNEYS = {
    "j.json": b'{"journeys": [{"id": "a", "status": "draft", "trigger": {"event": "e"}}]}',
    "j.toml": b'[[journeys]]\nid = "a"\nstatus = "draft"\ntrigger = {event = "e"}\n',
    "j.yaml": b"journeys:\n  - {id: a, status: draft, trigger: {event: e}}\n",
}


@pytest.fixture
def read(folder, request_file, monkeypatch):
    """Let a file and standard input hold the same; beside them is a request."""

    def read(raw):
        (folder / "marked").write_bytes(raw)
        monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(raw)))

    return read


A_REQUEST = json.dumps(DOCUMENTED_REQUEST).encode()


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(
    ("command", "text"),
    [
        ("track marked --idempotency-key k", A_REQUEST),
        ("track - --idempotency-key k", A_REQUEST),
        ("explain --request marked", A_REQUEST),
        ("explain --request -", A_REQUEST),
        ("explain --request request.json --journeys marked", JOURNEYS["j.yaml"]),
        *((f"journeys apply marked --format {name[2:]}", JOURNEYS[name]) for name in JOURNEYS),
        *((f"journeys apply - --format {name[2:]}", JOURNEYS[name]) for name in JOURNEYS),
        ("journeys apply -", JOURNEYS["j.json"]),
        ("rehearse marked --since 2026-05-01", JOURNEYS["j.yaml"]),
        ("journeys template marked --event order.created", b'{"$state": "/event/a"}'),
        ("journeys template - --event order.created", b'{"$state": "/event/a"}'),
    ],
)
def test_a_byte_order_mark_before_what_is_read_is_skipped(run, read, command, text):
    run("track", "request.json", "--idempotency-key", "first")
    read(MARK + text)
    status, _, err = run(*command.split())
    assert status == 0, err


@pytest.mark.parametrize("name", JOURNEYS)
def test_journeys_are_loaded_without_a_byte_order_mark(folder, name):
    (folder / name).write_bytes(MARK + JOURNEYS[name])
    assert [journey.journey_id for journey in load_journeys(name)] == ["a"]


def test_a_byte_order_mark_does_not_let_a_file_be_cut_short(run, folder):
    (folder / "j.yaml").write_bytes(MARK + b"journeys: []\n".ljust(4 * 1024 * 1024 + 1, b"\n"))
    status, _, err = run("journeys", "apply", "j.yaml", "--dry-run")
    assert (status, "must not be larger than" in err) == (1, True)


ID = "019bf964-302b-7a7f-add2-589343ef9f32"
BOUNDS = [
    *((f"{command} --limit", "100000", "100001") for command in ("events list", "audit")),
    *((f"{command} --limit", "100000", "100001") for command in ("profiles list", "why nobody")),
    ("enrollments list --limit", "1", "0"),
    ("enrollments claim --limit", "100000", "100001"),
    ("enrollments claim --max-attempts", "1000000", "1000001"),
    ("enrollments claim --max-attempts", "1", "0"),
    ("enrollments claim --lease", "366d", "366d1s"),
    (f"enrollments extend {ID} --token t --lease", "366d", "367d"),
    (f"enrollments release {ID} --token t --delay", "366d", "367d"),
    (f"enrollments release {ID} --token t --max-attempts", "1000000", "1000001"),
    ("work handlers:one --drain --concurrency", "10000", "10001"),
    ("work handlers:one --drain --max-attempts", "1000000", "0"),
    ("work handlers:one --drain --lease", "366d", "367d"),
    ("work handlers:one --drain --measure", "366d", "367d"),
    ("work handlers:one --drain --grace", "366d", "367d"),
    ("retain --yes --events 400d --batch", "100000", "100001"),
    ("purge --batch", "100000", "100001"),
    ("purge --batch", "1", "0"),
    ("keys create --scope events:read --by", "b" * 255, "b" * 256),
    ("journeys list --organization", "o" * 255, "o" * 256),
    ("journeys list --organization", "o", "\t"),
]


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize(("command", "allowed", "beyond"), BOUNDS)
def test_an_option_beyond_what_the_library_takes_is_wrong_usage(
    run, folder, command, allowed, beyond
):
    (folder / "handlers.py").write_text("def one(assignment): ...\n")
    words = command.split()
    status, _, err = run(*words, allowed)
    assert status == 0 or err.startswith("not_found:"), err
    status, _, err = run(*words, beyond)
    assert (status, words[-1] in err) == (2, True)


@pytest.mark.usefixtures("store")
def test_nobody_is_no_operator_of_the_page(run):
    assert run("console", "--by", "")[0] == 2

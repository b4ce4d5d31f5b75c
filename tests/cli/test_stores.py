"""Opening stores by their URL, `segmentflow init`, and where a store's secret is."""

from __future__ import annotations

import json
import os
import stat
from pathlib import Path

import pytest

from command_answers import answer
from segmentflow_cli.stores import find_keys, opened, place_of, secret_file
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing import a_journey


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


@pytest.mark.usefixtures("store")
@pytest.mark.parametrize("where", ["file", "environment"])
def test_a_retry_of_a_key_that_an_earlier_secret_took_is_replayed(
    run, folder, request_file, monkeypatch, where
):
    asked = ("track", request_file, "--idempotency-key", "k", "--json")
    receipt = answer(run(*asked))
    secret = folder / "segmentflow.db.fingerprint-key"
    old = secret.read_text()
    secret.write_text("a new secret of thirty-two bytes or so")
    assert "internal_error" in run(*asked)[2]
    several = f"{'never current ' * 3}\n\n{old}"
    if where == "file":
        secret.with_name(f"{secret.name}.previous").write_text(several)
    else:
        monkeypatch.setenv("SEGMENTFLOW_PREVIOUS_FINGERPRINT_KEYS", several)
    assert answer(run(*asked)) == receipt


@pytest.mark.parametrize("previous", ["too short", "x" * 32])
def test_earlier_secrets_keep_the_rules_of_secrets_and_are_not_shown(
    run, request_file, monkeypatch, previous
):
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", "x" * 32)
    monkeypatch.setenv("SEGMENTFLOW_PREVIOUS_FINGERPRINT_KEYS", previous)
    status, _, err = run("track", request_file, "--idempotency-key", "k")
    assert (status, previous in err) == (1, False)
    assert "invalid_configuration" in err


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
    assert "canary" not in err + run("init", "--store", url, "--json")[2]
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
        find_keys("sqlite:///segmentflow.db")
    assert refused.value.__context__ is None


def test_a_secret_of_the_environment_that_is_not_utf_8_is_refused(run, request_file, monkeypatch):
    run("init")
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", "canary" * 8 + "\udcff")
    status, _, err = run("track", request_file)
    assert (status, "canary" in err) == (1, False)
    assert err.startswith("invalid_configuration")


def test_the_store_may_be_named_by_the_environment(run, folder, monkeypatch):
    monkeypatch.setenv("SEGMENTFLOW_STORE", "sqlite:///elsewhere.db")
    assert run("init")[0] == 0
    assert (folder / "elsewhere.db").exists()


@pytest.mark.parametrize(
    ("url", "says"),
    [
        ("postgresql://alex:canary@127.0.0.1:1/shop", 'database "shop" at 127.0.0.1:1 cannot be'),
        ("postgres://alex:canary@127.0.0.1:1/shop", 'database "shop" at 127.0.0.1:1 cannot be'),
        ("postgresql://alex:canary@/shop?host=/no/where", "at /no/where cannot be reached"),
        ("postgresql://alex:a@canary/b@127.0.0.1:1/shop", "%40"),
        ("sqlite:///none/store.db", "none/store.db cannot be created: its folder"),
        ("mysql://alex:canary@db/shop", "postgresql:, sqlite:"),
    ],
)
def test_a_store_that_is_not_there_is_named_and_no_password_is_shown(run, url, says):
    for form in ((), ("--json",)):
        status, out, err = run("init", "--store", url, *form)
        assert (status, out) == (1, "")
        assert (json.loads(err)["message"] if form else err).count(says) == 1
        assert "canary" not in err


def test_init_says_that_a_store_at_a_server_needs_a_secret_of_the_environment(
    run, monkeypatch, postgres, new_database
):
    monkeypatch.delenv("SEGMENTFLOW_FINGERPRINT_KEY", raising=False)
    url = postgres.url(new_database(), scheme="postgresql")
    status, out, _ = run("init", "--store", url)
    assert status == 0
    assert "Tracking needs a secret: set SEGMENTFLOW_FINGERPRINT_KEY" in out
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", "x" * 32)
    assert "Tracking needs" not in run("init", "--store", url)[1]
    assert "Tracking needs" not in run("init")[1]


def test_a_missing_secret_says_where_it_was_looked_for(run, request_file, postgres, new_database):
    err = run("track", request_file, "--idempotency-key", "k")[2]
    assert "no file segmentflow.db.fingerprint-key" in err
    url = postgres.url(new_database(), scheme="postgresql")
    err = run("track", request_file, "--idempotency-key", "k", "--store", url)[2]
    assert "Set SEGMENTFLOW_FINGERPRINT_KEY" in err
    assert "segmentflow init" not in err


@pytest.mark.parametrize(
    ("url", "told"),
    [
        ("sqlite:///a/b.db", "sqlite, file {here}a/b.db"),
        ("sqlite://", "sqlite, database :memory:"),
        (
            "postgresql://u:secret@db.example.com:5433/shop",
            'postgresql, database "shop" at db.example.com:5433',
        ),
        ("postgres://u:secret@db.example.com/shop", 'postgres, database "shop" at db.example.com'),
        ("memory://", "memory:"),
        ("lmdb:///var/lib/shop", "lmdb:, var/lib/shop"),
        ("redis://u:secret@cache/0", "redis:, 0, at cache"),
        ("redis://u:sec@secret@cache/0", "redis:"),
        ("redis://u:1@secret:x/0", "redis:"),
        ("secret", "a URL without a scheme"),
        ("SECRET secret://", "a URL without a scheme"),
    ],
)
def test_a_store_is_named_by_what_tells_it_from_others_and_never_by_a_password(url, told):
    named = place_of(url)
    assert named == told.format(here=f"{Path.cwd()}/")
    assert "secret" not in named


def test_a_refusal_says_where_was_looked(run, folder):
    assert run("init")[0] == 0
    told = f"The store: sqlite, file {folder / 'segmentflow.db'}, Organization acme"
    finish = ["enrollments", "complete", "x", "--token", "t"]
    for command in (["why", "nobody"], ["journeys", "show", "x"], finish):
        status, _, err = run(*command, "--organization", "acme")
        assert (status, " ".join(err.split()).endswith(told)) == (1, True)
    assert json.loads(run("why", "nobody", "--json")[2]) == {
        "error": "not_found",
        "message": "Not found: no Profile has this email, external id or id.",
        "details": {
            "store": f"sqlite, file {folder / 'segmentflow.db'}",
            "organization": "default",
        },
    }


LONG = "019bf964-302b-7a7f-add2-589343ef9f32"


@pytest.mark.parametrize(
    ("command", "told"),
    [
        ("journeys show x", "no Journey has this id."),
        ("journeys show a --version 7", "no Journey has this id and version."),
        ("journeys pause x", "no Journey has this id."),
        ("journeys activate x", "no Journey has this id."),
        ("journeys archive x --yes", "no Journey has this id."),
        ("journeys stats x", "no Journey has this id."),
        ("journeys template t.json --journey x", "no Journey has this id."),
        ("why cus_123 --journey x", "no Journey has this id."),
        ("explain --request request.json --journey x", "no Journey has this id."),
        ("explain --event EVENT --journey x", "no Journey has this id."),
        (f"explain --event {LONG} --journey x", "no event has this id."),
        (f"explain --event {LONG}", "no event has this id."),
        (f"events show {LONG}", "no event has this id."),
        ("events list --profile x", "no Profile has this email, external id or id."),
        ("events list --email x", "no Profile has this email."),
        (f"keys revoke {LONG} --yes", "no API Key has this id."),
        (f"enrollments show {LONG}", "no Enrollment has this id."),
        (f"enrollments complete {LONG} --token t", "no Enrollment has this id."),
        (f"enrollments revive {LONG}", "no Enrollment has this id."),
        (f"enrollments withdraw {LONG} --yes", "no Enrollment has this id."),
        ("profiles show x", "no Profile has this email, external id or id."),
        ("profiles erase x --yes", "no Profile has this email, external id or id."),
        ("profiles suppress x", "no Profile has this email, external id or id."),
        ("profiles merge cus_123 x --yes", "no Profile has this email, external id or id."),
    ],
)
def test_what_was_not_found_is_said_by_its_kind(run, folder, request_file, command, told):
    run("init")
    (folder / "t.json").write_text('{"$state": "/event/a"}')
    (folder / "a.json").write_text(json.dumps({"journeys": [a_journey("a")]}))
    run("journeys", "apply", "a.json")
    tracked = run("track", "request.json", "--idempotency-key", "k", "--json")[1]
    words = command.replace("EVENT", json.loads(tracked)["eventId"]).split()
    status, _, err = run(*words)
    assert (status, err.splitlines()[0]) == (1, f"not_found: Not found: {told}")
    refused = json.loads(run(*words, "--json")[2])
    assert (refused["error"], refused["message"]) == ("not_found", f"Not found: {told}")


@pytest.mark.parametrize(
    ("url", "store"),
    [
        ("sqlite:////nowhere/at/all/secret.db", "sqlite, file /nowhere/at/all/secret.db"),
        ("postgresql://u:hidden@127.0.0.1:1/shop", 'postgresql, database "shop" at 127.0.0.1:1'),
    ],
)
def test_a_store_that_cannot_be_read_is_named_for_programs_too(run, url, store):
    status, _, err = run("journeys", "list", "--store", url, "--json")
    assert (status, json.loads(err)["details"]["store"]) == (1, store)
    assert "u:" not in err


def test_a_refusal_that_no_store_changes_names_none_to_programs(run, folder):
    run("init")
    (folder / "r.json").write_text("{}")
    refused = json.loads(run("track", "r.json", "--idempotency-key", "k", "--json")[2])
    assert (refused["error"], "store" in refused["details"]) == ("invalid_request", False)

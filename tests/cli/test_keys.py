from __future__ import annotations

import json

import pytest

from command_answers import answer
from segmentflow_cli import main
from segmentflow_core import ApiKeys
from segmentflow_core.domain.api_key import SCOPES
from segmentflow_memory import MemoryStorage


@pytest.fixture
def storage(monkeypatch):
    """Keep one store in memory between the runs of a test."""
    storage = MemoryStorage()
    monkeypatch.setattr("segmentflow_memory.open_storage", lambda _url: storage)
    monkeypatch.delenv("SEGMENTFLOW_STORE", raising=False)
    return storage


@pytest.fixture
def run(storage, capsys):
    def run(*arguments):
        status = main(["keys", *arguments, "--store", "memory://"])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    return run


def test_a_key_is_printed_once_and_works(run, storage):
    created = answer(run("create", "--scope", "events:write", "--label", "shop", "--json"))
    found = ApiKeys(storage).authenticate(created["secret"], "events:write")
    assert (found.key_id, found.label) == (created["keyId"], "shop")
    status, out, _ = run("list", "--json")
    assert status == 0
    assert created["secret"] not in out
    assert [key["keyId"] for key in json.loads(out)] == [created["keyId"]]
    assert set(json.loads(out)[0]) == {
        "keyId",
        "scopes",
        "label",
        "test",
        "createdAt",
        "lastUsedAt",
        "revokedAt",
    }


def test_people_get_a_page(run):
    status, out, _ = run("create", "--scope", "events:write", "--test")
    assert status == 0
    assert out.startswith("sk_test_")
    assert "cannot be shown again" in out
    assert "never" in run("list")[1]


def test_a_revoked_key_stays_listed(run):
    key_id = answer(run("create", "--scope", "events:write", "--json"))["keyId"]
    revoked = answer(run("revoke", key_id, "--yes", "--json"))
    assert revoked["revokedAt"] is not None
    assert answer(run("list", "--json")) == [revoked]
    assert f"Revoked {key_id}" in run("revoke", key_id, "--yes")[1]


def test_organizations_keys_are_apart(run):
    key_id = answer(run("create", "--scope", "events:write", "--json"))["keyId"]
    assert answer(run("list", "--json", "--organization", "acme")) == []
    status, _, err = run("revoke", key_id, "--yes", "--json", "--organization", "acme")
    assert (status, json.loads(err)["error"]) == (1, "not_found")


def test_help_names_each_scope(run):
    words = set(run("create", "--help")[1].replace(",", " ").replace(".", " ").split())
    assert set(SCOPES) - words == set()


def test_an_unknown_scope_is_refused_and_no_scope_is_wrong_usage(run):
    status, _, err = run("create", "--scope", "everything", "--json")
    assert status == 1
    assert json.loads(err)["details"]["violations"][0]["path"] == "/scopes/0"
    assert run("create")[0] == 2

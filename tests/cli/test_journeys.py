"""`segmentflow journeys`."""

from __future__ import annotations

import io
import json

import pytest

from command_answers import answer
from segmentflow_core.journeys import journey_file_json_schema
from segmentflow_core.testing import a_journey


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

from __future__ import annotations

import json
import sqlite3
from contextlib import closing

import pytest

from command_answers import answer
from segmentflow_cli import main
from segmentflow_core import SkipReason
from segmentflow_core.explanation import SKIP_REASONS
from segmentflow_core.testing import DOCUMENTED_REQUEST, a_journey, a_request

TOKEN = "tok_live_abc"


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.delenv("SEGMENTFLOW_STORE", raising=False)
    monkeypatch.setenv("SEGMENTFLOW_FINGERPRINT_KEY", "a secret for tests, of no use elsewhere")
    return tmp_path


@pytest.fixture
def run(capsys):
    def run(*arguments):
        status = main([str(argument) for argument in arguments])
        printed = capsys.readouterr()
        return status, printed.out, printed.err

    assert main(["init"]) == 0
    capsys.readouterr()
    return run


@pytest.fixture
def write(folder):
    def write(name, document):
        (folder / name).write_text(json.dumps(document))
        return name

    return write


def page(result):
    status, out, err = result
    assert (status, err) == (0, "")
    return [line.strip("│├└─ ") for line in out.splitlines()]


DRAFT = a_journey(
    "big",
    status="draft",
    trigger={
        "event": "order.created",
        "where": {
            "all": [
                {"path": "/event/total", "op": "gte", "value": 40},
                {"not": {"path": "/event/payment/token", "op": "eq", "value": "x"}},
                {
                    "path": "/event/items",
                    "op": "any_item",
                    "value": {"path": "/sku", "op": "eq", "value": "b"},
                },
                {"path": "/event/gift", "op": "missing"},
            ]
        },
    },
    window={"from": "2026-01-01T00:00:00Z"},
    maxLateness="P1D",
    sample={"percent": 50, "seed": "s"},
    reentry={"policy": "once_per_key", "key": ["/event/orderId", "/event/payment/token"]},
)


def test_a_request_is_explained_as_a_tree_with_every_value_that_is_not_redacted(run, write):
    request = {**DOCUMENTED_REQUEST, "redactedDataPaths": ["/event/payment/token", "/event/pin"]}
    request["data"] = {**DOCUMENTED_REQUEST["data"], "items": [{"sku": "a"}, {}]}
    del request["occurredAt"]
    result = run(
        "explain",
        *("--request", write("r.json", request)),
        *("--journeys", write("j.json", {"journeys": [DRAFT]})),
    )
    lines = page(result)
    assert TOKEN not in result[1]
    assert lines[:2] == ["order.created  not stored", "Profile would be created"]
    assert lines[3:] == [
        "the redaction path /event/pin names nothing",
        "big (draft): skipped, condition_unknown",
        SKIP_REASONS[SkipReason.CONDITION_UNKNOWN],
        "✔ window: from 2026-01-01T00:00:00.000Z",
        "✔ lateness: received 0:00:00 after it happened, at most P1D",
        '? sample: 50 percent by the seed "s"; settled when the Profile is created',
        "? condition: all of",
        "✔ /event/total gte 40: found 49",
        "? not",
        '? /event/payment/token eq "x": it is redacted',
        "? /event/items any_item",
        '✘ /event/items/0/sku eq "b": found "a"',
        '? /event/items/1/sku eq "b": nothing is there',
        "✔ /event/gift missing: nothing is there",
        "? re-entry: once_per_key",
        '✔ /event/orderId: found "ord_9421"',
        "✘ /event/payment/token: it is redacted",
    ]


def test_a_request_may_be_explained_from_standard_input_as_json(run, write, monkeypatch, folder):
    path = folder / "r.json"
    write("r.json", DOCUMENTED_REQUEST)
    drafts = write("j.json", {"journeys": [DRAFT]})
    with path.open() as opened:
        monkeypatch.setattr("sys.stdin", opened)
        explained = answer(run("explain", "--request", "-", "--journeys", drafts, "--json"))
    assert explained["eventId"] is None
    (journey,) = explained["journeys"]
    assert (journey["version"], journey["reason"]) == (None, "too_late")
    assert journey["where"]["children"][0]["found"] == 49


def tracked(run, write, key, **fields):
    name = write(f"{key}.json", a_request(**fields))
    return answer(run("track", name, "--idempotency-key", key, "--json"))["eventId"]


def test_a_stored_event_is_explained_against_a_draft(run, write):
    published = a_journey("cool", reentry={"policy": "cooldown", "duration": "P7D"})
    run("journeys", "apply", write("published.json", {"journeys": [published]}))
    event_id = tracked(run, write, "1", occurredAt="2126-01-01T00:00:00Z")
    drafts = [
        a_journey("cool", reentry={"policy": "once"}, window={"until": "2100-01-01T00:00:00Z"}),
        a_journey("late", maxLateness="P1D"),
    ]
    result = run(
        "explain", "--event", event_id, "--journeys", write("d.json", {"journeys": drafts})
    )
    lines = page(result)
    assert lines[0] == f"order.created  {event_id}"
    assert lines[3:] == [
        "cool (draft): skipped, outside_window",
        "The event happened outside the Journey's active window.",
        "recorded: enrolled, by version 1",
        "✘ window: until 2100-01-01T00:00:00.000Z",
        lines[7],
        "late (draft): enrolled",
        "✔ lateness: received before it happened, at most P1D",
        "✔ re-entry: every_event",
    ]


def test_a_stored_event_is_explained_with_what_became_of_each_enrollment(run, write, folder):
    journeys = [a_journey("fails"), a_journey("waits"), a_journey("went")]
    run("journeys", "apply", write("journeys.json", {"journeys": journeys}))
    event_id = tracked(run, write, "1")
    for _ in range(2):
        (claimed,) = answer(run("enrollments", "claim", "--journey", "fails", "--json"))
        lease = (claimed["enrollmentId"], "--token", claimed["token"])
        run("enrollments", "release", *lease, "--error", "no such address", "--max-attempts", "2")
    run("journeys", "archive", "went", "--yes")
    result = run("explain", "--event", event_id)
    lines = page(result)
    document = answer(run("explain", "--event", event_id, "--json"))
    fails, waits = (each["enrollment"] for each in document["journeys"])
    (went,) = document["otherEnrollments"]
    at = lines.index(f"Enrollment {fails['enrollmentId']}: dead after 2 attempts")
    assert lines[at - 1 : at + 2] == [
        "fails (version 1): enrolled",
        lines[at],
        "last failure: no such address",
    ]
    assert f"Enrollment {waits['enrollmentId']}: waiting since {waits['enteredAt']}" in lines
    gone = f"Enrollment {went['enrollmentId']}: withdrawn at {went['withdrawnAt']}"
    assert f"went (version 1), which does not listen today: {gone}" in lines


def test_it_is_said_where_an_event_that_is_gone_may_have_cancelled_an_entry(run, write):
    rules = [{"event": "order.paid"}]
    run("journeys", "apply", write("j.json", {"journeys": [a_journey("cart", cancelOn=rules)]}))
    tracked(run, write, "paid", event="order.paid")
    event_id = tracked(run, write, "late", occurredAt="2026-01-01T00:00:00Z")
    told = "no event recorded before this one cancels the entry"
    assert any(f"✘ {told}: event " in line for line in page(run("explain", "--event", event_id)))
    drafts = write("d.json", {"journeys": [a_journey("cart", cancelOn=rules, name="Other")]})
    with closing(sqlite3.connect("segmentflow.db")) as store, store:
        store.execute("UPDATE segmentflow_events SET received_at = 0 WHERE event = 'order.paid'")
    assert run("retain", "--events", "1d", "--yes")[0] == 0
    assert f"✘ {told}: one did, which is gone" in page(run("explain", "--event", event_id))
    lines = page(run("explain", "--event", event_id, "--journeys", drafts))
    assert "cart (draft): enrolled, unless cancelled" in lines
    assert f"? {told}: one that is gone may have" in lines
    lines = page(run("rehearse", drafts, "--since", "1d"))
    assert lines[-1] == (
        "cart: 1 of those that would enter may have been cancelled by an event that is gone"
    )


def test_the_policies_say_what_was_entered_before(run, write):
    journeys = [
        a_journey("cool", reentry={"policy": "cooldown", "duration": "P7D"}),
        a_journey("key", reentry={"policy": "once_per_key", "key": "/event/orderId"}),
    ]
    drafts = write("j.json", {"journeys": journeys})
    run("journeys", "apply", drafts)
    tracked(run, write, "1", data={"orderId": "A"})
    second = tracked(run, write, "2", data={"orderId": "A"})
    lines = page(run("explain", "--event", second, "--journeys", drafts))
    cool, key = (line for line in lines if "re-entry" in line)
    assert cool.startswith("✘ re-entry: cooldown, of P7D, last entered 2")
    assert ", free at 2" in cool
    assert key.startswith("✘ re-entry: once_per_key, last entered 2")
    assert key.endswith(", this key has entered before")


def test_what_was_counted_is_named_and_what_is_not_known(run, write):
    large = {"path": "/event/total", "op": "gte", "value": 40}
    did = {"did": "order.created", "times": {"gte": 2}, "where": large}
    wheres = {
        "large": did,
        "like": {"did": "order.created", "same": ["/event/sku"]},
        "soon": {"did": "order.created", "times": {"eq": 2}, "within": "P1D"},
    }
    journeys = [
        a_journey(name, trigger={"event": "order.created", "where": where})
        for name, where in wheres.items()
    ]
    drafts = write("j.json", {"journeys": journeys})
    first = tracked(run, write, "1", data={"total": 50})
    second = tracked(run, write, "2", data={"total": 50}, redactedDataPaths=["/event/total"])
    request = write("r.json", a_request(data={"total": 1}))
    lines = page(run("explain", "--request", request, "--journeys", drafts))
    shown = [line.partition(", occurred")[0] for line in lines if "re-entry" not in line]
    (large_at, like_at, soon_at) = (
        next(n for n, line in enumerate(shown) if line.startswith(f"{name} (draft)"))
        for name in wheres
    )
    asked = json.dumps(large)
    assert shown[large_at + 2 : like_at] == [
        f'? condition: did order.created, times {{"gte": 2}}, where {asked}: found 1 to 2',
        f"? {second}",
        f"✔ {first}",
        "not known exactly: of some of them `where` is unknown",
    ]
    assert shown[like_at + 2 : soon_at] == [
        '✘ condition: did order.created, same ["/event/sku"]: found 0',
        "/event/sku of this event equals nothing",
    ]
    assert shown[soon_at + 1 :] == [
        '✔ condition: did order.created, times {"eq": 2}, within "P1D": found 2',
        f"✔ {second}",
        f"✔ {first}",
    ]
    run("retain", "--events", "PT0.000001S", "--yes")
    lines = page(run("explain", "--request", request, "--journeys", drafts, "--journey", "large"))
    assert "found 0 to 2" in lines[-4]
    assert lines[-3] == "not known exactly: retention removed some that may count"
    assert lines[-2].startswith("removed by retention: 2, the last of 2")
    lines = page(run("explain", "--request", request, "--journeys", drafts, "--journey", "soon"))
    assert "found 1 to 2" in lines[-4]


def test_a_journey_that_does_not_listen_is_named_with_the_reason(run, write):
    event_id = tracked(run, write, "1", data={"items": [{}] * 101})
    drafts = [
        a_journey("paused", status="paused"),
        a_journey("paid", trigger={"event": "order.paid"}),
        a_journey(
            trigger={
                "event": "order.created",
                "where": {
                    "path": "/event/items",
                    "op": "all_items",
                    "value": {"path": "", "op": "exists"},
                },
            }
        ),
    ]
    asked = ("explain", "--event", event_id, "--journeys", write("j.json", {"journeys": drafts}))
    lines = page(run(*asked))
    assert "… and 1 more" in lines
    assert lines[-2:] == [
        "paid does not listen for this event: it listens for order.paid",
        "paused does not listen for this event: it is paused",
    ]
    assert page(run(*asked, "--journey", "paused"))[3:] == [
        "paused does not listen for this event: it is paused",
    ]


def stored(folder):
    with closing(sqlite3.connect(folder / "segmentflow.db")) as connection:
        return list(connection.iterdump())


def test_explaining_leaves_a_sqlite_store_as_it_was(run, write, folder):
    drafts = write("j.json", {"journeys": [a_journey(reentry={"policy": "once"})]})
    run("journeys", "apply", drafts)
    event_id = tracked(run, write, "1")
    request = write("r.json", a_request(profile={"email": "new@example.com"}))
    before = stored(folder)
    for asked in (
        ("explain", "--event", event_id),
        ("explain", "--request", request),
        ("explain", "--request", "1.json"),
        ("rehearse", drafts, "--since", "2020-01-01T00:00Z"),
    ):
        assert run(*asked)[0] == 0
    assert stored(folder) == before
    tracked(run, write, "2")
    assert stored(folder) != before


def test_nothing_listening_is_said(run, write):
    event_id = tracked(run, write, "1")
    drafts = write("j.json", {"journeys": []})
    assert "No Journey listens for this event." in page(
        run("explain", "--event", event_id, "--journeys", drafts)
    )


def test_a_rehearsal_shows_its_progress_on_a_terminal_only(run, write, monkeypatch):
    tracked(run, write, "1")
    drafts = write("j.json", {"journeys": [a_journey()]})
    asked = ("rehearse", drafts, "--since", "2020-01-01T00:00Z", "--json")
    rehearsal = answer(run(*asked))
    monkeypatch.setenv("FORCE_COLOR", "1")
    status, out, err = run(*asked)
    assert (status, json.loads(out)) == (0, rehearsal)
    assert "1/1" in err


def test_a_period_is_rehearsed_against_a_draft(run, write):
    for number in range(3):
        tracked(run, write, f"{number}", data={"total": 39 + number})
    where = {"path": "/event/total", "op": "gte", "value": 40}
    draft = a_journey("big", trigger={"event": "order.created", "where": where})
    asked = ("rehearse", write("j.json", [draft]), "--since", "2020-01-01T00:00Z")
    assert run(*asked)[0] == 1
    write("j.json", {"journeys": [draft]})
    status, out, err = run(*asked)
    assert (status, err) == (0, "")
    assert "3 events received since 2020-01-01T00:00:00.000Z" in out
    assert [line.split() for line in out.splitlines() if line.startswith("big")] == [
        ["big", "3", "2", "1", "0", "1", "condition_not_met"]
    ]
    assert answer(run(*asked, "--until", "2021-01-01T00:00Z", "--json")) == {
        "since": "2020-01-01T00:00:00.000Z",
        "until": "2021-01-01T00:00:00.000Z",
        "byOccurrence": False,
        "events": 0,
        "journeys": [
            {
                "journeyId": "big",
                "name": "Big",
                "event": "order.created",
                "matched": 0,
                "entered": 0,
                "profiles": 0,
                "skipped": {},
                "withdrawn": 0,
                "unclear": 0,
            }
        ],
    }


def test_a_rehearsal_of_imported_history_goes_by_when_it_occurred(run, write):
    for number, occurred in enumerate(("2024-01-01T00:00:00Z", "2024-03-01T00:00:00Z")):
        tracked(run, write, f"{number}", occurredAt=occurred)
    drafts = write(
        "j.json", {"journeys": [a_journey(), a_journey("typo", trigger={"event": "order.creatd"})]}
    )
    asked = ("rehearse", drafts, "--since", "2024-02-01", "--until", "2024-04-01")
    out = run(*asked, "--by-occurrence")[1]
    assert out.startswith("1 event that occurred since 2024-02-01T00:00:00.000Z")
    heard = "typo heard nothing: no event of the period is named order.creatd"
    assert [line for line in out.splitlines() if "heard nothing" in line] == [heard]
    shown = answer(run(*asked, "--json"))
    assert (shown["byOccurrence"], shown["events"]) == (False, 0)


def test_a_rehearsal_names_its_journeys_whole_however_narrow_the_terminal(run, write, monkeypatch):
    monkeypatch.setenv("COLUMNS", "40")
    draft = a_journey("the-journey-" * 3)
    drafts = write("j.json", {"journeys": [draft]})
    out = run("rehearse", drafts, "--since", "2020-01-01T00:00Z")[1]
    assert draft["id"] in out.split()


@pytest.mark.parametrize(
    ("arguments", "why"),
    [
        ((), "Give one of"),
        (("--event", "x", "--request", "y"), "Give one of"),
    ],
)
def test_options_that_do_not_go_together_are_wrong_usage(run, arguments, why):
    status, out, err = run("explain", *arguments)
    assert status == 2
    assert why in " ".join((out + err).split())


def test_a_refusal_keeps_its_code_and_status(run, write):
    status, _, err = run("explain", "--event", "nothing", "--json")
    assert (status, json.loads(err)["error"]) == (1, "not_found")
    bad = write("bad.json", {"journeys": [a_journey(status="on")]})
    status, _, err = run("explain", "--event", "nothing", "--journeys", bad)
    assert status == 1
    assert "/journeys/0/status" in err
    status, _, err = run("explain", "--request", write("r.json", {"event": ""}), "--json")
    assert (status, json.loads(err)["error"]) == (1, "invalid_request")
    assert run("explain", "--request", "nothing.json")[0] == 2


def test_what_a_terminal_would_obey_is_shown_as_an_escape(run, write):
    where = {"path": "/event/\x1bx", "op": "starts_with", "value": "\x9b"}
    draft = a_journey(
        "\x1b[2J",
        trigger={"event": "\x1b[2J", "where": where},
        reentry={"policy": "once_per_key", "key": "/event/\x1bx"},
    )
    request = a_request("\x1b[2J", data={"\x1bx": "\x9b\u202e" * 100})
    out = run(
        "explain",
        *("--request", write("r.json", request)),
        *("--journeys", write("j.json", {"journeys": [draft]})),
    )[1]
    assert "\\u001b" in out
    assert "…" in out
    assert not set("\x1b\x9b\u202e") & set(out)

"""The model says what the rules say, case by case; the state machine says so of storages."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest

from segmentflow_core.testing.model import Model

HOUR = timedelta(hours=1)
NOW = datetime(2026, 6, 1, tzinfo=UTC)


@pytest.fixture
def model():
    return Model(key_lifetime=2 * HOUR, cooldown=HOUR, max_attempts=2)


def a_journey(policy="every_event", **fields):
    trigger = {"event": "e", **({"where": {"value": 40}} if fields.pop("where", None) else {})}
    return {
        "id": "j",
        "status": "active",
        "trigger": trigger,
        "reentry": {"policy": policy},
        **fields,
    }


def track(model, key, now=NOW, who=None, **fields):
    request = {"event": "e", "profile": who or {"email": "a@x.org"}, **fields}
    return model.track("o", key, request, now)


def reasons(model, *calls):
    """Track calls of one Profile, an hour apart or as told; give the reasons of one Journey."""
    found = []
    for number, fields in enumerate(calls):
        now = fields.pop("now", NOW + number * HOUR)
        answer = track(model, str(number), now, **fields)
        found.append(model.events["o", answer["event"]]["outcomes"][0][2])
    return found


@pytest.mark.parametrize(
    ("policy", "calls", "expected"),
    [
        ("every_event", [{}, {}], [None, None]),
        ("once", [{}, {}], [None, "already_enrolled"]),
        (
            "once_per_key",
            [{"data": {"orderId": order}} for order in ("A", 1, 1.0, "1", None)] + [{}],
            [None, None, "already_enrolled", None, "entry_key_missing", "entry_key_missing"],
        ),
        (
            "once_per_key",
            [{"data": {"orderId": "A"}, "redactedDataPaths": ["/event/orderId"]}],
            ["entry_key_missing"],
        ),
        (
            "cooldown",
            [{}, {"now": NOW + HOUR / 2}, {"now": NOW + HOUR}],
            [None, "cooling_down", None],
        ),
    ],
)
def test_re_entry(model, policy, calls, expected):
    model.publish("o", a_journey(policy))
    assert reasons(model, *calls) == expected


def test_conditions(model):
    model.publish("o", a_journey(where=True))
    totals = [40, 39, "40", True]
    calls = [{"data": {"total": total}} for total in totals] + [{}]
    assert reasons(model, *calls) == [
        None,
        "condition_not_met",
        "condition_unknown",
        "condition_unknown",
        "condition_unknown",
    ]


def test_keys(model):
    first = track(model, "k")
    assert track(model, "k") == {"event": first["event"], "replayed": True}
    assert track(model, "k", data={"n": 1}) == {"refused": "idempotency_key_reuse"}
    assert not track(model, "k", NOW + 2 * HOUR, data={"n": 1})["replayed"]
    assert model.purge(NOW + 3 * HOUR) == 0
    assert model.purge(NOW + 4 * HOUR) == 1


def test_identities(model):
    both = {"email": "A@x.org ", "externalId": "X"}
    assert track(model, "1", who={"externalId": "X"}) == {"refused": "profile_email_required"}
    track(model, "2", who=both)
    track(model, "3", who={"email": "b@x.org"})
    assert track(model, "4", who={"email": "a@x.org", "externalId": "Y"}) == {
        "refused": "identity_conflict"
    }
    assert track(model, "5", who={"email": "b@x.org", "externalId": "X"}) == {
        "refused": "identity_conflict"
    }
    track(model, "6", who={"email": "c@x.org", "externalId": "X"})
    track(model, "7", who={"email": "b@x.org", "externalId": "Y"})
    track(model, "8", who={"externalId": "Y"})
    known = [(row["email"], row["external_id"]) for row in model.profiles.values()]
    assert known == [("c@x.org", "X"), ("b@x.org", "Y")]


def test_an_older_event_changes_no_newer_property(model):
    def send(key, days, **properties):
        who = {"email": "a@x.org", "properties": properties}
        track(model, key, who=who, occurredAt=NOW - timedelta(days=days))

    send("1", 1, plan="Pro", city=None)
    send("2", 2, plan="Free", city="Oslo", since=2020)
    (profile,) = model.profiles.values()
    assert profile["properties"] == {"plan": "Pro", "since": 2020}


def test_versions(model):
    definitions = (
        a_journey(),
        a_journey(),
        a_journey(status="paused"),
        a_journey("once"),
    )
    changes = [model.publish("o", definition) for definition in definitions]
    assert changes == ["created", "unchanged", "new_status", "new_version"]


@pytest.fixture
def claimed(model):
    """Let a Profile enter and claim the Enrollment; give its number."""
    model.publish("o", a_journey())
    track(model, "k")
    (number,) = claim(model, NOW)
    model.hold("o", number, "first")
    return number


def claim(model, now, limit=9):
    order = {number: str(number) for _, number in model.entries}
    return model.claim("o", order, now, now + HOUR, limit)


def test_a_lease_holds_until_another_takes_it(model, claimed):
    assert claim(model, NOW + HOUR / 2) == []
    assert model.extend("o", claimed, "first", NOW + 2 * HOUR)
    assert claim(model, NOW + HOUR) == []
    assert claim(model, NOW + 2 * HOUR) == [claimed]
    model.hold("o", claimed, "second")
    assert not model.complete("o", claimed, "first")
    assert not model.release("o", claimed, "first", NOW, failed=True)
    assert not model.extend("o", claimed, "first", NOW)
    assert model.complete("o", claimed, "second")
    assert model.complete("o", claimed, "second")
    assert not model.release("o", claimed, "second", NOW, failed=True)


def test_what_is_given_back_holds_no_lease(model, claimed):
    assert model.release("o", claimed, "first", NOW, failed=False)
    assert model.release("o", claimed, "first", NOW, failed=False)
    assert not model.complete("o", claimed, "first")
    assert model.entries["o", claimed]["attempts"] == 0
    model.revive("o", claimed, NOW)
    assert claim(model, NOW) == [claimed]


def test_what_is_used_up_dies_and_is_revived(model, claimed):
    assert claim(model, NOW + HOUR) == [claimed]
    assert claim(model, NOW + 2 * HOUR, limit=1) == []
    assert model.entries["o", claimed]["status"] == "dead"
    model.revive("o", claimed, NOW)
    assert claim(model, NOW) == [claimed]
    assert claim(model, NOW + HOUR) == [claimed]
    model.hold("o", claimed, "last")
    assert model.release("o", claimed, "last", NOW, failed=True)
    assert model.entries["o", claimed]["status"] == "dead"


def test_events_are_numbered_and_versions_follow_changes(model):
    who = [
        {"email": "a@x.org"},
        {"email": "a@x.org", "properties": {"n": 1}},
        {"email": "a@x.org", "properties": {"n": 1}},
        {"email": "a@x.org", "properties": {"n": 1.0}},
        {"email": "a@x.org", "externalId": "x"},
    ]
    answers = [track(model, str(number), who=each) for number, each in enumerate(who)]
    rows = [model.events["o", answer["event"]] for answer in answers]
    assert [(row["place"], row["version"]) for row in rows] == [
        (1, 1),
        (2, 2),
        (3, 2),
        (4, 3),
        (5, 4),
    ]
    assert rows[1]["left"] == {"email": "a@x.org", "properties": {"n": 1}}
    assert track(model, "0", who=who[0])["replayed"]
    assert track(model, "b", who={"email": "b@x.org"})["event"]
    assert [row["count"] for row in model.profiles.values()] == [5, 1]


def test_what_is_refused_has_no_number(model):
    assert track(model, "0", who={"externalId": "x"})["refused"]
    track(model, "1")
    assert track(model, "1", data={"n": 1})["refused"]
    assert [row["place"] for row in model.events.values()] == [1]


def test_an_email_that_gave_way_leads_for_older_events_alone():
    model = Model(timedelta(days=1), timedelta(hours=1), 3)
    now = datetime(2026, 6, 1, tzinfo=UTC)

    def send(key, day, email, external_id=None):
        profile = {"email": email} | ({} if external_id is None else {"externalId": external_id})
        occurred = datetime(2026, 1, day, tzinfo=UTC)
        request = {"event": "e", "profile": profile, "occurredAt": occurred}
        event = model.track("o", key, request, now)["event"]
        return model.events["o", event]["profile"]

    first = send("1", 1, "a@x.org", "X")
    assert send("2", 3, "b@x.org", "X") == first
    assert send("3", 2, "a@x.org") == first
    other = send("4", 4, "a@x.org")
    assert other != first
    assert send("5", 5, "c@x.org", "X") == first
    assert send("6", 6, "b@x.org", "X") == first
    assert send("7", 4, "c@x.org") == first
    assert model.profiles["o", first]["email"] == "b@x.org"

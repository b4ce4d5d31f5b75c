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
    reentry = policy
    if isinstance(policy, str):
        keys = {"key": "/event/orderId"} if policy == "once_per_key" else {}
        reentry = {"policy": policy, **keys}
    return {
        "id": "j",
        "status": "active",
        "trigger": trigger,
        "reentry": reentry,
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
        (
            {"policy": "at_most", "times": 2},
            [{}, {"now": NOW}, {"now": NOW + HOUR / 2}, {"now": NOW + HOUR}],
            [None, None, "limit_reached", None],
        ),
        (
            {"policy": "at_most", "times": 1, "key": "/event/orderId"},
            [{"data": {"orderId": order}, "now": NOW} for order in "AAB"] + [{}],
            [None, "limit_reached", None, "entry_key_missing"],
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
    assert not model.release("o", claimed, "first", NOW, NOW, failed=True)
    assert not model.extend("o", claimed, "first", NOW)
    assert model.complete("o", claimed, "second")
    assert model.complete("o", claimed, "second")
    assert not model.release("o", claimed, "second", NOW, NOW, failed=True)


def test_what_is_given_back_holds_no_lease(model, claimed):
    assert model.release("o", claimed, "first", NOW, NOW, failed=False)
    assert model.release("o", claimed, "first", NOW, NOW, failed=False)
    assert not model.complete("o", claimed, "first")
    assert model.entries["o", claimed]["attempts"] == 0
    model.revive("o", claimed, NOW)
    assert claim(model, NOW) == [claimed]


@pytest.mark.parametrize("pauses", [True, False])
@pytest.mark.parametrize("status", ["paused", "draft"])
def test_what_waits_in_a_journey_that_is_not_active_is_kept_where_a_storage_can(status, pauses):
    model = Model(HOUR, HOUR, 2, pauses=pauses)
    model.publish("o", a_journey())
    track(model, "k")
    model.publish("o", a_journey(status=status))
    assert len(claim(model, NOW)) == (not pauses)
    model.publish("o", a_journey())
    assert len(claim(model, NOW + HOUR)) == 1


def test_what_is_used_up_dies_and_is_revived(model, claimed):
    assert claim(model, NOW + HOUR) == [claimed]
    assert claim(model, NOW + 2 * HOUR, limit=1) == []
    assert model.entries["o", claimed]["status"] == "dead"
    model.revive("o", claimed, NOW)
    assert claim(model, NOW) == [claimed]
    assert claim(model, NOW + HOUR) == [claimed]
    model.hold("o", claimed, "last")
    assert model.release("o", claimed, "last", NOW, NOW, failed=True)
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


# --- people ------------------------------------------------------------------------------------

ORDER = {number: f"{number:03}" for number in range(100)}


def profile_of(model, answer):
    return model.events["o", answer["event"]]["profile"]


def two(model, policy="every_event", later=HOUR):
    """Let two Profiles enter a Journey; return their numbers."""
    model.publish("o", a_journey(policy))
    whos = ({"email": "a@x.org", "externalId": "A"}, {"email": "b@x.org", "externalId": "B"})
    return [
        profile_of(model, track(model, f"two {place}", NOW + place * later, who))
        for place, who in enumerate(whos)
    ]


def statuses(model):
    return [row["status"] for row in model.entries.values()]


def test_a_suppressed_profile_enters_nothing_and_what_waited_is_withdrawn(model):
    one, _ = two(model)
    assert model.suppress("o", one, NOW, lift=False) == (one, True, 1)
    assert model.suppress("o", one, NOW, lift=False) == (one, False, 0)
    assert statuses(model) == ["withdrawn", "pending"]
    assert reasons(model, {}) == ["suppressed"]
    assert model.suppress("o", one, NOW, lift=True) == (one, True, 0)
    assert model.suppress("o", one, NOW, lift=True) == (one, False, 0)


def test_an_erased_person_is_empty_and_her_key_answers_whatever_is_asked(model):
    one, other = two(model)
    assert model.erase("o", one, NOW, block=False) == ({one}, 1, 0)
    assert model.erase("o", one, NOW, block=True) == ({one}, 0, 0)
    assert model.suppress("o", one, NOW, lift=False) is None
    assert model.merge("o", one, other, ORDER, NOW) is None
    assert model.merge("o", other, one, ORDER, NOW) is None
    row = model.profiles["o", one]
    assert (row["email"], row["external_id"], row["properties"]) == (None, None, {})
    assert track(model, "two 0", who={"email": "else@x.org"})["replayed"]
    assert track(model, "two 1", who={"email": "else@x.org"}) == {
        "refused": "idempotency_key_reuse"
    }
    assert profile_of(model, track(model, "new")) not in (one, other)


def test_a_blocked_identity_is_refused_in_its_organization_alone(model):
    one, _ = two(model)
    assert model.erase("o", one, NOW, block=True) == ({one}, 1, 2)
    refused = {"refused": "identity_blocked"}
    assert track(model, "1", who={"email": "A@x.org"}) == refused
    assert track(model, "1", who={"email": "c@x.org", "externalId": "A"}) == refused
    assert "event" in track(model, "1", who={"email": "a2@x.org", "externalId": "a"})
    request = {"event": "e", "profile": {"email": "a@x.org"}}
    assert "event" in model.track("other", "1", request, NOW)


def test_what_another_one_has_by_now_is_not_blocked(model):
    one, _ = two(model)
    track(model, "moved", NOW + HOUR, {"email": "c@x.org", "externalId": "A"})
    track(model, "taken", NOW + 2 * HOUR, {"email": "a@x.org"})
    assert model.erase("o", one, NOW, block=True)[2] == 2


def test_two_that_are_merged_are_one_by_whatever_led_to_either(model):
    one, other = two(model, "once")
    assert model.merge("o", one, other, ORDER, NOW + HOUR) == (one, True, 1)
    for stays, goes in ((one, other), (other, one), (other, other)):
        assert model.merge("o", stays, goes, ORDER, NOW) == (one, False, 0)
    for number, who in enumerate(
        [
            {"email": "b@x.org"},
            {"externalId": "B"},
            {"email": "b@x.org", "externalId": "A"},
            {"email": "a@x.org", "externalId": "B"},
        ]
    ):
        answer = track(model, f"{number}", NOW + 2 * HOUR, who)
        assert profile_of(model, answer) == one
        assert model.events["o", answer["event"]]["outcomes"] == [("j", 1, "already_enrolled")]
    row = model.profiles["o", one]
    assert (row["email"], row["external_id"]) == ("a@x.org", "A")
    assert row["merged"] == [(other, 2)]
    assert model.erase("o", other, NOW, block=False)[0] == {one, other}


@pytest.mark.parametrize(
    ("claims", "dead", "expected"),
    [
        (0, False, ["pending", "withdrawn"]),
        (1, False, ["claimed", "withdrawn"]),
        (2, False, ["claimed", "claimed"]),
        (1, True, ["withdrawn", "pending"]),
    ],
)
def test_of_equal_entries_one_is_left_and_never_what_a_worker_has(model, claims, dead, expected):
    one, other = two(model, "once", later=timedelta(seconds=1))
    now = NOW + timedelta(minutes=1)
    for number in model.claim("o", ORDER, now, now + HOUR, claims) if claims else []:
        model.hold("o", number, "t")
        if dead:
            model.entries["o", number]["attempts"] = 2
            model.release("o", number, "t", now, now, failed=True)
    model.merge("o", one, other, ORDER, now)
    assert statuses(model) == expected


def test_a_merge_takes_the_later_values_and_what_the_survivor_lacks(model):
    def set_at(key, hour, email, **properties):
        return profile_of(
            model, track(model, key, NOW + hour * HOUR, {"email": email, "properties": properties})
        )

    one = set_at("1", 1, "a@x.org", a=1, b=1, c=1)
    other = set_at("2", 0, "b@x.org", a=2, d=2)
    set_at("3", 2, "b@x.org", b=3, c=None)
    model.suppress("o", other, NOW + HOUR, lift=False)
    assert model.merge("o", one, other, ORDER, NOW + 3 * HOUR) == (one, True, 0)
    row = model.profiles["o", one]
    assert row["properties"] == {"a": 1, "b": 3, "d": 2}
    assert row["suppressed"] == NOW + HOUR


def test_an_email_that_gave_way_leads_as_long_as_it_did_before_the_merge(model):
    def give(key, hour, external_id, email):
        return profile_of(
            model, track(model, key, NOW + hour * HOUR, {"email": email, "externalId": external_id})
        )

    one = give("1", 0, "A", "old@x.org")
    give("2", 5, "A", "new@x.org")
    # The other one's email was given before the first one's gave way.
    other = give("3", 2, "B", "b@x.org")
    give("4", 3, "B", "old@x.org")
    model.merge("o", one, other, ORDER, NOW + 9 * HOUR)
    for hour, expected in ((4, one), (6, one)):
        who = {"email": "old@x.org"}
        answer = track(model, f"at {hour}", NOW + 9 * HOUR, who, occurredAt=NOW + hour * HOUR)
        assert profile_of(model, answer) == expected
    third = give("5", 1, "C", "c@x.org")
    give("6", 7, "C", "c2@x.org")
    model.merge("o", one, third, ORDER, NOW + 9 * HOUR)
    for hour, expected in ((6, True), (8, False)):
        answer = track(
            model, f"c {hour}", NOW + 9 * HOUR, {"email": "c@x.org"}, occurredAt=NOW + hour * HOUR
        )
        assert (profile_of(model, answer) == one) is expected


def test_an_email_that_only_an_older_event_gives_is_no_profiles_own(model):
    def give(key, email, hour):
        who = {"email": email, "externalId": "A"}
        return track(model, key, NOW + 9 * HOUR, who, occurredAt=NOW + hour * HOUR)

    one = profile_of(model, give("1", "new@x.org", 5))
    assert profile_of(model, give("2", "older@x.org", 3)) == one
    row = model.profiles["o", one]
    assert (row["email"], set(row["emails"])) == ("new@x.org", {"new@x.org", "older@x.org"})


def test_the_survivors_own_email_keeps_its_time_where_the_other_one_had_it_before(model):
    other = profile_of(model, track(model, "1", who={"email": "a@x.org", "externalId": "B"}))
    track(model, "2", NOW + HOUR, {"email": "b@x.org", "externalId": "B"})
    one = profile_of(model, track(model, "3", NOW + 2 * HOUR))
    assert one != other
    model.merge("o", one, other, ORDER, NOW + 3 * HOUR)
    row = model.profiles["o", one]
    assert row["emails"]["a@x.org"] == [(NOW + 2 * HOUR, NOW + 2 * HOUR)]
    assert set(row["emails"]) == {"a@x.org", "b@x.org"}

"""Short ids: what tables show of ids, taken back by every command that takes one."""

from __future__ import annotations

import json

import pytest

from command_answers import answer
from segmentflow_cli.ids import is_short
from segmentflow_cli.tables import shortened_ids
from segmentflow_core import ApiKeys, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request

TAIL = "589343ef9f32"


class Ids:
    """Makes ids that count up, and end as a test says."""

    def __init__(self, *tails):
        self.tails = list(tails)
        self.made = 0

    def new_id(self):
        self.made += 1
        tail = self.tails.pop(0) if self.tails else f"{self.made:012x}"
        return f"019bf964-302b-7a7f-{0x8000 + self.made:04x}-{tail}"


def short(identifier):
    return identifier.rpartition("-")[2]


@pytest.fixture
def tracker(storage):
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey()])
    return tracker


def test_every_command_that_takes_an_id_takes_a_short_one(run, storage, tracker):
    receipts = [
        tracker.track(a_request(profile={"email": f"{each}@example.com"}), each) for each in "abc"
    ]
    event, profile = receipts[0].event_id, receipts[0].profile_id
    entered = {each.event_id: each.enrollment_id for each in tracker.enrollments.list()}
    enrollment = entered[event]
    key = ApiKeys(storage).create(["events:write"]).api_key.key_id
    same = [
        (["events", "show"], event),
        (["events", "list", "--before"], receipts[1].event_id),
        (["events", "list", "--profile"], profile),
        (["explain", "--event"], event),
        (["profiles", "show"], profile),
        (["profiles", "list", "--before"], receipts[1].profile_id),
        (["why"], profile),
        (["enrollments", "show"], enrollment),
        (["enrollments", "list", "--event"], event),
        (["enrollments", "list", "--profile"], profile),
        (["enrollments", "list", "--before"], entered[receipts[1].event_id]),
    ]
    for command, identifier in same:
        whole = answer(run(*command, identifier, "--json"))
        assert whole not in ([], None)
        assert answer(run(*command, short(identifier), "--json")) == whole
    (claimed, *_) = answer(run("enrollments", "claim", "--limit", "1", "--json"))
    holds = (short(claimed["enrollmentId"]), "--token", claimed["token"])
    for command in ("extend", "complete"):
        assert run("enrollments", command, *holds)[0] == 0
    (other, *_) = answer(run("enrollments", "list", "--status", "pending", "--json"))
    given = (short(other["enrollmentId"]), "--yes", "--json")
    (gone,) = answer(run("enrollments", "withdraw", *given))
    assert gone["enrollmentId"] == other["enrollmentId"]
    assert answer(run("keys", "revoke", short(key), "--yes", "--json"))["keyId"] == key
    assert answer(run("profiles", "suppress", short(profile), "--json"))["profileId"] == profile
    (record, *_) = answer(run("audit", "--json"))
    older = answer(run("audit", "--before", record["auditId"], "--json"))
    assert answer(run("audit", "--before", short(record["auditId"]), "--json")) == older
    erased = answer(run("profiles", "erase", short(profile), "--yes", "--json"))
    assert erased["profileId"] == profile


def test_a_short_id_of_two_records_is_refused_and_names_them(run, storage):
    ids = Ids(TAIL, "000000000001", TAIL)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, ids=ids)
    events = [tracker.track(a_request(), key).event_id for key in "ab"]
    status, out, err = run("events", "show", TAIL, "--json")
    refusal = json.loads(err)
    assert (status, out, refusal["error"]) == (1, "", "ambiguous_id")
    assert refusal["details"]["ids"] == events[::-1]
    page = run("events", "show", TAIL)[2]
    assert [line.strip() for line in page.splitlines()[1:]] == events[::-1]
    # More of the id than its last group tells them apart.
    for event in events:
        assert answer(run("events", "show", event[19:], "--json"))["eventId"] == event


def test_a_short_id_is_looked_for_among_the_newest_alone(run, storage):
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    first, second, *_ = tracker.track_many([(a_request(), f"{each}") for each in range(1001)])
    assert run("events", "show", short(second.event_id))[0] == 0
    status, _, err = run("events", "show", short(first.event_id))
    assert (status, err.startswith("not_found: ")) == (1, True)
    assert "newest 1,000 events" in err
    assert run("events", "show", first.event_id)[0] == 0


def test_what_a_person_is_called_comes_before_the_end_of_an_id(run, tracker):
    one = tracker.track(a_request(profile={"email": "a@example.com"}), "a").profile_id
    sent = a_request(profile={"email": "b@example.com", "externalId": short(one)})
    other = tracker.track(sent, "b").profile_id
    shown = answer(run("profiles", "show", short(one), "--json"))
    assert shown["profileId"] == other


def test_a_short_form_that_two_ids_share_is_that_of_neither():
    ids = Ids(TAIL, TAIL, "000000000001")
    one, two, other = (ids.new_id() for _ in range(3))
    assert shortened_ids([one, two, other]) == {one: one, two: two, other: "000000000001"}


@pytest.mark.parametrize(
    ("given", "is_one"),
    [
        (TAIL, True),
        (f"add2-{TAIL}", True),
        (f"-{TAIL}", True),
        (TAIL[1:], False),
        (f"2{TAIL}", False),
        (TAIL.upper(), False),
        ("507f1f77bcf86cd799439011", False),
        (f"019bf964-302b-7a7f-add2-{TAIL}", False),
        ("nothing", False),
        ("", False),
    ],
)
def test_a_word_that_ends_no_id_is_not_looked_for(given, is_one):
    assert is_short(given) is is_one

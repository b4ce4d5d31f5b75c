"""Short ids: what tables show of ids, taken back by every command that takes one."""

from __future__ import annotations

import json

import pytest

from command_answers import answer
from segmentflow_cli.tables import shortened_ids
from segmentflow_core import ApiKeys, Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request

TAIL = "589343ef9f32"


def an_id(number, tail):
    return f"019bf964-302b-7a7f-8000-{number:08x}"[:24] + tail if tail else f"{number}"


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


def test_every_command_that_takes_an_id_takes_a_short_one(run, tracker):
    receipts = [
        tracker.track(a_request(profile={"email": f"{each}@example.com"}), each) for each in "abc"
    ]
    event, profile = receipts[0].event_id, receipts[0].profile_id
    entered = {each.event_id: each.enrollment_id for each in tracker.enrollments.list()}
    enrollment = entered[event]
    key = ApiKeys(tracker_storage(tracker)).create(["events:write"]).api_key.key_id
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
    (gone,) = answer(run("enrollments", "withdraw", short(other["enrollmentId"]), "--yes", "--json"))
    assert gone["enrollmentId"] == other["enrollmentId"]
    assert answer(run("keys", "revoke", short(key), "--yes", "--json"))["keyId"] == key
    assert answer(run("profiles", "suppress", short(profile), "--json"))["profileId"] == profile
    (record, *_) = answer(run("audit", "--json"))
    older = answer(run("audit", "--before", record["auditId"], "--json"))
    assert answer(run("audit", "--before", short(record["auditId"]), "--json")) == older
    assert answer(run("profiles", "erase", short(profile), "--yes", "--json"))["profileId"] == profile

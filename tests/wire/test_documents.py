"""What the library returns, as JSON documents: each member, and nothing that must not show."""

from __future__ import annotations

import json
from datetime import timedelta

import pytest

from segmentflow_core import ApiKeys, Tracker
from segmentflow_core.domain.instant import format_instant
from segmentflow_core.testing import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    FixedClock,
    SequentialIds,
    a_journey,
    a_request,
)
from segmentflow_core.wire import (
    api_key_document,
    claimed_document,
    enrollment_document,
    event_document,
    explained_document,
    profile_document,
    published_document,
    receipt_document,
    story_document,
)
from segmentflow_memory import MemoryStorage

NOW = "2026-06-01T12:00:00.123456Z"


@pytest.fixture
def tracker():
    ids = SequentialIds()
    tracker = Tracker(
        MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=FixedClock(), ids=ids
    )
    tracker.journeys.publish([a_journey()])
    return tracker


@pytest.fixture
def receipt(tracker):
    return tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)


def test_a_receipt_and_its_replay_are_one_document(tracker, receipt):
    assert receipt_document(receipt) == {
        "eventId": receipt.event_id,
        "profileId": receipt.profile_id,
        "matchedJourneys": 1,
        "enrolledJourneys": 1,
        "skippedJourneys": 0,
    }
    replay = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
    assert receipt_document(replay) == receipt_document(receipt)


def test_an_event_is_written_with_its_outcomes_and_redacted(tracker, receipt):
    document = event_document(tracker.records.event(receipt.event_id))
    assert document == {
        "eventId": receipt.event_id,
        "profileId": receipt.profile_id,
        "event": "order.created",
        "data": {"orderId": "ord_9421", "total": 49, "payment": {"token": "[REDACTED]"}},
        "referenceId": "ord_9421",
        "occurredAt": "2026-05-31T12:00:00.000Z",
        "receivedAt": NOW,
        "outcomes": [{"journeyId": "welcome", "version": 1, "outcome": "enrolled", "reason": None}],
    }
    assert json.loads(json.dumps(document)) == document


def test_an_enrollment_shows_no_lease_but_to_the_worker_that_holds_it(tracker, receipt):
    (claimed,) = tracker.enrollments.claim()
    (listed,) = tracker.enrollments.list()
    plain = enrollment_document(listed)
    assert plain.keys().isdisjoint({"token", "leaseUntil"})
    assert plain["status"] == "claimed"
    document = claimed_document(claimed)
    assert document.items() >= plain.items()
    assert document["token"] == claimed.enrollment.token
    assert document["state"]["event"]["payment"] == {"token": "[REDACTED]"}
    assert (document["event"], document["organizationId"]) == ("order.created", "default")


def test_a_journey_is_written_as_published_with_its_version(tracker):
    document = published_document(tracker.journeys.get("welcome"))
    assert document == {
        **a_journey(),
        "reentry": {"policy": "every_event"},
        "version": 1,
        "publishedAt": NOW,
    }


def test_an_api_key_is_listed_without_its_digest():
    keys = ApiKeys(MemoryStorage(), clock=FixedClock(), ids=SequentialIds())
    created = keys.create(["events:write"], label="shop")
    (listed,) = keys.list()
    assert api_key_document(listed) == {
        "keyId": created.api_key.key_id,
        "scopes": ["events:write"],
        "label": "shop",
        "test": False,
        "createdAt": NOW,
        "lastUsedAt": None,
        "revokedAt": None,
    }


def test_a_profile_is_written_as_it_stands(tracker, receipt):
    assert profile_document(tracker.records.profile(receipt.profile_id)) == {
        "profileId": receipt.profile_id,
        "email": "alex@example.com",
        "externalId": "cus_123",
        "properties": {"firstName": "Alex", "plan": "Pro"},
        "createdAt": NOW,
        "updatedAt": NOW,
        "aliases": 0,
        "suppressedAt": None,
        "mergedInto": None,
        "erasedAt": None,
        "scrubbedAt": None,
    }


def test_a_profile_is_written_with_what_was_done_to_it(tracker, receipt):
    request = a_request(profile={"email": "canary@example.com"})
    goes = tracker.track(request, "another").profile_id
    tracker.people.merge(receipt.profile_id, goes)
    tracker.people.suppress(receipt.profile_id)

    def written():
        return [profile_document(profile) for profile in tracker.records.profiles()]

    gone, stays = written()
    assert (stays["aliases"], stays["suppressedAt"]) == (1, NOW)
    assert "canary" not in str(written())
    assert gone["mergedInto"] == receipt.profile_id
    tracker.people.erase(receipt.profile_id)
    assert [(each["erasedAt"], each["scrubbedAt"]) for each in written()] == [(NOW, NOW)] * 2


def test_a_story_is_written_with_what_became_of_each_outcome(tracker, receipt):
    story = story_document(tracker.records.why("alex@example.com"))
    (entered,) = tracker.enrollments.list()
    event = event_document(tracker.records.event(receipt.event_id))
    outcome = {"journeyId": "welcome", "version": 1, "outcome": "enrolled", "reason": None}
    told = {**outcome, "enrollment": enrollment_document(entered)}
    assert story == {
        "profile": profile_document(tracker.records.profile(receipt.profile_id)),
        "events": [{**event, "outcomes": [told]}],
        "before": None,
    }
    about_one = story_document(tracker.records.why("cus_123", journey_id="welcome"))
    (explained,) = about_one["events"][0]["outcomes"]
    assert explained.pop("explanation")["reentry"] == {"result": True, "policy": "every_event"}
    assert explained == told
    json.dumps(about_one)


def test_what_delays_limits_and_cancels_an_entry_is_written_with_it():
    clock = FixedClock()
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    cart = a_journey(
        delay="PT1H",
        cancelOn=[{"event": "other", "same": ["/event/orderId"]}],
        reentry={"policy": "at_most", "times": 2, "within": "P1D"},
    )
    tracker.journeys.publish([cart])
    order = {"orderId": 1}

    def explained(event_id):
        (journey,) = explained_document(tracker.records.explain(event_id))["journeys"]
        return {name: journey[name] for name in ("outcome", "delay", "cancelOn", "reentry")}

    entered = tracker.track(a_request(data=order), "1").event_id
    hour = format_instant(clock.now() + timedelta(hours=1))
    same = [{"path": "/event/orderId"}]
    shown = explained(entered)
    assert shown["delay"] == {"delay": "PT1H", "availableAt": hour}
    assert shown["cancelOn"]["result"] is True
    assert shown["cancelOn"]["cancelledBy"] is None
    ((rule,),) = [shown["cancelOn"]["rules"]]
    assert (rule["event"], [{"path": part["path"]} for part in rule["same"]]) == ("other", same)
    asked = {"policy": "at_most", "times": 2, "within": "P1D"}
    assert shown["reentry"].items() >= {"result": True, "entries": 0, **asked}.items()

    paid = tracker.track(a_request("other", data=order), "2").event_id
    (withdrew,) = event_document(tracker.records.event(paid))["withdrew"]
    (gone,) = tracker.enrollments.list()
    assert withdrew == {
        "enrollmentId": gone.enrollment_id,
        "journeyId": gone.journey_id,
        "marked": False,
    }
    earlier = format_instant(clock.now() - timedelta(hours=1))
    late = tracker.track(a_request(data=order, occurredAt=earlier), "3").event_id
    shown = explained(late)
    assert shown["outcome"] == "skipped"
    assert shown["cancelOn"]["result"] is False
    assert shown["cancelOn"]["cancelledBy"] == paid

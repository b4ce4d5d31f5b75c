"""Explaining events on record, and drafts in place of the Journeys that are published."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from drawn import TOTAL_OF_40, a_file, where
from segmentflow_core import AsyncRecords, Records, Tracker
from segmentflow_core.errors import (
    ConfigurationError,
    InvalidJourney,
    NotFound,
)
from segmentflow_core.testing import (
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    a_journey,
    a_request,
)
from segmentflow_core.wire import enrollment_document, explained_document
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


def test_a_stored_event_shows_what_was_recorded_beside_what_would_be_now(tracker):
    tracker.journeys.publish(a_file(a_journey(**where(TOTAL_OF_40))))
    receipt = tracker.track(a_request(data={"total": 30}), "key")
    lower = {**TOTAL_OF_40, "value": 20}
    tracker.journeys.publish(a_file(a_journey(**where(lower)), a_journey("new")))
    new, welcome = tracker.records.explain(receipt.event_id).journeys
    assert (welcome.version, welcome.outcome) == (2, "enrolled")
    assert (welcome.recorded.version, welcome.recorded.reason) == (1, "condition_not_met")
    assert (new.outcome, new.recorded) == ("enrolled", None)
    document = explained_document(tracker.records.explain(receipt.event_id))
    assert document["journeys"][1]["recorded"] == {
        "version": 1,
        "outcome": "skipped",
        "reason": "condition_not_met",
    }


def test_only_what_came_before_an_event_counts_as_earlier(tracker, clock):
    tracker.journeys.publish(
        a_file(
            a_journey("cooldown", reentry={"policy": "cooldown", "duration": "P1D"}),
            a_journey("key", reentry={"policy": "once_per_key", "key": "/event/order"}),
            a_journey("once", reentry={"policy": "once"}),
        )
    )
    event_ids = []
    for hours, order in ((0, "A"), (1, "A"), (30, "B")):
        clock.advance(hours=hours)
        event_ids.append(tracker.track(a_request(data={"order": order}), f"{hours}").event_id)
    for event_id in event_ids:
        recorded = [outcome.reason for outcome in tracker.records.event(event_id).outcomes]
        explained = tracker.records.explain(event_id).journeys
        assert [journey.reason for journey in explained] == recorded


def test_an_event_is_explained_the_same_a_year_later(tracker, clock):
    tracker.journeys.publish(
        a_file(
            a_journey("cooldown", reentry={"policy": "cooldown", "duration": "P7D"}),
            a_journey("late", maxLateness="P2D"),
            a_journey("once", reentry={"policy": "once"}),
            a_journey("plan", **where({"path": "/profile/properties/plan", "op": "exists"})),
        )
    )
    first = tracker.track(DOCUMENTED_REQUEST, "first")
    now = explained_document(tracker.records.explain(first.event_id))
    for month in range(12):
        clock.advance(days=365 / 12)
        profile = {"externalId": "cus_123", "properties": {"plan": None}}
        tracker.track(a_request(profile=profile), f"month {month}")
        tracker.records.purge_keys()
    later = tracker.records.explain(first.event_id)
    assert explained_document(later) == now
    assert [journey.outcome for journey in later.journeys] == ["enrolled"] * 4


def test_an_event_that_is_not_there_is_not_found(tracker):
    receipt = tracker.track(a_request(), "key")
    with pytest.raises(NotFound):
        tracker.records.explain("nothing")
    with pytest.raises(NotFound):
        tracker.records.explain(receipt.event_id, organization_id="other")


def test_drafts_stand_in_for_what_is_published(tracker):
    tracker.journeys.publish(a_file(a_journey("same"), a_journey("changed"), a_journey("gone")))
    drafts = a_file(
        a_journey("same", status="draft"),
        a_journey("changed", reentry={"policy": "once"}),
        a_journey("paused", status="paused"),
        a_journey("archived", status="archived"),
        a_journey("new", status="draft"),
        a_journey("other", trigger={"event": "order.paid"}),
    )
    receipt = tracker.track(a_request(), "key")
    for explained in (
        tracker.explain(a_request(), journeys=drafts),
        tracker.records.explain(receipt.event_id, journeys=drafts),
    ):
        versions = {journey.journey_id: journey.version for journey in explained.journeys}
        assert versions == {"changed": None, "new": None, "same": 1}
        silent = explained_document(explained)["silent"]
        assert [(journey["journeyId"], journey["reason"]) for journey in silent] == [
            ("archived", "status"),
            ("other", "event"),
            ("paused", "status"),
        ]


def test_one_journey_can_be_asked_about_whether_it_listens_or_not(tracker):
    paid = {"event": "order.paid"}
    tracker.journeys.publish(
        a_file(
            a_journey("active"),
            a_journey("draft", status="draft"),
            a_journey("other", trigger=paid, status="paused"),
        )
    )
    receipt = tracker.track(a_request(), "key")
    for explain, subject in (
        (tracker.explain, a_request()),
        (tracker.records.explain, receipt.event_id),
    ):
        asked = [explain(subject, journey_id=i) for i in ("active", "draft", "other")]
        assert [[j.journey_id for j in explained.journeys] for explained in asked] == [
            ["active"],
            [],
            [],
        ]
        assert [explained_document(explained)["silent"] for explained in asked] == [
            [],
            [
                {
                    "journeyId": "draft",
                    "status": "draft",
                    "event": "order.created",
                    "reason": "status",
                }
            ],
            [
                {
                    "journeyId": "other",
                    "status": "paused",
                    "event": "order.paid",
                    "reason": "event",
                }
            ],
        ]


def test_one_draft_can_be_asked_about(tracker):
    drafts = a_file(a_journey("a"), a_journey("b"), a_journey("c", status="paused"))
    explained = tracker.explain(a_request(), journeys=drafts, journey_id="b")
    assert ([j.journey_id for j in explained.journeys], explained.silent) == (["b"], ())
    explained = tracker.explain(a_request(), journeys=drafts, journey_id="c")
    assert (explained.journeys, [j.journey_id for j in explained.silent]) == ((), ["c"])


def test_a_journey_that_is_not_there_is_not_found(tracker):
    with pytest.raises(NotFound):
        tracker.explain(a_request(), journey_id="nothing")
    with pytest.raises(NotFound):
        tracker.explain(a_request(), journeys=a_file(a_journey()), journey_id="nothing")


def test_a_draft_counts_the_entries_of_the_journey_it_would_change(tracker):
    tracker.journeys.publish(a_file(a_journey()))
    tracker.track(a_request(), "key")
    draft = a_file(a_journey(reentry={"policy": "once"}))
    assert tracker.explain(a_request(), journeys=draft).journeys[0].reason == "already_enrolled"


def test_drafts_without_a_journey_for_the_event_explain_nothing(tracker):
    assert tracker.explain(a_request(), journeys={"journeys": []}).journeys == ()


def test_a_bad_draft_is_refused_with_its_path(tracker):
    with pytest.raises(InvalidJourney) as refusal:
        tracker.explain(a_request(), journeys=a_file(a_journey(status="on")))
    assert [v.path for v in refusal.value.violations] == ["/journeys/0/status"]


# --- how it is asked -----------------------------------------------------------------------------


def test_explaining_for_no_organization_is_refused(tracker):
    for explain, subject in (
        (tracker.explain, a_request()),
        (tracker.records.explain, "x"),
    ):
        with pytest.raises(ConfigurationError):
            explain(subject, organization_id="")


def test_explaining_a_request_needs_no_secret_and_takes_no_key(tracker, storage, clock):
    tracker.journeys.publish(a_file(a_journey()))
    explained = Records(storage, clock=clock).explain_request(DOCUMENTED_REQUEST)
    assert explained == tracker.explain(DOCUMENTED_REQUEST)
    assert not tracker.track(DOCUMENTED_REQUEST, "dry run").replayed


EACH_WAY = ("cancelled", "completed", "dead", "held", "retried", "skipped", "waits")


def entered_each_way(tracker):
    """Let one event enter Journeys in which it ends each way; return its id."""
    rules = {"cancelled": [{"event": "order.paid"}]}
    tracker.journeys.publish(
        a_file(
            *(
                a_journey(name, delay="PT1H", cancelOn=rules[name])
                if name in rules
                else a_journey(name, **where(TOTAL_OF_40) if name == "skipped" else {})
                for name in EACH_WAY
            )
        )
    )
    event_id = tracker.track(a_request(), "entered").event_id
    leases = {}
    for name in ("completed", "dead", "held", "retried"):
        (claimed,) = tracker.enrollments.claim(journey_id=name)
        leases[name] = claimed.lease
    tracker.enrollments.complete(leases["completed"])
    tracker.enrollments.release(leases["dead"], error="no such address", max_attempts=1)
    tracker.enrollments.release(leases["retried"], error="try later")
    return event_id


def test_what_became_of_each_enrollment_is_told_with_its_journey(tracker, storage):
    event_id = entered_each_way(tracker)
    paid = tracker.track(a_request("order.paid"), "paid").event_id
    explained = Records(storage).explain(event_id)
    told = {journey.journey_id: journey.enrollment for journey in explained.journeys}
    assert list(told) == list(EACH_WAY)
    assert told["skipped"] is None
    assert {name: str(entry.status) for name, entry in told.items() if entry} == {
        "cancelled": "withdrawn",
        "completed": "completed",
        "dead": "dead",
        "held": "claimed",
        "retried": "pending",
        "waits": "pending",
    }
    assert (told["dead"].attempts, told["dead"].last_failure) == (1, "no such address")
    assert (told["retried"].attempts, told["retried"].last_failure) == (1, "try later")
    assert told["cancelled"].cancelled_by == paid
    assert explained.other_enrollments == ()
    document = explained_document(explained)
    assert "otherEnrollments" not in document
    assert document["journeys"][2]["enrollment"] == enrollment_document(told["dead"])
    assert document["journeys"][5]["enrollment"] is None
    (withdrew,) = explained_document(tracker.records.explain(paid))["withdrew"]
    assert withdrew["enrollmentId"] == told["cancelled"].enrollment_id
    other = AsyncRecords(AsyncMemoryStorage(storage))
    assert asyncio.run(other.explain(event_id)) == explained


def test_an_enrollment_is_told_in_one_story_as_in_an_explanation(tracker):
    event_id = entered_each_way(tracker)
    (explained,) = tracker.records.explain(event_id, journey_id="dead").journeys
    (told,) = tracker.records.why("alex@example.com", journey_id="dead").events
    (outcome,) = told.outcomes
    assert outcome.explained == explained
    assert outcome.explained.enrollment == outcome.enrollment


def test_a_request_and_a_draft_have_no_enrollment(tracker):
    tracker.journeys.publish(a_file(a_journey()))
    receipt = tracker.track(a_request(), "key")
    for explained in (
        tracker.explain(a_request()),
        tracker.records.explain(receipt.event_id, journeys=a_file(a_journey())),
        tracker.records.explain(receipt.event_id, journeys=a_file(a_journey(status="paused"))),
    ):
        assert [journey.enrollment for journey in explained.journeys] in ([None], [])
        assert explained.other_enrollments == ()


def test_an_enrollment_of_a_journey_that_does_not_listen_today_is_told_beside_the_others(tracker):
    """What waits in an archived Journey is withdrawn."""
    names = ("archived", "elsewhere", "listens", "paused")
    tracker.journeys.publish(a_file(*map(a_journey, names)))
    event_id = tracker.track(a_request(), "key").event_id
    tracker.journeys.archive("archived")
    tracker.journeys.pause("paused")
    tracker.journeys.publish(a_file(a_journey("elsewhere", trigger={"event": "order.paid"})))
    explained = tracker.records.explain(event_id)
    assert [journey.journey_id for journey in explained.journeys] == ["listens"]
    statuses = [(e.journey_id, str(e.status)) for e in explained.other_enrollments]
    assert statuses == [("archived", "withdrawn"), ("elsewhere", "pending"), ("paused", "pending")]
    others = explained_document(explained)["otherEnrollments"]
    assert others == [*map(enrollment_document, explained.other_enrollments)]
    one = tracker.records.explain(event_id, journey_id="archived")
    assert [silent.reason for silent in one.silent] == ["status"]
    assert [entry.journey_id for entry in one.other_enrollments] == ["archived"]
    assert tracker.records.explain(event_id, journey_id="listens").other_enrollments == ()


def test_the_enrollment_of_a_merged_or_erased_person_is_told(tracker):
    tracker.journeys.publish(a_file(a_journey()))
    goes, stays = (
        tracker.track(a_request(profile={"email": f"{name}@example.com"}), name)
        for name in ("goes", "stays")
    )
    tracker.people.merge(stays.profile_id, goes.profile_id)

    def status(receipt):
        (journey,) = tracker.records.explain(receipt.event_id).journeys
        return str(journey.enrollment.status)

    assert [status(goes), status(stays)] == ["pending", "pending"]
    tracker.people.erase(stays.profile_id)
    assert [status(goes), status(stays)] == ["withdrawn", "withdrawn"]


def test_an_enrollment_that_retention_removed_is_not_told(tracker, clock):
    tracker.journeys.publish(a_file(a_journey()))
    event_id = tracker.track(a_request(), "key").event_id
    (claimed,) = tracker.enrollments.claim()
    tracker.enrollments.complete(claimed.lease)
    clock.advance(days=2)
    tracker.people.retain(enrollments=timedelta(days=1))
    (journey,) = tracker.records.explain(event_id).journeys
    assert (journey.recorded.outcome, journey.enrollment) == ("enrolled", None)


class FindsNothing(MemoryStorage):
    """A storage that reads records by their ids alone."""

    def run(self, work, **how):
        def without(transaction):
            vars(transaction).pop("finding", None)
            return work(transaction)

        return super().run(without, **how)


def test_a_storage_that_finds_nothing_explains_without_the_enrollments():
    tracker = Tracker(FindsNothing(), fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish(a_file(a_journey()))
    event_id = tracker.track(a_request(), "key").event_id
    (journey,) = tracker.records.explain(event_id).journeys
    assert (journey.outcome, journey.enrollment) == ("enrolled", None)

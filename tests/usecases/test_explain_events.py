"""Explaining events on record, and drafts in place of the Journeys that are published."""

from __future__ import annotations

import pytest

from drawn import TOTAL_OF_40, a_file, where
from segmentflow_core import Records
from segmentflow_core.errors import (
    ConfigurationError,
    InvalidJourney,
    NotFound,
)
from segmentflow_core.testing import (
    DOCUMENTED_REQUEST,
    a_journey,
    a_request,
)
from segmentflow_core.wire import explained_document


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

"""Explaining a request: what tracking would decide, with its reasons, and nothing written."""

from __future__ import annotations

import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import TOTAL_OF_40, a_file, definitions, sendings, sent, where
from segmentflow_core import Tracker
from segmentflow_core.errors import (
    IdentityConflict,
    InvalidRequest,
    ProfileEmailRequired,
)
from segmentflow_core.testing import (
    DOCUMENTED_REQUEST,
    FINGERPRINT_SECRET,
    FixedClock,
    SequentialIds,
    a_journey,
    a_request,
)
from segmentflow_core.wire import explained_document
from segmentflow_memory import MemoryStorage

TOKEN = "tok_live_abc"


def whole(storage: MemoryStorage) -> Any:
    """Copy everything a store keeps."""
    tables = vars(storage._tables)
    return deepcopy(
        {name: vars(table) for name, table in tables.items() if hasattr(table, "__dict__")}
        | {"undo": tables["undo"]}
    )


def test_explaining_leaves_the_whole_store_as_it_was(tracker, storage):
    journeys = a_file(
        a_journey("every"),
        a_journey("once", reentry={"policy": "once"}),
        a_journey("order", reentry={"policy": "once_per_key", "key": "/event/orderId"}),
    )
    tracker.journeys.publish(journeys)
    receipt = tracker.track(DOCUMENTED_REQUEST, "key")
    before = whole(storage)
    for drafts in (None, journeys, a_file(a_journey("draft", reentry={"policy": "once"}))):
        tracker.explain(DOCUMENTED_REQUEST, journeys=drafts)
        tracker.explain(a_request(profile={"email": "new@example.com"}), journeys=drafts)
        tracker.records.explain(receipt.event_id, journeys=drafts)
    tracker.journeys.rehearse(journeys, since=tracker.records.event(receipt.event_id).received_at)
    with pytest.raises(InvalidRequest):
        tracker.explain({})
    with pytest.raises(ProfileEmailRequired):
        tracker.explain(a_request(profile={"externalId": "new"}))
    assert whole(storage) == before
    tracker.track(a_request(), "another key")
    assert whole(storage) != before


def test_a_request_may_be_tracked_under_any_key_after_it_was_explained(tracker):
    tracker.explain(DOCUMENTED_REQUEST)
    assert not tracker.track(DOCUMENTED_REQUEST, "dry run").replayed


def test_what_is_done_to_an_explanation_does_not_reach_the_store(tracker):
    where_plan = where({"path": "/profile/properties/tags", "op": "contains", "value": "a"})
    tracker.journeys.publish(a_file(a_journey(**where_plan)))
    profile = {"email": "alex@example.com", "properties": {"tags": ["a"]}}
    receipt = tracker.track(a_request(profile=profile), "key")
    for explained in (tracker.explain(a_request()), tracker.records.explain(receipt.event_id)):
        explained.journeys[0].condition.found.append("b")
    assert tracker.records.profile(receipt.profile_id).properties == {"tags": ["a"]}
    assert tracker.records.event(receipt.event_id).profile["properties"] == {"tags": ["a"]}


# --- a dry run ---------------------------------------------------------------------------


def explained_as(journey_id, **facts):
    """Return the document of a Journey that nothing but `facts` holds for."""
    return {
        "journeyId": journey_id,
        "name": journey_id.upper(),
        "version": 1,
        "outcome": "enrolled",
        "reason": None,
        "recorded": None,
        "window": None,
        "maxLateness": None,
        "sample": None,
        "where": None,
        "reentry": {"result": True, "policy": "every_event"},
        "enrollment": None,
    } | facts


def test_a_dry_run_shows_the_journeys_that_listen_and_each_leaf(tracker):
    token = {"path": "/event/payment/token", "op": "exists"}
    tracker.journeys.publish(
        a_file(
            a_journey("a", **where({"all": [TOTAL_OF_40, token]})),
            a_journey("b"),
            a_journey("c", status="paused"),
            a_journey("d", trigger={"event": "order.paid"}),
        )
    )
    leaves = [
        {
            "kind": "leaf",
            "result": True,
            "path": "/event/total",
            "op": "gte",
            "expected": 40,
            "found": 49,
        },
        {"kind": "leaf", "result": None, **token, "found": "[REDACTED]", "reason": "redacted"},
    ]
    unknown = {"kind": "all", "result": None, "children": leaves}
    assert explained_document(tracker.explain(DOCUMENTED_REQUEST)) == {
        "eventId": None,
        "profileId": None,
        "event": "order.created",
        "occurredAt": "2026-05-31T12:00:00.000Z",
        "receivedAt": "2026-06-01T12:00:00.123456Z",
        "unmatchedPaths": [],
        "silent": [],
        "journeys": [
            explained_as("a", outcome="skipped", reason="condition_unknown", where=unknown),
            explained_as("b"),
        ],
    }


def test_a_dry_run_never_shows_what_the_request_redacts(tracker):
    leaves = [
        {"path": "/event/payment", "op": "exists"},
        {"path": "/event/payment/token", "op": "eq", "value": "x"},
        {"path": "/event/payment/token/deep", "op": "exists"},
    ]
    key = {"policy": "once_per_key", "key": ["/event/payment/token", "/event/payment/token/deep"]}
    tracker.journeys.publish(a_file(a_journey(**where({"any": leaves}), reentry=key)))
    explained = tracker.explain(DOCUMENTED_REQUEST)
    (journey,) = explained.journeys
    assert TOKEN not in json.dumps(explained_document(explained))
    assert [part.reason for part in journey.reentry.key] == ["redacted", "redacted"]
    assert (journey.reason, journey.reentry.met) == ("entry_key_missing", None)


def test_an_explanation_shows_no_value_unless_it_is_asked_for(tracker):
    reentry = {"policy": "once_per_key", "key": "/event/card"}
    tracker.journeys.publish(
        a_file(a_journey(**where({"path": "/event/card", "op": "exists"}), reentry=reentry))
    )
    explained = tracker.explain(a_request(data={"card": "canary"}))
    (journey,) = explained.journeys
    shown = [explained, journey, journey.condition, journey.reentry]
    assert "canary" not in repr(shown)
    assert journey.condition.found == "canary"


def test_a_dry_run_says_which_redaction_paths_name_nothing(tracker):
    request = a_request(data={"a": 1}, redactedDataPaths=["/event/a", "/event/b"])
    assert tracker.explain(request).unmatched_paths == ("/event/b",)


def test_a_dry_run_counts_the_properties_it_would_set(tracker):
    pro = {"path": "/profile/properties/plan", "op": "eq", "value": "Pro"}
    tracker.journeys.publish(a_file(a_journey(**where(pro))))
    tracker.track(a_request("signed.up", profile={"email": "alex@example.com"}), "key")
    profile = {"email": "alex@example.com", "properties": {"plan": "Pro"}}
    assert tracker.explain(a_request(profile=profile)).journeys[0].outcome == "enrolled"
    assert tracker.explain(a_request()).journeys[0].reason == "condition_unknown"


def test_a_dry_run_names_a_profile_only_if_it_exists(tracker):
    assert tracker.explain(a_request()).profile_id is None
    receipt = tracker.track(a_request(), "key")
    assert tracker.explain(a_request()).profile_id == receipt.profile_id


def test_a_request_that_would_be_refused_is_refused(tracker):
    tracker.track(a_request(profile={"email": "a@example.com", "externalId": "a"}), "a")
    with pytest.raises(IdentityConflict):
        tracker.explain(a_request(profile={"email": "a@example.com", "externalId": "b"}))
    with pytest.raises(ProfileEmailRequired):
        tracker.explain(a_request(profile={"externalId": "new"}))
    with pytest.raises(InvalidRequest) as refusal:
        tracker.explain({"event": ""})
    assert [v.path for v in refusal.value.violations] == ["/event", "/profile"]


def test_a_sample_of_a_profile_that_does_not_exist_yet_is_open(tracker):
    sample = {"percent": 50, "seed": "s"}
    tracker.journeys.publish(
        a_file(
            a_journey("half", sample=sample),
            a_journey("all", sample={**sample, "percent": 100}),
            a_journey("none", sample={**sample, "percent": 0}),
        )
    )
    found = {
        journey.journey_id: (journey.sample.met, journey.reason)
        for journey in tracker.explain(a_request()).journeys
    }
    assert found == {"all": (True, None), "half": (None, None), "none": (False, "sampled_out")}
    tracker.track(a_request(), "key")
    (half,) = (j for j in tracker.explain(a_request()).journeys if j.journey_id == "half")
    assert half.sample.met is (half.outcome == "enrolled")


def test_every_fact_is_told_though_the_first_settles_the_outcome(tracker, clock):
    now = clock.now()
    tracker.journeys.publish(
        a_file(
            a_journey(
                **where(TOTAL_OF_40),
                window={"until": "2026-05-01T00:00:00Z"},
                maxLateness="PT1H",
                sample={"percent": 0, "seed": "s"},
                reentry={"policy": "cooldown", "duration": "P1D"},
            )
        )
    )
    request = a_request(data={"total": 1}, occurredAt=now - timedelta(hours=2))
    document = explained_document(tracker.explain(request))["journeys"][0]
    assert document["reason"] == "outside_window"
    assert document["window"] == {"result": False, "until": "2026-05-01T00:00:00.000Z"}
    assert document["maxLateness"] == {"result": False, "limit": "PT1H", "latenessSeconds": 7200.0}
    assert document["sample"] == {"result": False, "percent": 0, "seed": "s"}
    assert document["where"]["result"] is False
    assert document["reentry"] == {"result": True, "policy": "cooldown", "duration": "P1D"}


# --- re-entry ------------------------------------------------------------------------------


def test_a_cooldown_says_when_it_ends(tracker, clock):
    reentry = {"policy": "cooldown", "duration": "PT1H"}
    tracker.journeys.publish(a_file(a_journey(reentry=reentry)))
    entered_at = clock.now()
    tracker.track(a_request(), "key")
    clock.advance(minutes=30)
    (journey,) = tracker.explain(a_request()).journeys
    fact = journey.reentry
    assert (journey.reason, fact.met) == ("cooling_down", False)
    assert (fact.last_entered_at, fact.free_at) == (entered_at, entered_at + timedelta(hours=1))
    assert explained_document(tracker.explain(a_request()))["journeys"][0]["reentry"] == {
        "result": False,
        "policy": "cooldown",
        "duration": "PT1H",
        "lastEnteredAt": "2026-06-01T12:00:00.123456Z",
        "freeAt": "2026-06-01T13:00:00.123456Z",
    }
    clock.advance(minutes=30)
    (journey,) = tracker.explain(a_request()).journeys
    assert (journey.reason, journey.reentry.free_at) == (None, None)


def test_a_cooldown_may_last_longer_than_the_calendar(tracker, clock):
    tracker.journeys.publish(
        a_file(a_journey(reentry={"policy": "cooldown", "duration": "P999999W"}))
    )
    tracker.track(a_request(), "key")
    clock.advance(days=1)
    (journey,) = tracker.explain(a_request()).journeys
    assert journey.reason == "cooling_down"
    assert journey.reentry.free_at == datetime.max.replace(tzinfo=UTC)


@pytest.mark.parametrize(
    ("data", "reason", "parts"),
    [
        ({"order": "A", "line": 1}, "already_enrolled", [{"found": "A"}, {"found": 1}]),
        ({"order": "B", "line": 1}, None, [{"found": "B"}, {"found": 1}]),
        (
            {"order": None, "line": [1]},
            "entry_key_missing",
            [{"found": None, "reason": "null"}, {"found": [1], "reason": "wrong_type"}],
        ),
        ({"order": True}, "entry_key_missing", [{"found": True}, {"reason": "missing"}]),
        (
            {"order": "[REDACTED]", "line": 1},
            "entry_key_missing",
            [{"found": "[REDACTED]", "reason": "redacted"}, {"found": 1}],
        ),
    ],
)
def test_a_key_shows_each_of_its_parts(tracker, data, reason, parts):
    reentry = {"policy": "once_per_key", "key": ["/event/order", "/event/line"]}
    tracker.journeys.publish(a_file(a_journey(reentry=reentry)))
    tracker.track(a_request(data={"order": "A", "line": 1}), "key")
    explained = tracker.explain(a_request(data=data))
    found = explained_document(explained)["journeys"][0]["reentry"]
    assert explained.journeys[0].reason == reason
    paths = ({"path": path} for path in reentry["key"])
    assert found["key"] == [path | part for path, part in zip(paths, parts, strict=True)]
    assert found["keyTaken"] is (reason == "already_enrolled")


@given(st.lists(definitions, min_size=1, max_size=3), sendings)
def test_an_explanation_agrees_with_what_tracking_does(definitions, sendings):
    clock = FixedClock()
    tracker = Tracker(
        MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock, ids=SequentialIds()
    )
    tracker.journeys.publish([a_journey(str(n), **d) for n, d in enumerate(definitions)])
    tracked = []
    for key, request in sent(tracker, clock, sendings):
        dry_run = tracker.explain(request)
        receipt = tracker.track(request, key)
        outcomes = tracker.records.event(receipt.event_id).outcomes
        tracked.append((receipt.event_id, outcomes))
        for journey, outcome in zip(dry_run.journeys, outcomes, strict=True):
            if journey.sample is None or journey.sample.met is not None:
                assert (journey.outcome, journey.reason) == (outcome.outcome, outcome.reason)
    for event_id, outcomes in tracked:
        journeys = tracker.records.explain(event_id).journeys
        assert [(j.journey_id, j.version, j.outcome, j.reason) for j in journeys] == [
            (o.journey_id, o.version, o.outcome, o.reason) for o in outcomes
        ]
        assert [journey.recorded for journey in journeys] == list(outcomes)

"""Explaining: the decision of tracking with its reasons, before or after, and nothing written."""

from __future__ import annotations

import asyncio
import json
from copy import deepcopy
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from segmentflow_core import AsyncTracker, Records, Tracker
from segmentflow_core.arguments import checked_definitions
from segmentflow_core.colour import drive
from segmentflow_core.domain.replay import Replay
from segmentflow_core.errors import (
    ConfigurationError,
    IdentityConflict,
    InvalidJourney,
    InvalidRequest,
    NotFound,
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
from segmentflow_core.usecases.explain import drafts as drafts_of
from segmentflow_core.usecases.explain import listens
from segmentflow_core.usecases.rehearse import Replaying
from segmentflow_core.wire import explained_document, replay_document
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage

TOKEN = "tok_live_abc"
TOTAL_OF_40 = {"path": "/event/total", "op": "gte", "value": 40}


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture
def tracker(storage, clock):
    return Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock, ids=SequentialIds())


def a_file(*journeys: dict[str, Any]) -> dict[str, Any]:
    return {"journeys": list(journeys)}


def where(condition: dict[str, Any]) -> dict[str, Any]:
    return {"trigger": {"event": "order.created", "where": condition}}


def whole(storage: MemoryStorage) -> Any:
    """Copy everything a store keeps."""
    tables = vars(storage._tables)
    return deepcopy(
        {name: vars(table) for name, table in tables.items() if hasattr(table, "__dict__")}
        | {"undo": tables["undo"]}
    )


# --- nothing is written ----------------------------------------------------------------


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


def test_a_dry_run_shows_the_journeys_that_listen_and_each_leaf(tracker):
    condition = {"all": [TOTAL_OF_40, {"path": "/event/payment/token", "op": "exists"}]}
    tracker.journeys.publish(
        a_file(
            a_journey("a", **where(condition)),
            a_journey("b"),
            a_journey("c", status="paused"),
            a_journey("d", trigger={"event": "order.paid"}),
        )
    )
    explained = tracker.explain(DOCUMENTED_REQUEST)
    assert explained_document(explained) == {
        "eventId": None,
        "profileId": None,
        "event": "order.created",
        "occurredAt": "2026-05-31T12:00:00.000Z",
        "receivedAt": "2026-06-01T12:00:00.123456Z",
        "unmatchedPaths": [],
        "silent": [],
        "journeys": [
            {
                "journeyId": "a",
                "name": "A",
                "version": 1,
                "outcome": "skipped",
                "reason": "condition_unknown",
                "recorded": None,
                "window": None,
                "maxLateness": None,
                "sample": None,
                "where": {
                    "kind": "all",
                    "result": None,
                    "children": [
                        {
                            "kind": "leaf",
                            "result": True,
                            "path": "/event/total",
                            "op": "gte",
                            "expected": 40,
                            "found": 49,
                        },
                        {
                            "kind": "leaf",
                            "result": None,
                            "path": "/event/payment/token",
                            "op": "exists",
                            "found": "[REDACTED]",
                            "reason": "redacted",
                        },
                    ],
                },
                "reentry": {"result": True, "policy": "every_event"},
            },
            {
                "journeyId": "b",
                "name": "B",
                "version": 1,
                "outcome": "enrolled",
                "reason": None,
                "recorded": None,
                "window": None,
                "maxLateness": None,
                "sample": None,
                "where": None,
                "reentry": {"result": True, "policy": "every_event"},
            },
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


# --- a stored event ------------------------------------------------------------------------


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


# --- drafts ------------------------------------------------------------------------------------


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


def test_both_colours_explain_and_replay_alike(tracker, storage, clock):
    tracker.journeys.publish(a_file(a_journey(**where(TOTAL_OF_40))))
    receipt = tracker.track(DOCUMENTED_REQUEST, "key")
    since = clock.now()
    steps = []

    async def with_async():
        other = AsyncTracker(
            AsyncMemoryStorage(storage), fingerprint_key=FINGERPRINT_SECRET, clock=clock
        )
        with pytest.raises(NotFound):
            await other.records.explain("nothing")
        return (
            await other.explain(DOCUMENTED_REQUEST),
            await other.records.explain(receipt.event_id),
            await other.journeys.rehearse(
                a_file(a_journey()), since=since, on_progress=lambda *step: steps.append(step)
            ),
            await other.journeys.rehearse(a_file(a_journey()), since=since),
        )

    dry_run, stored, replay, silent = asyncio.run(with_async())
    assert dry_run == tracker.explain(DOCUMENTED_REQUEST)
    assert stored == tracker.records.explain(receipt.event_id)
    assert replay == silent == tracker.journeys.rehearse(a_file(a_journey()), since=since)
    assert steps == [(0, 1), (1, 1)]


# --- the same decision ---------------------------------------------------------------------------

values = st.sampled_from([None, 39, 40, 41.5, "40", True, [40], "[REDACTED]"])
leaves = st.sampled_from(
    [
        TOTAL_OF_40,
        {"path": "/event/total", "op": "exists"},
        {"path": "/profile/properties/plan", "op": "eq", "value": 40},
    ]
)
conditions = leaves | st.builds(lambda leaf: {"not": leaf}, leaves)
policies = st.sampled_from(
    [
        {"policy": "every_event"},
        {"policy": "once"},
        {"policy": "once_per_key", "key": ["/event/total", "/profile/email"]},
        {"policy": "cooldown", "duration": "PT2H"},
    ]
)
limits = st.sampled_from(
    [
        {},
        {"maxLateness": "PT2H"},
        {"window": {"from": "2026-06-01T12:00:00Z"}},
        {"sample": {"percent": 50, "seed": "s"}},
    ]
)
definitions = st.builds(
    lambda condition, reentry, limit: {**where(condition), "reentry": reentry, **limit},
    conditions,
    policies,
    limits,
)
sendings = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["a", "b"]), values, st.integers(-4, 1)),
    min_size=1,
    max_size=6,
)


def sent(tracker: Tracker, clock: FixedClock, sendings: Any) -> Any:
    for number, (hours, who, value, offset) in enumerate(sendings):
        clock.advance(hours=hours)
        yield (
            f"{number}",
            a_request(
                profile={"email": f"{who}@example.com", "properties": {"plan": value}},
                data={} if value is None else {"total": value},
                occurredAt=clock.now() + timedelta(hours=offset),
            ),
        )


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


@given(st.lists(definitions, min_size=1, max_size=2), sendings, st.integers(1, 4))
def test_a_replay_agrees_with_having_published_the_draft_before(definitions, sendings, page):
    # A sample goes by the Profile's id, which the two stores give out differently.
    drafts = [
        a_journey(str(n), **{name: d[name] for name in d if name != "sample"})
        for n, d in enumerate(definitions)
    ]
    clock = FixedClock()
    start = clock.now()
    published, unpublished = (
        Tracker(
            MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock, ids=SequentialIds()
        )
        for _ in range(2)
    )
    published.journeys.publish(drafts)
    expected = {d["id"]: [] for d in drafts}
    for key, request in sent(published, clock, sendings):
        receipt = published.track(request, key)
        unpublished.track(request, key)
        for outcome in published.records.event(receipt.event_id).outcomes:
            expected[outcome.journey_id].append((receipt.profile_id, outcome))
    replay = replayed(unpublished, drafts, start, page=page)
    for journey in replay.journeys:
        outcomes = expected[journey.journey_id]
        entered = [who for who, outcome in outcomes if outcome.outcome == "enrolled"]
        assert journey.matched == len(outcomes)
        assert (journey.entered, journey.profiles) == (len(entered), len(set(entered)))
        reasons = [outcome.reason for _, outcome in outcomes if outcome.reason]
        assert journey.skipped == {reason: reasons.count(reason) for reason in set(reasons)}


def replayed(
    tracker: Tracker,
    drafts: Any,
    since: datetime,
    page: int,
    meanwhile: Any = lambda: None,
) -> Replay:
    """Replay with small pages, doing something else between them."""
    definitions = checked_definitions(drafts)
    journeys = tuple(filter(listens, drafts_of(definitions, since)))
    replaying = Replaying("default", journeys, since, None, page)
    for read in replaying.reads():
        replaying.fold(drive(tracker._calls.run(read)))
        meanwhile()
    return replaying.result()


# --- replays -----------------------------------------------------------------------------------


def test_a_replay_counts_who_would_have_entered_and_why_others_would_not(tracker, clock):
    since = clock.now()
    for number, total in enumerate([39, 40, 41, "40"]):
        request = a_request(profile={"email": f"p{number % 2}@example.com"}, data={"total": total})
        tracker.track(request, f"{number}")
        clock.advance(hours=1)
    tracker.track(a_request("order.paid"), "paid")
    draft = a_journey(**where(TOTAL_OF_40), status="draft")
    assert replay_document(tracker.journeys.rehearse(a_file(draft), since=since)) == {
        "since": "2026-06-01T12:00:00.123456Z",
        "until": None,
        "events": 5,
        "journeys": [
            {
                "journeyId": "welcome",
                "name": "Welcome",
                "matched": 4,
                "entered": 2,
                "profiles": 2,
                "skipped": {"condition_not_met": 1, "condition_unknown": 1},
            }
        ],
    }


def test_a_replay_takes_the_events_of_its_period(tracker, clock):
    start = clock.now()
    for number in range(4):
        tracker.track(a_request(), f"{number}")
        clock.advance(hours=1)
    since, until = start + timedelta(hours=1), start + timedelta(hours=3)
    replay = tracker.journeys.rehearse(a_file(a_journey()), since=since, until=until)
    assert (replay.events, replay.journeys[0].entered) == (2, 2)
    assert replay_document(replay)["until"] == "2026-06-01T15:00:00.123456Z"
    nothing = tracker.journeys.rehearse(a_file(a_journey()), since=start + timedelta(days=1))
    assert (nothing.events, nothing.journeys[0].matched) == (0, 0)


def test_entries_from_before_the_period_count_and_those_within_it_do_not(tracker, clock):
    once = a_file(a_journey(reentry={"policy": "once"}))
    per_key = a_file(a_journey(reentry={"policy": "once_per_key", "key": "/event/order"}))
    tracker.journeys.publish(per_key)
    tracker.track(a_request(data={"order": "A"}), "before")
    clock.advance(hours=1)
    since = clock.now()
    for key, order in (("1", "A"), ("2", "B"), ("3", "B")):
        tracker.track(a_request(data={"order": order}), key)
    (journey,) = tracker.journeys.rehearse(per_key, since=since).journeys
    assert (journey.entered, journey.skipped) == (1, {"already_enrolled": 2})
    (journey,) = tracker.journeys.rehearse(once, since=since).journeys
    assert (journey.entered, journey.skipped) == (0, {"already_enrolled": 3})
    (journey,) = tracker.journeys.rehearse(once, since=since - timedelta(hours=1)).journeys
    assert (journey.entered, journey.skipped) == (1, {"already_enrolled": 3})


def test_what_is_tracked_while_a_replay_runs_is_left_out(tracker, clock):
    since = clock.now()
    for number in range(7):
        tracker.track(a_request(), f"{number}")
    tracked = iter(range(100, 200))

    def track_one() -> None:
        tracker.track(a_request(), f"{next(tracked)}")

    replay = replayed(tracker, a_file(a_journey()), since, 2, track_one)
    assert (replay.events, replay.journeys[0].entered) == (7, 7)


class GivenIds:
    """Ids in an order of the test's choosing."""

    def __init__(self, numbers: list[int]) -> None:
        self._numbers = iter(numbers)

    def new_id(self) -> str:
        return f"019bf964-302b-7000-8000-{next(self._numbers):012x}"


def test_an_event_that_comes_in_between_pushes_none_off_its_page(storage, clock):
    # Each event takes an id, and the first one a second id, for its Profile.
    ids = GivenIds([10, 11, 20, 30, 40, 50, 25])
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock, ids=ids)
    since = clock.now()
    for number in range(5):
        tracker.track(a_request(), f"{number}")
    # Two full pages and one that is not: then the period is known, and the late one comes.
    moments = iter([None, None, lambda: tracker.track(a_request(), "late")])

    def meanwhile() -> None:
        act = next(moments, None)
        if act is not None:
            act()

    replay = replayed(tracker, a_file(a_journey()), since, 2, meanwhile)
    assert replay.journeys[0].entered == 6


def test_a_replay_tells_how_far_it_is(tracker, clock):
    since = clock.now()
    tracker.track_many([(a_request(), f"{number}") for number in range(1001)])
    steps: list[tuple[int, int | None]] = []
    tracker.journeys.rehearse(
        a_file(a_journey()), since=since, on_progress=lambda *step: steps.append(step)
    )
    assert steps == [(0, None), (0, None), (0, 1001), (1, 1001), (501, 1001), (1001, 1001)]


def test_a_replay_needs_instants_and_drafts_that_are_right(tracker, clock):
    naive = clock.now().replace(tzinfo=None)
    with pytest.raises(ConfigurationError, match="since"):
        tracker.journeys.rehearse([], since=naive)
    with pytest.raises(ConfigurationError, match="until"):
        tracker.journeys.rehearse([], since=clock.now(), until=naive)
    with pytest.raises(ConfigurationError, match="organization_id"):
        tracker.journeys.rehearse([], since=clock.now(), organization_id="")
    with pytest.raises(InvalidJourney):
        tracker.journeys.rehearse([{}], since=clock.now())


def test_a_replay_that_has_read_nothing_has_no_total():
    assert Replaying("default", (), FixedClock().now(), None).total is None

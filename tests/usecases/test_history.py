"""Conditions that count earlier events, against a second evaluator; and what they may cost."""

from __future__ import annotations

import random
from datetime import UTC, datetime
from types import SimpleNamespace

import pytest

from histories import Lives, journeys
from segmentflow_core import Tracker
from segmentflow_core.colour import drive
from segmentflow_core.domain.journey import journey_definition
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    FixedClock,
    a_journey,
    a_request,
)
from segmentflow_core.usecases.audit import Actor
from segmentflow_core.usecases.journeys import publish_journeys
from segmentflow_core.wire import explained_document
from segmentflow_memory import MemoryStorage

_EVER = datetime(2020, 1, 1, tzinfo=UTC)


def lives(storage, seed):
    chance = random.Random(seed)
    clock = FixedClock()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    definitions = journeys(chance, 12)
    tracker.journeys.publish(definitions)
    return Lives(tracker, clock, definitions, seed), definitions


@pytest.mark.parametrize("seed", range(6))
def test_every_event_is_decided_as_a_second_evaluator_says(seed):
    told, _ = lives(MemoryStorage(), seed)
    told.live(100)
    for event in told.sent:
        for journey_id, reason in event["reasons"].items():
            assert reason == told.reason(event, journey_id), (journey_id, event["id"])


@pytest.mark.parametrize("seed", range(100, 102))
def test_explaining_and_rehearsing_agree_with_what_was_decided(seed):
    told, definitions = lives(MemoryStorage(), seed)
    told.live(60, retains=False)
    for event in told.sent:
        explained = told.tracker.records.explain(event["id"])
        reasons = {journey.journey_id: journey.reason for journey in explained.journeys}
        assert reasons == event["reasons"]
    rehearsal = told.tracker.journeys.rehearse(definitions, since=_EVER)
    for journey in rehearsal.journeys:
        entered = sum(each["reasons"].get(journey.journey_id, 0) is None for each in told.sent)
        assert journey.entered == entered


def test_what_has_gone_since_leaves_open_and_never_contradicts():
    opened = 0
    for seed in (201, 203):
        told, _ = lives(MemoryStorage(), seed)
        told.live(50)
        gone = {each["id"] for each in told.gone}
        for event in told.sent:
            if event["id"] in gone:
                continue
            for journey in told.tracker.records.explain(event["id"]).journeys:
                recorded = event["reasons"][journey.journey_id]
                assert journey.reason in (recorded, "condition_unknown")
                opened += journey.reason != recorded
    assert opened


class Noting:
    """A transaction, or a part of one, that notes which of its methods are called."""

    def __init__(self, inner, calls):
        self._inner, self._calls = inner, calls

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Noting(found, self._calls)
        self._calls.append(name)
        return found


class Heard(MemoryStorage):
    """A storage, a tracker over it, and the ports that each of its calls asked."""

    def __init__(self, *definitions):
        super().__init__()
        self.calls = []
        self.tracker = Tracker(self, fingerprint_key=FINGERPRINT_SECRET, clock=FixedClock())
        self.tracker.journeys.publish(list(definitions))

    def run(self, work, **how):
        return super().run(lambda transaction: work(Noting(transaction, self.calls)), **how)

    def asked(self, call, *arguments):
        self.calls.clear()
        call(*arguments)
        return list(self.calls)


def counting(journey_id, where, **more):
    return a_journey(journey_id, trigger={"event": "order.created", "where": where}, **more)


DID = {"did": "order.created", "times": {"gte": 1}}
LARGE = {"path": "/event/total", "op": "gte", "value": 40}


@pytest.mark.parametrize(
    ("where", "policy", "more"),
    [
        ({"path": "/event/total", "op": "exists"}, "every_event", []),
        (DID, "every_event", ["earlier"]),
        (DID, "once", ["earlier"]),
        ({"all": [DID, {**DID, "within": "P1D", "where": LARGE}]}, "every_event", ["earlier"]),
        ({"all": [DID, LARGE]}, "every_event", []),
        ({"did": "order.created", "times": {"gte": 0}}, "every_event", []),
        ({"any": [DID, {"path": "/event/total", "op": "exists"}]}, "every_event", []),
    ],
)
def test_a_batch_costs_one_more_exchange_where_history_may_decide(where, policy, more):
    heard = Heard(counting("one", where, reentry={"policy": policy}), counting("two", where))
    tracker = heard.tracker
    # Of a Profile that is new there is nothing to ask.
    assert heard.asked(tracker.track, a_request(data={"total": 1}), "0") == ["load", "write"]
    asked = heard.asked(tracker.track, a_request(data={"total": 1}), "1")
    assert [call for call in asked if call != "prior_entries"] == ["load", *more, "write"]
    batch = [
        (a_request(profile={"email": f"{n % 3}@example.com"}, data={"total": 1}), f"b {n}")
        for n in range(6)
    ]
    tracker.track_many([(request, f"a {key}") for request, key in batch])
    asked = heard.asked(tracker.track_many, batch)
    assert [call for call in asked if call != "prior_entries"] == ["load", *more, "write"]


def test_what_re_entry_asks_goes_with_it():
    heard = Heard(counting("once", DID, reentry={"policy": "once"}))
    heard.tracker.track(a_request(), "0")
    asked = heard.asked(heard.tracker.track, a_request(), "1")
    assert "prior_entries" not in asked
    assert asked == ["load", "earlier", "write"]
    (outcome,) = heard.tracker.records.events()[0].outcomes
    assert outcome.outcome == "enrolled"
    heard.tracker.track(a_request(), "2")
    assert heard.tracker.records.events()[0].outcomes[0].reason == "already_enrolled"


def test_what_counts_limits_and_cancels_is_decided_together():
    """What waits and what may cancel is asked beside it, and locked once it is known to matter."""
    limit = {"policy": "at_most", "times": 2, "within": "P1D"}
    paid = a_request("order.paid")
    heard = Heard(counting("one", DID, reentry=limit, cancelOn=[{"event": "order.paid"}]))
    tracker = heard.tracker
    tracker.track(a_request(), "0")
    assert heard.asked(tracker.track, a_request(), "1") == ["load", "earlier", "write"]
    late = a_request(occurredAt="2020-01-01T00:00:00Z")
    batch = [(late, "2"), (paid, "3"), (late, "4"), (a_request(), "5")]
    asked = heard.asked(tracker.track_many, batch)
    assert asked == ["load", "earlier", "cancellable", "recorded", "lock", "write", "save"]
    first, second, third, fourth, fifth, sixth = tracker.records.events()[::-1]
    entered = tracker.enrollments.list()[::-1]
    assert [(e.event_id, e.status) for e in entered] == [
        (second.event_id, "withdrawn"),
        (third.event_id, "withdrawn"),
    ]
    assert [each.enrollment_id for each in fourth.withdrew] == [e.enrollment_id for e in entered]
    reasons = [o.reason for event in (first, fifth, sixth) for o in event.outcomes]
    assert reasons == ["condition_not_met", "limit_reached", "limit_reached"]


class WithoutHistory(MemoryStorage):
    """A storage whose transactions tell nothing of what came before."""

    def run(self, work, **how):
        def told(transaction):
            offered = {n: v for n, v in vars(transaction).items() if n != "history"}
            return work(SimpleNamespace(**offered))

        return super().run(told, **how)


def test_a_storage_that_cannot_count_refuses_what_asks_it_to():
    clock = FixedClock()
    tracker = Tracker(WithoutHistory(), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    plain = counting("plain", LARGE)
    tracker.journeys.publish([plain])
    draft = counting("counts", DID, status="draft")
    for how in ({}, {"dry_run": True}):
        with pytest.raises(ConfigurationError, match="'counts'"):
            tracker.journeys.publish([plain, draft], **how)
    assert [journey.journey_id for journey in tracker.journeys.list()] == ["plain"]
    receipt = tracker.track(a_request(data={"total": 50}), "1")
    assert receipt.enrolled_journeys == 1
    for ask in (
        lambda: tracker.records.explain(receipt.event_id, journeys=[draft]),
        lambda: tracker.explain(a_request(), journeys=[draft]),
        lambda: tracker.journeys.rehearse([draft], since=_EVER),
    ):
        with pytest.raises(ConfigurationError, match="count earlier events"):
            ask()


def test_a_journey_that_was_published_elsewhere_is_not_matched_without_history():
    storage, clock = WithoutHistory(), FixedClock()
    Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    MemoryStorage.run(
        storage,
        lambda transaction: drive(
            publish_journeys(
                transaction,
                "default",
                [journey_definition(counting("counts", DID))],
                Actor(None, clock.now(), "id"),
                dry_run=False,
            )
        ),
    )
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.track(a_request(), "1")
    with pytest.raises(ConfigurationError, match="cannot count earlier events"):
        tracker.track(a_request(), "2")
    assert len(tracker.records.events()) == 1


def test_a_request_is_explained_by_all_that_is_recorded():
    clock = FixedClock()
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    third = counting("third", {"did": "order.created", "times": {"eq": 2}})
    tracker.journeys.publish([third])
    reasons = []
    for n in range(4):
        explained = tracker.explain(a_request())
        (journey,) = explained.journeys
        reasons.append(journey.reason)
        (document,) = explained_document(explained)["journeys"]
        assert (document["where"]["least"], document["where"]["most"]) == (n, n)
        ids = [each["eventId"] for each in document["where"]["events"]]
        assert ids == [event.event_id for event in tracker.records.events()]
        tracker.track(a_request(), f"{n}")
        clock.advance(hours=1)
    assert reasons == ["condition_not_met", "condition_not_met", None, "condition_not_met"]
    story = tracker.records.why("alex@example.com", journey_id="third")
    assert [told.outcomes[0].explained.condition.history.least for told in story.events] == [
        *(3, 2, 1, 0)
    ]


def test_what_was_erased_is_counted_as_far_as_it_was_left():
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=FixedClock())
    missing = {"path": "/event/coupon", "op": "missing"}
    drafts = [
        counting("second", {"did": "order.created", "times": {"eq": 1}}),
        counting("without", {"did": "order.created", "where": missing}),
        counting("alike", {"did": "order.created", "times": {"eq": 0}, "same": ["/event/total"]}),
    ]
    tracker.journeys.publish(drafts)
    for n in range(2):
        receipt = tracker.track(a_request(data={"total": 1, "coupon": "A"}), f"{n}")
    told = tracker.records.explain(receipt.event_id).journeys
    before = {journey.journey_id: journey.reason for journey in told}
    assert before == {"second": None, "without": "condition_not_met", "alike": "condition_not_met"}
    tracker.people.erase("alex@example.com")
    after = {j.journey_id: j for j in tracker.records.explain(receipt.event_id).journeys}
    assert after["second"].reason is None
    for name in ("without", "alike"):
        assert after[name].reason == "condition_unknown"
        assert after[name].condition.history.gaps == ("erased",)
    rehearsal = tracker.journeys.rehearse(drafts, since=_EVER)
    assert {j.journey_id: j.entered for j in rehearsal.journeys} == {
        "second": 1,
        "without": 0,
        "alike": 1,  # the first, before which there was nothing
    }


def test_a_rehearsal_asks_only_what_may_decide():
    heard = Heard()
    heard.tracker.track(a_request(), "0")
    for where, count in ((DID, 1), ({**DID, "times": {"gte": 0}}, 0)):
        asked = heard.asked(
            lambda where=where: heard.tracker.journeys.rehearse(
                [counting("draft", where)], since=_EVER
            )
        )
        assert asked.count("earlier") == count


def test_what_nobody_knows_enters_no_rehearsal():
    heard = Heard()
    for n in range(2):
        heard.tracker.track(a_request(data={"total": None}), f"{n}")
    draft = counting("draft", {"did": "order.created", "where": LARGE})
    (journey,) = heard.tracker.journeys.rehearse([draft], since=_EVER).journeys
    assert (journey.entered, journey.skipped) == (
        0,
        {"condition_not_met": 1, "condition_unknown": 1},
    )

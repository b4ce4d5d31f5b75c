"""What a storage must be able to do for Journeys with `cancelOn`, and whose clock leases go by."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from segmentflow_core import AsyncEnrollments, Tracker
from segmentflow_core.errors import ConfigurationError, NotFound
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage

CANCELLED = a_journey("cancelled", cancelOn=[{"event": "other"}])
HOUR = timedelta(hours=1)


class Without:
    """A storage that keeps nothing of what cancels, or one that has a clock of its own."""

    def __init__(self, *lacks, clock=None):
        self.within = MemoryStorage()
        self.lacks = lacks
        self.clock = clock

    def run(self, work, *, reads_only=False):
        return self.within.run(lambda t: work(_Part(t, self)), reads_only=reads_only)


class _Part:
    def __init__(self, transaction, of):
        self._transaction, self._of = transaction, of
        if of.clock is not None:
            self.now = of.clock.now

    def __getattr__(self, name):
        if name in self._of.lacks:
            raise AttributeError(name)
        return getattr(self._transaction, name)


@pytest.mark.parametrize("dry_run", [False, True])
def test_a_storage_that_cannot_cancel_refuses_such_journeys_by_name(dry_run):
    tracker = Tracker(Without("cancelling"), fingerprint_key=FINGERPRINT_SECRET)
    with pytest.raises(ConfigurationError, match="cancelOn: cancelled, second"):
        tracker.journeys.publish(
            [a_journey(), {**CANCELLED, "id": "second"}, CANCELLED], dry_run=dry_run
        )
    assert tracker.journeys.list() == []
    tracker.journeys.publish([a_journey(delay="PT1H")], dry_run=dry_run)


def test_a_storage_that_cannot_cancel_explains_no_late_event_for_such_a_draft():
    clock = FixedClock()
    tracker = Tracker(Without("cancelling"), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    now = tracker.track(a_request(), "1").event_id
    late = tracker.track(a_request(occurredAt=(clock.now() - HOUR).isoformat()), "2").event_id
    (explained,) = tracker.records.explain(now, journeys=[CANCELLED]).journeys
    assert explained.outcome == "enrolled"
    with pytest.raises(ConfigurationError, match="cancelOn"):
        tracker.records.explain(late, journeys=[CANCELLED])


@pytest.mark.parametrize(("ahead", "status"), [(0, "claimed"), (2, "withdrawn")])
def test_leases_go_by_the_clock_of_the_store_where_the_host_gives_none(ahead, status):
    """The machine's own clock is years away from either."""
    clock = FixedClock()
    storage = Without(clock=clock)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([CANCELLED])
    tracker.track(a_request(), "1")
    clock.advance(days=9_999)
    (claimed,) = tracker.enrollments.claim(lease=HOUR)
    clock.advance(hours=ahead)
    tracker.track(a_request("other"), "2")
    assert tracker.enrollments.get(claimed.enrollment.enrollment_id).status == status


def test_a_host_that_gives_a_clock_lets_leases_go_by_it():
    clock = FixedClock()
    tracker = Tracker(Without(clock=FixedClock()), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.journeys.publish([CANCELLED])
    tracker.track(a_request(), "1")
    tracker.enrollments.claim(lease=HOUR)
    clock.advance(hours=1)
    tracker.track(a_request("other"), "2")
    assert [entry.status for entry in tracker.enrollments.list()] == ["withdrawn"]


def test_an_enrollment_that_is_not_there_is_not_withdrawn(tracker):
    answers = tracker.enrollments.withdraw_many(["nothing", "019bf964-302b-7000-8000-00000000dead"])
    assert [type(answer) for answer in answers] == [NotFound, NotFound]
    assert tracker.enrollments.withdraw_many([]) == []


def test_a_batch_is_withdrawn_by_an_asynchronous_host_as_well():
    storage = MemoryStorage()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey()])
    for number in range(2):
        tracker.track(a_request(), f"{number}")
    ids = [each.enrollment_id for each in tracker.enrollments.list()]
    enrollments = AsyncEnrollments(AsyncMemoryStorage(storage))
    *gone, missing = asyncio.run(enrollments.withdraw_many([*ids, "nothing"], by="Kim"))
    assert [each.status for each in gone] == ["withdrawn", "withdrawn"]
    assert isinstance(missing, NotFound)


def test_explanations_look_at_the_cancellers_that_the_decision_looked_at():
    """Of however many other events, of its batch and from before; but of a name only of 1,000."""
    clock = FixedClock()
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    rule = {"event": "paid", "same": ["/event/cart"]}
    draft = a_journey("cart", cancelOn=[rule])
    tracker.journeys.publish([draft])
    late = (clock.now() - HOUR).isoformat()

    def batch(prefix, *, views=0, paid=0, enters="A"):
        entry = a_request(occurredAt=late, data={"cart": enters})
        requests = [a_request("viewed")] * views
        requests += [a_request("paid", data={"cart": "other"})] * paid
        calls = [(each, f"{prefix} {n}") for n, each in enumerate([*requests, entry])]
        event = tracker.records.event(tracker.track_many(calls)[-1].event_id)
        (explained,) = tracker.records.explain(event.event_id).journeys
        assert (explained.outcome, explained.reason) == (
            event.outcomes[0].outcome,
            event.outcomes[0].reason,
        )
        return explained.reason

    paid = tracker.track(a_request("paid", data={"cart": "A"}), "paid")
    clock.advance(seconds=1)
    found = [batch("1", views=600), batch("2", views=600), batch("3", paid=999)]
    assert found == ["cancelled"] * 3
    assert batch("4", paid=1) is None
    rehearsed = tracker.journeys.rehearse([draft], since=clock.now() - HOUR).journeys[0]
    assert (rehearsed.entered, rehearsed.skipped) == (1, {"cancelled": 3})
    assert tracker.records.event(paid.event_id).withdrew == ()


def test_one_event_of_a_batch_keeps_each_late_entry_from_being_made():
    clock = FixedClock()
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    rule = {"event": "paid", "same": ["/event/cart"]}
    tracker.journeys.publish([a_journey("cart", cancelOn=[rule])])
    late = (clock.now() - HOUR).isoformat()
    requests = [a_request("paid", data={"cart": "A"})]
    requests += [a_request(occurredAt=late, data={"cart": cart}) for cart in "ABA"]
    receipts = tracker.track_many([(each, f"{n}") for n, each in enumerate(requests)])
    assert [receipt.enrolled_journeys for receipt in receipts] == [0, 0, 1, 0]


RULES = [{"event": "paid", "same": ["/event/cart"]}]


def late_carts(clock, storage):
    """Record that A was paid, then late events of A and B; return their ids, by cart."""
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.journeys.publish([a_journey("cart", cancelOn=RULES)])
    tracker.track(a_request("paid", data={"cart": "A"}), "paid")
    late = (clock.now() - HOUR).isoformat()
    clock.advance(hours=9)
    ids = {
        name: tracker.track(a_request(occurredAt=late, data={"cart": name}), name).event_id
        for name in "AB"
    }
    return tracker, ids


def told(tracker, event_id, **how):
    (explained,) = tracker.records.explain(event_id, **how).journeys
    return explained.outcome, explained.reason, explained.cancelling.met


def test_an_event_whose_canceller_is_gone_is_explained_by_what_was_recorded(clock, storage):
    tracker, ids = late_carts(clock, storage)
    before = {name: told(tracker, ids[name]) for name in "AB"}
    assert before == {"A": ("skipped", "cancelled", False), "B": ("enrolled", None, True)}
    tracker.people.retain(events=8 * HOUR)
    assert {name: told(tracker, ids[name]) for name in "AB"} == before
    (explained,) = tracker.records.explain(ids["A"]).journeys
    assert explained.cancelling.cancelled_by is None
    for event in tracker.records.why("alex@example.com", journey_id="cart").events:
        (outcome,) = event.outcomes
        assert outcome.explained.reason == outcome.outcome.reason


def test_it_is_open_whether_a_draft_would_have_been_cancelled_by_what_is_gone(clock, storage):
    tracker, ids = late_carts(clock, storage)
    tracker.people.retain(events=8 * HOUR)
    drafts = [
        a_journey("cart", cancelOn=RULES, name="Other"),
        a_journey("another", cancelOn=[{"event": "lost"}]),
    ]
    for name in "AB":
        assert told(tracker, ids[name], journeys=drafts[:1]) == ("enrolled", None, None)
        assert told(tracker, ids[name], journeys=drafts[1:]) == ("enrolled", None, True)
    tracker.journeys.publish(drafts)
    assert told(tracker, ids["A"], journey_id="cart") == ("enrolled", None, None)
    rehearsed = tracker.journeys.rehearse(drafts, since=clock.now() - HOUR).journeys
    assert [(each.entered, each.unclear) for each in rehearsed] == [(2, 0), (2, 2)]


def test_what_is_gone_cancels_no_request_and_no_later_event(clock, storage):
    tracker, _ = late_carts(clock, storage)
    tracker.people.retain(events=8 * HOUR)
    late = a_request(occurredAt=(clock.now() - 10 * HOUR).isoformat(), data={"cart": "A"})
    (explained,) = tracker.explain(late).journeys
    assert (explained.outcome, explained.cancelling.met) == ("enrolled", True)
    assert told(tracker, tracker.track(late, "late").event_id) == ("enrolled", None, True)


def test_an_event_whose_values_were_erased_is_explained_by_what_was_recorded(clock, storage):
    tracker, ids = late_carts(clock, storage)
    tracker.people.erase(tracker.records.event(ids["A"]).profile_id)
    assert told(tracker, ids["A"]) == ("skipped", "cancelled", False)
    assert told(tracker, ids["B"]) == ("enrolled", None, True)
    draft = a_journey("cart", cancelOn=RULES, name="Other")
    assert told(tracker, ids["A"], journeys=[draft]) == ("enrolled", None, None)
    whatever = a_journey("cart", cancelOn=[{"event": "lost"}])
    assert told(tracker, ids["A"], journeys=[whatever]) == ("enrolled", None, True)


def test_a_storage_that_forgets_nothing_has_nothing_that_is_gone(clock):
    tracker, ids = late_carts(clock, Without("retention"))
    assert told(tracker, ids["B"]) == ("enrolled", None, True)

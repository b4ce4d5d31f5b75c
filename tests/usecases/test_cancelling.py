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

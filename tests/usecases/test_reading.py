"""What is read is in the promised order, whatever order a store answers in."""

from __future__ import annotations

from segmentflow_core import Journeys, Tracker
from segmentflow_core.api_keys import ApiKeys
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_memory import MemoryStorage


class Shuffled:
    """A transaction, or a part of one, whose lists are sorted by nothing anyone asked for."""

    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        found = getattr(self._inner, name)
        if not callable(found):
            return Shuffled(found)
        if name != "list":
            return found
        return lambda *args: sorted(found(*args), key=lambda record: hash(repr(record)))


class ShufflingStorage(MemoryStorage):
    def __init__(self):
        super().__init__()
        self.reads_only = []

    def run(self, work, *, reads_only=False):
        self.reads_only.append(reads_only)
        return super().run(lambda transaction: work(Shuffled(transaction)))


def test_every_list_is_sorted_by_id():
    storage = ShufflingStorage()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=FixedClock())
    keys = ApiKeys(storage)
    tracker.journeys.publish([a_journey(name) for name in "dbcae"])
    for number in range(5):
        tracker.track(a_request(), str(number))
        keys.create(["events:write"])
    for found, newest_first in (
        ([event.event_id for event in tracker.records.events()], True),
        ([entry.enrollment_id for entry in tracker.enrollments.list()], True),
        ([key.key_id for key in keys.list()], True),
        ([journey.journey_id for journey in tracker.journeys.list()], False),
    ):
        assert len(found) >= 5
        assert found == sorted(found, reverse=newest_first)


def test_a_storage_is_told_which_work_only_reads():
    storage = ShufflingStorage()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=FixedClock())
    keys = ApiKeys(storage)
    journeys = [a_journey(reentry={"policy": "once"})]
    tracker.journeys.publish(journeys)
    receipt = tracker.track(a_request(), "1")
    (claimed,) = tracker.enrollments.claim()
    tracker.enrollments.complete(claimed.lease)
    tracker.records.purge_keys()
    tracker.records.check_writes()
    created = keys.create(["events:write"])
    assert storage.reads_only == [False] * len(storage.reads_only)
    storage.reads_only.clear()
    tracker.records.event(receipt.event_id)
    tracker.records.events()
    tracker.records.profile(receipt.profile_id)
    tracker.records.explain(receipt.event_id)
    tracker.explain(a_request())
    tracker.enrollments.list()
    tracker.enrollments.get(claimed.enrollment.enrollment_id)
    tracker.journeys.list()
    tracker.journeys.get("welcome", 1)
    tracker.journeys.publish([a_journey(name="Other")], dry_run=True)
    tracker.journeys.rehearse(journeys, since=FixedClock().now())
    keys.list()
    assert storage.reads_only == [True] * len(storage.reads_only)
    storage.reads_only.clear()
    keys.authenticate(created.secret, "events:write")
    assert storage.reads_only == [True, False]


def test_publishing_tells_new_versions_from_new_statuses():
    told = []

    class Listening(MemoryStorage):
        def run(self, work, *, reads_only=False):
            return super().run(lambda transaction: work(Told(transaction)), reads_only=reads_only)

    class Told:
        def __init__(self, inner):
            self.journeys = self
            self.list = inner.journeys.list
            self._publish = inner.journeys.publish

        def publish(self, organization_id, versions, statuses):
            told.append([[journey.journey_id for journey in each] for each in (versions, statuses)])
            self._publish(organization_id, versions, statuses)

    journeys = Journeys(Listening())
    journeys.publish([a_journey("b"), a_journey("a"), a_journey("c")])
    journeys.publish([a_journey("c", status="paused"), a_journey("a", name="A2"), a_journey("b")])
    journeys.publish([a_journey("b", status="paused"), a_journey("a", name="A2", status="draft")])
    journeys.publish([a_journey("b", status="paused")])
    assert told == [[["a", "b", "c"], []], [["a"], ["c"]], [[], ["a", "b"]]]

"""Pausing and archiving: which eras begin, what is refused, what is told, whose rows follow."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from journey_shop import a_shop
from segmentflow_core import AsyncJourneys, EnrollmentStatus, Journeys, People
from segmentflow_core.errors import ConfigurationError, NotFound
from segmentflow_core.testing import a_journey, a_request
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage

MINUTE = timedelta(minutes=1)


@pytest.fixture
def tracker(storage, clock):
    return a_shop(storage, clock)


def enter(tracker, count):
    """Let that many people enter the Journey."""
    for _ in range(count):
        tracker.sent = getattr(tracker, "sent", 0) + 1
        tracker.track(a_request(), f"key {tracker.sent}")


def statuses(tracker):
    return [str(each.status) for each in tracker.enrollments.list()][::-1]


# --- eras -----------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("published", "era"),
    [
        (["active"], 0),
        (["archived"], 0),
        (["active", "draft", "paused", "active"], 0),
        (["active", "archived", "archived"], 1),
        (["draft", "archived", "paused"], 1),
        (["active", "archived", "active", "archived", "active"], 2),
    ],
)
def test_an_era_begins_whenever_a_journey_is_archived(storage, clock, published, era):
    """Whatever it was before, and whether a version is published with it or not."""
    journeys = Journeys(storage, clock=clock)
    for number, status in enumerate(published):
        clock.advance(seconds=1)
        versions = {"a": "same", "b": f"version {number}"}
        journeys.publish([a_journey(i, status=status, name=n) for i, n in versions.items()])
    for journey in journeys.list():
        assert (journey.era, journey.archived_at is not None) == (era, era > 0)
    assert [journey.version for journey in journeys.list()] == [1, len(published)]


def test_each_archiving_withdraws_what_waits_then(tracker):
    seen = []
    for _ in range(3):
        enter(tracker, 1)
        seen.append(statuses(tracker))
        tracker.journeys.archive("welcome")
        tracker.journeys.activate("welcome")
    assert seen == [[*["withdrawn"] * n, "pending"] for n in range(3)]
    assert tracker.enrollments.claim() == []


# --- what is told ---------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("call", "status"), [("pause", "paused"), ("activate", "active"), ("archive", "archived")]
)
@pytest.mark.parametrize("colour", ["sync", "async"])
def test_a_change_of_status_is_told_and_recorded_as_a_publication_is(
    storage, tracker, colour, call, status
):
    if call == "activate":
        tracker.journeys.pause("welcome")
    before = len(tracker.records.audit())

    def change(**how):
        if colour == "sync":
            return getattr(Journeys(storage), call)("welcome", **how)
        shared = AsyncJourneys(AsyncMemoryStorage(storage))
        return asyncio.run(getattr(shared, call)("welcome", **how))

    done = change(by="ops")
    assert (done.change, done.changed) == ("new_status", ("/status",))
    assert done.journey == tracker.journeys.get("welcome")
    assert done.journey.definition.status == status
    assert change().change == "unchanged"
    records = tracker.records.audit()
    assert len(records) == before + 1
    (record,) = [each for each in records if each.by == "ops"]
    assert (record.action, record.subjects) == ("journeys_published", ("welcome",))
    assert record.counts == {"created": 0, "newVersions": 0, "newStatuses": 1}


@pytest.mark.parametrize("call", ["pause", "activate", "archive"])
def test_what_is_not_there_is_not_found(tracker, call):
    for wrong in ({"organization_id": "acme"}, {"journey_id": "other"}):
        with pytest.raises(NotFound):
            getattr(tracker.journeys, call)(**{"journey_id": "welcome", **wrong})
    for wrong in ({"by": 7}, {"organization_id": ""}):
        with pytest.raises(ConfigurationError):
            getattr(tracker.journeys, call)(**{"journey_id": "welcome", **wrong})


# --- rows that follow -------------------------------------------------------------------------


@pytest.mark.parametrize("colour", ["sync", "async"])
def test_rows_follow_as_many_as_asked_for_and_say_so(storage, tracker, colour):
    enter(tracker, 7)
    tracker.journeys.archive("welcome")

    def finish(**how):
        if colour == "sync":
            return Journeys(storage).finish_archiving(**how)
        return asyncio.run(AsyncJourneys(AsyncMemoryStorage(storage)).finish_archiving(**how))

    told = []
    done = [finish(at_most=count, on_progress=told.append) for count in (2, 3)]
    assert done == told == [2, 3]
    assert [finish(), finish()] == [2, 0]
    with pytest.raises(ConfigurationError):
        finish(at_most=0)


def test_rows_follow_in_batches(tracker, storage, monkeypatch):
    """Between them whoever waits to write gets to it, where the storage says it might not."""
    monkeypatch.setattr("segmentflow_core.archiving._AT_ONCE", 3)
    rests = []
    storage.rest = lambda: rests.append(True)
    enter(tracker, 7)
    tracker.journeys.archive("welcome")
    told = []
    assert Journeys(storage).finish_archiving(on_progress=told.append) == 7
    assert (told, len(rests)) == ([3, 6, 7], 2)


def test_entries_are_counted_over_eras_and_however_they_were_withdrawn(tracker, clock):
    """The Journey lets two in; an archiving, a host and an event each withdraw what entered."""
    limit = {"policy": "at_most", "times": 2, "within": "PT1H"}
    again = a_journey(reentry=limit, cancelOn=[{"event": "other"}])
    tracker.journeys.publish([again])
    enter(tracker, 1)
    tracker.journeys.archive("welcome")
    tracker.journeys.activate("welcome")
    enter(tracker, 2)
    assert statuses(tracker) == ["withdrawn", "pending"]
    tracker.enrollments.withdraw(tracker.enrollments.list()[0].enrollment_id)
    tracker.track(a_request("other"), "other")
    enter(tracker, 1)
    assert statuses(tracker) == ["withdrawn", "withdrawn"]
    reasons = [o.reason for event in tracker.records.events() for o in event.outcomes]
    assert reasons == ["limit_reached", "limit_reached", None, None]
    clock.advance(hours=1)
    enter(tracker, 1)
    assert [(e.status, e.era) for e in tracker.enrollments.list(limit=1)] == [("pending", 1)]


def test_a_delay_goes_on_while_its_journey_is_paused(tracker, clock):
    """It is over when it is over; the pause holds up what is available."""
    tracker.journeys.publish([a_journey(delay="PT1H")])
    enter(tracker, 2)
    (first, second) = (each.enrollment_id for each in tracker.enrollments.list())
    tracker.journeys.pause("welcome")
    assert tracker.enrollments.withdraw(first).status == "withdrawn"
    clock.advance(minutes=59)
    tracker.journeys.activate("welcome")
    assert tracker.enrollments.claim() == []
    tracker.journeys.pause("welcome")
    clock.advance(minutes=1)
    assert tracker.enrollments.claim() == []
    tracker.journeys.activate("welcome")
    assert [each.enrollment.enrollment_id for each in tracker.enrollments.claim()] == [second]


def test_suppressing_withdraws_what_an_archiving_has_not(tracker):
    """What was withdrawn keeps the time it was withdrawn at."""
    tracker.journeys.publish([a_journey("other")])
    enter(tracker, 2)
    tracker.journeys.archive("welcome")
    before = tracker.enrollments.list(status=EnrollmentStatus.WITHDRAWN)
    done = tracker.people.suppress("alex@example.com")
    assert done.withdrawn == 2
    tracker.journeys.finish_archiving()
    kept = {each.enrollment_id for each in before}
    assert [e for e in tracker.enrollments.list() if e.enrollment_id in kept] == before


def test_stats_count_nothing_as_waiting_that_an_archiving_withdrew(tracker, clock):
    enter(tracker, 3)
    tracker.enrollments.claim(limit=1, lease=MINUTE)
    tracker.journeys.pause("welcome")
    (paused,) = tracker.journeys.stats().journeys
    assert (paused.status, paused.waiting) == ("paused", 2)
    tracker.journeys.archive("welcome")
    clock.advance(minutes=2)
    (archived,) = tracker.journeys.stats().journeys
    assert (archived.waiting, archived.oldest_waiting) == (0, None)
    assert archived.enrollments[EnrollmentStatus.WITHDRAWN] == 2


# --- a storage that cannot ------------------------------------------------------------------


class Plain(MemoryStorage):
    """A storage without `pausing`."""

    def run(self, work, *, reads_only=False):
        return super().run(lambda t: work(PlainTransaction(t)), reads_only=reads_only)


class PlainTransaction:
    def __init__(self, inner):
        self._inner = inner

    def __getattr__(self, name):
        if name == "pausing":
            raise AttributeError(name)
        return getattr(self._inner, name)


def test_a_storage_that_cannot_pause_says_so_and_publishes_and_forgets_all_the_same():
    storage = Plain()
    journeys = Journeys(storage)
    journeys.publish([a_journey()])
    for call in (
        lambda: journeys.pause("welcome"),
        lambda: journeys.archive("welcome"),
        journeys.finish_archiving,
    ):
        with pytest.raises(ConfigurationError, match="can neither pause nor archive"):
            call()
    assert journeys.publish([a_journey(status="paused")])[0].change == "new_status"
    assert People(storage).retain(events=MINUTE).events == 0

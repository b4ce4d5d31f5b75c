"""What Journeys did in a period, counted from rows, in both colours."""

from __future__ import annotations

import asyncio
from datetime import timedelta

import pytest

from journey_shop import LARGE, WELCOME, a_shop, order
from segmentflow_core import AsyncJourneys, EnrollmentStatus, Journeys, SkipReason
from segmentflow_core.errors import ConfigurationError, NotFound
from segmentflow_core.testing import FixedClock, a_journey
from segmentflow_core.usecases import paging
from segmentflow_core.wire import journey_stats_document
from segmentflow_memory import AsyncMemoryStorage

DAY = timedelta(days=1)


@pytest.fixture
def tracker(storage, clock):
    return a_shop(storage, clock, WELCOME, LARGE)


@pytest.fixture(params=["sync", "async"])
def count(request, storage, clock):
    """Count in either colour."""
    if request.param == "sync":
        return Journeys(storage, clock=clock).stats
    stats = AsyncJourneys(AsyncMemoryStorage(storage), clock=clock).stats
    return lambda *args, **kwargs: asyncio.run(stats(*args, **kwargs))


def by_id(stats):
    return {counts.journey_id: counts for counts in stats.journeys}


def known(counts):
    return {name: count for name, count in counts.items() if count}


def test_outcomes_and_entries_of_the_period_are_counted(count, tracker, clock):
    order(tracker, clock, 0)
    clock.advance(days=10)
    started = clock.now()
    order(tracker, clock, 1)
    order(tracker, clock, 2, total=30)
    suppressed = order(tracker, clock, 3, total=None).profile_id
    tracker.people.suppress(suppressed)
    order(tracker, clock, 3.5, email="3@example.com")
    (claimed,) = tracker.enrollments.claim(journey_id="large", limit=1)
    tracker.enrollments.complete(claimed.lease)
    clock.advance(seconds=1)
    stats = count(since=started)
    assert (stats.since, stats.until, stats.at) == (started, clock.now(), clock.now())
    assert (stats.events, stats.cut, stats.waiting_cut) == (4, False, False)
    large, welcome = stats.journeys
    assert (welcome.name, welcome.status) == ("Welcome", "active")
    assert (welcome.matched, welcome.enrolled) == (4, 3)
    assert welcome.skipped == {SkipReason.SUPPRESSED: 1}
    assert list(welcome.enrollments) == list(EnrollmentStatus)
    assert known(welcome.enrollments) == {"pending": 2, "withdrawn": 1}
    # The oldest that waits is from before the period, and is counted all the same.
    assert (welcome.waiting, welcome.oldest_waiting) == (3, started - 10 * DAY)
    assert (large.matched, large.enrolled) == (4, 1)
    assert large.skipped == {
        SkipReason.SUPPRESSED: 1,
        SkipReason.CONDITION_NOT_MET: 1,
        SkipReason.CONDITION_UNKNOWN: 1,
    }
    assert next(iter(large.skipped)) is SkipReason.SUPPRESSED
    # The one that was claimed and completed is the oldest, of before the period.
    assert known(large.enrollments) == {"pending": 1}


def test_each_day_that_matched_anything_has_its_counts(count, tracker, clock):
    begun = clock.now()
    order(tracker, clock, 1)
    order(tracker, clock, 2, total=30)
    clock.advance(days=2)
    order(tracker, clock, 3, total=30)
    clock.advance(seconds=1)
    large = by_id(count(since=begun))["large"]
    first, last = large.days
    assert (first.day, last.day) == (begun.date(), (begun + 2 * DAY).date())
    assert (first.enrolled, first.skipped) == (1, {SkipReason.CONDITION_NOT_MET: 1})
    assert (last.enrolled, last.skipped) == (0, {SkipReason.CONDITION_NOT_MET: 1})
    assert by_id(count(until=begun))["large"].days == ()


def test_one_journey_is_counted_alone(count, tracker, clock):
    order(tracker, clock, 1)
    clock.advance(seconds=1)
    (counts,) = count("large").journeys
    assert (counts.journey_id, counts.enrolled, counts.waiting) == ("large", 1, 1)
    with pytest.raises(NotFound):
        count("unheard-of")
    with pytest.raises(NotFound):
        count("\0")
    with pytest.raises(NotFound):
        count("large", organization_id="acme")


def test_the_period_is_the_last_seven_days_unless_it_is_given(count, tracker, clock):
    first = clock.now() + timedelta(hours=1)
    order(tracker, clock, 1)
    clock.advance(days=7)
    order(tracker, clock, 2)
    clock.advance(seconds=1)
    stats = count()
    assert (stats.until - stats.since, stats.events) == (7 * DAY, 1)
    early = count(until=first + DAY)
    assert (early.since, early.events) == (first + DAY - 7 * DAY, 1)
    # Its end is not in it.
    assert count(until=first).events == 0
    assert count(since=first, until=first + timedelta(microseconds=1)).events == 1


def test_a_claim_waits_again_once_its_lease_has_run_out(count, tracker, clock):
    order(tracker, clock, 1, total=1)

    def waiting():
        counts = by_id(count())["welcome"]
        return counts.waiting, counts.oldest_waiting

    entered = clock.now()
    assert waiting() == (1, entered)
    (claimed,) = tracker.enrollments.claim(lease=timedelta(minutes=5))
    assert waiting() == (0, None)
    clock.advance(minutes=6)
    assert waiting() == (1, entered + timedelta(minutes=5))
    tracker.enrollments.release(claimed.lease, delay=timedelta(hours=1))
    # It rests: it waits, and nobody is late.
    assert waiting() == (1, None)


def test_only_so_many_rows_are_looked_at_and_the_answer_says_so(count, tracker, clock):
    moments = []
    for number in range(5):
        order(tracker, clock, number)
        moments.append(clock.now())
    clock.advance(seconds=1)
    whole = count(at_most=10)
    assert (whole.cut, whole.waiting_cut, whole.events) == (False, False, 5)
    # Of ten Enrollments the newest four: those of two events.
    cut = count(at_most=4)
    assert (cut.cut, cut.waiting_cut, cut.since) == (True, True, moments[3])
    assert cut.events == 2
    welcome = by_id(cut)["welcome"]
    assert (welcome.matched, sum(welcome.enrollments.values())) == (2, 2)
    one = count("welcome", at_most=4)
    assert (one.cut, one.since, one.events) == (True, moments[1], 4)
    assert count("welcome", at_most=5).cut is False
    # What is newer than the period is looked at as well.
    nothing = count(until=moments[0], at_most=1)
    assert (nothing.cut, nothing.since, nothing.events) == (True, moments[0], 0)


def test_events_are_counted_page_by_page(count, tracker, clock, monkeypatch):
    monkeypatch.setattr(paging, "PAGE", 2)
    for number in range(5):
        order(tracker, clock, number, total=1)
    clock.advance(seconds=1)
    stats = count()
    assert (stats.events, by_id(stats)["welcome"].waiting, stats.cut) == (5, 5, False)
    assert count(since=clock.now() - timedelta(hours=2)).events == 2
    assert count(at_most=3).events == 3


def test_events_that_no_journey_enrols_are_cut_too(count, tracker, clock):
    tracker.journeys.publish([a_journey(status="paused"), a_journey("large", status="paused")])
    for number in range(3):
        order(tracker, clock, number)
    newest = clock.now()
    clock.advance(seconds=1)
    stats = count(at_most=1)
    assert (stats.cut, stats.waiting_cut, stats.since, stats.events) == (True, False, newest, 1)


@pytest.mark.parametrize(
    "arguments",
    [
        {"at_most": 0},
        {"at_most": 100_001},
        {"since": "yesterday"},
        {"until": FixedClock().now().replace(tzinfo=None)},
        {"since": FixedClock().now() + DAY, "until": FixedClock().now()},
        {"organization_id": ""},
    ],
)
def test_an_argument_that_breaks_its_rule_is_refused(count, arguments):
    with pytest.raises(ConfigurationError):
        count(**arguments)


def test_a_store_that_finds_nothing_counts_as_well(count, storage, tracker, clock):
    order(tracker, clock, 1)
    clock.advance(seconds=1)
    vars(storage._transaction).pop("finding")
    assert count("welcome").events == 1


def test_it_is_written_as_json(tracker, clock):
    order(tracker, clock, 1, total=30)
    clock.advance(seconds=90)
    document = journey_stats_document(tracker.journeys.stats("large"))
    moments = (document.pop("since"), document.pop("until"))
    assert moments == ("2026-05-25T13:01:30.123456Z", "2026-06-01T13:01:30.123456Z")
    (counts,) = document.pop("journeys")
    assert document == {"cut": False, "events": 1, "waitingCut": False}
    nothing = dict.fromkeys(EnrollmentStatus, 0)
    assert counts == {
        "journeyId": "large",
        "name": "Large",
        "status": "active",
        "matched": 1,
        "enrolled": 0,
        "skipped": {"condition_not_met": 1},
        "enrollments": nothing,
        "waiting": 0,
        "oldestWaitingAt": None,
        "oldestWaitingSeconds": None,
    }
    (welcome,) = journey_stats_document(tracker.journeys.stats("welcome"))["journeys"]
    assert welcome["oldestWaitingAt"] == "2026-06-01T13:00:00.123456Z"
    assert welcome["oldestWaitingSeconds"] == 90

"""Rehearsing a draft: whom it would have let in, had it been published before."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drawn import TOTAL_OF_40, a_file, definitions, sendings, sent, where
from segmentflow_core import AsyncTracker, Tracker
from segmentflow_core.arguments import checked_definitions
from segmentflow_core.colour import drive
from segmentflow_core.domain.instant import format_instant
from segmentflow_core.domain.rehearsal import Rehearsal
from segmentflow_core.errors import (
    ConfigurationError,
    InvalidJourney,
    NotFound,
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
from segmentflow_core.usecases.rehearse import Rehearsing
from segmentflow_core.wire import rehearsal_document
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage


def test_both_colours_explain_and_rehearse_alike(tracker, storage, clock):
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

    dry_run, stored, rehearsal, silent = asyncio.run(with_async())
    assert dry_run == tracker.explain(DOCUMENTED_REQUEST)
    assert stored == tracker.records.explain(receipt.event_id)
    assert rehearsal == silent == tracker.journeys.rehearse(a_file(a_journey()), since=since)
    assert steps == [(0, 1), (1, 1)]


@given(st.lists(definitions, min_size=1, max_size=2), sendings, st.integers(1, 4))
def test_a_rehearsal_agrees_with_having_published_the_draft_before(definitions, sendings, page):
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
    rehearsal = rehearsed(unpublished, drafts, start, page=page)
    for journey in rehearsal.journeys:
        outcomes = expected[journey.journey_id]
        entered = [who for who, outcome in outcomes if outcome.outcome == "enrolled"]
        assert journey.matched == len(outcomes)
        assert (journey.entered, journey.profiles) == (len(entered), len(set(entered)))
        reasons = [outcome.reason for _, outcome in outcomes if outcome.reason]
        assert journey.skipped == {reason: reasons.count(reason) for reason in set(reasons)}
        # Nobody claims meanwhile: without a delay, somebody might have.
        gone = published.enrollments.list(journey_id=journey.journey_id, status="withdrawn")
        is_delayed = any(d["id"] == journey.journey_id and "delay" in d for d in drafts)
        assert journey.withdrawn == (len(gone) if is_delayed else 0)


def rehearsed(
    tracker: Tracker,
    drafts: Any,
    since: datetime,
    page: int,
    meanwhile: Any = lambda: None,
) -> Rehearsal:
    """Rehearse with small pages, doing something else between them."""
    definitions = checked_definitions(drafts)
    journeys = tuple(filter(listens, drafts_of(definitions, since)))
    rehearsing = Rehearsing("default", journeys, since, None, page)
    for read in rehearsing.reads():
        rehearsing.fold(drive(tracker._calls.run(read)))
        meanwhile()
    return rehearsing.result()


def test_a_period_may_be_of_when_events_occurred(tracker, clock):
    """History that was imported was received at once, and in any order."""
    now, day = clock.now(), timedelta(days=1)
    for number, occurred in enumerate([now - 40 * day, now - 3 * day, now - 20 * day, now + day]):
        request = a_request(occurredAt=format_instant(occurred))
        tracker.track(request, f"{number}")
    once = a_file(a_journey(reentry={"policy": "once"}))
    for since, until, events in (
        (now - 30 * day, None, 3),
        (now - 30 * day, now, 2),
        (now - 40 * day, now - 3 * day, 2),
        (now, None, 1),
    ):
        rehearsal = tracker.journeys.rehearse(once, since=since, until=until, by_occurrence=True)
        (journey,) = rehearsal.journeys
        assert (rehearsal.events, journey.matched, journey.entered) == (events, events, 1)
        assert rehearsal.by_occurrence
    assert tracker.journeys.rehearse(once, since=now - 30 * day, until=now).events == 0
    clock.advance(hours=1)
    assert tracker.journeys.rehearse(once, since=clock.now(), by_occurrence=True).events == 0


def test_a_rehearsal_counts_who_would_have_entered_and_why_others_would_not(tracker, clock):
    since = clock.now()
    for number, total in enumerate([39, 40, 41, "40"]):
        request = a_request(profile={"email": f"p{number % 2}@example.com"}, data={"total": total})
        tracker.track(request, f"{number}")
        clock.advance(hours=1)
    tracker.track(a_request("order.paid"), "paid")
    draft = a_journey(**where(TOTAL_OF_40), status="draft")
    assert rehearsal_document(tracker.journeys.rehearse(a_file(draft), since=since)) == {
        "since": "2026-06-01T12:00:00.123456Z",
        "until": None,
        "byOccurrence": False,
        "events": 5,
        "journeys": [
            {
                "journeyId": "welcome",
                "name": "Welcome",
                "event": "order.created",
                "matched": 4,
                "entered": 2,
                "profiles": 2,
                "skipped": {"condition_not_met": 1, "condition_unknown": 1},
                "withdrawn": 0,
                "unclear": 0,
            }
        ],
    }


def test_a_rehearsal_takes_the_events_of_its_period(tracker, clock):
    start = clock.now()
    for number in range(4):
        tracker.track(a_request(), f"{number}")
        clock.advance(hours=1)
    since, until = start + timedelta(hours=1), start + timedelta(hours=3)
    rehearsal = tracker.journeys.rehearse(a_file(a_journey()), since=since, until=until)
    assert (rehearsal.events, rehearsal.journeys[0].entered) == (2, 2)
    assert rehearsal_document(rehearsal)["until"] == "2026-06-01T15:00:00.123456Z"
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


def test_what_is_tracked_while_a_rehearsal_runs_is_left_out(tracker, clock):
    since = clock.now()
    for number in range(7):
        tracker.track(a_request(), f"{number}")
    tracked = iter(range(100, 200))

    def track_one() -> None:
        tracker.track(a_request(), f"{next(tracked)}")

    rehearsal = rehearsed(tracker, a_file(a_journey()), since, 2, track_one)
    assert (rehearsal.events, rehearsal.journeys[0].entered) == (7, 7)


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

    rehearsal = rehearsed(tracker, a_file(a_journey()), since, 2, meanwhile)
    assert rehearsal.journeys[0].entered == 6


def test_a_rehearsal_tells_how_far_it_is(tracker, clock):
    since = clock.now()
    tracker.track_many([(a_request(), f"{number}") for number in range(1001)])
    steps: list[tuple[int, int | None]] = []
    tracker.journeys.rehearse(
        a_file(a_journey()), since=since, on_progress=lambda *step: steps.append(step)
    )
    assert steps == [(0, None), (0, None), (0, 1001), (1, 1001), (501, 1001), (1001, 1001)]


def test_a_rehearsal_needs_instants_and_drafts_that_are_right(tracker, clock):
    naive = clock.now().replace(tzinfo=None)
    with pytest.raises(ConfigurationError, match="since"):
        tracker.journeys.rehearse([], since=naive)
    with pytest.raises(ConfigurationError, match="until"):
        tracker.journeys.rehearse([], since=clock.now(), until=naive)
    with pytest.raises(ConfigurationError, match="organization_id"):
        tracker.journeys.rehearse([], since=clock.now(), organization_id="")
    with pytest.raises(InvalidJourney):
        tracker.journeys.rehearse([{}], since=clock.now())


def test_a_rehearsal_that_has_read_nothing_has_no_total():
    assert Rehearsing("default", (), FixedClock().now(), None).total is None


def test_events_that_wait_for_one_that_has_gone_are_judged_all_the_same(tracker, storage, clock):
    """Later numbers wait for an earlier one that was there when the period was surveyed."""
    since = clock.now()
    receipts = [tracker.track(a_request(), f"{number}") for number in range(3)]
    gone = receipts[0].event_id
    # One full page and one that is not: then the period is known, and its oldest event goes.
    moments = iter([False, True])

    def take_away_the_oldest() -> None:
        if next(moments, False):
            tables = storage._tables
            tables.events.rows.pop(("default", gone))
            tables.event_order._ids["default"].remove(gone)

    rehearsal = rehearsed(tracker, a_file(a_journey()), since, 2, take_away_the_oldest)
    assert rehearsal.journeys[0].entered == 2


PEOPLE = [f"{letter}@x.org" for letter in "abcd"]
DONE_TO_PEOPLE = st.lists(
    st.tuples(st.just("track"), st.sampled_from(PEOPLE), st.sampled_from("12"))
    | st.tuples(st.just("merge"), st.sampled_from(PEOPLE), st.sampled_from(PEOPLE))
    | st.tuples(st.sampled_from(["suppress", "unsuppress"]), st.sampled_from(PEOPLE), st.none()),
    max_size=25,
)
EACH_POLICY = [
    a_journey("once", reentry={"policy": "once"}),
    a_journey("per-order", reentry={"policy": "once_per_key", "key": "/event/orderId"}),
    a_journey("cooldown", reentry={"policy": "cooldown", "duration": "PT3H"}),
    a_journey("at-most", reentry={"policy": "at_most", "times": 2, "within": "PT5H"}),
    a_journey("cancelled", cancelOn=[{"event": "order.created", "same": ["/event/orderId"]}]),
]


def live(tracker, clock, done, since=0):
    """Do things to people, one an hour; return the outcomes of the events from some hour on."""
    tracker.journeys.publish(EACH_POLICY)
    outcomes = {}
    known = {
        who: tracker.track(a_request("founded", profile={"email": who}), who) for who in PEOPLE
    }
    assert len(known) == len(PEOPLE)
    for hour, (verb, who, other) in enumerate(done):
        if verb == "track":
            request = a_request(profile={"email": who}, data={"orderId": other})
            receipt = tracker.track(request, f"{hour}")
            if hour >= since:
                for outcome in tracker.records.event(receipt.event_id).outcomes:
                    outcomes.setdefault(outcome.journey_id, []).append(outcome.reason)
        else:
            getattr(tracker.people, verb)(*(word for word in (who, other) if word is not None))
        clock.advance(hours=1)
    return outcomes


def counted(reasons):
    return {reason: reasons.count(reason) for reason in {*reasons} - {None}}


@given(DONE_TO_PEOPLE, st.integers(1, 5), st.integers(0, 10), st.integers(0, 2**16))
def test_a_rehearsal_of_merged_people_agrees_with_what_was_decided(done, page, since, seed):
    """However their ids are ordered, which says when each event is read."""
    clock, order = FixedClock(), list(range(1, 500))
    if seed:
        # Reading ends with a page before the period: it is longer than neighbours are apart.
        page = max(page, 3)
        # Neighbours change places, as the ids of callers at once do.
        for place in range(0, len(order) - 4, 3):
            if seed >> (place % 16) & 1:
                order[place : place + 3] = order[place : place + 3][::-1]
    tracker = Tracker(
        MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock, ids=GivenIds(order)
    )
    start = clock.now()
    outcomes = live(tracker, clock, done, since)
    rehearsal = rehearsed(tracker, EACH_POLICY, start + timedelta(hours=since), page)
    for journey in rehearsal.journeys:
        reasons = outcomes.get(journey.journey_id, [])
        assert (journey.matched, journey.entered) == (len(reasons), reasons.count(None))
        assert journey.skipped == counted(reasons)


def test_an_event_after_a_merge_waits_for_an_earlier_one_of_who_went(storage, clock):
    """Its id is lower than that of an event of the other Profile, which was decided before."""
    # Two Profiles and their events, then the late one of the second, a merge, and one after it.
    ids = GivenIds([1, 2, 3, 4, 90, 50, 10])
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock, ids=ids)
    tracker.track(a_request("founded", profile={"email": "a@x.org"}), "1")
    tracker.track(a_request("founded", profile={"email": "b@x.org"}), "2")
    since = clock.now()
    late = tracker.track(a_request(profile={"email": "b@x.org"}), "3")
    tracker.people.merge("a@x.org", "b@x.org")
    after = tracker.track(a_request(profile={"email": "a@x.org"}), "4")
    assert after.event_id < late.event_id
    for page in (1, 2, 9):
        (once,) = rehearsed(tracker, EACH_POLICY[:1], since, page).journeys
        assert (once.entered, once.skipped) == (1, {"already_enrolled": 1})


def test_what_waits_for_an_event_of_who_went_that_has_gone_is_judged_all_the_same(storage, clock):
    ids = GivenIds([1, 2, 3, 4, 20, 90, 50, 10, 100, 101, 102])
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock, ids=ids)
    tracker.track(a_request("founded", profile={"email": "a@x.org"}), "1")
    tracker.track(a_request("founded", profile={"email": "b@x.org"}), "2")
    clock.advance(hours=1)
    since = clock.now()
    first = tracker.track(a_request(profile={"email": "b@x.org"}), "first of b")
    tracker.track(a_request(profile={"email": "b@x.org"}), "second of b")
    tracker.people.merge("a@x.org", "b@x.org")
    tracker.track(a_request(profile={"email": "a@x.org"}), "a")
    for key in ("other", "others"):
        tracker.track(a_request("other"), key)
    reads = iter(range(100))

    def take_away() -> None:
        # Four reads of two events, then the period is known.
        if next(reads) == 3:
            tables = storage._tables
            tables.events.rows.pop(("default", first.event_id))
            tables.event_order._ids["default"].remove(first.event_id)

    (once,) = rehearsed(tracker, EACH_POLICY[:1], since, 2, take_away).journeys
    assert (once.matched, once.entered, once.skipped) == (2, 1, {"already_enrolled": 1})


def test_the_events_of_an_erased_person_are_rehearsed_as_one_history(tracker, clock):
    since = clock.now()
    ids = [
        tracker.track(a_request(profile={"email": f"{n}@x.org"}), f"{n}").profile_id
        for n in range(2)
    ]
    tracker.people.merge(*ids)
    tracker.track(a_request(profile={"email": "1@x.org"}), "after")
    tracker.people.erase(ids[0])
    (once,) = tracker.journeys.rehearse(EACH_POLICY[:1], since=since).journeys
    assert (once.entered, once.skipped) == (2, {"already_enrolled": 1})


def test_a_rehearsal_asks_a_store_nothing_about_identities_that_no_event_shows(
    tracker, storage, clock
):
    since = clock.now()
    profile_id = tracker.track(DOCUMENTED_REQUEST, "key").profile_id
    tracker.people.erase(profile_id)
    asked = []

    def watched(read):
        def run(transaction):
            load = transaction.tracking.load
            transaction.tracking.load = lambda *intent: (asked.append(intent), load(*intent))[1]
            return drive(read(transaction))

        return run

    rehearsing = Rehearsing(
        "default", drafts_of(checked_definitions(EACH_POLICY), since), since, None
    )
    for read in rehearsing.reads():
        rehearsing.fold(storage.run(watched(read)))
    assert rehearsing.result().journeys[0].entered == 1
    assert asked == []


def test_a_rehearsal_counts_what_events_would_have_withdrawn_for_certain(tracker, clock):
    """Only before a worker could have had it; an entry without the values is never cancelled."""
    since = clock.now()
    for cart, minutes, paid in (("A", 59, "A"), ("B", 60, "B"), ("C", 1, "A"), (None, 1, None)):
        data = {} if cart is None else {"cart": cart}
        tracker.track(a_request(data=data), f"left {cart}")
        clock.advance(minutes=minutes)
        data = {} if paid is None else {"cart": paid}
        tracker.track(a_request("order.paid", data=data), f"paid {cart}")
    rules = [{"event": "order.paid", "same": ["/event/cart"]}]
    drafts = [
        a_journey("at-once", cancelOn=rules),
        a_journey("hour", cancelOn=rules, delay="PT1H"),
        a_journey("none", delay="PT1H"),
    ]
    for page in (1, 3, 100):
        found = rehearsed(tracker, drafts, since, page).journeys
        assert [(j.entered, j.withdrawn) for j in found] == [(4, 0), (4, 1), (4, 0)]
    late = a_request(data={"cart": "B"}, occurredAt=since.isoformat())
    tracker.track(late, "late")
    _, hour, none = rehearsed(tracker, drafts, since, 2).journeys
    assert (hour.entered, hour.skipped) == (4, {"cancelled": 1})
    assert (none.entered, none.skipped) == (5, {})


def test_an_entry_of_a_rehearsal_is_withdrawn_once_by_the_first_event_that_is_later(tracker, clock):
    since = clock.now()
    clock.advance(minutes=1)
    tracker.track(a_request(data={"cart": "A"}), "1")
    paid = a_request("order.paid", data={"cart": "A"})
    tracker.track({**paid, "occurredAt": since.isoformat()}, "2")
    rules = [{"event": "order.paid", "same": ["/event/cart"]}, {"event": "left"}]
    draft = a_journey("hour", cancelOn=rules, delay="PT1H")

    def withdrawn():
        (found,) = rehearsed(tracker, [draft], since, 100).journeys
        return found.withdrawn

    assert withdrawn() == 0
    tracker.track(paid, "3")
    tracker.track(a_request("left"), "4")
    assert withdrawn() == 1

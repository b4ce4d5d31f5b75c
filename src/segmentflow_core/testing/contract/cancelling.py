"""Enrollments that wait and are withdrawn by later events, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/cancelling.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from segmentflow_core import EnrollmentStatus
from segmentflow_core.colour import settle
from segmentflow_core.errors import LeaseLost
from segmentflow_core.ports import OTHERS_TOLD
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.callers import AtOnce, Client
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.comparing import exact
from segmentflow_core.testing.contract.overlaps import Hold
from segmentflow_core.testing.contract.reading import everything
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault

__all__ = ["CancellingContract", "CancellingRaceContract"]

_MINUTE: Final = timedelta(minutes=1)
_HOUR: Final = timedelta(hours=1)
_CART: Final = a_journey(
    "cart",
    trigger={"event": "cart.updated"},
    cancelOn=[{"event": "order.paid", "same": ["/event/cart"]}, {"event": "unsubscribed"}],
)


def _event(name: str, cart: str | None = None, who: str = "alex", **fields: Any) -> dict[str, Any]:
    profile = {"email": f"{who}@example.com"}
    data = {} if cart is None else {"cart": cart}
    return a_request(name, profile=profile, data=data, **fields)


def _statuses(tracker: Any) -> list[str]:
    """Return what became of the entries, in the order of their events."""
    found = tracker.enrollments.list(limit=1000)
    return [str(e.status) for e in sorted(found, key=lambda e: (e.event_number, e.journey_id))]


class CancellingContract:
    """What waits, what a later event withdraws, and what it spares, one test each."""

    def test_an_enrollment_waits_for_as_long_as_its_journey_says(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """From when its event happened, or was received if that is earlier."""
        tracker.journeys.publish([a_journey(delay="PT1H"), a_journey("at-once")])
        now = clock.now()
        due: dict[str, Any] = {}
        for name, occurred_at, available_at in (
            ("now", None, now + _HOUR),
            ("earlier", now - 20 * _MINUTE, now + 40 * _MINUTE),
            ("long-ago", now - 2 * _HOUR, now),
            ("later", now + _HOUR, now + _HOUR),
        ):
            times = {} if occurred_at is None else {"occurredAt": occurred_at.isoformat()}
            receipt = tracker.track(a_request(data={"n": name}, **times), name)
            due[receipt.event_id] = (name, available_at)
        entries = [e for e in tracker.enrollments.list() if e.journey_id == "welcome"]
        assert {e.event_id: (due[e.event_id][0], e.available_at) for e in entries} == due

        def claimed() -> list[str]:
            taken = tracker.enrollments.claim(journey_id="welcome")
            return sorted(due[c.enrollment.event_id][0] for c in taken)

        assert len(tracker.enrollments.claim(journey_id="at-once")) == 4
        assert claimed() == ["long-ago"]
        clock.advance(minutes=40, microseconds=-1)
        assert claimed() == ["long-ago"]
        clock.advance(microseconds=1)
        assert claimed() == ["earlier"]
        clock.advance(minutes=20)
        assert claimed() == ["earlier", "later", "long-ago", "now"]

    @needs("cancelling")
    def test_a_later_event_with_equal_values_withdraws_whatever_no_worker_holds(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """Pending, after a failure, dead and after its lease; what is completed stays so."""
        tracker.journeys.publish([_CART])
        ids: dict[str, str] = {}
        leases: dict[str, Any] = {}
        for way in ("ran out", "failed", "dead", "completed", "pending"):
            tracker.track(_event("cart.updated", "A"), way)
            ids[way] = tracker.enrollments.list(limit=1)[0].enrollment_id
            if way == "pending":
                continue
            (claimed,) = tracker.enrollments.claim(lease=_MINUTE)
            leases[way] = claimed.lease
            if way == "completed":
                tracker.enrollments.complete(claimed.lease)
            elif way == "failed":
                tracker.enrollments.release(claimed.lease, error="No.", delay=_HOUR)
            elif way == "dead":
                tracker.enrollments.release(claimed.lease, max_attempts=1)
        clock.advance(minutes=1)
        paid = tracker.track(_event("order.paid", "A"), "paid")
        event = tracker.records.event(paid.event_id)
        gone = sorted(identifier for way, identifier in ids.items() if way != "completed")
        assert [each.enrollment_id for each in event.withdrew] == gone
        assert {(each.journey_id, each.marked) for each in event.withdrew} == {("cart", False)}
        for enrollment_id in gone:
            entry = tracker.enrollments.get(enrollment_id)
            assert (entry.status, entry.cancelled_by) == ("withdrawn", paid.event_id)
            assert (entry.withdrawn_at, entry.lease_until) == (event.received_at, None)
        done = tracker.enrollments.get(ids["completed"])
        assert (done.status, done.cancelled_by) == ("completed", None)
        with pytest.raises(LeaseLost):
            tracker.enrollments.complete(leases["ran out"])
        clock.advance(days=1)
        assert tracker.enrollments.claim() == []

    @needs("cancelling")
    def test_of_many_that_wait_an_event_withdraws_its_own_and_the_others_wait_on(
        self, tracker: Any
    ) -> None:
        """More than a store tells of at once; each is found by its own digest all the same."""
        visit = a_journey("visit", trigger={"event": "visited"}, cancelOn=[{"event": "left"}])
        tracker.journeys.publish([_CART, visit])
        carts = [(_event("cart.updated", f"{n}"), f"cart {n}") for n in range(OTHERS_TOLD + 2)]
        tracker.track_many([(_event("visited"), "visited"), *carts])
        paid = [("order.paid", "7"), ("order.paid", "none"), ("order.paid", "50")]
        calls = [(_event(name, cart), f"{name} {cart}") for name, cart in paid]
        receipts = [tracker.track(*calls[0]), *tracker.track_many(calls[1:])]
        receipts += [tracker.track(_event("left"), "left")]
        events = [tracker.records.event(receipt.event_id) for receipt in receipts]
        assert [len(event.withdrew) for event in events] == [1, 0, 1, 1]
        gone = [place for place, each in enumerate(_statuses(tracker)) if each == "withdrawn"]
        assert gone == [0, 8, 51]
        last = tracker.track(_event("unsubscribed"), "unsubscribed")
        assert len(tracker.records.event(last.event_id).withdrew) == OTHERS_TOLD
        assert set(_statuses(tracker)) == {"withdrawn"}

    @needs("cancelling")
    def test_nothing_is_withdrawn_by_another_value_name_person_or_organization(
        self, tracker: Any
    ) -> None:
        acme = {"organization_id": "acme"}
        for where in ({}, acme):
            tracker.journeys.publish([_CART], **where)
            tracker.track(_event("cart.updated", "A"), "A", **where)
        for name, cart, who in (("B", "B", "alex"), ("none", None, "alex"), ("other", "A", "bo")):
            tracker.track(_event("cart.updated", cart, who), name)
        before = everything(tracker, "acme"), _statuses(tracker)
        for number, request in enumerate(
            (
                _event("order.shipped", "A"),
                _event("order.paid"),
                _event("order.paid", "a"),
                _event("order.paid", "A", redactedDataPaths=["/event/cart"]),
                _event("order.paid", "A", "cy"),
            )
        ):
            tracker.track(request, f"{number}")
        assert (everything(tracker, "acme"), _statuses(tracker)) == before
        # By the other rule whatever the cart is; what has none waits for it, too.
        left = tracker.track(_event("unsubscribed"), "left")
        assert len(tracker.records.event(left.event_id).withdrew) == 3
        assert tracker.records.profile(left.profile_id).awaits == ()
        assert [e.status for e in tracker.enrollments.list(status=EnrollmentStatus.PENDING)] == [
            "pending"
        ]
        assert everything(tracker, "acme") == before[0]

    @needs("cancelling")
    @pytest.mark.parametrize("end", ["completed", "released", "failed", "ran out", "extended"])
    def test_what_a_worker_holds_is_marked_and_withdrawn_once_nobody_does(
        self, tracker: Any, clock: FixedClock, end: str
    ) -> None:
        tracker.journeys.publish([_CART])
        tracker.track(_event("cart.updated", "A"), "cart")
        (claimed,) = tracker.enrollments.claim(lease=_HOUR)
        clock.advance(minutes=1)
        paid = tracker.track(_event("order.paid", "A"), "paid")
        tracker.track(_event("order.paid", "A"), "paid twice")
        events = tracker.records.events(limit=2)
        assert [[each.marked for each in event.withdrew] for event in events] == [[], [True]]
        lease, enrollment_id = claimed.lease, claimed.enrollment.enrollment_id
        held = tracker.enrollments.get(enrollment_id)
        assert (held.status, held.cancelled_by) == ("claimed", paid.event_id)
        assert held.lease_until == claimed.enrollment.lease_until
        if end == "extended":
            assert tracker.enrollments.extend(lease, by=2 * _HOUR).status == "claimed"
            clock.advance(hours=2, microseconds=-1)
            assert tracker.enrollments.claim() == []
        clock.advance(minutes=1)
        if end == "completed":
            done = tracker.enrollments.complete(lease)
            assert (done.status, done.cancelled_by) == ("completed", paid.event_id)
            assert done.withdrawn_at is None
            return
        if end in ("ran out", "extended"):
            clock.advance(hours=1)
            assert tracker.enrollments.claim(limit=1) == []
            with pytest.raises(LeaseLost):
                tracker.enrollments.complete(lease)
        else:
            failed = end == "failed"
            # Not dead, however few attempts it has.
            back = tracker.enrollments.release(lease, failed=failed, delay=_HOUR, max_attempts=1)
            assert tracker.enrollments.release(lease, failed=failed, max_attempts=1) == back
            assert back.attempts == int(failed)
        gone = tracker.enrollments.get(enrollment_id)
        assert (gone.status, gone.lease_until) == ("withdrawn", None)
        assert (gone.withdrawn_at, gone.cancelled_by) == (clock.now(), paid.event_id)
        clock.advance(days=1)
        assert tracker.enrollments.claim() == []
        assert tracker.enrollments.revive(enrollment_id) == gone

    @needs("cancelling")
    def test_an_event_spares_what_it_enrols_and_withdraws_what_its_batch_made_before(
        self, tracker: Any
    ) -> None:
        """A rule that names the Journey's own event: each entry takes the place of the last."""
        again = [{"event": "cart.updated", "same": ["/event/cart"]}]
        tracker.journeys.publish([{**_CART, "cancelOn": again}, a_journey("other")])
        for batch in range(2):
            carts = [(_event("cart.updated", cart), f"{batch} {n}") for n, cart in enumerate("ABA")]
            assert {receipt.enrolled_journeys for receipt in tracker.track_many(carts)} == {1}
        assert _statuses(tracker) == [*["withdrawn"] * 4, "pending", "pending"]
        numbers = {e.event_id: e.number for e in tracker.records.events()}
        entries = {e.enrollment_id: e for e in tracker.enrollments.list()}
        assert {
            event.number: [numbers[entries[each.enrollment_id].event_id] for each in event.withdrew]
            for event in tracker.records.events()
        } == {1: [], 2: [], 3: [1], 4: [3], 5: [2], 6: [4]}

    @needs("cancelling")
    def test_an_entry_whose_canceller_is_recorded_already_is_skipped(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """What happened at the same time, or before, cancels nothing."""
        tracker.journeys.publish([_CART])
        start = clock.now()

        def at(name: str, minute: int | None, cart: str | None = "A") -> Any:
            times = {}
            if minute is not None:
                times["occurredAt"] = (start + minute * _MINUTE).isoformat()
            return _event(name, cart, **times)

        tracker.track(_event("other"), "first")
        clock.advance(hours=1)
        tracker.track(at("order.paid", 30), "paid")
        tracker.track(_event("unsubscribed", who="other"), "other person")
        for minute, cart, reason in (
            (29, "A", "cancelled"),
            (30, "A", None),
            (31, "A", None),
            (None, "A", None),
            (90, "A", None),
            (29, "B", None),
            (29, None, None),
        ):
            receipt = tracker.track(at("cart.updated", minute, cart), f"{minute} {cart}")
            (outcome,) = tracker.records.event(receipt.event_id).outcomes
            assert outcome.reason == reason, (minute, cart)
        # One that is recorded later and happened before withdraws nothing of what was made.
        before = _statuses(tracker)
        tracker.track(at("order.paid", 28), "paid early")
        assert _statuses(tracker) == before
        # So it is within a batch; and a Profile that the batch makes has nothing recorded.
        batch = [
            (at("order.paid", 50, "C"), "1"),
            (at("cart.updated", 40, "C"), "2"),
            (at("cart.updated", 55, "C"), "3"),
            (_event("order.paid", "D", who="new"), "4"),
            (_event("cart.updated", "D", who="new", occurredAt=start.isoformat()), "5"),
        ]
        receipts = tracker.track_many(batch)
        assert [receipt.enrolled_journeys for receipt in receipts] == [0, 0, 1, 0, 0]

    @needs("cancelling")
    def test_the_rule_of_the_version_that_was_entered_holds(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """Whatever the Journey says by now, and whatever its status is."""
        tracker.journeys.publish([_CART])
        tracker.track(_event("cart.updated", "A"), "first")
        tracker.journeys.publish([{**_CART, "cancelOn": [{"event": "order.lost"}]}])
        tracker.track(_event("cart.updated", "A"), "second")
        tracker.journeys.publish([{**_CART, "status": "draft"}])
        clock.advance(minutes=1)
        tracker.track(_event("order.paid", "A"), "paid")
        assert _statuses(tracker) == ["withdrawn", "pending"]
        tracker.track(_event("order.lost"), "lost")
        assert _statuses(tracker) == ["withdrawn", "withdrawn"]

    @needs("cancelling", "pausing")
    def test_an_event_withdraws_what_stands_still_and_leaves_what_an_archiving_withdrew(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """Nothing that is read changes once rows have followed; a delay ends in a pause as well."""
        tracker.journeys.publish([_CART, {**_CART, "id": "still", "delay": "PT1H"}])
        ids: dict[str, str] = {}
        leases: dict[str, Any] = {}
        for way in ("dead", "ran out", "held", "by hand", "waits"):
            tracker.track(_event("cart.updated", "A"), way)
            (entry,) = [e for e in tracker.enrollments.list(limit=2) if e.journey_id == "cart"]
            ids[way] = entry.enrollment_id
            if way in ("dead", "ran out", "held"):
                lease = _MINUTE if way == "ran out" else _HOUR
                leases[way] = tracker.enrollments.claim(lease=lease)[0].lease
        tracker.track(_event("cart.updated", "B"), "B")
        tracker.enrollments.release(leases["dead"], max_attempts=1)
        clock.advance(minutes=1)
        archived_at = clock.now()
        tracker.journeys.archive("cart")
        tracker.journeys.pause("still")
        clock.advance(minutes=1)
        waits = tracker.enrollments.get(ids["waits"])
        assert (waits.status, waits.withdrawn_at) == ("withdrawn", archived_at)
        assert (waits.cancellers, waits.cancelled_by) == (None, None)
        by_hand = tracker.enrollments.get(ids["by hand"])
        assert tracker.enrollments.withdraw(ids["by hand"]) == by_hand
        foreseen = tracker.explain(_event("order.paid", "B")).withdrew
        assert [each.journey_id for each in foreseen] == ["still"]
        paid = tracker.track(_event("order.paid", "A"), "paid")
        withdrew = tracker.records.event(paid.event_id).withdrew
        assert {
            each.enrollment_id: each.marked for each in withdrew if each.journey_id == "cart"
        } == {
            ids["dead"]: False,
            ids["ran out"]: False,
            ids["held"]: True,
        }
        assert [each.marked for each in withdrew if each.journey_id == "still"] == [False] * 5
        for way in ("dead", "ran out"):
            gone = tracker.enrollments.get(ids[way])
            assert (gone.status, gone.withdrawn_at) == ("withdrawn", clock.now())
            assert (gone.cancelled_by, gone.archived_at) == (paid.event_id, None)
        clock.advance(minutes=1)
        back = tracker.enrollments.release(leases["held"], failed=False)
        assert back == tracker.enrollments.get(ids["held"])
        assert (back.status, back.withdrawn_at) == ("withdrawn", clock.now())
        assert (back.cancelled_by, back.archived_at) == (paid.event_id, None)
        assert tracker.enrollments.get(ids["waits"]) == waits
        read = exact(tracker.enrollments.list())
        assert tracker.journeys.finish_archiving() == 3
        assert exact(tracker.enrollments.list()) == read
        # What is left waits in the paused Journey, for its delay and for the other rule's event.
        clock.advance(hours=1)
        assert tracker.enrollments.claim() == []
        tracker.journeys.activate("cart")
        tracker.journeys.activate("still")
        (claimed,) = tracker.enrollments.claim()
        assert claimed.enrollment.journey_id == "still"
        assert tracker.track(_event("cart.updated", "C"), "C").enrolled_journeys == 2
        left = tracker.track(_event("unsubscribed"), "left")
        marked = [each.marked for each in tracker.records.event(left.event_id).withdrew]
        assert sorted(marked) == [False, False, True]

    @needs("cancelling", "people")
    def test_what_was_entered_before_a_merge_is_withdrawn_by_events_after_it(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """An event of either keeps an entry of the other from being made, once they are one."""
        tracker.journeys.publish([_CART])
        start = clock.now()
        tracker.track(_event("cart.updated", "A", who="goes"), "1")
        tracker.track(_event("cart.updated", "B", who="stays"), "2")
        clock.advance(minutes=5)
        tracker.track(_event("order.paid", "C", who="goes"), "3")
        tracker.people.merge("stays@example.com", "goes@example.com")
        assert _statuses(tracker) == ["pending", "pending"]
        clock.advance(minutes=1)
        late = _event("cart.updated", "C", who="stays", occurredAt=start.isoformat())
        assert tracker.track(late, "4").enrolled_journeys == 0
        tracker.track(_event("order.paid", "A", who="stays"), "5")
        assert sorted(_statuses(tracker)) == ["pending", "withdrawn"]
        tracker.track(_event("unsubscribed", who="goes"), "6")
        assert _statuses(tracker) == ["withdrawn", "withdrawn"]
        # Whoever is suppressed or erased waits for nothing any more.
        tracker.track(_event("cart.updated", "D", who="stays"), "7")
        tracker.people.suppress("stays@example.com")
        assert tracker.track(_event("order.paid", "D", who="stays"), "8").enrolled_journeys == 0
        erased = tracker.people.erase("stays@example.com")
        assert [tracker.records.profile(each).awaits for each in erased.profile_ids] == [(), ()]
        assert tracker.track(_event("order.paid", "D", who="stays"), "9").enrolled_journeys == 0

    @needs("cancelling", "finding")
    def test_what_is_told_of_an_event_agrees_with_what_it_did(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        tracker.journeys.publish([{**_CART, "delay": "PT1H"}])
        start = clock.now()
        tracker.track(_event("cart.updated", "A"), "1")
        clock.advance(minutes=1)
        request = _event("order.paid", "A")
        before = everything(tracker)
        foreseen = tracker.explain(request).withdrew
        assert everything(tracker) == before
        paid = tracker.track(request, "2")
        late = _event("cart.updated", "A", occurredAt=start.isoformat())
        (foretold,) = tracker.explain(late).journeys
        skipped = tracker.track(late, "3")
        told = tracker.records.explain(paid.event_id)
        assert foreseen == told.withdrew == tracker.records.event(paid.event_id).withdrew
        assert len(foreseen) == 1
        (explained,) = tracker.records.explain(skipped.event_id).journeys
        assert foretold.reason == explained.reason == "cancelled"
        assert foretold.cancelling == explained.cancelling
        assert explained.cancelling.cancelled_by == paid.event_id
        story = tracker.records.why("alex@example.com", journey_id="cart")
        assert [each.event.withdrew for each in story.events] == [(), foreseen, ()]
        (outcome,) = story.events[-1].outcomes
        assert outcome.enrollment.cancelled_by == paid.event_id
        # Before it happened, nothing had cancelled the entry.
        (first,) = tracker.records.explain(story.events[-1].event.event_id).journeys
        assert (first.reason, first.cancelling.cancelled_by) == (None, None)

    def test_an_enrollment_is_withdrawn_by_hand(self, tracker: Any, clock: FixedClock) -> None:
        """Whatever a worker holds; it still counts as an entry."""
        once = {"policy": "at_most", "times": 3, "within": "P1D"}
        tracker.journeys.publish([a_journey(reentry=once)])
        for number in range(3):
            tracker.track(a_request(), f"{number}")
        pending, held, done = tracker.enrollments.list()[::-1]
        leases = {c.enrollment.enrollment_id: c.lease for c in tracker.enrollments.claim()}
        tracker.enrollments.release(leases[pending.enrollment_id], failed=False)
        completed = tracker.enrollments.complete(leases[done.enrollment_id])
        clock.advance(minutes=1)
        for entry in (pending, held, held):
            gone = tracker.enrollments.withdraw(entry.enrollment_id, by="Kim")
            assert (gone.status, gone.cancelled_by) == ("withdrawn", None)
            assert gone.withdrawn_at == clock.now()
            assert tracker.enrollments.get(entry.enrollment_id) == gone
        assert tracker.enrollments.withdraw(done.enrollment_id) == completed
        with pytest.raises(LeaseLost):
            tracker.enrollments.complete(leases[held.enrollment_id])
        assert tracker.enrollments.claim() == []
        assert tracker.track(a_request(), "again").enrolled_journeys == 0

    @needs("cancelling")
    def test_an_event_that_crashes_anywhere_withdraws_nothing_or_all(
        self, storage: Any, new_tracker: Callable[..., Any]
    ) -> None:
        tracker = new_tracker()
        crashes, unseen, crashed = 0, 0, True
        while crashed:
            where = {"organization_id": f"crash {crashes}"}
            tracker.journeys.publish([_CART], **where)
            tracker.track(_event("cart.updated", "A"), "cart", **where)
            before = everything(tracker, where["organization_id"])
            faulty = new_tracker(FaultyStorage(storage, crashes // 2, after=bool(crashes % 2)))
            paid = _event("order.paid", "A")
            try:
                faulty.track(paid, "paid", **where)
                crashed = False
            except InjectedFault:
                unseen += everything(tracker, where["organization_id"]) == before
            again = tracker.track(paid, "paid", **where)
            (entry,) = tracker.enrollments.list(**where)
            assert (entry.status, entry.cancelled_by) == ("withdrawn", again.event_id)
            assert len(tracker.records.event(again.event_id, **where).withdrew) == 1
            crashes += 1
        assert unseen > 4


class CancellingRaceContract:
    """What an event cancels while a worker or another event is at it, one test each."""

    @needs("cancelling", "concurrent_writers", "open_transactions", "reruns")
    @pytest.mark.parametrize("first", ["event", "worker"])
    @pytest.mark.parametrize("verb", ["claim", "complete", "release", "extend"])
    def test_an_event_cancels_before_or_after_what_a_worker_does(
        self, hold: Hold, tracker: Any, verb: str, first: str
    ) -> None:
        tracker.journeys.publish([_CART])
        for stop in (1, 2, 3, 4, 5) if first == "event" else (1, 2):
            of = {"organization_id": f"{verb} {stop}"}
            tracker.journeys.publish([_CART], **of)
            tracker.track(_event("cart.updated", "A"), "cart", **of)
            lease = None
            if verb != "claim":
                (claimed,) = tracker.enrollments.claim(**of)
                lease = claimed.lease

            async def pay(tracker: Any, of: dict[str, str] = of) -> Any:
                return await settle(tracker.track(_event("order.paid", "A"), "paid", **of))

            async def work(tracker: Any, of: dict[str, str] = of, lease: Any = lease) -> Any:
                if verb == "claim":
                    return await settle(tracker.enrollments.claim(**of))
                return await settle(getattr(tracker.enrollments, verb)(lease))

            calls: list[Client] = [pay, work]
            if first == "worker":
                calls.reverse()
            answers = hold(*calls, calls=stop)
            receipt = next(each for each in answers if hasattr(each, "matched_journeys"))
            (entry,) = tracker.enrollments.list(**of)
            event = tracker.records.event(receipt.event_id, **of)
            marked = [each.marked for each in event.withdrew]
            if marked:
                assert entry.cancelled_by == receipt.event_id
            if verb == "complete":
                assert entry.status == "completed"
                assert marked in ([], [True])
            elif verb == "release":
                assert entry.status == "withdrawn"
                assert len(marked) == 1
            else:
                held = entry.status is EnrollmentStatus.CLAIMED
                assert marked == [held]
                assert held or entry.status is EnrollmentStatus.WITHDRAWN

    @needs("cancelling", "concurrent_writers")
    def test_of_events_that_come_at_once_none_leaves_waiting_what_another_cancels(
        self, at_once: AtOnce, tracker: Any, clock: FixedClock
    ) -> None:
        """Carts that were left before their orders were paid, in whatever order they come."""
        tracker.journeys.publish([_CART])
        tracker.track(_event("other"), "first")
        past = clock.now().isoformat()
        clock.advance(hours=1)

        def client(number: int) -> Client:
            async def calls(tracker: Any) -> None:
                for turn in range(4):
                    cart = f"{turn}"
                    left = _event("cart.updated", cart, occurredAt=past)
                    paid = _event("order.paid", cart)
                    for place, each in enumerate((left, paid) if number % 2 else (paid, left)):
                        await settle(tracker.track(each, f"{number} {turn} {place}"))

            return calls

        at_once([client(number) for number in range(4)])
        entries = tracker.enrollments.list(limit=100)
        assert {entry.status for entry in entries} <= {EnrollmentStatus.WITHDRAWN}
        events = tracker.records.events(limit=1000)
        skipped = [o.reason for e in events for o in e.outcomes if o.outcome == "skipped"]
        assert set(skipped) <= {"cancelled"}
        assert len(skipped) + len(entries) == 16
        withdrew = [(each.enrollment_id, e.event_id) for e in events for each in e.withdrew]
        assert sorted(withdrew) == sorted((e.enrollment_id, e.cancelled_by) for e in entries)

"""Forgetting by age, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/retention.md.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest
from attrs import evolve

from segmentflow_core import EnrollmentStatus
from segmentflow_core.colour import settle
from segmentflow_core.domain.hand_over import withdrawn
from segmentflow_core.errors import IdempotencyKeyReuse, NotFound
from segmentflow_core.ports import (
    EnrollmentChange,
    GoneEvents,
    Intent,
    KeyClaim,
    MaybeAwaitable,
    Probe,
    gone_events,
    key_digest,
)
from segmentflow_core.testing.builders import FixedClock, a_journey, a_request
from segmentflow_core.testing.callers import AtOnce
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.doors import Doors, InTransaction
from segmentflow_core.testing.contract.reading import everything

__all__ = ["RetentionContract"]

_HOUR: Final = timedelta(hours=1)
_MOMENT: Final = timedelta(microseconds=1)
_NOBODY: Final = "019bf964-302b-7000-8000-00000000dead"

_POLICIES: Final = {
    "journeys": [
        a_journey("every"),
        a_journey("once", reentry={"policy": "once"}),
        a_journey("per-order", reentry={"policy": "once_per_key", "key": "/event/orderId"}),
        a_journey("cooldown", reentry={"policy": "cooldown", "duration": "PT3H"}),
    ]
}
_ONCE_EACH: Final = {
    "journeys": [
        a_journey(journey_id, reentry={"policy": policy, **more})
        for journey_id, policy, more in (
            ("every", "once", {}),
            ("once", "cooldown", {"duration": "P30D"}),
            ("per-order", "once", {}),
            ("cooldown", "once_per_key", {"key": "/event/orderId"}),
        )
    ]
}
"""The same Journeys with other policies, which ask about the same entries otherwise."""

_AT_MOST: Final = {"policy": "at_most", "times": 2, "within": "PT9H"}
_LIMITED: Final = [
    a_journey("twice", reentry=_AT_MOST),
    a_journey("twice-an-order", reentry={**_AT_MOST, "key": "/event/orderId"}),
]


class RetentionContract:
    """What is old goes, what is needed stays, and no event is decided otherwise than before."""

    @needs("retention")
    def test_an_event_goes_once_it_is_older_than_asked_for(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """What is exactly as old stays; nothing of another Organization goes."""
        receipts = []
        tracker.track(a_request(), "0", organization_id="acme")
        for n in range(5):
            # They occur in the other order, which does not count.
            occurred = (clock.now() - n * _HOUR).isoformat()
            request = a_request(referenceId="r", data={"n": n}, occurredAt=occurred)
            receipts.append((request, tracker.track(request, f"{n}")))
            clock.advance(hours=1)
        elsewhere = everything(tracker, "acme")
        # They are 5 to 1 hours old.
        progress: list[Any] = []
        retained = tracker.people.retain(events=3 * _HOUR, limit=1, on_progress=progress.append)
        assert (retained.events, retained.held) == (2, 0)
        assert [told.events for told in progress] == [1, 2, 2]
        ids = [receipt.event_id for _, receipt in receipts]
        assert [event.event_id for event in tracker.records.events()] == ids[:1:-1]
        for event_id in ids[:2]:
            for ask in (tracker.records.event, tracker.records.explain):
                with pytest.raises(NotFound):
                    ask(event_id)
        clock.advance(microseconds=1)
        assert tracker.people.retain(events=3 * _HOUR).events == 1
        clock.advance(microseconds=-2)
        assert tracker.people.retain(events=2 * _HOUR).events == 0
        assert everything(tracker, "acme") == elsewhere
        # A retry gets its receipt, though the event is gone; another request conflicts as a whole.
        before = everything(tracker)
        for n, (request, receipt) in enumerate(receipts):
            again = tracker.track(request, f"{n}")
            assert again == receipt
            assert again.replayed
            with pytest.raises(IdempotencyKeyReuse) as conflict:
                tracker.track({**request, "data": {"n": "other"}}, f"{n}")
            paths = conflict.value.details["changedPaths"]
            assert paths == ([""] if n < 3 else ["/data/n"])
        assert everything(tracker) == before

    @needs("retention")
    def test_an_event_stays_as_long_as_an_unfinished_enrollment_needs_it(
        self, tracker: Any, clock: FixedClock, in_transaction: InTransaction
    ) -> None:
        tracker.journeys.publish({"journeys": [a_journey("a"), a_journey("b")]})
        names = ("pending", "claimed", "dead", "completed", "withdrawn", "nobody's")
        ids: dict[str, str] = {}
        for name in names:
            event = "other" if name == "nobody's" else "order.created"
            ids[name] = tracker.track(a_request(event, data={"n": name}), name).event_id
            clock.advance(seconds=1)
        entries = {(e.event_id, e.journey_id): e for e in tracker.enrollments.list()}

        def claim(name: str) -> Any:
            """Claim all, give all back but one event's, and return the leases of these."""
            leases = []
            for claimed in tracker.enrollments.claim(limit=100):
                if claimed.event.event_id == ids[name]:
                    leases.append(claimed.lease)
                else:
                    tracker.enrollments.release(claimed.lease, failed=False)
            return leases

        # Of each pair one is completed: the other one alone holds the event.
        for name in names[:-1]:
            first, second = claim(name)
            tracker.enrollments.complete(first)
            if name == "completed":
                tracker.enrollments.complete(second)
            elif name == "dead":
                tracker.enrollments.release(second, max_attempts=1)
            elif name in {"pending", "withdrawn"}:
                tracker.enrollments.release(second, failed=False)
        (held,) = [
            e
            for e in tracker.enrollments.list()
            if e.event_id == ids["withdrawn"] and e.status is EnrollmentStatus.PENDING
        ]
        _withdraw(in_transaction, held, clock)
        claim("claimed")
        clock.advance(days=1)
        # In batches of one: what stays is passed over.
        retained = tracker.people.retain(events=_HOUR, limit=1)
        assert (retained.events, retained.held) == (3, 3)
        left = [event.event_id for event in tracker.records.events()]
        assert left == [ids[name] for name in ("dead", "claimed", "pending")]
        # What was held is handed over with its event, and then it goes.
        dead = [e for e in tracker.enrollments.list() if e.status is EnrollmentStatus.DEAD]
        for each in dead:
            tracker.enrollments.revive(each.enrollment_id)
        for claimed in tracker.enrollments.claim(limit=100):
            assert claimed.event.data == {
                "n": next(n for n, i in ids.items() if i == claimed.event.event_id)
            }
            tracker.enrollments.complete(claimed.lease)
        assert tracker.people.retain(events=_HOUR).events == 3
        assert tracker.records.events() == []
        # Enrollments stay, whatever became of their events.
        listed = {(e.event_id, e.journey_id) for e in tracker.enrollments.list()}
        assert listed == set(entries)

    @needs("retention")
    def test_a_finished_enrollment_goes_once_it_is_older_than_asked_for(
        self, tracker: Any, clock: FixedClock, in_transaction: InTransaction
    ) -> None:
        """By when it finished, not by when it was entered; unfinished ones always stay."""
        tracker.journeys.publish(_POLICIES)
        for who in range(4):
            request = a_request(profile={"email": f"{who}@example.com"}, data={"orderId": "1"})
            tracker.track(request, f"{who}")
            tracker.track(request, f"{who}", organization_id="acme")
        _complete_all(tracker, organization_id="acme")
        elsewhere = everything(tracker, "acme")
        entered = sorted(tracker.enrollments.list(), key=lambda e: e.enrollment_id)
        clock.advance(days=1)
        finished: dict[str, int] = {}
        claimed = tracker.enrollments.claim(limit=12, lease=timedelta(days=3))
        leases = {c.enrollment.enrollment_id: c.lease for c in claimed}
        ways = [*leases.values(), *(e for e in entered if e.enrollment_id not in leases)]
        for hour in range(3):
            for each in (ways.pop(0), ways.pop(0), ways.pop()):
                if hasattr(each, "token") and not hasattr(each, "status"):
                    tracker.enrollments.complete(each)
                else:
                    _withdraw(in_transaction, each, clock)
                finished[each.enrollment_id] = hour
            clock.advance(hours=1)
        # They finished 3 to 1 hours ago: what is exactly as old stays.
        before = tracker.enrollments.list(limit=1000)
        assert tracker.people.retain(enrollments=3 * _HOUR).enrollments == 0
        retained = tracker.people.retain(enrollments=2 * _HOUR, limit=2)
        assert retained.enrollments == 3
        clock.advance(microseconds=-1)
        assert tracker.people.retain(enrollments=2 * _HOUR - _MOMENT).enrollments == 0
        clock.advance(microseconds=1)
        assert tracker.people.retain(enrollments=2 * _HOUR - _MOMENT).enrollments == 3
        left = [
            e
            for e in before
            if finished.get(e.enrollment_id, 9) == 9 or (finished[e.enrollment_id] > 1)
        ]
        assert tracker.enrollments.list(limit=1000) == left
        for enrollment in before:
            is_left = enrollment in left
            wanted = {"journey_id": enrollment.journey_id, "status": enrollment.status}
            assert (enrollment in tracker.enrollments.list(**wanted, limit=1000)) is is_left
            if not is_left:
                with pytest.raises(NotFound):
                    tracker.enrollments.get(enrollment.enrollment_id)
        assert everything(tracker, "acme") == elsewhere
        # Of the events that are still there, nothing is decided or explained otherwise.
        for event in tracker.records.events():
            told = tracker.records.explain(event.event_id).journeys
            assert {each.outcome for each in told} == {"enrolled"}

    @needs("retention")
    def test_no_event_is_decided_otherwise_than_without_retention(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """Two Organizations live through the same, and one of them forgets."""
        draw = random.Random(1)  # noqa: S311 - of a test
        both = ("default", "acme")
        for whose in both:
            tracker.journeys.publish(_POLICIES, organization_id=whose)
            tracker.journeys.publish(_LIMITED, organization_id=whose)

        def outcomes(whose: str, receipt: Any) -> Any:
            stored = tracker.records.event(receipt.event_id, organization_id=whose)
            return [(o.journey_id, o.version, o.outcome, o.reason) for o in stored.outcomes]

        for step in range(24):
            if step == 16:
                # Whatever the policy was that they were made under, entries count for each.
                for whose in both:
                    tracker.journeys.publish(_ONCE_EACH, organization_id=whose)
            request = a_request(
                profile={"email": f"{draw.randrange(2)}@example.com"},
                data={"orderId": draw.randrange(3)},
            )
            decided = [
                outcomes(whose, tracker.track(request, f"{step}", organization_id=whose))
                for whose in both
            ]
            assert decided[0] == decided[1]
            clock.advance(minutes=draw.randrange(1, 120))
            if draw.random() < 0.5:
                for whose in both:
                    _complete_all(tracker, organization_id=whose)
            if draw.random() < 0.5:
                clock.advance(minutes=1)
                age = timedelta(minutes=draw.choice([1, 60, 300]))
                tracker.people.retain(events=age, enrollments=age, limit=2)
        _complete_all(tracker)
        clock.advance(minutes=1)
        tracker.people.retain(events=_MOMENT, enrollments=_MOMENT)
        assert (tracker.records.events(), tracker.enrollments.list()) == ([], [])
        assert len(tracker.records.events(limit=100, organization_id="acme")) == 24

    @needs("retention")
    def test_an_explanation_knows_the_entries_that_were_left(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        """An event that is decided by an entry which is gone is explained as it was decided."""
        tracker.journeys.publish(_POLICIES)
        request = a_request(data={"orderId": "1"})
        first = tracker.track(request, "1").event_id
        clock.advance(hours=1)
        second = tracker.track(request, "2").event_id
        expected = [tracker.records.explain(each).journeys for each in (first, second)]
        clock.advance(hours=1)
        _complete_all(tracker)
        clock.advance(hours=1)
        retained = tracker.people.retain(enrollments=_MOMENT)
        assert (retained.enrollments, retained.entries) == (5, 4)
        assert tracker.enrollments.list() == []
        kept = [
            [(e.journey_id, e.outcome, e.reason) for e in tracker.records.explain(each).journeys]
            for each in (first, second)
        ]
        assert kept == [[(e.journey_id, e.outcome, e.reason) for e in told] for told in expected]
        clock.advance(hours=-1)
        assert [e.outcome for e in tracker.records.explain_request(request).journeys] == [
            outcome for _, outcome, _ in kept[1]
        ]

    @needs("retention")
    def test_removed_events_are_counted_by_profile_and_name(
        self, tracker: Any, clock: FixedClock, doors: Doors
    ) -> None:
        """In each run those of before are added to; nothing is counted that is still there."""
        made: dict[str, list[Any]] = {"default": [], "acme": []}
        for n in range(12):
            occurred = clock.now() - timedelta(days=(n * 5) % 12)
            request = a_request(
                ("order.created", "order.paid")[n % 2],
                profile={"email": f"{n % 3}@example.com"},
                occurredAt=occurred.isoformat(),
            )
            for whose, events in made.items():
                receipt = tracker.track(request, f"{n}", organization_id=whose)
                events.append(tracker.records.event(receipt.event_id, organization_id=whose))
            clock.advance(hours=1)
        ids = sorted({event.profile_id for event in made["default"]})

        def gone(*profile_ids: str, whose: str = "default") -> list[GoneEvents]:
            found = doors.ask("retention", "gone", whose, profile_ids)
            return sorted(found, key=lambda left: (left.profile_id, left.event))

        assert gone(*ids) == []
        for hours, count in ((8, 4), (3, 9), (3, 9), (0, 12)):
            tracker.people.retain(events=hours * _HOUR + _MOMENT, limit=5)
            assert gone(*ids, _NOBODY) == gone_events(made["default"][:count])
        clock.advance(microseconds=1)
        assert gone(ids[0]) == [g for g in gone_events(made["default"]) if g.profile_id == ids[0]]
        assert gone() == []
        others = {event.profile_id for event in made["acme"]}
        assert gone(*others, whose="acme") == []
        tracker.people.retain(events=_MOMENT, organization_id="acme")
        assert gone(*others, whose="acme") == gone_events(made["acme"])
        assert gone(*others) == []

    @needs("retention", "people")
    def test_an_erased_person_leaves_no_key_in_an_entry(
        self, tracker: Any, clock: FixedClock, doors: Doors
    ) -> None:
        tracker.journeys.publish(_POLICIES)
        request = a_request(data={"orderId": "1"})
        receipt = tracker.track(request, "1")
        keys = {e.journey_id: e.entry_key for e in tracker.enrollments.list()}
        probes = [
            Probe("per-order", receipt.profile_id, keys["per-order"], before)
            for before in (None, 99)
        ]
        clock.advance(hours=1)
        _complete_all(tracker)
        clock.advance(hours=1)
        tracker.people.retain(enrollments=_MOMENT)

        def are_taken() -> list[bool]:
            answers = doors.ask("tracking", "prior_entries", "default", probes)
            return [answers[probe].key_taken for probe in probes]

        assert are_taken() == [True, True]
        tracker.people.erase(receipt.profile_id)
        assert are_taken() == [False, False]
        # Her events go by their age like all others.
        clock.advance(hours=1)
        assert tracker.people.retain(events=_MOMENT).events == 1

    @needs("retention", "people")
    def test_the_key_of_an_event_that_went_shows_nothing_more_and_an_erasure_finds_it(
        self, tracker: Any, clock: FixedClock, in_transaction: InTransaction
    ) -> None:
        """It keeps what recognises the request, until its person is erased."""
        names = ("gone 0", "gone 1", "stays", "other's", "expired")
        requests = {
            name: a_request(
                profile={
                    "email": f"{name if name in names[3:] else 'alex'}@example.com",
                    "properties": {name: "x"},
                },
                data={"n": name},
            )
            for name in names
        }

        def claims(*, organization_id: str = "default") -> dict[str, KeyClaim]:
            async def work(transaction: Any) -> Any:
                digests = {key_digest(organization_id, name): name for name in names}
                intent = Intent(tuple(sorted(digests)), (), (), (), clock.now())
                known = await settle(transaction.tracking.load(organization_id, intent))
                return {digests[digest]: claim for digest, claim in known.taken.items()}

            found: dict[str, KeyClaim] = in_transaction(work)
            return found

        def repeat(name: str) -> Any:
            """Send another request with a key: the paths that differ, or the receipt again."""
            try:
                return tracker.track({**requests[name], "data": {"n": "another"}}, name)
            except IdempotencyKeyReuse as conflict:
                return conflict.details["changedPaths"]

        for whose in ("default", "acme"):
            tracker.track(requests["expired"], "expired", organization_id=whose)
        clock.advance(days=29)
        receipts = {}
        for name in ("gone 0", "gone 1", "other's", "stays"):
            clock.advance(seconds=1)
            for whose in ("acme", "default"):
                receipts[name] = tracker.track(requests[name], name, organization_id=whose)
        before, elsewhere = claims(), claims(organization_id="acme")
        clock.advance(microseconds=1)
        retained = tracker.people.retain(events=timedelta(seconds=1), limit=3)
        assert retained.events == 4
        went = {name: evolve(before[name], paths={}) for name in names if name != "stays"}
        assert claims() == {**before, **went}
        assert [repeat(name) for name in names] == [[""], [""], ["/data/n"], [""], [""]]
        for name, receipt in receipts.items():
            assert tracker.track(requests[name], name) == receipt
        # A key that is free again is somebody else's.
        clock.advance(days=2)
        requests["expired"] = a_request(profile={"email": "new@example.com"}, data={"n": 1})
        tracker.track(requests["expired"], "expired")
        taken = claims()["expired"]
        for erased in ("expired@example.com", "alex@example.com"):
            erasure = tracker.people.erase(erased, at_most=1)
            for _ in range(20):
                if not erasure.done:
                    erasure = tracker.people.erase(erasure.profile_id, at_most=1)
            assert erasure.done
        bare = {
            name: evolve(before[name], fingerprint=None, paths={})
            for name in ("gone 0", "gone 1", "stays")
        }
        assert claims() == {**bare, "other's": went["other's"], "expired": taken}
        for name in bare:
            assert repeat(name) == receipts[name]
        assert (repeat("other's"), repeat("expired")) == ([""], ["/data/n"])
        del elsewhere["expired"]
        assert claims(organization_id="acme") == elsewhere

    @needs("retention", "concurrent_writers")
    def test_runs_at_once_with_events_remove_each_record_once(
        self, tracker: Any, clock: FixedClock, at_once: AtOnce, doors: Doors
    ) -> None:
        tracker.journeys.publish(_POLICIES)
        requests = [
            (a_request(profile={"email": f"{n % 3}@example.com"}, data={"orderId": n}), f"{n}")
            for n in range(24)
        ]
        tracker.track_many(requests)
        events = tracker.records.events(limit=100)
        _complete_all(tracker)
        enrolled = len(tracker.enrollments.list(limit=1000))
        clock.advance(hours=1)

        async def retain(one: Any) -> Any:
            ages = {"events": _MOMENT, "enrollments": _MOMENT}
            return await _settled(one.people.retain(**ages, limit=3))

        def track(n: int) -> Callable[[Any], Any]:
            async def client(one: Any) -> Any:
                return await _settled(one.track(requests[n][0], f"new {n}"))

            return client

        clients = [retain, track(0), retain, track(1), track(2), retain]
        retained = [result for result in at_once(clients) if hasattr(result, "entries")]
        retained.append(tracker.people.retain(events=_MOMENT, enrollments=_MOMENT))
        assert sum(each.events for each in retained) == len(events)
        assert sum(each.enrollments for each in retained) == enrolled
        ids = sorted({event.profile_id for event in events})
        left = doors.ask("retention", "gone", "default", ids)
        assert sorted(left, key=lambda each: each.profile_id) == gone_events(events)
        # What came meanwhile was decided by the entries of what had gone.
        for event in tracker.records.events():
            reasons = {outcome.journey_id: outcome.reason for outcome in event.outcomes}
            assert reasons["once"] == reasons["per-order"] == "already_enrolled"


def _complete_all(tracker: Any, **whose: str) -> None:
    for claimed in tracker.enrollments.claim(limit=1000, **whose):
        tracker.enrollments.complete(claimed.lease)


def _withdraw(in_transaction: InTransaction, enrollment: Any, clock: FixedClock) -> None:
    """Withdraw an Enrollment that waits, as suppressing its Profile would."""

    async def work(transaction: Any) -> None:
        named = [("default", enrollment.enrollment_id)]
        ((whose, before),) = await settle(transaction.hand_over.lock(named))
        after = withdrawn(before, clock.now())
        assert after is not None
        await settle(transaction.hand_over.save([EnrollmentChange(whose, before, after)]))

    in_transaction(work)


async def _settled(result: MaybeAwaitable[Any]) -> Any:
    return await settle(result)

"""The hand-over of Enrollments to workers, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.

See docs/reference/rules/hand-over.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from segmentflow_core import ClaimedEnrollment, EnrollmentStatus, Lease
from segmentflow_core.colour import settle
from segmentflow_core.errors import LeaseLost, NotFound
from segmentflow_core.testing.builders import (
    DOCUMENTED_KEY,
    DOCUMENTED_REQUEST,
    FixedClock,
    SequentialIds,
    a_journey,
    a_request,
)
from segmentflow_core.testing.callers import AtOnce, is_asynchronous
from segmentflow_core.testing.capabilities import needs
from segmentflow_core.testing.contract.entries import claimed_ids, enrol
from segmentflow_core.testing.contract.leases import LeaseContract
from segmentflow_core.testing.contract.stepwise import StepwiseContract
from segmentflow_core.testing.crashes import CrashingWorkers
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault
from segmentflow_core.wire import claimed_document

__all__ = ["HandOverContract"]

_MINUTE = timedelta(minutes=1)


class HandOverContract(LeaseContract, StepwiseContract):
    """Every promise of the hand-over that a storage adapter must keep, one test each."""

    # --- what is handed over, and in which order -------------------------------------------

    def test_a_claimed_enrollment_carries_what_its_worker_needs(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        tracker.journeys.publish({"journeys": [a_journey(name="First")]})
        tracker.journeys.publish({"journeys": [a_journey(name="Second")]})
        receipt = tracker.track(DOCUMENTED_REQUEST, DOCUMENTED_KEY)
        (entered,) = tracker.enrollments.list()
        (claimed,) = tracker.enrollments.claim(lease=_MINUTE)
        document = claimed_document(claimed)
        assert document.pop("token") == claimed.lease.token
        assert document == {
            "organizationId": "default",
            "enrollmentId": entered.enrollment_id,
            "journeyId": "welcome",
            "version": 2,
            "profileId": receipt.profile_id,
            "eventId": receipt.event_id,
            "entryKey": None,
            "enteredAt": "2026-06-01T12:00:00.123456Z",
            "status": "claimed",
            "availableAt": "2026-06-01T12:01:00.123456Z",
            "attempts": 1,
            "completedAt": None,
            "lastFailure": None,
            "withdrawnAt": None,
            "cancelledBy": None,
            "leaseUntil": "2026-06-01T12:01:00.123456Z",
            "event": "order.created",
            "referenceId": "ord_9421",
            "occurredAt": "2026-05-31T12:00:00.000Z",
            "state": {
                "event": {
                    "orderId": "ord_9421",
                    "total": 49,
                    "payment": {"token": "[REDACTED]"},
                },
                "profile": {
                    "email": "alex@example.com",
                    "externalId": "cus_123",
                    "properties": {"firstName": "Alex", "plan": "Pro"},
                },
            },
        }
        assert claimed.enrollment.lease_until == clock.now() + _MINUTE
        assert tracker.enrollments.get(entered.enrollment_id) == claimed.enrollment

    def test_the_state_is_that_of_the_event_whatever_the_profile_became(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        tracker.journeys.publish({"journeys": [a_journey()]})
        who = {"email": "alex@example.com"}
        for number, plan in enumerate(("Free", "Pro")):
            profile = {**who, "properties": {"plan": plan}}
            tracker.track(a_request(profile=profile), str(number))
            clock.advance(seconds=1)
        plans = [c.state["profile"]["properties"]["plan"] for c in tracker.enrollments.claim()]
        assert plans == ["Free", "Pro"]

    def test_what_is_claimed_is_handed_to_nobody_else(self, tracker: Any) -> None:
        enrol(tracker, 3)
        assert len(tracker.enrollments.claim()) == 3
        assert tracker.enrollments.claim() == []

    def test_what_has_been_available_longest_comes_first(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        entered: list[str] = []
        for number in range(5):
            entered += enrol(tracker, 1, start=number)
            clock.advance(seconds=1)
        taken = [claimed_ids(tracker.enrollments.claim(limit=2)) for _ in range(4)]
        assert taken == [entered[:2], entered[2:4], entered[4:], []]

    def test_what_was_given_back_queues_behind_what_was_available_before_it(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        first, second, third = enrol(tracker, 3)
        (claimed,) = tracker.enrollments.claim(limit=1)
        clock.advance(seconds=1)
        tracker.enrollments.release(claimed.lease)
        taken = [claimed_ids(tracker.enrollments.claim(limit=1)) for _ in range(3)]
        assert taken == [[second], [third], [first]]

    def test_only_the_journey_asked_for_is_handed_over(self, tracker: Any) -> None:
        tracker.journeys.publish({"journeys": [a_journey("a"), a_journey("b")]})
        tracker.track(a_request(), "1")
        tracker.track(a_request(), "2")
        assert tracker.enrollments.claim(journey_id="c") == []
        taken = [c.enrollment.journey_id for c in tracker.enrollments.claim(journey_id="b")]
        assert taken == ["b", "b"]
        taken = [c.enrollment.journey_id for c in tracker.enrollments.claim()]
        assert taken == ["a", "a"]

    # --- Organizations ----------------------------------------------------------------------

    def test_a_claim_for_one_organization_takes_no_other_ones(self, tracker: Any) -> None:
        enrol(tracker, 1, organization_id="a")
        assert tracker.enrollments.claim() == []
        assert tracker.enrollments.claim(organization_id="b") == []
        (claimed,) = tracker.enrollments.claim(organization_id="a")
        assert claimed.organization_id == claimed.lease.organization_id == "a"

    def test_another_organizations_lease_holds_nothing(self, tracker: Any) -> None:
        enrol(tracker, 1, organization_id="a")
        (claimed,) = tracker.enrollments.claim(organization_id="a")
        identifier, token = claimed.enrollment.enrollment_id, claimed.lease.token
        elsewhere = Lease("b", identifier, token)
        for finish in (
            tracker.enrollments.complete,
            tracker.enrollments.release,
            tracker.enrollments.extend,
        ):
            with pytest.raises(NotFound):
                finish(elsewhere)
        for read in (tracker.enrollments.revive, tracker.enrollments.get):
            with pytest.raises(NotFound):
                read(identifier, organization_id="b")
        assert tracker.enrollments.get(identifier, organization_id="a") == claimed.enrollment

    def test_organizations_share_a_claim_whatever_their_backlogs(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        enrol(tracker, 50, organization_id="large")
        clock.advance(days=1)
        for name in ("small", "medium"):
            enrol(tracker, 3, organization_id=name)
        claimed = tracker.enrollments.claim(organization_id=None, limit=9)
        assert _shares(claimed) == {"large": 3, "medium": 3, "small": 3}
        claimed = tracker.enrollments.claim(organization_id=None, limit=9)
        assert _shares(claimed) == {"large": 9}

    def test_organizations_take_turns_when_each_claim_takes_one(
        self, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        tracker = new_tracker(ids=SequentialIds())
        enrol(tracker, 100, organization_id="large")
        clock.advance(days=1)
        enrol(tracker, 2, organization_id="small")
        claimed: list[ClaimedEnrollment] = []
        for _ in range(30):
            claimed += tracker.enrollments.claim(organization_id=None, limit=1)
        assert _shares(claimed) == {"large": 28, "small": 2}

    def test_one_batch_finishes_enrollments_of_several_organizations(self, tracker: Any) -> None:
        for name in ("a", "b"):
            enrol(tracker, 1, organization_id=name)
        leases = [c.lease for c in tracker.enrollments.claim(organization_id=None)]
        done = tracker.enrollments.complete_many(leases)
        assert [item.status for item in done] == ["completed", "completed"]

    # --- attempts, and what is dead ---------------------------------------------------------

    def test_an_enrollment_whose_attempts_are_used_up_is_dead_when_its_lease_runs_out(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        (identifier,) = enrol(tracker, 1)
        for attempt in (1, 2, 3):
            (claimed,) = tracker.enrollments.claim(lease=_MINUTE, max_attempts=3)
            assert claimed.enrollment.attempts == attempt
            clock.advance(minutes=1)
        assert tracker.enrollments.claim(max_attempts=3) == []
        (dead,) = tracker.enrollments.list(status=EnrollmentStatus.DEAD)
        assert (dead.enrollment_id, dead.attempts) == (identifier, 3)
        assert tracker.enrollments.claim() == []

    def test_the_last_failure_allowed_makes_an_enrollment_dead(self, tracker: Any) -> None:
        enrol(tracker, 1)
        statuses: list[str] = []
        for _ in range(2):
            (claimed,) = tracker.enrollments.claim(max_attempts=2)
            statuses.append(tracker.enrollments.release(claimed.lease, max_attempts=2).status)
        assert statuses == ["pending", "dead"]
        assert tracker.enrollments.claim(max_attempts=2) == []

    def test_what_dies_hides_nothing_that_is_alive(self, tracker: Any, clock: FixedClock) -> None:
        enrol(tracker, 3)
        tracker.enrollments.claim(lease=_MINUTE)
        clock.advance(minutes=2)
        (alive,) = enrol(tracker, 1, start=3)
        assert claimed_ids(tracker.enrollments.claim(limit=1, max_attempts=1)) == [alive]
        assert len(tracker.enrollments.list(status=EnrollmentStatus.DEAD)) == 3

    def test_the_last_holder_of_a_dead_one_may_still_complete_it(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        (identifier,) = enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim(lease=_MINUTE, max_attempts=1)
        clock.advance(minutes=1)
        assert tracker.enrollments.claim(max_attempts=1) == []
        assert tracker.enrollments.get(identifier).status == "dead"
        assert tracker.enrollments.complete(claimed.lease).status == "completed"

    @pytest.mark.parametrize("dies", ["by a failure", "by its lease"])
    def test_what_is_dead_is_handed_over_again_once_it_is_revived(
        self, tracker: Any, clock: FixedClock, dies: str
    ) -> None:
        """All of it is looked at: a lease or a token left behind would let its last holder in."""
        (identifier,) = enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim(lease=_MINUTE, max_attempts=1)
        if dies == "by a failure":
            tracker.enrollments.release(claimed.lease, max_attempts=1, error="no answer")
        else:
            clock.advance(minutes=1)
            assert tracker.enrollments.claim(max_attempts=1) == []
        dead = tracker.enrollments.get(identifier)
        clock.advance(seconds=1)
        revived = tracker.enrollments.revive(identifier)
        assert dead.status == "dead"
        assert revived == evolve(
            dead,
            status=EnrollmentStatus.PENDING,
            available_at=clock.now(),
            attempts=0,
            lease_until=None,
            token=None,
            last_failure=None,
        )
        assert tracker.enrollments.get(identifier) == revived
        assert tracker.enrollments.revive(identifier) == revived
        (again,) = tracker.enrollments.claim(max_attempts=1)
        assert tracker.enrollments.revive(identifier) == again.enrollment

    def test_a_lease_from_before_a_revival_holds_nothing(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        (identifier,) = enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim(lease=_MINUTE, max_attempts=1)
        clock.advance(minutes=1)
        assert tracker.enrollments.claim(max_attempts=1) == []
        revived = tracker.enrollments.revive(identifier)
        for finish in (
            tracker.enrollments.complete,
            tracker.enrollments.release,
            tracker.enrollments.extend,
        ):
            with pytest.raises(LeaseLost):
                finish(claimed.lease)
        assert tracker.enrollments.get(identifier) == revived

    def test_enrollments_are_listed_by_status_and_journey(self, tracker: Any) -> None:
        tracker.journeys.publish({"journeys": [a_journey("a"), a_journey("b")]})
        for number in range(3):
            tracker.track(a_request(), str(number))
        leases = [c.lease for c in tracker.enrollments.claim(limit=2)]
        tracker.enrollments.complete(leases[0])
        counts = {s: len(tracker.enrollments.list(status=s)) for s in EnrollmentStatus}
        assert counts == {"pending": 4, "claimed": 1, "completed": 1, "dead": 0, "withdrawn": 0}
        pending = tracker.enrollments.list(status=EnrollmentStatus.PENDING, journey_id="b")
        assert {e.journey_id for e in pending} == {"b"}
        first = tracker.enrollments.list(status=EnrollmentStatus.PENDING, limit=3)
        rest = tracker.enrollments.list(
            status=EnrollmentStatus.PENDING, limit=3, before=first[-1].enrollment_id
        )
        assert len({e.enrollment_id for e in (*first, *rest)}) == 4

    # --- all or nothing ---------------------------------------------------------------------

    @pytest.mark.parametrize("after", [False, True], ids=["before", "after"])
    @pytest.mark.parametrize("call", ["claim", "complete", "release", "extend", "revive"])
    def test_a_call_that_fails_anywhere_leaves_everything_as_it_was(
        self,
        storage: Any,
        new_tracker: Callable[..., Any],
        clock: FixedClock,
        call: str,
        after: bool,
    ) -> None:
        tracker = new_tracker()
        enrol(tracker, 4)
        used_up = tracker.enrollments.claim(limit=2, lease=_MINUTE)
        tracker.enrollments.release(used_up[0].lease, max_attempts=1)
        clock.advance(minutes=1)
        (claimed,) = tracker.enrollments.claim(limit=1, lease=_MINUTE)
        leases = [claimed.lease, used_up[0].lease]
        calls: dict[str, Callable[[Any], Any]] = {
            "claim": lambda over: over.enrollments.claim(limit=1, max_attempts=1),
            "complete": lambda over: over.enrollments.complete_many(leases),
            "release": lambda over: over.enrollments.release_many([*leases, Lease("b", "c", "d")]),
            "extend": lambda over: over.enrollments.extend_many(leases),
            "revive": lambda over: over.enrollments.revive_many([leases[1].enrollment_id, "c"]),
        }
        before = tracker.enrollments.list()
        fail_at = 0
        while True:
            faulty = FaultyStorage(storage, fail_at, after=after)
            try:
                answers = calls[call](new_tracker(faulty))
            except InjectedFault:
                assert tracker.enrollments.list() == before
                fail_at += 1
                continue
            break
        assert fail_at == faulty.calls >= 1
        assert answers
        assert tracker.enrollments.list() != before

    @needs("concurrent_writers")
    def test_workers_that_claim_at_once_share_nothing(self, at_once: AtOnce, tracker: Any) -> None:
        entered = enrol(tracker, 64)

        async def work(tracker: Any) -> list[str]:
            mine: list[str] = []
            while claimed := await settle(tracker.enrollments.claim(limit=3)):
                mine += claimed_ids(claimed)
            return mine

        taken = [identifier for mine in at_once([work] * 8) for identifier in mine]
        assert sorted(taken) == sorted(entered)

    @needs("concurrent_writers")
    def test_workers_that_crash_anywhere_complete_each_enrollment_once_and_lose_none(
        self, storage: Any, new_tracker: Callable[..., Any], clock: FixedClock
    ) -> None:
        if is_asynchronous(storage):
            pytest.skip("threads call a synchronous storage")
        tracker = new_tracker()
        entered = enrol(tracker, 120)
        workers = CrashingWorkers(storage, new_tracker, clock, seed=7)
        workers.run(4)
        assert workers.crashes > 0
        assert workers.refused > 0
        assert len(set(workers.completed)) == len(workers.completed)
        assert set(workers.completed) <= set(entered)
        listed = tracker.enrollments.list(limit=1000, status=EnrollmentStatus.COMPLETED)
        assert sorted(e.enrollment_id for e in listed) == sorted(entered)


def _shares(claimed: list[ClaimedEnrollment]) -> dict[str, int]:
    names = sorted(item.organization_id for item in claimed)
    return {name: names.count(name) for name in names}

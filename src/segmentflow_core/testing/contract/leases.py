"""The leases of claimed Enrollments, as tests of a storage adapter.

A part of `StorageContract`, whose fixtures it uses.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any

import pytest
from attrs import evolve

from segmentflow_core import Lease
from segmentflow_core.errors import LeaseLost, NotFound
from segmentflow_core.testing.builders import FixedClock
from segmentflow_core.testing.contract.entries import enrol

__all__ = ["LeaseContract"]

_MINUTE = timedelta(minutes=1)


class LeaseContract:
    """What a lease allows and how it ends, one test for each promise."""

    # --- leases -----------------------------------------------------------------------------

    def test_a_lease_that_ran_out_makes_its_enrollment_available_again(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        enrol(tracker, 1)
        (first,) = tracker.enrollments.claim(lease=_MINUTE)
        clock.advance(minutes=1, microseconds=-1)
        assert tracker.enrollments.claim() == []
        clock.advance(microseconds=1)
        (second,) = tracker.enrollments.claim(lease=_MINUTE)
        assert second.enrollment.enrollment_id == first.enrollment.enrollment_id
        assert second.enrollment.attempts == 2
        assert second.lease.token != first.lease.token

    def test_a_late_finisher_is_refused_and_changes_nothing(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        (identifier,) = enrol(tracker, 1)
        (late,) = tracker.enrollments.claim(lease=_MINUTE)
        clock.advance(minutes=1)
        (current,) = tracker.enrollments.claim(lease=_MINUTE)
        for finish in (
            tracker.enrollments.complete,
            tracker.enrollments.release,
            tracker.enrollments.extend,
        ):
            with pytest.raises(LeaseLost) as refusal:
                finish(late.lease)
            assert (refusal.value.code, refusal.value.details) == ("lease_lost", {})
        assert tracker.enrollments.get(identifier) == current.enrollment
        tracker.enrollments.complete(current.lease)
        with pytest.raises(LeaseLost):
            tracker.enrollments.complete(late.lease)

    def test_a_lease_that_ran_out_still_completes_while_nobody_else_has_claimed(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim(lease=_MINUTE)
        clock.advance(hours=1)
        assert tracker.enrollments.complete(claimed.lease).completed_at == clock.now()
        assert tracker.enrollments.claim() == []

    def test_an_extended_lease_runs_out_later(self, tracker: Any, clock: FixedClock) -> None:
        enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim(lease=_MINUTE)
        clock.advance(seconds=59)
        extended = tracker.enrollments.extend(claimed.lease, by=_MINUTE)
        assert (extended.lease_until, extended.attempts) == (clock.now() + _MINUTE, 1)
        clock.advance(seconds=59)
        assert tracker.enrollments.claim() == []
        clock.advance(seconds=1)
        assert len(tracker.enrollments.claim()) == 1

    # --- completing and giving back ---------------------------------------------------------

    def test_completing_twice_with_one_lease_changes_nothing(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        (identifier,) = enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim()
        done = tracker.enrollments.complete(claimed.lease)
        assert (done.status, done.completed_at) == ("completed", clock.now())
        clock.advance(days=1)
        assert tracker.enrollments.complete(claimed.lease) == done
        assert tracker.enrollments.complete_many([claimed.lease] * 2) == [done] * 2
        assert tracker.enrollments.get(identifier) == done

    def test_what_is_completed_stays_completed(self, tracker: Any, clock: FixedClock) -> None:
        (identifier,) = enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim()
        done = tracker.enrollments.complete(claimed.lease)
        clock.advance(days=365)
        assert tracker.enrollments.claim() == []
        for finish in (tracker.enrollments.release, tracker.enrollments.extend):
            with pytest.raises(LeaseLost):
                finish(claimed.lease)
        assert tracker.enrollments.revive(identifier) == done

    def test_what_is_released_is_available_after_the_delay(
        self, tracker: Any, clock: FixedClock
    ) -> None:
        enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim()
        back = tracker.enrollments.release(claimed.lease, delay=_MINUTE)
        assert (back.status, back.available_at) == ("pending", clock.now() + _MINUTE)
        clock.advance(seconds=59)
        assert tracker.enrollments.claim() == []
        clock.advance(seconds=1)
        (again,) = tracker.enrollments.claim()
        assert again.enrollment.attempts == 2

    def test_a_lease_given_back_holds_nothing_any_more(self, tracker: Any) -> None:
        (identifier,) = enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim()
        back = tracker.enrollments.release(claimed.lease, delay=_MINUTE)
        for finish in (tracker.enrollments.complete, tracker.enrollments.extend):
            with pytest.raises(LeaseLost):
                finish(claimed.lease)
        assert tracker.enrollments.release(claimed.lease) == back
        assert tracker.enrollments.get(identifier) == back

    def test_what_is_given_back_without_a_failure_counts_no_attempt(self, tracker: Any) -> None:
        enrol(tracker, 1)
        for _ in range(3):
            (claimed,) = tracker.enrollments.claim(max_attempts=1)
            assert claimed.enrollment.attempts == 1
            back = tracker.enrollments.release(claimed.lease, failed=False, max_attempts=1)
            assert (back.status, back.attempts) == ("pending", 0)

    def test_a_batch_answers_lease_by_lease_and_one_refusal_hinders_no_other(
        self, tracker: Any
    ) -> None:
        enrol(tracker, 3)
        first, second, third = (c.lease for c in tracker.enrollments.claim())
        tracker.enrollments.release(second)
        unknown = Lease("default", "019bf964-302b-7000-8000-000000000000", first.token)
        leases = [third, second, unknown, first]
        for finish, status in (
            (tracker.enrollments.extend_many, "claimed"),
            (tracker.enrollments.complete_many, "completed"),
        ):
            answers = [getattr(a, "code", None) or a.status for a in finish(leases)]
            assert answers == [status, "lease_lost", "not_found", status]
        codes = [
            getattr(a, "code", None) or a.status for a in tracker.enrollments.release_many(leases)
        ]
        assert codes == ["lease_lost", "pending", "not_found", "lease_lost"]

    @pytest.mark.parametrize(
        "spelt",
        [str.upper, lambda text: f"{{{text}}}", lambda _: "no id"],
        ids=["upper", "braces", "no-id"],
    )
    def test_an_id_spelt_otherwise_names_nothing(
        self, tracker: Any, spelt: Callable[[str], str]
    ) -> None:
        (identifier,) = enrol(tracker, 1)
        (claimed,) = tracker.enrollments.claim()
        lease = claimed.lease
        (refused,) = tracker.enrollments.complete_many([evolve(lease, token=spelt(lease.token))])
        assert refused.code == "lease_lost"
        (refused,) = tracker.enrollments.complete_many(
            [evolve(lease, enrollment_id=spelt(identifier))]
        )
        assert refused.code == "not_found"
        for read, name in (
            (tracker.enrollments.get, identifier),
            (tracker.enrollments.revive, identifier),
            (tracker.records.event, claimed.event.event_id),
            (tracker.records.profile, claimed.event.profile_id),
        ):
            with pytest.raises(NotFound):
                read(spelt(name))
        assert tracker.enrollments.get(identifier) == claimed.enrollment

    def test_a_batch_of_nothing_changes_nothing(self, tracker: Any) -> None:
        assert tracker.enrollments.complete_many([]) == []
        assert tracker.enrollments.release_many([]) == []
        assert tracker.enrollments.extend_many([]) == []
        assert tracker.enrollments.revive_many([]) == []

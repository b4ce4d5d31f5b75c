"""The leases of one claim are apart, as tests of a storage adapter.

They share a token; each holds its own Enrollment. A part of `StorageContract`, whose fixtures
it uses.

See docs/reference/rules/hand-over.md.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from typing import Any, Final

import pytest

from segmentflow_core import ClaimedEnrollment
from segmentflow_core.testing.builders import FixedClock
from segmentflow_core.testing.contract.entries import claimed_ids, enrol

__all__ = ["SharedClaimContract"]

_MINUTE: Final = timedelta(minutes=1)
_FINISH: Final[dict[str, Callable[[Any, list[Any]], Any]]] = {
    "complete": lambda tracker, leases: tracker.enrollments.complete_many(leases),
    "release": lambda tracker, leases: tracker.enrollments.release_many(leases, delay=_MINUTE),
    "fail": lambda tracker, leases: tracker.enrollments.release_many(leases, max_attempts=1),
    "extend": lambda tracker, leases: tracker.enrollments.extend_many(leases, by=5 * _MINUTE),
}

finishing = pytest.mark.parametrize("finish", list(_FINISH))


class SharedClaimContract:
    """What happens to one Enrollment of a claim happens to no other; one test each."""

    @finishing
    def test_finishing_one_of_a_claim_leaves_the_others_as_they_were(
        self, tracker: Any, finish: str
    ) -> None:
        enrol(tracker, 4)
        claimed = tracker.enrollments.claim(lease=_MINUTE)
        _FINISH[finish](tracker, [claimed[2].lease, claimed[1].lease])
        for item in (claimed[0], claimed[3]):
            assert tracker.enrollments.get(item.enrollment.enrollment_id) == item.enrollment
            assert tracker.enrollments.complete(item.lease).status == "completed"

    @finishing
    def test_finishing_one_organizations_share_of_a_claim_leaves_the_others(
        self, tracker: Any, finish: str
    ) -> None:
        for name in ("default", "other"):
            enrol(tracker, 2, organization_id=name)
        claimed = tracker.enrollments.claim(lease=_MINUTE, organization_id=None)
        own = [item for item in claimed if item.organization_id == "other"]
        assert (len(own), len(claimed)) == (2, 4)
        _FINISH[finish](tracker, [item.lease for item in own])
        for item in claimed:
            if item not in own:
                assert tracker.enrollments.get(item.enrollment.enrollment_id) == item.enrollment

    @finishing
    def test_a_lease_that_runs_out_beside_one_that_was_finished_is_claimed_alone(
        self, tracker: Any, clock: FixedClock, finish: str
    ) -> None:
        enrol(tracker, 3)
        claimed: list[ClaimedEnrollment] = tracker.enrollments.claim(lease=_MINUTE)
        _FINISH[finish](tracker, [claimed[1].lease])
        clock.advance(minutes=1, microseconds=-1)
        assert tracker.enrollments.claim() == []
        clock.advance(microseconds=1)
        again = {"complete": 2, "release": 3, "fail": 2, "extend": 2}[finish]
        ids = claimed_ids(tracker.enrollments.claim(lease=_MINUTE))
        assert len(ids) == again
        assert {*claimed_ids([claimed[0], claimed[2]])} <= {*ids}

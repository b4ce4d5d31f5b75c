"""Enrollments for the tests of the hand-over: how they come about, and which were claimed.

Knows the public calls that track and list. Must never look into a store.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import Any, Final

from segmentflow_core import ClaimedEnrollment
from segmentflow_core.testing.builders import a_journey, a_request

__all__ = ["claim_until", "claimed_ids", "enrol"]

_HANGS: Final = 60.0


def enrol(tracker: Any, count: int, *, start: int = 0, organization_id: str = "default") -> Any:
    """Let `count` Profiles enter a Journey; return the Enrollments' ids in their order."""
    tracker.journeys.publish({"journeys": [a_journey()]}, organization_id=organization_id)
    tracker.track_many(
        [
            (a_request(profile={"email": f"p{number}@example.com"}), f"key {number}")
            for number in range(start, start + count)
        ],
        organization_id=organization_id,
    )
    listed = tracker.enrollments.list(limit=count, organization_id=organization_id)
    return [enrollment.enrollment_id for enrollment in listed][::-1]


def claimed_ids(claimed: list[ClaimedEnrollment]) -> list[str]:
    """Return the ids of what was claimed, in its order."""
    return [item.enrollment.enrollment_id for item in claimed]


def claim_until(
    claim: Callable[[], Sequence[ClaimedEnrollment]], count: int
) -> list[ClaimedEnrollment]:
    """Claim until so many were handed over, for a bounded time.

    Until a database knows that a process or a line to it is gone, a claim passes over what that
    held.
    """
    claimed: list[ClaimedEnrollment] = []
    deadline = time.monotonic() + _HANGS
    while len(claimed) < count and time.monotonic() < deadline:
        claimed += claim()
    return claimed

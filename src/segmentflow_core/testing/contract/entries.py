"""Enrollments for the tests of the hand-over: how they come about, and which were claimed.

Knows the public calls that track and list. Must never look into a store.
"""

from __future__ import annotations

from typing import Any

from segmentflow_core import ClaimedEnrollment
from segmentflow_core.testing.builders import a_journey, a_request

__all__ = ["claimed_ids", "enrol"]


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

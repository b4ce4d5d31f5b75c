from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from segmentflow_core import Enrollment, EnrollmentStatus, Lease
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.hand_over import (
    AVAILABLE_STATUSES,
    ENROLLMENT_STATUSES,
    ClaimedEnrollment,
    ClaimTerms,
    completed,
    extended,
    handed_over,
    released,
    revived,
)
from segmentflow_core.testing import FixedClock

NOW = FixedClock().now()
MINUTE = timedelta(minutes=1)
PENDING = Enrollment("e", "j", 1, "p", "v", 1, None, NOW, available_at=NOW)


def a_claim(token="first", now=NOW, max_attempts=2):
    return ClaimTerms(None, None, 1, now, now + MINUTE, token, max_attempts)


CLAIMED = handed_over(PENDING, a_claim())
DEAD = handed_over(evolve(CLAIMED, attempts=2), a_claim("second"))
COMPLETED = completed(CLAIMED, "first", NOW)
RELEASED = released(CLAIMED, "first", NOW, 2, failed=True)
BURIED = released(evolve(CLAIMED, attempts=2), "first", NOW, 2, failed=True)

CALLS = {
    "complete": lambda e, token: completed(e, token, NOW),
    "release": lambda e, token: released(e, token, NOW, 2, failed=True),
    "extend": lambda e, token: extended(e, token, NOW + 2 * MINUTE),
}

HOLDING = {
    "claimed": (CLAIMED, {"complete": "completed", "release": "pending", "extend": "claimed"}),
    "dead when its lease ran out": (
        DEAD,
        {"complete": "completed", "release": "dead", "extend": "claimed"},
    ),
    "completed": (COMPLETED, {"complete": "completed", "release": None, "extend": None}),
    "released": (RELEASED, {"complete": None, "release": "pending", "extend": None}),
    "dead by its last failure": (BURIED, {"complete": None, "release": "dead", "extend": None}),
    "never handed over": (PENDING, {"complete": None, "release": None, "extend": None}),
    "revived": (revived(DEAD, NOW), {"complete": None, "release": None, "extend": None}),
}
"""What the token of the last claim can still do, and the status it leads to."""


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("standing", HOLDING)
def test_what_the_last_token_can_do(standing, call):
    enrollment, expected = HOLDING[standing]
    after = CALLS[call](enrollment, "first")
    assert (None if after is None else after.status) == expected[call]


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize("standing", HOLDING)
def test_no_other_token_can_do_anything(standing, call):
    assert CALLS[call](HOLDING[standing][0], "another") is None


@pytest.mark.parametrize("standing", HOLDING)
def test_a_call_repeated_with_its_token_changes_nothing_more(standing):
    for call in CALLS.values():
        once = call(HOLDING[standing][0], "first")
        assert once is None or call(once, "first") == once


@pytest.mark.parametrize("standing", HOLDING)
def test_only_the_dead_are_revived(standing):
    enrollment = HOLDING[standing][0]
    after = revived(enrollment, NOW)
    assert (after is not None) == (enrollment.status is EnrollmentStatus.DEAD)


def test_a_claim_moves_the_enrollment_to_the_end_of_its_lease():
    assert CLAIMED.available_at == CLAIMED.lease_until == NOW + MINUTE


def test_every_status_is_explained_and_the_finished_ones_are_not_available():
    assert set(ENROLLMENT_STATUSES) == set(EnrollmentStatus)
    assert set(EnrollmentStatus) - AVAILABLE_STATUSES == {"completed", "dead"}


def test_the_turn_differs_from_claim_to_claim():
    assert len({a_claim(str(number)).turn % 3 for number in range(20)}) == 3


def test_a_claimed_enrollment_shows_nothing_of_its_event():
    event = UserEvent("v", "p", 1, "x", {"a": "canary"}, {"email": "canary"}, 1, None, NOW, NOW, ())
    claimed = ClaimedEnrollment("o", CLAIMED, event)
    assert claimed.lease == Lease("o", "e", "first")
    assert claimed.state == {"event": {"a": "canary"}, "profile": {"email": "canary"}}
    assert "canary" not in repr(claimed)

from __future__ import annotations

from datetime import timedelta

import pytest
from attrs import evolve

from segmentflow_core import Enrollment, EnrollmentStatus, Lease
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.hand_over import (
    AVAILABLE_STATUSES,
    ENROLLMENT_STATUSES,
    FINISHED_STATUSES,
    ClaimedEnrollment,
    ClaimTerms,
    EnrollmentChange,
    archived,
    completed,
    deal,
    extended,
    failure_text,
    followed,
    handed_over,
    released,
    revived,
    withdrawn,
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


@pytest.mark.parametrize("dead", [DEAD, BURIED], ids=["by-its-lease", "by-a-failure"])
def test_what_is_revived_is_as_new_and_keeps_what_it_is_about(dead):
    later = NOW + MINUTE
    assert revived(dead, later) == evolve(PENDING, available_at=later)


def test_a_claim_moves_the_enrollment_to_the_end_of_its_lease():
    assert CLAIMED.available_at == CLAIMED.lease_until == NOW + MINUTE


@pytest.mark.parametrize("status", ["pending", "claimed", "dead"])
def test_what_is_not_finished_is_withdrawn_and_nobody_holds_it_any_more(status):
    before = evolve(CLAIMED, status=EnrollmentStatus(status), attempts=2)
    after = withdrawn(before, NOW)
    assert (after.status, after.withdrawn_at) == (EnrollmentStatus.WITHDRAWN, NOW)
    assert (after.lease_until, after.token, after.attempts) == (None, None, 2)
    assert withdrawn(after, NOW) is None


def test_what_is_completed_is_withdrawn_no_more():
    assert withdrawn(evolve(CLAIMED, status=EnrollmentStatus.COMPLETED), NOW) is None
    assert {"completed", "withdrawn"} == FINISHED_STATUSES


def test_every_status_is_explained_and_the_finished_ones_are_not_available():
    assert set(ENROLLMENT_STATUSES) == set(EnrollmentStatus)
    assert set(EnrollmentStatus) - AVAILABLE_STATUSES == {"completed", "dead", "withdrawn"}


def test_the_turn_differs_from_claim_to_claim():
    assert len({a_claim(str(number)).turn % 3 for number in range(20)}) == 3


def waiting_in(organization_id, *identifiers, **fields):
    return [
        (organization_id, evolve(PENDING, enrollment_id=each, **fields)) for each in identifiers
    ]


def dealt(waiting, **terms):
    """Give the ids that a claim takes, in its order."""
    asked = ClaimTerms(None, None, 10, NOW, NOW + MINUTE, "first", 2)
    return [change.after.enrollment_id for change in deal(waiting, evolve(asked, **terms))]


def a_token(turn, of):
    """Find a token with which that one of so many Organizations is first."""
    return next(t for t in map(str, range(100)) if a_claim(t).turn % of == turn)


def test_what_has_been_available_longest_is_dealt_first_then_the_lower_id():
    longest = waiting_in("o", "z", available_at=NOW - MINUTE)
    assert dealt([*waiting_in("o", "b", "a"), *longest], limit=2) == ["z", "a"]


def test_what_never_had_an_instant_is_available_from_its_entry_on():
    assert dealt(waiting_in("o", "a", available_at=None)) == ["a"]
    assert dealt(waiting_in("o", "a", available_at=None, entered_at=NOW + MINUTE)) == []


def test_organizations_give_in_turn_from_the_one_whose_turn_it_is():
    waiting = [
        *waiting_in("c", "c1"),
        *waiting_in("a", "a1", "a2", "a3"),
        *waiting_in("b", "b1", "b2"),
        *waiting_in("d", "d1", status=EnrollmentStatus.DEAD),
    ]
    circles = (
        ["a1", "b1", "c1", "a2", "b2", "a3"],
        ["b1", "c1", "a1", "b2", "a2", "a3"],
        ["c1", "a1", "b1", "a2", "b2", "a3"],
    )
    for turn, circle in enumerate(circles):
        for limit in (1, 4, 10):
            assert dealt(waiting, token=a_token(turn, of=3), limit=limit) == circle[:limit]


def test_dealing_just_what_was_dealt_takes_it_all():
    waiting = [pair for of in "abcde" for pair in waiting_in(of, f"{of}1", f"{of}2")]
    for turn in range(5):
        for limit in (1, 3, 7):
            token = a_token(turn, of=5)
            taken = dealt(waiting, token=token, limit=limit)
            again = [pair for pair in waiting if pair[1].enrollment_id in taken]
            assert sorted(dealt(again, token=token, limit=limit)) == sorted(taken)


def test_what_a_claim_may_not_have_is_passed_over():
    waiting = [
        *waiting_in("a", "now"),
        *waiting_in("a", "too early", available_at=NOW + timedelta(microseconds=1)),
        *waiting_in("a", "run out", status=EnrollmentStatus.CLAIMED),
        *waiting_in("a", "done", status=EnrollmentStatus.COMPLETED),
        *waiting_in("a", "of another journey", journey_id="k"),
        *waiting_in("b", "of another organization"),
    ]
    assert dealt(waiting, organization_id="a", journey_id="j") == ["now", "run out"]
    assert dealt(waiting, organization_id="b", journey_id=None) == ["of another organization"]
    assert dealt([]) == []


def test_what_is_dealt_changes_as_a_claim_says():
    used_up = evolve(PENDING, attempts=2)
    (change,) = deal([("o", used_up)], a_claim())
    assert change == EnrollmentChange("o", used_up, handed_over(used_up, a_claim()))
    assert change.after.status is EnrollmentStatus.DEAD


def test_a_claimed_enrollment_shows_nothing_of_its_event():
    event = UserEvent("v", "p", 1, "x", {"a": "canary"}, {"email": "canary"}, 1, None, NOW, NOW, ())
    claimed = ClaimedEnrollment("o", CLAIMED, event)
    assert claimed.lease == Lease("o", "e", "first")
    assert claimed.state == {"event": {"a": "canary"}, "profile": {"email": "canary"}}
    assert "canary" not in repr(claimed)


def test_each_step_changes_just_what_it_says():
    """Looked at whole; a field more or less would be stored like that."""
    later = NOW + 2 * MINUTE
    claimed = EnrollmentStatus.CLAIMED
    assert evolve(PENDING, status=claimed, available_at=NOW + MINUTE, attempts=1) == evolve(
        CLAIMED, lease_until=None, token=None
    )
    assert (CLAIMED.lease_until, CLAIMED.token) == (NOW + MINUTE, "first")
    assert completed(CLAIMED, "first", later) == evolve(
        CLAIMED, status=EnrollmentStatus.COMPLETED, lease_until=None, completed_at=later
    )
    back = evolve(CLAIMED, status=EnrollmentStatus.PENDING, available_at=later, lease_until=None)
    assert released(CLAIMED, "first", later, 2, failed=True) == back
    assert released(CLAIMED, "first", later, 1, failed=True) == evolve(
        back, status=EnrollmentStatus.DEAD
    )
    said = released(CLAIMED, "first", later, 2, failed=True, error="no answer")
    assert said == evolve(back, last_failure="no answer")
    # Without a failure no attempt is counted, and none can be the last.
    assert released(CLAIMED, "first", later, 1, failed=False) == evolve(back, attempts=0)


def test_a_failure_in_words_stays_until_it_is_completed_or_revived():
    failing = evolve(CLAIMED, last_failure="no answer")
    assert released(failing, "first", NOW, 1, failed=True) == evolve(
        released(CLAIMED, "first", NOW, 1, failed=True), last_failure="no answer"
    )
    assert released(failing, "first", NOW, 2, failed=True, error="later").last_failure == "later"
    assert released(failing, "first", NOW, 2, failed=False).last_failure == "no answer"
    again = handed_over(evolve(failing, status=EnrollmentStatus.PENDING), a_claim("second"))
    assert again.last_failure == "no answer"
    assert completed(failing, "first", NOW) == COMPLETED
    assert revived(evolve(DEAD, last_failure="no answer"), NOW) == revived(DEAD, NOW)


def test_of_a_failure_is_kept_what_every_store_can_hold():
    assert failure_text("no answer") == "no answer"
    assert failure_text("a\0b\ud800c\udfff\U0001f600") == "a\ufffdb\ufffdc\ufffd\U0001f600"
    assert failure_text("\U0001f600" * 1_001) == "\U0001f600" * 1_000
    assert failure_text("") is None


# --- archived Journeys ------------------------------------------------------------------------


LATER = NOW + 9 * MINUTE
"""When the Journey was archived."""


def as_archived(enrollment):
    return archived(enrollment, 1, LATER)


@pytest.mark.parametrize(
    ("enrollment", "read"),
    [
        (PENDING, evolve(PENDING, status=EnrollmentStatus.WITHDRAWN, withdrawn_at=LATER)),
        (RELEASED, evolve(RELEASED, status=EnrollmentStatus.WITHDRAWN, withdrawn_at=LATER)),
        (CLAIMED, evolve(CLAIMED, archived_at=LATER)),
        (DEAD, evolve(DEAD, archived_at=LATER)),
        (BURIED, evolve(BURIED, archived_at=LATER)),
        (COMPLETED, COMPLETED),
        (withdrawn(PENDING, NOW), withdrawn(PENDING, NOW)),
    ],
)
def test_what_waits_in_an_archived_journey_is_read_as_withdrawn(enrollment, read):
    assert as_archived(enrollment) == read
    assert as_archived(as_archived(enrollment)) == read
    assert archived(evolve(enrollment, era=1), 1, LATER) == evolve(enrollment, era=1)


def test_what_is_given_back_to_an_archived_journey_is_withdrawn_and_what_is_done_is_done():
    held = as_archived(CLAIMED)
    left = evolve(CLAIMED, status=EnrollmentStatus.WITHDRAWN, lease_until=None, withdrawn_at=LATER)
    for failed in (True, False):
        given_back = released(held, "first", NOW, 2, failed=failed)
        assert given_back == evolve(left, available_at=NOW, attempts=int(failed))
        assert released(given_back, "first", LATER, 2, failed=failed) == given_back
    assert completed(held, "first", NOW) == COMPLETED
    assert extended(held, "first", LATER) == evolve(held, available_at=LATER, lease_until=LATER)
    dead = released(evolve(held, attempts=2), "first", NOW, 2, failed=True)
    assert dead == evolve(BURIED, archived_at=LATER)
    assert revived(dead, NOW) is None
    assert withdrawn(held, NOW) == withdrawn(CLAIMED, NOW)
    assert completed(given_back, "first", NOW) is None


def test_a_row_follows_to_what_is_read_and_a_lease_that_ran_out_is_over():
    assert followed(as_archived(PENDING)) == as_archived(PENDING)
    left = followed(as_archived(CLAIMED))
    assert left == evolve(
        CLAIMED, status=EnrollmentStatus.WITHDRAWN, lease_until=None, withdrawn_at=LATER
    )
    assert completed(left, "first", NOW) is None


def test_nothing_of_an_archived_journey_is_dealt():
    assert (
        deal([("o", as_archived(CLAIMED)), ("o", as_archived(PENDING))], a_claim(now=LATER)) == []
    )

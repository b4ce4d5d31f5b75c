"""What cancels an entry: digests of equal values, and which event is later."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pytest
from attrs import evolve

from deciding import NOW, a_profile, an_item, decided, known, published
from segmentflow_core.domain.cancelling import (
    Cancellers,
    CancelOn,
    Withdrawal,
    cancel_digest,
    cancellers_of,
    digests_of,
    still_awaited,
)
from segmentflow_core.domain.event import Enrollment, EnrollmentStatus
from segmentflow_core.domain.hand_over import archived, cancelled, followed, released
from segmentflow_core.domain.retention import GoneEvents
from segmentflow_core.domain.withdrawals import LookedUp, RecordedProbe, may_have_gone
from segmentflow_core.testing import a_journey

MINUTE = timedelta(minutes=1)
CART = CancelOn("order.paid", ("/event/cart",))
LEFT = CancelOn("left")
WAITING = Enrollment(
    "1",
    "cart",
    1,
    "p",
    "v",
    1,
    None,
    NOW,
    available_at=NOW,
    cancellers=cancellers_of([CART], {"event": {"cart": "A"}}, NOW),
)


def state(**data):
    return {"event": data, "profile": {"properties": {}}}


@pytest.mark.parametrize(
    ("one", "other", "equal"),
    [
        ("A", "A", True),
        (1, 1.0, True),
        (1, "1", False),
        (1, True, False),
        ("A", "a", False),
        ("", "", True),
        (False, False, True),
    ],
)
def test_which_values_are_equal(one, other, equal):
    digests = {cancel_digest(CART, state(cart=value)) for value in (one, other)}
    assert None not in digests
    assert (len(digests) == 1) is equal


@pytest.mark.parametrize("value", [None, "[REDACTED]", [], ["A"], {}, {"A": 1}])
def test_what_equals_nothing(value):
    assert cancel_digest(CART, state(cart=value)) is None
    assert cancel_digest(CART, state()) is None
    assert cancellers_of([CART], state(cart=value), NOW) is None


@pytest.mark.parametrize(
    ("gone", "may"),
    [
        (GoneEvents("p", "order.paid", 1, NOW + MINUTE, 4), True),
        # It occurred no later, was recorded later, or is of another name or person.
        (GoneEvents("p", "order.paid", 1, NOW, 4), False),
        (GoneEvents("p", "order.paid", 1, NOW + MINUTE, 6), False),
        (GoneEvents("p", "left", 1, NOW + MINUTE, 4), False),
        (GoneEvents("q", "order.paid", 1, NOW + MINUTE, 4), False),
        # Of several the highest number is not that of each.
        (GoneEvents("p", "order.paid", 2, NOW + MINUTE, 6), True),
    ],
)
def test_what_retention_leaves_may_be_of_an_event_that_cancelled(gone, may):
    own = RecordedProbe("p", "order.paid", NOW, 5)
    assert may_have_gone([own], [gone]) is may
    assert may_have_gone([own], []) is False
    assert may_have_gone([], [gone]) is False
    merged = RecordedProbe("q", "order.paid", NOW)
    assert may_have_gone([merged], [evolve(gone, profile_id="q", highest_number=9)]) is (
        gone.event == "order.paid" and gone.last_occurred_at > NOW
    )


def test_rules_that_differ_have_digests_that_differ_whatever_the_values_are():
    rules = [
        CART,
        CancelOn("order.lost", CART.same),
        CancelOn("order.paid", ("/event/order",)),
        CancelOn("order.paid", ("/event/cart", "/event/order")),
        CancelOn("order.paid"),
    ]
    digests = [cancel_digest(rule, state(cart="A", order="A")) for rule in rules]
    assert len(set(digests)) == len(rules)
    assert {len(digest) for digest in digests} == {40}


def test_an_event_meets_the_rules_of_its_name_alone():
    values = state(cart="A")
    assert digests_of([CART, LEFT], values, "order.paid") == {cancel_digest(CART, values)}
    assert digests_of([CART, LEFT], state(), "order.paid") == set()
    assert digests_of([CART, LEFT], values, "other") == set()


def test_a_rule_is_awaited_as_long_as_a_digest_of_it_is_left():
    digests = cancellers_of([LEFT, CART], state(cart="A"), NOW).digests
    assert still_awaited([CART, LEFT], digests) == (CART, LEFT)
    assert still_awaited([CART, LEFT], [cancel_digest(LEFT, state())]) == (LEFT,)
    assert still_awaited([CART, LEFT], []) == ()


@pytest.mark.parametrize("status", ["pending", "claimed", "dead"])
def test_what_no_lease_holds_is_withdrawn(status):
    before = evolve(WAITING, status=EnrollmentStatus(status), attempts=1, lease_until=NOW)
    after = cancelled(before, "e", NOW)
    assert (after.status, after.cancelled_by, after.withdrawn_at) == ("withdrawn", "e", NOW)
    assert (after.cancellers, after.lease_until, after.token) == (None, None, None)
    assert cancelled(after, "f", NOW) is None


def test_what_a_lease_holds_is_marked_by_the_clock_that_leases_go_by():
    held = evolve(WAITING, status=EnrollmentStatus.CLAIMED, lease_until=NOW + MINUTE, token="t")
    marked = cancelled(held, "e", NOW)
    assert marked == evolve(held, cancelled_by="e")
    assert cancelled(marked, "f", NOW) is None
    # The first one that cancelled it is the one that withdraws it.
    later = cancelled(marked, "f", NOW + MINUTE)
    assert (later.status, later.cancelled_by) == ("withdrawn", "e")
    assert cancelled(held, "e", NOW + 2 * MINUTE, NOW) == marked
    assert cancelled(held, "e", NOW, NOW + MINUTE).status == "withdrawn"


def test_what_a_claim_found_dead_no_lease_holds_by_whatever_clock():
    """So none that is marked stays dead, where no claim would ever withdraw it."""
    dead = evolve(WAITING, status=EnrollmentStatus.DEAD, lease_until=NOW + MINUTE, token="t")
    gone = cancelled(dead, "e", NOW)
    assert (gone.status, gone.cancelled_by, gone.lease_until) == ("withdrawn", "e", None)


def a_waiting_profile():
    return evolve(a_profile(), awaits=(CART,))


def paid(occurred_at=None, **data):
    times = {} if occurred_at is None else {"occurredAt": occurred_at.isoformat()}
    return an_item(event="order.paid", data=data, **times)


def test_what_an_archiving_withdrew_waits_for_no_event_and_what_a_worker_held_does():
    """Given back, it is withdrawn by the event; with its worker gone, by the archiving."""
    at = NOW - MINUTE
    left = archived(WAITING, 1, at)
    assert (left.withdrawn_at, left.cancellers, left.cancelled_by) == (at, None, None)
    assert cancelled(left, "e", NOW) is None
    held = evolve(
        WAITING,
        status=EnrollmentStatus.CLAIMED,
        attempts=1,
        lease_until=NOW + MINUTE,
        token="t",
    )
    marked = cancelled(archived(held, 1, at), "e", NOW)
    assert marked == archived(evolve(held, cancelled_by="e"), 1, at)
    back = released(marked, "t", NOW + MINUTE, 1, failed=True, now=NOW)
    assert (back.status, back.withdrawn_at, back.cancelled_by) == ("withdrawn", NOW, "e")
    assert (back.cancellers, back.archived_at) == (None, None)
    gone = followed(marked)
    assert (gone.status, gone.withdrawn_at, gone.cancelled_by) == ("withdrawn", at, "e")
    assert (gone.cancellers, gone.archived_at) == (None, None)


def test_an_event_asks_only_for_what_it_may_cancel():
    standing = known(profiles=[a_waiting_profile()])
    assert decided(an_item(event="other", data={"cart": "A"}), known=standing).final
    assert decided(paid(), known=standing).final
    asked = decided(paid(cart="A"), known=standing)
    assert not asked.final
    assert asked.questions.waiting == {"p": ("p",)}


@pytest.mark.parametrize(
    ("locked", "withdrew"),
    [
        (WAITING, [Withdrawal("1", "cart")]),
        (None, []),
        (evolve(WAITING, status=EnrollmentStatus.COMPLETED, cancellers=None), []),
    ],
    ids=["as it was", "gone", "completed meanwhile"],
)
def test_what_is_withdrawn_is_what_stands_once_it_is_locked(locked, withdrew):
    standing = known(profiles=[a_waiting_profile()])
    waiting = {"p": [WAITING]}
    asked = decided(paid(cart="A"), known=standing, looked_up=LookedUp(waiting))
    assert list(asked.questions.locks) == ["1"]
    answered = LookedUp(waiting, {"1": locked})
    decision = decided(paid(cart="A"), known=standing, looked_up=answered)
    assert decision.final
    assert list(decision.changes.events[0].withdrew) == withdrew
    assert [before for before, _ in decision.withdrawn] == ([locked] if withdrew else [])
    (profile,) = decision.changes.changed_profiles
    assert profile.awaits == (() if withdrew else (CART,))


def test_what_is_not_told_of_may_wait_for_what_it_waited_for():
    """And is asked about for each digest that an event of the batch has."""
    standing = known(profiles=[a_waiting_profile()])
    items = [paid(cart="A"), an_item("2", "second", event="order.paid", data={"cart": "B"})]
    digests = [cancel_digest(CART, state(cart=cart)) for cart in "AB"]
    asked = decided(*items, known=standing).questions
    assert asked.digests == set(digests)
    answered = LookedUp(
        {"p": [WAITING]}, {"1": WAITING}, complete=False, digests=frozenset(digests[:1])
    )
    assert decided(*items, known=standing, looked_up=answered).questions.digests == {digests[1]}
    decision = decided(items[0], known=standing, looked_up=answered)
    assert [event.withdrew for event in decision.changes.events] == [(Withdrawal("1", "cart"),)]
    (profile,) = decision.changes.changed_profiles
    assert profile.awaits == (CART,)


@pytest.mark.parametrize(
    ("since", "occurred_at", "is_met"),
    [
        (NOW - MINUTE, None, True),
        (NOW + MINUTE, None, True),  # by a clock that is ahead
        (NOW - MINUTE, NOW - MINUTE, True),
        (NOW - MINUTE, NOW - 2 * MINUTE, False),
        (NOW, NOW + MINUTE, True),
        (NOW + MINUTE, NOW + 2 * MINUTE, False),  # one of the future happens on receipt
    ],
)
def test_only_a_later_event_cancels(since, occurred_at, is_met):
    waiting = {"p": [evolve(WAITING, cancellers=evolve(WAITING.cancellers, since=since))]}
    standing = known(profiles=[a_waiting_profile()])
    item = paid(occurred_at, cart="A")
    decision = decided(item, known=standing, looked_up=LookedUp(waiting))
    assert (decision.questions is not None) is is_met


def test_what_a_batch_marked_is_marked_once():
    held = evolve(
        WAITING, status=EnrollmentStatus.CLAIMED, lease_until=NOW + MINUTE, token="t", attempts=1
    )
    items = [paid(cart="A"), an_item("2", "second", event="order.paid", data={"cart": "A"})]
    answered = LookedUp({"p": [held]}, {"1": held})
    standing = known(profiles=[a_waiting_profile()])
    decision = decided(*items, known=standing, looked_up=answered)
    told = [event.withdrew for event in decision.changes.events]
    assert told == [(Withdrawal("1", "cart", marked=True),), ()]
    assert decision.withdrawn == ((held, evolve(held, cancelled_by="mine")),)
    (profile,) = decision.changes.changed_profiles
    assert profile.awaits == (CART,)


def test_a_delay_or_a_period_beyond_the_calendar_ends_with_it():
    (long,) = published(
        a_journey(delay="P999999W", reentry={"policy": "at_most", "times": 1, "within": "P999999W"})
    )
    assert long.rules.available_at(NOW, NOW) == datetime.max.replace(tzinfo=UTC)
    assert long.rules.since(NOW) == datetime.min.replace(tzinfo=UTC)


def test_a_dry_run_locks_nothing():
    decision = decided(
        paid(cart="A"),
        known=known(profiles=[a_waiting_profile()]),
        looked_up=LookedUp({"p": [WAITING]}),
        keys=None,
    )
    assert decision.changes.events[0].withdrew == (Withdrawal("1", "cart"),)


def test_a_profile_waits_for_what_its_entries_wait_for():
    rules = [{"event": "order.paid", "same": ["/event/cart"]}, {"event": "left"}]
    standing = known(journeys=[a_journey("a", cancelOn=rules), a_journey("b", cancelOn=rules)])
    changes = decided(an_item(data={"cart": "A"}), known=standing).changes
    assert changes.created_profiles[0].awaits == (CART, LEFT)
    assert {len(e.cancellers.digests) for e in changes.enrollments} == {2}
    changes = decided(an_item(), known=standing).changes
    assert changes.created_profiles[0].awaits == (LEFT,)
    assert changes.enrollments[0].cancellers == Cancellers(NOW, (cancel_digest(LEFT, state()),))

"""Which calls of the hand-over the core makes, and in which order it locks and saves."""

from __future__ import annotations

from types import SimpleNamespace

from attrs import evolve

from segmentflow_core import Enrollment, EnrollmentStatus, Lease
from segmentflow_core.colour import drive
from segmentflow_core.domain.hand_over import ReleaseTerms
from segmentflow_core.testing import FixedClock
from segmentflow_core.usecases.stepwise import Stepwise, hand_over_of

NOW = FixedClock().now()
HELD = Enrollment(
    "e1", "j", 1, "p", "v", 1, None, NOW, EnrollmentStatus.CLAIMED, NOW, 1, NOW, "token"
)


class Recording:
    """A hand-over that holds two Enrollments and notes what it is asked."""

    def __init__(self):
        self.asked = []
        self.rows = {("b", "e1"): HELD, ("a", "e2"): evolve(HELD, enrollment_id="e2")}

    def lock(self, named):
        self.asked.append(("lock", list(named)))
        return [(at[0], self.rows[at]) for at in reversed(named) if at in self.rows]

    def save(self, changes):
        self.asked.append(("save", [(c.organization_id, c.after.enrollment_id) for c in changes]))
        assert all(
            c.before is self.rows[c.organization_id, c.before.enrollment_id] for c in changes
        )


def test_a_store_that_does_the_calls_itself_is_asked_for_them():
    quick = SimpleNamespace(claim=None)
    assert hand_over_of(SimpleNamespace(hand_over=quick)) is quick


def test_what_was_locked_in_the_order_given_is_saved_in_one_order_where_it_changed():
    hand_over = Recording()
    steps = hand_over_of(SimpleNamespace(hand_over=hand_over, events=None))
    leases = [Lease("a", "e2", "token"), Lease("a", "e3", "token"), Lease("b", "e1", "token")]
    done = drive(steps.complete(leases, NOW))
    places = [("a", "e2"), ("b", "e1")]
    assert hand_over.asked == [
        ("lock", [("a", "e2"), ("a", "e3"), ("b", "e1")]),
        ("save", places),
    ]
    assert {lease.enrollment_id for lease in done} == {"e2", "e1"}


def test_an_enrollment_is_locked_once_whoever_claims_to_hold_it():
    hand_over = Recording()
    leases = [Lease("b", "e1", "another"), Lease("b", "e1", "token")]
    done = drive(Stepwise(hand_over, None).extend(leases, NOW))
    assert hand_over.asked[0] == ("lock", [("b", "e1")])
    assert list(done) == leases[1:]


def test_what_changes_nothing_is_not_saved():
    hand_over = Recording()
    assert drive(Stepwise(hand_over, None).revive("a", ["e2"], NOW)) == {}
    assert drive(Stepwise(hand_over, None).release([], ReleaseTerms(NOW, NOW, 1, True))) == {}
    assert [asked for asked, _ in hand_over.asked] == ["lock"]

from __future__ import annotations

from segmentflow_core.domain.event import SKIP_REASONS, Outcome, Receipt, SkipReason, UserEvent
from segmentflow_core.testing import FixedClock

NOW = FixedClock().now()


def an_event(*outcomes):
    data = {"card": "canary"}
    return UserEvent("e", "p", 1, "order.created", data, data, 1, "canary", NOW, NOW, outcomes)


def test_every_skip_reason_is_explained():
    assert set(SKIP_REASONS) == set(SkipReason)


def test_a_receipt_counts_the_outcomes_of_its_event():
    event = an_event(
        Outcome("a", 1, "enrolled"),
        Outcome("b", 2, "skipped", SkipReason.TOO_LATE),
        Outcome("c", 1, "skipped", SkipReason.ALREADY_ENROLLED),
    )
    assert Receipt.of(event, ("/event/x",)) == Receipt("e", "p", 3, 1, 2, False, ("/event/x",))


def test_a_receipt_of_an_event_no_journey_listens_for_counts_nothing():
    assert Receipt.of(an_event()) == Receipt("e", "p", 0, 0, 0)


def test_a_replay_equals_the_receipt_it_repeats():
    assert Receipt("e", "p", 1, 1, 0, replayed=True) == Receipt("e", "p", 1, 1, 0)


def test_an_event_does_not_show_what_it_holds():
    assert repr(an_event()) == "<UserEvent e>"

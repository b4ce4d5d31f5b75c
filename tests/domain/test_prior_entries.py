from __future__ import annotations

from datetime import timedelta

from attrs import evolve

from segmentflow_core import Enrollment
from segmentflow_core.domain.journey import PriorEntries
from segmentflow_core.domain.prior_entries import answer
from segmentflow_core.domain.tracking import Probe
from segmentflow_core.testing import FixedClock

NOW = FixedClock().now()
FIRST = Enrollment("1", "j", 1, "p", "e", 2, "A", NOW)
LATER = evolve(FIRST, enrollment_id="2", event_number=5, entry_key="B")
EARLIER_CLOCK = evolve(LATER, entered_at=NOW - timedelta(hours=1), entry_key=None)
OTHERS = [
    evolve(FIRST, journey_id="k", entered_at=NOW + timedelta(days=1)),
    evolve(FIRST, profile_id="q", entered_at=NOW + timedelta(days=1)),
]


def test_nobody_entered():
    assert answer(Probe("j", "p", None), OTHERS) == PriorEntries()


def test_the_latest_entry_is_that_of_the_latest_time_with_any_key():
    assert answer(Probe("j", "p", None), [FIRST, EARLIER_CLOCK, *OTHERS]) == PriorEntries(NOW)


def test_a_key_is_taken_by_an_entry_with_it():
    entries = [FIRST, LATER, EARLIER_CLOCK]
    assert answer(Probe("j", "p", "B"), entries).key_taken
    assert not answer(Probe("j", "p", "C"), entries).key_taken
    assert not answer(Probe("j", "p", None), entries).key_taken


def test_only_lower_numbers_count_where_a_number_is_given():
    assert answer(Probe("j", "p", "B", before=5), [FIRST, LATER]) == PriorEntries(NOW)
    assert answer(Probe("j", "p", "B", before=6), [LATER]) == PriorEntries(NOW, key_taken=True)
    assert answer(Probe("j", "p", "A", before=2), [FIRST]) == PriorEntries()

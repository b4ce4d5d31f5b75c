"""The decision about earlier entries: what must be asked, and what an answer decides."""

from __future__ import annotations

from datetime import timedelta

import pytest

from deciding import (
    DAILY,
    NOW,
    ONCE,
    PER_ORDER,
    a_profile,
    an_item,
    decided,
    known,
)
from segmentflow_core.domain.journey import PriorEntries
from segmentflow_core.domain.tracking import Probe
from segmentflow_core.testing import (
    a_journey,
)

A_MINUTE_AGO = NOW - timedelta(minutes=1)


def test_a_profile_that_this_batch_makes_has_no_earlier_entries_to_ask_for():
    journeys = [a_journey("a", reentry=ONCE), a_journey("b", reentry=DAILY)]
    decision = decided(an_item(), known=known(journeys=journeys))
    assert decision.probes == ()
    assert decision.results[0].enrolled_journeys == 2


@pytest.mark.parametrize(
    ("reentry", "data", "asked"),
    [
        ({"policy": "every_event"}, {}, []),
        (ONCE, {}, [Probe("welcome", "p", "")]),
        (DAILY, {}, [Probe("welcome", "p", None)]),
        (PER_ORDER, {}, []),
    ],
)
def test_earlier_entries_are_asked_for_where_the_policy_needs_them(reentry, data, asked):
    standing = known(profiles=[a_profile()], journeys=[a_journey(reentry=reentry)])
    assert list(decided(an_item(data=data), known=standing).probes) == asked


def test_a_probe_about_one_of_several_keys_tells_them_apart():
    standing = known(profiles=[a_profile()], journeys=[a_journey(reentry=PER_ORDER)])
    items = [an_item(str(n), f"e{n}", data={"order": order}) for n, order in enumerate("abab")]
    probes = decided(*items, known=standing).probes
    assert len(probes) == 2
    assert len({probe.entry_key for probe in probes} | {None, ""}) == 4


def test_a_journey_that_skips_already_asks_for_nothing():
    journey = a_journey(reentry=ONCE, sample={"percent": 0, "seed": "s"})
    assert decided(an_item(), known=known(profiles=[a_profile()], journeys=[journey])).probes == ()


@pytest.mark.parametrize(
    ("reentry", "answer", "reason"),
    [
        (ONCE, PriorEntries(), None),
        (ONCE, PriorEntries(A_MINUTE_AGO), "already_enrolled"),
        (PER_ORDER, PriorEntries(A_MINUTE_AGO), None),
        (PER_ORDER, PriorEntries(A_MINUTE_AGO, key_taken=True), "already_enrolled"),
        (DAILY, PriorEntries(A_MINUTE_AGO), "cooling_down"),
        (DAILY, PriorEntries(NOW - timedelta(days=1)), None),
        (DAILY, PriorEntries(), None),
    ],
)
def test_an_answer_decides_and_is_not_asked_for_again(reentry, answer, reason):
    item = an_item(data={"order": "a"})
    standing = known(profiles=[a_profile()], journeys=[a_journey(reentry=reentry)])
    (probe,) = decided(item, known=standing).probes
    decision = decided(item, known=standing, prior={probe: answer})
    (outcome,) = decision.changes.events[0].outcomes
    assert (outcome.reason, decision.probes) == (reason, ())
    assert len(decision.changes.enrollments) == (reason is None)


@pytest.mark.parametrize(
    ("reentry", "reason"),
    [
        ({"policy": "every_event"}, None),
        (ONCE, "already_enrolled"),
        (PER_ORDER, "already_enrolled"),
        (DAILY, "cooling_down"),
    ],
)
def test_an_entry_counts_for_the_rest_of_its_batch(reentry, reason):
    items = [an_item(key, key, data={"order": "a"}) for key in ("1", "2")]
    changes = decided(*items, known=known(journeys=[a_journey(reentry=reentry)])).changes
    assert [event.outcomes[0].reason for event in changes.events] == [None, reason]


def test_an_entry_under_one_key_leaves_other_keys_free():
    items = [an_item(order, order, data={"order": order}) for order in ("a", "b")]
    changes = decided(*items, known=known(journeys=[a_journey(reentry=PER_ORDER)])).changes
    assert len(changes.enrollments) == 2
    assert len({enrollment.entry_key for enrollment in changes.enrollments}) == 2


def test_a_key_taken_before_stays_taken_after_an_entry_under_another_key_of_the_batch():
    items = [an_item(order, order, data={"order": order}) for order in ("new", "old")]
    standing = known(profiles=[a_profile()], journeys=[a_journey(reentry=PER_ORDER)])
    new, old = decided(*items, known=standing).probes
    prior = {
        new: PriorEntries(A_MINUTE_AGO),
        old: PriorEntries(A_MINUTE_AGO, key_taken=True),
    }
    events = decided(*items, known=standing, prior=prior).changes.events
    assert [event.outcomes[0].reason for event in events] == [None, "already_enrolled"]

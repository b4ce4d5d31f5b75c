"""How a Journey judges an event: window, lateness, sample, condition, entry key."""

from __future__ import annotations

from datetime import timedelta

import pytest

from segmentflow_core import Tracker
from segmentflow_core.domain.journey import Sample, in_sample
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_memory import MemoryStorage


def outcome(journey, request=None, clock=None):
    """Track one request on a store with one Journey; give what became of it."""
    tracker = Tracker(
        MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock or FixedClock()
    )
    tracker.journeys.publish({"journeys": [journey]})
    receipt = tracker.track(request or a_request(), "key")
    (found,) = tracker.records.event(receipt.event_id).outcomes
    return found.reason or found.outcome


@pytest.mark.parametrize(
    ("window", "occurred_at", "expected"),
    [
        ({"from": "2026-05-01T00:00Z"}, "2026-05-01T00:00Z", "enrolled"),
        ({"from": "2026-05-01T00:00Z"}, "2026-04-30T23:59:59.999999Z", "outside_window"),
        ({"until": "2026-05-01T00:00Z"}, "2026-04-30T23:59:59.999999Z", "enrolled"),
        ({"until": "2026-05-01T00:00Z"}, "2026-05-01T00:00Z", "outside_window"),
    ],
)
def test_a_window_goes_by_when_the_event_happened(window, occurred_at, expected):
    assert outcome(a_journey(window=window), a_request(occurredAt=occurred_at)) == expected


def test_an_event_that_comes_too_late_is_skipped():
    journey = a_journey(maxLateness="PT1H")
    now = FixedClock().now()
    for late, expected in ((timedelta(hours=1), "enrolled"), (timedelta(hours=2), "too_late")):
        assert outcome(journey, a_request(occurredAt=now - late)) == expected


def test_a_condition_that_is_false_and_one_that_is_unknown_are_told_apart():
    where = {"path": "/event/total", "op": "gte", "value": 40}
    journey = a_journey(trigger={"event": "order.created", "where": where})
    found = [outcome(journey, a_request(data=d)) for d in ({"total": 40}, {"total": 39}, {})]
    assert found == ["enrolled", "condition_not_met", "condition_unknown"]


def test_a_redacted_value_is_unknown_and_no_part_of_a_key():
    where = {"path": "/event/card", "op": "eq", "value": "4111"}
    redacted = a_request(data={"card": "4111"}, redactedDataPaths=["/event/card"])
    journey = a_journey(trigger={"event": "order.created", "where": where})
    assert outcome(journey, redacted) == "condition_unknown"
    keyed = a_journey(reentry={"policy": "once_per_key", "key": "/event/card"})
    assert outcome(keyed, redacted) == "entry_key_missing"


@pytest.mark.parametrize("value", [None, {}, []])
def test_a_key_part_must_be_a_plain_value(value):
    journey = a_journey(reentry={"policy": "once_per_key", "key": "/event/a"})
    assert outcome(journey, a_request(data={"a": value})) == "entry_key_missing"


def test_a_sample_takes_its_share_and_always_the_same_profiles():
    profiles = [f"profile-{number}" for number in range(4000)]

    def taken(percent, seed="seed"):
        return {p for p in profiles if in_sample(Sample(percent, seed), p)}

    assert taken(0) == set()
    assert taken(100) == set(profiles)
    assert 0.2 < len(taken(25)) / len(profiles) < 0.3
    assert taken(25) <= taken(50)
    assert taken(25) != taken(25, "other")
    nobody = a_journey(sample={"percent": 0, "seed": "s"})
    assert outcome(nobody) == "sampled_out"

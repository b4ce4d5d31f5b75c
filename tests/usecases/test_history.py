"""Conditions that count earlier events, against a second evaluator; and what they may cost."""

from __future__ import annotations

import random
from datetime import UTC, datetime

import pytest

from histories import Lives, journeys
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock
from segmentflow_memory import MemoryStorage

_EVER = datetime(2020, 1, 1, tzinfo=UTC)


def lives(storage, seed):
    chance = random.Random(seed)
    clock = FixedClock()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    definitions = journeys(chance, 12)
    tracker.journeys.publish(definitions)
    return Lives(tracker, clock, definitions, seed), definitions


@pytest.mark.parametrize("seed", range(6))
def test_every_event_is_decided_as_a_second_evaluator_says(seed):
    told, _ = lives(MemoryStorage(), seed)
    told.live(100)
    for event in told.sent:
        for journey_id, reason in event["reasons"].items():
            assert reason == told.reason(event, journey_id), (journey_id, event["id"])


@pytest.mark.parametrize("seed", range(100, 102))
def test_explaining_and_rehearsing_agree_with_what_was_decided(seed):
    told, definitions = lives(MemoryStorage(), seed)
    told.live(60, retains=False)
    for event in told.sent:
        explained = told.tracker.records.explain(event["id"])
        reasons = {journey.journey_id: journey.reason for journey in explained.journeys}
        assert reasons == event["reasons"]
    rehearsal = told.tracker.journeys.rehearse(definitions, since=_EVER)
    for journey in rehearsal.journeys:
        entered = sum(each["reasons"].get(journey.journey_id, 0) is None for each in told.sent)
        assert journey.entered == entered


def test_what_has_gone_since_leaves_open_and_never_contradicts():
    opened = 0
    for seed in (201, 203):
        told, _ = lives(MemoryStorage(), seed)
        told.live(50)
        gone = {each["id"] for each in told.gone}
        for event in told.sent:
            if event["id"] in gone:
                continue
            for journey in told.tracker.records.explain(event["id"]).journeys:
                recorded = event["reasons"][journey.journey_id]
                assert journey.reason in (recorded, "condition_unknown")
                opened += journey.reason != recorded
    assert opened

"""What a store in SQL answers of histories: as the one in memory, by one index, within bounds."""

from __future__ import annotations

import random

import pytest
from sqlalchemy import create_engine

from histories import Lives, journeys
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock
from segmentflow_sql import SqlStorage


@pytest.fixture(params=["sqlite", pytest.param("postgresql", marks=pytest.mark.server_side)])
def storage(request, tmp_path):
    if request.param == "sqlite":
        storage = SqlStorage(create_engine(f"sqlite:///{tmp_path / 'store.db'}"))
        storage.create_all()
    else:
        postgres, shop = (request.getfixturevalue(name) for name in ("postgres", "shop"))
        storage = SqlStorage(create_engine(postgres.url(shop)))
    yield storage
    storage.close()


@pytest.mark.parametrize("seed", range(300, 302))
def test_every_event_is_decided_as_a_second_evaluator_says(storage, seed):
    chance = random.Random(seed)
    clock = FixedClock()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    definitions = journeys(chance, 10)
    tracker.journeys.publish(definitions)
    told = Lives(tracker, clock, definitions, seed)
    told.live(50)
    for event in told.sent:
        for journey_id, reason in event["reasons"].items():
            assert reason == told.reason(event, journey_id), (journey_id, event["id"])

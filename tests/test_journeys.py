from __future__ import annotations

import pytest

from segmentflow_core import Journeys, Tracker
from segmentflow_core.errors import NotFound
from segmentflow_core.journeys import journey_definition
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_memory import MemoryStorage


@pytest.fixture
def storage():
    return MemoryStorage()


@pytest.fixture
def clock():
    return FixedClock()


@pytest.fixture
def journeys(storage, clock):
    return Journeys(storage, clock=clock)


def test_what_is_published_without_the_secret_listens_to_what_is_tracked(storage, journeys):
    journeys.publish([a_journey()])
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    assert tracker.track(a_request(), "key").enrolled_journeys == 1
    assert tracker.journeys.list() == journeys.list()


def test_definitions_may_be_published_as_values(journeys):
    definition = journey_definition(a_journey())
    (published,) = journeys.publish([definition])
    assert published.change == "created"
    assert journeys.get("welcome").definition == definition
    (again,) = journeys.publish([a_journey()])
    assert again.change == "unchanged"


def test_publishing_says_what_it_changed(journeys, clock):
    journeys.publish([a_journey()])
    clock.advance(days=1)
    for document, change, changed, version in (
        (a_journey(name="Another"), "new_version", ("/name",), 2),
        (a_journey(name="Another", status="paused"), "new_status", ("/status",), 2),
    ):
        (published,) = journeys.publish([document])
        assert (published.change, published.changed) == (change, changed)
        assert published.journey.version == version
    assert [journeys.get("welcome", number).definition.name for number in (1, 2)] == [
        a_journey()["name"],
        "Another",
    ]


def test_a_journey_of_another_organization_is_not_found(journeys):
    journeys.publish([a_journey()], organization_id="acme")
    assert journeys.list() == []
    with pytest.raises(NotFound):
        journeys.get("welcome")
    with pytest.raises(NotFound):
        journeys.get("welcome", 2, organization_id="acme")

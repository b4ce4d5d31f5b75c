"""A definition as JSON: read, written, and where a new version differs."""

from __future__ import annotations

import pytest

from segmentflow_core import JourneyStatus, Tracker
from segmentflow_core.journeys import (
    journey_definition,
    journey_document,
)
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey
from segmentflow_memory import MemoryStorage

FULL = {
    "id": "full",
    "name": "Full",
    "status": "active",
    "trigger": {
        "event": "order.created",
        "where": {"any": [{"path": "/event/total", "op": "exists"}]},
    },
    "reentry": {"policy": "once_per_key", "key": ["/event/orderId", "/profile/email"]},
    "window": {"from": "2026-01-01T00:00:00.000Z", "until": "2027-01-01T00:00:00.000Z"},
    "maxLateness": "P30D",
    "sample": {"percent": 50, "seed": "s"},
}


@pytest.mark.parametrize(
    "document",
    [
        FULL,
        a_journey(reentry={"policy": "cooldown", "duration": "P1D"}),
        a_journey(reentry={"policy": "at_most", "times": 2, "within": "P1D"}),
        a_journey(
            reentry={"policy": "at_most", "times": 2, "within": "P1D", "key": ["/event/a"]},
            delay="PT1H",
            cancelOn=[{"event": "a", "same": ["/event/a", "/profile/email"]}, {"event": "b"}],
        ),
        a_journey(window={"from": "2026-01-01T00:00:00.000Z"}),
    ],
)
def test_a_definition_survives_its_document(document):
    written = journey_document(journey_definition(document))
    assert written == {"reentry": {"policy": "every_event"}, **document}
    assert journey_definition(written) == journey_definition(document)


def test_a_name_is_optional_and_one_key_needs_no_list():
    definition = journey_definition(
        {
            "id": "a",
            "status": "draft",
            "trigger": {"event": "x"},
            "reentry": {"policy": "once_per_key", "key": "/event/a"},
        }
    )
    assert (definition.name, definition.status) == ("a", JourneyStatus.DRAFT)
    assert definition.reentry.key == ("/event/a",)


@pytest.mark.parametrize(
    ("change", "paths"),
    [
        ({}, []),
        ({"name": "Other", "status": "paused"}, ["/name", "/status"]),
        ({"sample": {"percent": 50.0, "seed": "t"}}, ["/sample/seed"]),
        ({"window": {"from": "2026-01-01T00:00:00.000Z"}}, ["/window/until"]),
        ({"reentry": {"policy": "once"}}, ["/reentry/policy", "/reentry/key"]),
        (
            {"reentry": {"policy": "once_per_key", "key": ["/event/orderId", "/event/line"]}},
            ["/reentry/key/1"],
        ),
        ({"reentry": {"policy": "once_per_key", "key": ["/event/orderId"]}}, ["/reentry/key"]),
        ({"trigger": {"event": "order.created"}}, ["/trigger/where"]),
        (
            {
                "trigger": {
                    "event": "order.created",
                    "where": {"any": [{"path": "/event/total", "op": "eq", "value": 1}]},
                }
            },
            ["/trigger/where/any/0/op", "/trigger/where/any/0/value"],
        ),
    ],
)
def test_a_new_version_says_where_it_differs(change, paths):
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    (created,) = tracker.journeys.publish([FULL])
    (published,) = tracker.journeys.publish([{**FULL, **change}], dry_run=True)
    assert created.changed == ()
    assert list(published.changed) == paths


def test_a_value_python_takes_for_equal_is_a_new_version():
    def journey(value):
        where = {"path": "/event/gift", "op": "eq", "value": value}
        return a_journey(trigger={"event": "order.created", "where": where})

    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([journey(1)])
    assert tracker.journeys.publish([journey(1.0)])[0].change == "unchanged"
    (published,) = tracker.journeys.publish([journey(True)])
    assert (published.change, published.changed) == ("new_version", ("/trigger/where/value",))

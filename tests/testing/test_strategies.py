"""Whatever the strategies draw keeps the rules, and they draw what matters."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, Phase, find, given, settings
from jsonpointer import JsonPointer

from segmentflow_core import Receipt, Tracker
from segmentflow_core.journeys import check_journey
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    journeys,
    json_objects,
    json_values,
    pointers,
    requests,
)
from segmentflow_memory import MemoryStorage

SLOW = settings(suppress_health_check=[HealthCheck.too_slow])
# What is found is thrown away, so nobody looks for the smallest there is.
ANY = settings(max_examples=2000, database=None, phases=[Phase.generate])


@SLOW
@given(requests())
def test_every_request_is_accepted(request):
    tracker = Tracker(
        MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, create_without_email=True
    )
    assert isinstance(tracker.track(request, "key"), Receipt)


@SLOW
@given(journeys())
def test_every_journey_keeps_the_rules(journey):
    assert check_journey(journey) == []


@given(pointers())
def test_every_pointer_leads_into_the_events_data(pointer):
    assert pointer.startswith("/event/")
    assert len(JsonPointer(pointer).parts) >= 2


@pytest.mark.parametrize(
    ("strategy", "wanted"),
    [
        (json_values(), lambda value: isinstance(value, list) and value == [None]),
        (json_objects(), lambda data: any(isinstance(item, dict) for item in data.values())),
        (requests(), lambda request: request.get("redactedDataPaths")),
        (requests(), lambda request: "email" not in request["profile"]),
        (journeys(), lambda journey: "where" in journey["trigger"]),
        (journeys(), lambda journey: journey.get("reentry", {}).get("policy") == "cooldown"),
        (pointers({"a": [{"b": 1}]}), lambda pointer: pointer == "/event/a/0/b"),
    ],
    ids=["nested", "objects", "secrets", "external-id", "condition", "cooldown", "into-the-data"],
)
def test_what_matters_is_drawn(strategy, wanted):
    assert find(strategy, wanted, settings=ANY) is not None

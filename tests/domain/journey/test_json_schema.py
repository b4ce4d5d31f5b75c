"""The schema of a Journey file says what the check says, as far as a schema can."""

from __future__ import annotations

import json
from typing import Any

import pytest

from json_schema import accepts
from segmentflow_core import JourneyStatus, ReentryPolicy
from segmentflow_core.errors import InvalidJourney
from segmentflow_core.journeys import journey_definitions, journey_file_json_schema
from segmentflow_core.testing import a_journey

SCHEMA = journey_file_json_schema()
FULL = a_journey(
    trigger={
        "event": "order.created",
        "where": {"all": [{"path": "/event/total", "op": "gte", "value": 40}]},
    },
    reentry={"policy": "once_per_key", "key": ["/event/orderId", "/profile/email"]},
    window={"from": "2026-01-01T00:00:00Z", "until": "2027-01-01T00:00:00Z"},
    maxLateness="P1W2DT3H4M5.6S",
    sample={"percent": 12.5, "seed": "s"},
)


def is_checked(document: Any) -> bool:
    try:
        journey_definitions(document)
    except InvalidJourney:
        return False
    return True


def without(name: str) -> dict[str, Any]:
    return {member: value for member, value in FULL.items() if member != name}


@pytest.mark.parametrize(
    "journey",
    [
        FULL,
        *(without(name) for name in ("name", "reentry", "window", "maxLateness", "sample")),
        *(a_journey(status=str(status)) for status in JourneyStatus),
        a_journey(reentry={"policy": "every_event"}),
        a_journey(reentry={"policy": "once"}),
        a_journey(reentry={"policy": "once_per_key", "key": "/event/orderId"}),
        a_journey(reentry={"policy": "cooldown", "duration": "PT30M"}),
        a_journey(reentry={"policy": "at_most", "times": 2, "within": "P1D"}),
        a_journey(
            reentry={"policy": "at_most", "times": 2, "within": "P1D", "key": "/event/a"},
            delay="PT1H",
            cancelOn=[{"event": "a", "same": ["/event/a"]}, {"event": "b"}],
        ),
        a_journey(window={"until": "2027-01-01T00:00:00Z"}),
        a_journey("x" * 255, sample={"percent": 100, "seed": "s"}),
    ],
    ids=json.dumps,
)
def test_a_good_journey_is_accepted_by_check_and_schema(journey):
    document = {"journeys": [journey]}
    assert is_checked(document)
    assert accepts(SCHEMA, document)


BAD_REENTRY: list[Any] = [
    "once",
    {},
    {"policy": "twice"},
    {"policy": "once", "key": "/event/a"},
    {"policy": "once_per_key"},
    {"policy": "once_per_key", "key": []},
    {"policy": "once_per_key", "key": ["/event/a"] * 9},
    {"policy": "once_per_key", "key": "event/a"},
    {"policy": "once_per_key", "key": ["/event/a", "/data/a"]},
    {"policy": "cooldown"},
    {"policy": "at_most", "times": 0, "within": "P1D"},
    {"policy": "at_most", "times": 1},
    {"policy": "cooldown", "duration": "P1M"},
    {"policy": "cooldown", "duration": "1D"},
    {"policy": "cooldown", "duration": "P0DT0H"},
    {"policy": "at_most", "times": 1, "within": "PT0.0S"},
    {"policy": "cooldown", "duration": 60},
]


@pytest.mark.parametrize(
    "document",
    [
        1,
        [],
        {},
        {"journeys": {}},
        {"journeys": [1]},
        {"journeys": [], "x": 1},
        *(
            {"journeys": [journey]}
            for journey in (
                *(without(name) for name in ("id", "status", "trigger")),
                {**FULL, "x": 1},
                {**FULL, "id": ""},
                {**FULL, "id": "x" * 256},
                {**FULL, "name": 5},
                {**FULL, "status": "on"},
                {**FULL, "trigger": "x"},
                {**FULL, "trigger": {}},
                {**FULL, "trigger": {"event": ""}},
                {**FULL, "trigger": {"event": "x", "if": 1}},
                {**FULL, "trigger": {"event": "x", "where": {"path": "/event/a", "op": "~"}}},
                *({**FULL, "reentry": reentry} for reentry in BAD_REENTRY),
                {**FULL, "window": {}},
                {**FULL, "window": {"to": "2026-01-01T00:00:00Z"}},
                {**FULL, "window": {"from": 5}},
                {**FULL, "maxLateness": "soon"},
                {**FULL, "maxLateness": "PT0S"},
                {**FULL, "delay": "P0D"},
                {**FULL, "sample": {"percent": 5}},
                {**FULL, "sample": {"percent": 101, "seed": "s"}},
                {**FULL, "sample": {"percent": -1, "seed": "s"}},
                {**FULL, "sample": {"percent": True, "seed": "s"}},
                {**FULL, "sample": {"percent": 5, "seed": ""}},
            )
        ),
    ],
    ids=json.dumps,
)
def test_a_bad_file_is_refused_by_check_and_schema(document):
    assert not is_checked(document)
    assert not accepts(SCHEMA, document)


def test_what_a_schema_cannot_say_is_checked_all_the_same():
    """docs/reference/rules/journeys.md names these."""
    leaf = {"did": "order.paid"}
    for where in (
        {**leaf, "times": {"between": [2, 1]}},
        {**leaf, "times": {"eq": 1.0}},
        {"all": [leaf] * 17},
    ):
        document = {"journeys": [a_journey(trigger={"event": "order.created", "where": where})]}
        assert not is_checked(document)


def test_the_schema_has_a_branch_for_every_policy():
    branches = SCHEMA["$defs"]["journey"]["properties"]["reentry"]["oneOf"]
    policies = [branch["properties"]["policy"]["const"] for branch in branches]
    assert policies == list(ReentryPolicy)


def test_the_schema_is_json_and_describes_what_an_editor_shows():
    assert json.loads(json.dumps(SCHEMA)) == SCHEMA
    members = SCHEMA["$defs"]["journey"]["properties"].items()
    undescribed = [name for name, schema in members if "description" not in schema]
    assert undescribed == ["reentry"]
    assert all(
        "description" in branch
        for branch in SCHEMA["$defs"]["journey"]["properties"]["reentry"]["oneOf"]
    )

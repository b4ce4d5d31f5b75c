"""The check of a Journey: every fault, its path, and nothing of its values."""

from __future__ import annotations

import pytest

from segmentflow_core import Tracker
from segmentflow_core.errors import InvalidJourney
from segmentflow_core.journeys import (
    check_journey,
    journey_definition,
    journey_definitions,
)
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey
from segmentflow_core.wire import parse_json
from segmentflow_memory import MemoryStorage


def paths(document):
    with pytest.raises(InvalidJourney) as refusal:
        journey_definition(document)
    return [v.path for v in refusal.value.violations]


@pytest.mark.parametrize(
    ("change", "path"),
    [
        ({"id": ""}, "/id"),
        ({"id": 5}, "/id"),
        ({"name": "x" * 256}, "/name"),
        ({"status": "on"}, "/status"),
        ({"status": ["active"]}, "/status"),
        ({"trigger": "order.created"}, "/trigger"),
        ({"trigger": {}}, "/trigger/event"),
        ({"trigger": {"event": ""}}, "/trigger/event"),
        ({"trigger": {"event": "x", "if": 1}}, "/trigger/if"),
        ({"trigger": {"event": "x", "where": {"op": "eq"}}}, "/trigger/where/path"),
        (
            {"trigger": {"event": "x", "where": {"path": "/event/a", "op": "matches", "value": 1}}},
            "/trigger/where/op",
        ),
        ({"reentry": "once"}, "/reentry"),
        ({"reentry": {}}, "/reentry/policy"),
        ({"reentry": {"policy": "twice"}}, "/reentry/policy"),
        ({"reentry": {"policy": "once", "key": "/event/a"}}, "/reentry/key"),
        ({"reentry": {"policy": "once_per_key"}}, "/reentry/key"),
        ({"reentry": {"policy": "once_per_key", "key": []}}, "/reentry/key"),
        ({"reentry": {"policy": "once_per_key", "key": 5}}, "/reentry/key"),
        ({"reentry": {"policy": "once_per_key", "key": "event/a"}}, "/reentry/key"),
        ({"reentry": {"policy": "once_per_key", "key": ["/event/a", "/x"]}}, "/reentry/key/1"),
        ({"reentry": {"policy": "once_per_key", "key": ["/event/a"] * 9}}, "/reentry/key"),
        ({"reentry": {"policy": "cooldown"}}, "/reentry/duration"),
        ({"reentry": {"policy": "cooldown", "duration": "P1M"}}, "/reentry/duration"),
        ({"reentry": {"policy": "cooldown", "duration": 60}}, "/reentry/duration"),
        ({"reentry": {"policy": "cooldown", "duration": "P1D", "key": "/event/a"}}, "/reentry/key"),
        ({"reentry": {"policy": "at_most", "within": "P1D"}}, "/reentry/times"),
        ({"reentry": {"policy": "at_most", "times": 1}}, "/reentry/within"),
        ({"reentry": {"policy": "at_most", "times": 0, "within": "P1D"}}, "/reentry/times"),
        ({"reentry": {"policy": "at_most", "times": 1_001, "within": "P1D"}}, "/reentry/times"),
        ({"reentry": {"policy": "at_most", "times": True, "within": "P1D"}}, "/reentry/times"),
        ({"reentry": {"policy": "at_most", "times": 1.0, "within": "P1D"}}, "/reentry/times"),
        ({"reentry": {"policy": "at_most", "times": 1, "within": "P1M"}}, "/reentry/within"),
        (
            {"reentry": {"policy": "at_most", "times": 1, "within": "P1D", "key": "x"}},
            "/reentry/key",
        ),
        ({"delay": "P1M"}, "/delay"),
        ({"delay": 60}, "/delay"),
        ({"cancelOn": {"event": "e"}}, "/cancelOn"),
        ({"cancelOn": []}, "/cancelOn"),
        ({"cancelOn": [{"event": "e"}] * 9}, "/cancelOn"),
        ({"cancelOn": ["e"]}, "/cancelOn/0"),
        ({"cancelOn": [{"event": "e"}, {}]}, "/cancelOn/1/event"),
        ({"cancelOn": [{"event": ""}]}, "/cancelOn/0/event"),
        ({"cancelOn": [{"event": "e", "if": 1}]}, "/cancelOn/0/if"),
        ({"cancelOn": [{"event": "e", "same": "/event/a"}]}, "/cancelOn/0/same"),
        ({"cancelOn": [{"event": "e", "same": []}]}, "/cancelOn/0/same"),
        ({"cancelOn": [{"event": "e", "same": ["/event/a"] * 9}]}, "/cancelOn/0/same"),
        ({"cancelOn": [{"event": "e", "same": ["/event/a", "a"]}]}, "/cancelOn/0/same/1"),
        ({"window": {}}, "/window"),
        ({"window": 5}, "/window"),
        ({"window": {"from": "2026-01-01"}}, "/window/from"),
        ({"window": {"until": 5}}, "/window/until"),
        ({"window": {"from": "2026-01-01T00:00Z", "until": "2026-01-01T00:00Z"}}, "/window/until"),
        ({"maxLateness": "soon"}, "/maxLateness"),
        ({"sample": 5}, "/sample"),
        ({"sample": {"seed": "s"}}, "/sample/percent"),
        ({"sample": {"percent": 101, "seed": "s"}}, "/sample/percent"),
        ({"sample": {"percent": True, "seed": "s"}}, "/sample/percent"),
        ({"sample": {"percent": 5, "seed": ""}}, "/sample/seed"),
        ({"surprise": 1}, "/surprise"),
        ({"name": float("nan")}, "/name"),
        ({"trigger": {"event": "x", "where": float("nan")}}, "/trigger/where"),
        ({"window": float("nan")}, "/window"),
    ],
)
def test_each_fault_of_a_definition_is_named_by_its_path(change, path):
    assert path in paths(a_journey(**change))


@pytest.mark.parametrize("document", [None, 5, [], "x"])
def test_what_is_no_object_is_no_journey(document):
    assert paths(document) == [""]
    assert [v.path for v in check_journey(document)] == [""]


def test_every_fault_of_every_journey_is_listed():
    with pytest.raises(InvalidJourney) as refusal:
        journey_definitions(
            {"journeys": [{}, a_journey("a"), a_journey("a", status="x"), a_journey("a")], "x": 1}
        )
    assert [v.path for v in refusal.value.violations] == [
        "/x",
        "/journeys/0/id",
        "/journeys/0/status",
        "/journeys/0/trigger",
        "/journeys/2/status",
        "/journeys/2/id",
        "/journeys/3/id",
    ]
    assert refusal.value.violations[-1].message == "is also the id of the Journey at /journeys/1"


@pytest.mark.parametrize("document", [None, [], {}, {"journeys": {}}])
def test_a_file_must_list_journeys(document):
    with pytest.raises(InvalidJourney) as refusal:
        journey_definitions(document)
    assert [v.path for v in refusal.value.violations] == ["/journeys"]


def faults_of_file(document):
    with pytest.raises(InvalidJourney) as refusal:
        journey_definitions(document)
    return [(v.path, v.message) for v in refusal.value.violations]


def test_a_definition_of_more_than_4_mib_is_refused():
    where = {"path": "/event/a", "op": "eq", "value": "x" * (5 * 1024 * 1024)}
    assert paths(a_journey(trigger={"event": "x", "where": where})) == [""]


def test_a_file_of_10_mb_is_refused_though_each_of_its_journeys_is_small():
    journeys = [a_journey(f"{number}", name="x" * 250) for number in range(40_000)]
    too_large = ("", "must not hold more than 4194304 bytes of JSON")
    assert faults_of_file({"journeys": journeys}) == [too_large]


@pytest.mark.parametrize("make", [lambda part: [part, part], lambda part: {"a": part, "b": part}])
def test_a_value_that_shares_its_parts_is_as_large_as_it_would_be_written(make):
    value = "x"
    for _ in range(50):
        value = make(value)
    where = {"path": "/event/a", "op": "eq", "value": value}
    too_large = ("", "must not hold more than 4194304 bytes of JSON")
    assert faults_of_file({"journeys": [a_journey(trigger={"event": "x", "where": where})]}) == [
        too_large
    ]


def nested(node, depth, make):
    for _ in range(depth):
        node = make(node)
    return node


@pytest.mark.parametrize(
    ("where", "path", "message"),
    [
        (
            nested({"path": "/event/a", "op": "exists"}, 32, lambda node: {"not": node}),
            "/not" * 32,
            "must not nest deeper than 32 conditions",
        ),
        (
            nested(1, 100_000, lambda node: [node]),
            "/0" * 96,
            "is nested deeper than 100",
        ),
        (
            {"path": "/event/a", "op": "eq", "value": nested(1, 200, lambda node: {"a": node})},
            "/value" + "/a" * 95,
            "is nested deeper than 100",
        ),
    ],
)
def test_what_is_nested_too_deep_is_refused_where_it_gets_too_deep(where, path, message):
    journey = a_journey(trigger={"event": "x", "where": where})
    assert (f"/journeys/0/trigger/where{path}", message) in faults_of_file({"journeys": [journey]})


@pytest.mark.parametrize(
    ("text", "path"),
    [
        ('{"journeys": [], "journeys": []}', "/journeys"),
        ('{"journeys": [{"id": "a", "id": "b"}]}', "/journeys/0/id"),
        (
            '{"journeys": [{"sample": {"percent": 1e400, "seed": "s"}}]}',
            "/journeys/0/sample/percent",
        ),
        ('{"journeys": NaN}', "/journeys"),
    ],
)
def test_what_json_cannot_say_plainly_is_refused(text, path):
    found = [where for where, _ in faults_of_file(parse_json(text))]
    assert found.count(path) == 1


def test_of_very_many_faults_the_first_are_listed_and_the_rest_counted():
    with pytest.raises(InvalidJourney) as refusal:
        journey_definitions({"journeys": [5] * 1500})
    assert len(refusal.value.violations) == 1000
    assert refusal.value.details["omittedViolations"] == 500


def test_a_refused_file_publishes_nothing():
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
    with pytest.raises(InvalidJourney):
        tracker.journeys.publish({"journeys": [a_journey("good"), a_journey("bad", status="x")]})
    assert not tracker.journeys.list()


@pytest.mark.parametrize(
    "bad",
    [
        {"id": "canary" * 50},
        {"status": "canary"},
        {"trigger": {"event": "x", "where": {"path": "canary", "op": "canary", "value": "canary"}}},
        {"reentry": {"policy": "canary"}},
        {"reentry": {"policy": "cooldown", "duration": "canary"}},
        {"window": {"from": "canary"}},
        {"sample": {"percent": "canary", "seed": ["canary"]}},
    ],
)
def test_no_message_repeats_a_value(bad):
    assert "canary" not in str(faults_of_file({"journeys": [a_journey(**bad)]}))

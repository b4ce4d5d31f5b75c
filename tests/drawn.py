"""Journeys and requests about one event and two people, drawn so that every rule has its turn."""

from __future__ import annotations

from datetime import timedelta
from typing import Any

from hypothesis import strategies as st

from segmentflow_core import Tracker
from segmentflow_core.testing import (
    FixedClock,
    a_request,
)

TOTAL_OF_40 = {"path": "/event/total", "op": "gte", "value": 40}


def a_file(*journeys: dict[str, Any]) -> dict[str, Any]:
    return {"journeys": list(journeys)}


def where(condition: dict[str, Any]) -> dict[str, Any]:
    return {"trigger": {"event": "order.created", "where": condition}}


values = st.sampled_from([None, 39, 40, 41.5, "40", True, [40], "[REDACTED]"])
leaves = st.sampled_from(
    [
        TOTAL_OF_40,
        {"path": "/event/total", "op": "exists"},
        {"path": "/profile/properties/plan", "op": "eq", "value": 40},
    ]
)
conditions = leaves | st.builds(lambda leaf: {"not": leaf}, leaves)
policies = st.sampled_from(
    [
        {"policy": "every_event"},
        {"policy": "once"},
        {"policy": "once_per_key", "key": ["/event/total", "/profile/email"]},
        {"policy": "cooldown", "duration": "PT2H"},
        {"policy": "at_most", "times": 2, "within": "PT3H"},
        {"policy": "at_most", "times": 1, "within": "PT3H", "key": ["/event/total"]},
    ]
)
limits = st.sampled_from(
    [
        {},
        {"maxLateness": "PT2H"},
        {"window": {"from": "2026-06-01T12:00:00Z"}},
        {"sample": {"percent": 50, "seed": "s"}},
    ]
)
SAME_TOTAL = {"event": "order.created", "same": ["/event/total"]}
cancelling = st.sampled_from(
    [
        {},
        {"cancelOn": [SAME_TOTAL], "delay": "P9D"},
        {"cancelOn": [{"event": "order.created"}]},
        {
            "cancelOn": [
                {"event": "other"},
                {"event": "order.created", "same": ["/profile/properties/plan", "/event/total"]},
            ],
            "delay": "P9D",
        },
    ]
)
definitions = st.builds(
    lambda condition, reentry, limit, cancelling: {
        **where(condition),
        "reentry": reentry,
        **limit,
        **cancelling,
    },
    conditions,
    policies,
    limits,
    cancelling,
)
sendings = st.lists(
    st.tuples(st.integers(0, 3), st.sampled_from(["a", "b"]), values, st.integers(-4, 1)),
    min_size=1,
    max_size=6,
)


def sent(tracker: Tracker, clock: FixedClock, sendings: Any) -> Any:
    for number, (hours, who, value, offset) in enumerate(sendings):
        clock.advance(hours=hours)
        yield (
            f"{number}",
            a_request(
                profile={"email": f"{who}@example.com", "properties": {"plan": value}},
                data={} if value is None else {"total": value},
                occurredAt=clock.now() + timedelta(hours=offset),
            ),
        )

"""Every fact that an explanation may hold is a line, and days are laid out in a chart."""

from __future__ import annotations

from datetime import date

import pytest

from segmentflow_console.chart import chart_of
from segmentflow_console.facts import facts_of
from segmentflow_core import SkipReason, Tracker
from segmentflow_core.journeys import JourneyDay
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_core.wire import explained_document
from segmentflow_memory import MemoryStorage

FROM, UNTIL = "2020-01-01T00:00:00.000Z", "2030-01-01T00:00:00.000Z"
ENTERED, FREE = "2026-06-01T12:00:00.000Z", "2026-06-08T12:00:00.000Z"
WHERE = {
    "any": [
        {"not": {"path": "/event/total", "op": "exists"}},
        {"path": "/event/items", "op": "any_item", "value": {"path": "/n", "op": "gt", "value": 1}},
        {"path": "/event/secret", "op": "eq", "value": "x" * 200},
        {"did": "order.created", "times": {"gte": 2}, "same": ["/event/missing"]},
    ]
}
JOURNEY = {
    "trigger": {"event": "order.created", "where": WHERE},
    "window": {"from": FROM, "until": UNTIL},
    "maxLateness": "PT1H",
    "sample": {"percent": 100, "seed": "s"},
    "reentry": {"policy": "at_most", "times": 2, "within": "P1D", "key": ["/event/total"]},
    "delay": "PT1H",
    "cancelOn": [{"event": "order.paid", "same": ["/event/total"]}],
}


def lines(facts, depth=0):
    for fact in facts:
        yield f"{'  ' * depth}{fact.mark or '-'} {fact.text}" + (
            f": {fact.found}" if fact.found else ""
        )
        yield from lines(fact.parts, depth + 1)


def test_every_fact_of_an_explanation_is_a_line():
    clock = FixedClock()
    tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
    tracker.journeys.publish([a_journey(**JOURNEY)])
    data = {"total": 5, "items": [{"n": 1}, {"n": 2}], "secret": "s"}
    tracker.track(a_request(data=data), "1")
    clock.advance(minutes=1)
    request = a_request(data=data, redactedDataPaths=["/event/secret"])
    receipt = tracker.track(request, "2")
    (journey,) = explained_document(tracker.records.explain(receipt.event_id))["journeys"]
    shown = list(lines(facts_of(journey)))
    expected = [
        f"yes Happened in the active window: from {FROM}, until {UNTIL}",
        "yes Received at most PT1H late: received 0 s after it happened",
        "yes In the sample: 100 percent",
        "yes Condition",
        "  yes Any of",
        "    no Not",
        "      yes /event/total exists: found 5",
        "    yes /event/items any_item",
        "      no /event/items/0/n gt 1: found 1",
        '    unknown /event/secret eq "' + "x" * 119 + "…: it is redacted",
        '    no did order.created, times {"gte": 2}, same ["/event/missing"]: found 0',
        "      unknown /event/missing: equals nothing",
        "  yes /event/total: found 5",
        "yes No event recorded before this one cancels the entry",
        "  - order.paid",
        "    yes /event/total: found 5",
    ]
    assert [line for line in expected if line not in shown] == []
    assert any(
        line.startswith("yes Re-entry: at most 2 times within P1D: last entered") for line in shown
    )
    assert shown[-1].startswith("- Delay of PT1H: available from 2026-")


def test_days_are_laid_out_with_the_rare_reasons_together():
    skipped = {reason: 10 - n for n, reason in enumerate(SkipReason) if n < 6}
    days = [JourneyDay(date(2026, 6, 2), 7, skipped), JourneyDay(date(2026, 6, 3), 5, {})]
    chart = chart_of(days, date(2026, 6, 1), date(2026, 6, 4))
    assert [kind.style for kind in chart.kinds] == [
        "enrolled",
        "skip1",
        "skip2",
        "skip3",
        "skip4",
        "other",
    ]
    assert [kind.total for kind in chart.kinds] == [12, 10, 9, 8, 7, 11]
    assert [sum(row) for _, row in chart.rows] == [0, 52, 5, 0]
    assert [tick.label for tick in chart.up] == ["0", "26", "52"]
    assert [tick.label for tick in chart.across] == ["Jun 4", "Jun 3", "Jun 2", "Jun 1"]
    of_the_second = [bar for bar in chart.bars if bar.title.startswith("2026-06-02")]
    tops = [bar.y for bar in of_the_second]
    assert tops == sorted(tops, reverse=True)
    assert of_the_second[0].y + of_the_second[0].height == chart.floor
    assert round(sum(bar.height for bar in of_the_second) + tops[-1], 1) == chart.floor
    nothing = chart_of([], date(2026, 6, 1), date(2026, 6, 1))
    assert (nothing.bars, [tick.label for tick in nothing.up]) == ((), ["0", "1"])


def test_what_is_not_known_exactly_is_told():
    counted = {"eventId": "e1", "occurredAt": "2026-06-01T12:00:00.000Z", "counts": True}
    history = {
        "kind": "did",
        "result": None,
        "expected": {"did": "order.created", "within": "P30D"},
        "least": 1,
        "most": None,
        "events": [counted, {**counted, "counts": None}],
        "omitted": 2,
        "gaps": ["removed"],
        "removed": 3,
        "removedUntil": "2026-05-01T12:00:00.000Z",
    }
    items = {"kind": "items", "result": False, "path": "/event/a", "op": "any_item"}
    where = {"kind": "all", "result": None, "children": [history, {**items, "omitted": 4}]}
    cooldown = {
        "result": False,
        "policy": "cooldown",
        "duration": "P7D",
        "lastEnteredAt": ENTERED,
        "freeAt": FREE,
    }
    cancelled = {"result": False, "cancelledBy": "e2", "rules": []}
    limits = dict.fromkeys(("window", "maxLateness", "sample"))
    journey = {**limits, "where": where, "reentry": cooldown, "cancelOn": cancelled}
    facts = facts_of(journey)
    assert list(lines(facts)) == [
        "unknown Condition",
        "  unknown All of",
        '    unknown did order.created, within "P30D": found 1 or more',
        "      yes counts: occurred 2026-06-01T12:00:00.000Z",
        "      unknown may count: occurred 2026-06-01T12:00:00.000Z",
        "      - … and 2 more",
        "      unknown not known exactly: retention removed some that may count",
        "      - 3 removed by retention: the last of 2026-05-01T12:00:00.000Z",
        "    no /event/a any_item",
        "      - … and 4 more",
        f"no Re-entry: cooldown of P7D: last entered {ENTERED}, free at {FREE}",
        "no No event recorded before this one cancels the entry: one does",
    ]
    assert facts[-1].event_id == "e2"


@pytest.mark.parametrize(
    ("result", "found"),
    [(False, "no {}: one did, which is gone"), (None, "unknown {}: one that is gone may have")],
)
def test_a_canceller_that_may_be_gone_is_told(result, found):
    reentry = {"result": True, "policy": "every_event"}
    limits = dict.fromkeys(("window", "maxLateness", "sample", "where"))
    cancelled = {"result": result, "cancelledBy": None, "rules": []}
    (*_, line) = lines(facts_of({**limits, "reentry": reentry, "cancelOn": cancelled}))
    assert line == found.format("No event recorded before this one cancels the entry")

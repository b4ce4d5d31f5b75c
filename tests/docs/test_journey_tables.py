"""The rules of how Journeys match and hand over are those of the code."""

from __future__ import annotations

import json
from datetime import timedelta
from typing import get_args

import pytest
import yaml
from attrs import evolve

from reference_pages import REFERENCE, cells, lines, rows
from segmentflow_cli.journey_files import read_journey_file
from segmentflow_core import Enrollment, ReentryPolicy, Tracker
from segmentflow_core.domain.condition import (
    DID_MEMBERS,
    GAPS,
    OPERATORS,
    TIMES,
    Reason,
    ValueRule,
    compile_condition,
    truth_table,
)
from segmentflow_core.domain.condition.operators import STATE_KINDS
from segmentflow_core.domain.condition.truth import all_of, any_of, negation
from segmentflow_core.domain.event import SKIP_REASONS
from segmentflow_core.domain.hand_over import ENROLLMENT_STATUSES
from segmentflow_core.domain.journey import OPTIONAL_REENTRY_MEMBERS, REENTRY_MEMBERS
from segmentflow_core.journeys import journey_definitions, journey_file_json_schema
from segmentflow_core.ports import completed, extended, parse_instant, released
from segmentflow_core.templates import OnMissing
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_memory import MemoryStorage

MATCHING = "rules/matching.md"
CONDITIONS = "rules/conditions.md"
WORDS = {True: "true", False: "false", None: "unknown"}
SIGNS = {"true": "✔", "false": "✘", "unknown": "?", "compared": "="}


def test_the_operators():
    def shown(value):
        if isinstance(value, ValueRule):
            return value.summary
        return "none" if value is None else f"a {value} on each item"

    assert rows("rules/conditions.md", "op") == [
        (name, operator.summary, shown(operator.value)) for name, operator in OPERATORS.items()
    ]


def test_the_skip_reasons():
    assert rows("rules/matching.md", "reason") == list(SKIP_REASONS.items())


def test_the_statuses_of_an_enrollment():
    assert rows("rules/hand-over.md", "status") == list(ENROLLMENT_STATUSES.items())


def test_the_reasons_are_looked_at_in_the_order_of_the_page():
    table = rows(MATCHING, "step")
    assert [reason for _, _, reason in table] == list(SKIP_REASONS)
    assert [number for number, _, _ in table] == [str(n + 1) for n in range(len(table))]


@pytest.mark.parametrize(("name", "combine"), [("all", all_of), ("any", any_of)])
def test_the_tables_of_all_and_any(name, combine):
    assert rows(CONDITIONS, f"`{name}`") == [
        (f"**{WORDS[one]}**", *(WORDS[combine([one, other])] for other in WORDS)) for one in WORDS
    ]


def test_the_table_of_not():
    assert rows(CONDITIONS, "condition") == [(WORDS[t], WORDS[negation(t)]) for t in WORDS]


def test_the_table_of_every_operator_on_every_kind_of_state():
    answers = {}
    for row in truth_table():
        of = answers.setdefault((row.operator, row.value.replace("_", " ")), [])
        of.append(SIGNS[row.answer])
    assert rows(CONDITIONS, "operator") == [(*of, *signs) for of, signs in answers.items()]
    (heading,) = (line for line in lines(CONDITIONS) if line.startswith("| operator |"))
    kinds = [kind.replace("_", " ") for kind in STATE_KINDS]
    assert cells(heading) == ("operator", "value", *kinds)


def test_the_examples_of_comparisons():
    table = rows(CONDITIONS, "found")
    assert len(table) == 16
    for found, op, value, answer in table:
        leaf = {"path": "/event/x", "op": op, "value": json.loads(value)}
        truth = compile_condition(leaf).evaluate({"event": {"x": json.loads(found)}})
        assert WORDS[truth] == answer, (found, op, value)


LETTERS = {
    None: "●",
    "already_enrolled": "a",
    "cooling_down": "c",
    "entry_key_missing": "k",
    "limit_reached": "l",
}
REENTRY = {
    "every_event": {},
    "once": {},
    "once_per_key": {"key": "/event/order"},
    "cooldown": {"duration": "PT24H"},
    "at_most": {"times": 2, "within": "PT30H"},
}


def test_the_diagram_of_coming_back():
    drawn = [line.split() for line in lines("rules/reentry.md")]
    start = next(i for i, line in enumerate(drawn) if line[:1] == ["order"])
    orders, hours = drawn[start][1:], [int(hour) for hour in drawn[start + 1][1:]]
    for policy, members in REENTRY.items():
        clock = FixedClock()
        tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
        tracker.journeys.publish([a_journey(reentry={"policy": policy, **members})])
        found, now = [], 0
        for order, hour in zip(orders, hours, strict=True):
            clock.advance(hours=hour - now)
            now = hour
            data = {} if order == "–" else {"order": order}
            receipt = tracker.track(a_request(data=data), f"{hour}")
            found.append(LETTERS[tracker.records.event(receipt.event_id).outcomes[0].reason])
        assert [policy, *found] in drawn
    assert list(REENTRY) == list(ReentryPolicy)


def test_what_each_policy_needs():
    def needs(policy):
        members = "`, `".join(REENTRY_MEMBERS[policy]) or "nothing"
        optional = OPTIONAL_REENTRY_MEMBERS.get(policy, ())
        return members if not optional else f"{members}`, and `{optional[0]}` if it counts by key"

    assert [row[:2] for row in rows("rules/reentry.md", "policy")] == [
        (policy, needs(policy)) for policy in REENTRY_MEMBERS
    ]


def test_when_it_happened():
    window = {"from": "2026-05-01T00:00Z", "until": "2026-06-01T00:00Z"}
    assert window["from"] in "".join(lines(MATCHING))
    for occurred, received, answer in rows(MATCHING, "occurred"):
        clock = FixedClock(parse_instant(received))
        tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET, clock=clock)
        tracker.journeys.publish([a_journey(window=window, maxLateness="P1D")])
        receipt = tracker.track(a_request(occurredAt=occurred), "1")
        (outcome,) = tracker.records.event(receipt.event_id).outcomes
        assert (outcome.reason or outcome.outcome) == answer, (occurred, received)


def test_why_a_leaf_is_unknown():
    assert [name for name, _ in rows("rules/explaining.md", "unknown because")] == list(
        get_args(Reason)
    )


def test_the_members_of_a_leaf_that_counts_earlier_events():
    assert [name for name, *_ in rows("rules/history.md", "member")] == list(DID_MEMBERS)
    assert rows("rules/history.md", "times") == list(TIMES.items())
    assert rows("rules/history.md", "not known because") == list(GAPS.items())


def test_the_example_of_a_leaf_that_counts_earlier_events_is_right():
    page = (REFERENCE / "rules" / "history.md").read_text(encoding="utf-8")
    example = yaml.safe_load(page.split("```yaml\n")[1].split("```")[0])
    (did,) = compile_condition(example["trigger"]["where"]).dids
    assert (did.event, did.low, did.high, did.reads) == ("order.created", 3, None, "data")


def test_where_an_enrollment_can_stand():
    """The token is that of its last claim; the last failure allowed is the first here."""
    now = FixedClock().now()
    later = now + timedelta(hours=1)
    entered = Enrollment("1", "j", 1, "p", "e", 1, None, now, available_at=now)
    claimed = evolve(
        entered, status="claimed", attempts=1, available_at=later, lease_until=later, token="t"
    )
    states = {
        "claimed": claimed,
        "dead, not given back": evolve(claimed, status="dead"),
        "pending, given back": released(claimed, "t", later, 2, failed=True),
        "dead, given back": released(claimed, "t", later, 1, failed=True),
        "completed": completed(claimed, "t", now),
    }

    def shown(before, after):
        return "–" if after is None else "unchanged" if after == before else after.status

    assert rows("rules/hand-over.md", "where it stands") == [
        (
            name,
            shown(state, completed(state, "t", later)),
            shown(state, extended(state, "t", later + timedelta(hours=1))),
            shown(state, released(state, "t", later, 2, failed=True)),
            shown(state, released(state, "t", later, 1, failed=True)),
        )
        for name, state in states.items()
    ]


def test_the_members_of_a_journey_file():
    schema = journey_file_json_schema()["$defs"]["journey"]["properties"]
    reentry = {name for one in schema["reentry"]["oneOf"] for name in one["properties"]}
    named = {
        *(name for name in schema if "properties" not in schema[name] and name != "reentry"),
        *(
            f"{name}.{inner}"
            for name, member in schema.items()
            for inner in member.get("items", member).get("properties", ())
        ),
        *(f"reentry.{name}" for name in reentry),
    }
    assert {name for name, _ in rows("rules/journeys.md", "member")} == named


def test_the_example_of_a_journey_file_is_right(tmp_path):
    page = (REFERENCE / "rules" / "journeys.md").read_text(encoding="utf-8")
    path = tmp_path / "journeys.yaml"
    path.write_text(page.split("```yaml\n")[1].split("```")[0])
    (definition,) = journey_definitions(read_journey_file(path))
    assert definition.sample is not None


def test_the_ways_with_what_is_missing():
    assert [name for name, _ in rows("rules/templates.md", "`on_missing`")] == list(
        get_args(OnMissing)
    )

"""The checker of races names what is wrong with a history, and nothing where nothing is."""

from __future__ import annotations

import asyncio
from datetime import UTC, datetime

import pytest
from attrs import evolve

from segmentflow_core import Enrollment, Outcome, Receipt, Tracker, UserEvent
from segmentflow_core.testing import (
    FINGERPRINT_SECRET,
    HISTORY_RULES,
    Call,
    Ending,
    FaultyStorage,
    History,
    Stored,
    contradictions,
)
from segmentflow_memory import MemoryStorage

NOW = datetime(2026, 6, 1, tzinfo=UTC)


def an_event(event_id="e", key="k", variant=0, **fields):
    data = {"key": key, "variant": variant}
    event = UserEvent(event_id, "p", 1, "order.created", data, {}, 1, None, NOW, NOW, ())
    return evolve(event, **fields)


def accepted(event=None, *, replayed=False, variant=0, key="k"):
    receipt = evolve(Receipt.of(event or an_event()), replayed=replayed)
    return Call(key, variant, Ending.OK, receipt)


def refused(variant=0, code="idempotency_key_reuse"):
    return Call("k", variant, Ending.REFUSED, code=code)


ENTERED = an_event(outcomes=(Outcome("j", 1, "enrolled"),))
ENROLLMENT = Enrollment("n", "j", 1, "p", "e", 1, None, NOW)


@pytest.mark.parametrize(
    ("calls", "stored"),
    [
        ([], Stored([])),
        ([accepted(), accepted(replayed=True), refused(1)], Stored([an_event()])),
        ([Call("k", 0, Ending.UNKNOWN), accepted(replayed=True)], Stored([an_event()])),
        ([Call("k", 0)], Stored([an_event()])),
        ([Call("k", 0, Ending.UNKNOWN)], Stored([])),
        ([refused(code="idempotency_in_progress"), accepted()], Stored([an_event()])),
        ([accepted(ENTERED)], Stored([ENTERED], [ENROLLMENT])),
    ],
    ids=[
        "nothing",
        "replay and reuse",
        "a lost answer",
        "no answer",
        "a lost call",
        "busy",
        "entered",
    ],
)
def test_what_may_happen_is_no_contradiction(calls, stored):
    assert contradictions(calls, stored) == []


@pytest.mark.parametrize(
    ("rule", "calls", "stored"),
    [
        ("one event a key", [accepted()], [an_event(), an_event("f")]),
        (
            "identical receipts",
            [accepted(), accepted(an_event("f"), replayed=True)],
            [an_event(), an_event("f")],
        ),
        ("one first answer", [accepted(), accepted()], [an_event()]),
        ("one first answer", [accepted(replayed=True)], [an_event()]),
        ("other requests are refused", [accepted(), accepted(variant=1)], [an_event()]),
        ("other requests are refused", [accepted(), refused()], [an_event()]),
        ("acknowledged means present", [accepted()], []),
        ("no orphan", [refused(code="identity_conflict")], [an_event()]),
        ("no orphan", [], [an_event()]),
        ("no orphan", [accepted(ENTERED)], [ENTERED]),
    ],
)
def test_each_rule_names_what_breaks_it(rule, calls, stored):
    assert rule in {found.split(":")[0] for found in contradictions(calls, Stored(stored))}


def test_an_enrollment_without_its_event_is_an_orphan():
    (found,) = contradictions([], Stored([], [ENROLLMENT]))
    assert found.startswith("no orphan")


def test_every_rule_is_tried():
    marks = test_each_rule_names_what_breaks_it.pytestmark
    assert {case[0] for case in marks[0].args[1]} == set(HISTORY_RULES)


def test_a_call_is_recorded_with_its_ending():
    storage, history = MemoryStorage(), History()
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET)
    crashing = Tracker(FaultyStorage(storage, 0), fingerprint_key=FINGERPRINT_SECRET)

    async def calls():
        await history.track(tracker, "k")
        await history.track(tracker, "k", 1)
        await history.track(crashing, "k")
        await history.track(tracker, "l", email="b@example.com")

    asyncio.run(calls())
    history.invoke("m")
    assert [(call.key, call.ending) for call in history.calls] == [
        ("k", "ok"),
        ("k", "refused"),
        ("k", "unknown"),
        ("l", "ok"),
        ("m", "invoked"),
    ]

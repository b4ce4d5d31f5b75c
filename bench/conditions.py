"""Conditions: one of two leaves against other rule engines, and many Journeys on one event.

Every engine gets the same rule and the same states, compiled beforehand where it can be,
and must give the same answers before it is timed. The engines are in the extra `bench`.
"""

from __future__ import annotations

import importlib
import itertools
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from bench.report import Line, absent, compared, limited, told
from bench.timing import alternate
from segmentflow_core import Tracker
from segmentflow_core.domain.condition import compile_condition
from segmentflow_core.testing import DOCUMENTED_REQUEST, FINGERPRINT_SECRET, a_journey
from segmentflow_memory import MemoryStorage

__all__ = ["measure"]

_WHERE: dict[str, Any] = {
    "all": [
        {"path": "/event/total", "op": "gte", "value": 40},
        {"path": "/profile/properties/plan", "op": "eq", "value": "Pro"},
    ]
}
_CEL = 'event.total >= 40 && profile.properties.plan == "Pro"'
_MANY = 100

Engine = Callable[[dict[str, Any]], Callable[[], bool]]
"""Takes a state, makes of it what the engine wants, and gives what asks the engine."""


def _json_logic() -> Engine:
    json_logic = importlib.import_module("json_logic").jsonLogic
    rule = {
        "and": [
            {">=": [{"var": "event.total"}, 40]},
            {"==": [{"var": "profile.properties.plan"}, "Pro"]},
        ]
    }
    return lambda state: lambda: json_logic(rule, state)


def _rule_engine() -> Engine:
    engine = importlib.import_module("rule_engine")
    rule = engine.Rule(
        'event["total"] >= 40 and profile["properties"]["plan"] == "Pro"',
        context=engine.Context(resolver=engine.resolve_item),
    )
    return lambda state: lambda: rule.matches(state)


def _cel_python() -> Engine:
    celpy = importlib.import_module("celpy")
    environment = celpy.Environment()
    program = environment.program(environment.compile(_CEL))

    def prepare(state: dict[str, Any]) -> Callable[[], bool]:
        converted = {name: celpy.json_to_cel(part) for name, part in state.items()}
        return lambda: program.evaluate(converted)

    return prepare


def _common_expression_language() -> Engine:
    program = importlib.import_module("cel").compile(_CEL)
    return lambda state: lambda: program.execute(state)


_ENGINES: dict[str, tuple[Callable[[], Engine], float]] = {
    "panzi-json-logic": (_json_logic, 8),
    "rule-engine": (_rule_engine, 1),
    "cel-python": (_cel_python, 1),
    "common-expression-language": (_common_expression_language, 1),
}
"""Each engine by its distribution's name, with how many times quicker ours must be."""

_STATE = {"event": DOCUMENTED_REQUEST["data"], "profile": {"properties": {"plan": "Pro"}}}


def measure(*, quick: bool) -> Iterator[Line]:
    """Yield one line per measurement."""
    calls, rounds = (2000, 3) if quick else (20_000, 7)
    evaluate = compile_condition(_WHERE).evaluate
    taken, _ = alternate(lambda: evaluate(_STATE), lambda: evaluate(_STATE), calls * 5, rounds)
    yield limited("a two-leaf condition", taken, 1e-6)
    for name, (make, at_least) in _ENGINES.items():
        line = f"  against {name}"
        try:
            engine = make()
        except ImportError:
            yield absent(line, name)
            continue
        _require_equal_answers(name, engine, evaluate)
        ours, theirs = alternate(lambda: evaluate(_STATE), engine(_STATE), calls, rounds)
        yield compared(line, theirs, ours, at_least=at_least)
    yield from _many_journeys(calls // 20, rounds)


def _require_equal_answers(name: str, engine: Engine, evaluate: Callable[[Any], Any]) -> None:
    random_ = random.Random(7)
    states = [
        {
            "event": {"total": random_.choice([39, 39.5, 40, 41.25, 10**15 + 1])},
            "profile": {"properties": {"plan": random_.choice(["Pro", "pro", "", "Team"])}},
        }
        for _ in range(200)
    ]
    for state in [_STATE, *states]:
        if bool(engine(state)()) is not evaluate(state):
            raise AssertionError(f"{name} answers another question")


def _many_journeys(calls: int, rounds: int) -> Iterator[Line]:
    """Track one event that many Journeys listen for; every second one enrols."""
    plan = _WHERE["all"][1]
    conditions: dict[str, list[Any]] = {
        "": [{"all": [{**_WHERE["all"][0], "value": value}, plan]} for value in (40, 80)],
        ", each of which counts earlier events": [
            {"did": "order.created", "times": times} for times in ({"gte": 1}, {"eq": 0})
        ],
    }
    for what, both in conditions.items():

        def step(count: int, both: Sequence[Any] = both) -> Callable[[], object]:
            tracker = Tracker(MemoryStorage(), fingerprint_key=FINGERPRINT_SECRET)
            tracker.journeys.publish(
                [
                    a_journey(
                        f"{number}",
                        trigger={"event": "order.created", "where": both[number % 2]},
                    )
                    for number in range(count)
                ]
            )
            keys = map(str, itertools.count())
            tracker.track(DOCUMENTED_REQUEST, next(keys))
            receipt = tracker.track(DOCUMENTED_REQUEST, next(keys))
            if (receipt.matched_journeys, receipt.enrolled_journeys) != (count, (count + 1) // 2):
                raise AssertionError("another number of Journeys listened than was asked for")
            return lambda: tracker.track(DOCUMENTED_REQUEST, next(keys))

        many, one = alternate(step(_MANY), step(1), max(calls, 50), rounds)
        yield told(f"track on memory, {_MANY} Journeys on the event{what}", many)
        yield told("  for each further Journey", (many - one) / (_MANY - 1))

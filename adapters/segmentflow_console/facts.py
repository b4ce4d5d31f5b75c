"""Why an event did or did not enrol, as a tree of lines, each with what it found.

Knows explanations as documents, whose values are redacted. Must never decide anything.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from typing import Any, Final

from attrs import frozen

from segmentflow_core.explanation import GAPS

__all__ = ["Fact", "facts_of"]

_SHOWN: Final = 120
_WHY_UNKNOWN: Final = {
    "missing": "nothing is there",
    "null": "it is null",
    "wrong_type": "it is of another type",
    "redacted": "it is redacted",
}
_CANCELS: Final = {True: "", False: "one did, which is gone", None: "one that is gone may have"}
_COUNTS: Final = {True: "counts", False: "does not count", None: "may count"}
_COMBINED: Final = {"all": "All of", "any": "Any of", "not": "Not"}


@frozen
class Fact:
    """One line of the tree.

    Attributes:
        mark: ``"yes"``, ``"no"``, ``"unknown"``, or ``""`` for a line that is neither.
        text: what was asked.
        found: what was found, or "".
        parts: the lines below it.
        event_id: the event that it is about, or None.
    """

    mark: str
    text: str
    found: str = ""
    parts: tuple[Fact, ...] = ()
    event_id: str | None = None


def facts_of(journey: dict[str, Any]) -> list[Fact]:
    """Return what a Journey looked at, in the order in which its rules are applied.

    Args:
        journey: one of the `journeys` of `explained_document`.
    """
    facts = [
        Fact(_mark(journey[name]["result"]), *describe(journey[name]))
        for name, describe in _LIMITS.items()
        if journey[name] is not None
    ]
    if journey["where"] is not None:
        facts.append(
            Fact(
                _mark(journey["where"]["result"]), "Condition", "", (_condition(journey["where"]),)
            )
        )
    facts.append(_reentry(journey["reentry"]))
    if "cancelOn" in journey:
        facts.append(_cancelling(journey["cancelOn"]))
    if "delay" in journey:
        delay = journey["delay"]
        facts.append(
            Fact("", f"Delay of {delay['delay']}", f"available from {delay['availableAt']}")
        )
    return facts


def _mark(result: bool | None) -> str:
    return "unknown" if result is None else "yes" if result else "no"


def _window(fact: dict[str, Any]) -> tuple[str, str]:
    bounds = [f"{name} {fact[name]}" for name in ("from", "until") if name in fact]
    return "Happened in the active window", ", ".join(bounds)


def _lateness(fact: dict[str, Any]) -> tuple[str, str]:
    seconds = fact["latenessSeconds"]
    late = f"{seconds:,.0f} s after" if seconds >= 0 else "before"
    return f"Received at most {fact['limit']} late", f"received {late} it happened"


def _sample(fact: dict[str, Any]) -> tuple[str, str]:
    return "In the sample", f"{fact['percent']:g} percent"


_LIMITS: Final = {"window": _window, "maxLateness": _lateness, "sample": _sample}


def _reentry(fact: dict[str, Any]) -> Fact:
    asked = [f"Re-entry: {fact['policy'].replace('_', ' ')}"]
    if "duration" in fact:
        asked.append(f"of {fact['duration']}")
    if "times" in fact:
        asked.append(f"{fact['times']} times within {fact['within']}")
    told = []
    if "lastEnteredAt" in fact:
        told.append(f"last entered {fact['lastEnteredAt']}")
    if "freeAt" in fact:
        told.append(f"free at {fact['freeAt']}")
    if "entries" in fact:
        told.append(f"entered {fact['entries']} times in that period")
    if fact.get("keyTaken"):
        told.append("this key has entered before")
    parts = _key_parts(fact.get("key", ()))
    return Fact(_mark(fact["result"]), " ".join(asked), ", ".join(told), parts)


def _cancelling(fact: dict[str, Any]) -> Fact:
    by = fact["cancelledBy"]
    rules = tuple(Fact("", rule["event"], "", _key_parts(rule["same"])) for rule in fact["rules"])
    asked = "No event recorded before this one cancels the entry"
    found = _CANCELS[fact["result"]] if by is None else "one does"
    return Fact(_mark(fact["result"]), asked, found, rules, by)


def _key_parts(parts: Iterable[dict[str, Any]]) -> tuple[Fact, ...]:
    return tuple(
        Fact("unknown" if "reason" in part else "yes", part["path"], _found(part)) for part in parts
    )


def _condition(node: dict[str, Any]) -> Fact:
    mark, kind = _mark(node["result"]), node["kind"]
    if kind == "did":
        return _history(node, mark)
    parts = [_condition(child) for child in node.get("children", ())]
    if "omitted" in node:
        parts.append(Fact("", f"… and {node['omitted']} more"))
    if kind in _COMBINED:
        return Fact(mark, _COMBINED[kind], "", tuple(parts))
    expected = f" {_json(node['expected'])}" if "expected" in node else ""
    found = "" if kind == "items" and "reason" not in node else _found(node)
    return Fact(mark, f"{node['path']} {node['op']}{expected}", found, tuple(parts))


def _history(node: dict[str, Any], mark: str) -> Fact:
    asked = {name: value for name, value in node["expected"].items() if name != "did"}
    said = "".join(f", {name} {_json(value)}" for name, value in asked.items())
    least, most = node["least"], node["most"]
    count = f"{least} or more" if most is None else f"{least} to {most}"
    if least == most:
        count = f"{least}"
    parts = [Fact("unknown", path, "equals nothing") for path in node.get("unequal", ())]
    parts += [
        Fact(
            _mark(event["counts"]),
            _COUNTS[event["counts"]],
            f"occurred {event['occurredAt']}",
            (),
            event["eventId"],
        )
        for event in node["events"]
    ]
    if "omitted" in node:
        parts.append(Fact("", f"… and {node['omitted']} more"))
    parts += [Fact("unknown", f"not known exactly: {GAPS[gap]}") for gap in node.get("gaps", ())]
    if "removed" in node:
        removed = f"{node['removed']} removed by retention"
        parts.append(Fact("", removed, f"the last of {node['removedUntil']}"))
    text = f"did {node['expected']['did']}{said}"
    return Fact(mark, text, f"found {count}", tuple(parts))


def _found(node: dict[str, Any]) -> str:
    if "reason" in node:
        return _WHY_UNKNOWN[node["reason"]]
    return f"found {_json(node['found'])}" if "found" in node else _WHY_UNKNOWN["missing"]


def _json(value: Any) -> str:
    """Write a value on one line; a long one is cut."""
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _SHOWN else f"{text[:_SHOWN]}…"

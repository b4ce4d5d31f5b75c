"""Why a state document met a condition, or did not: each part, what it found, its result.

Explaining is slower than evaluating, but uses the same tests, so the two cannot disagree.
Knows checked definitions and redacted state. Must never see a value from before redaction.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, Final, Literal, TypeAlias

from attrs import field, frozen

from segmentflow_core.domain.condition.operators import OPERATORS, Operator
from segmentflow_core.domain.condition.reading import read
from segmentflow_core.domain.condition.truth import Truth, all_of, any_of, negation
from segmentflow_core.domain.condition.values import ARRAY
from segmentflow_core.domain.instant import format_instant
from segmentflow_core.domain.json_value import MISSING, JsonValue, Missing
from segmentflow_core.domain.pointer import format_pointer, parse_pointer
from segmentflow_core.domain.redaction import REDACTED

__all__ = [
    "GAPS",
    "ITEM_LIMIT",
    "CountedEvent",
    "Explanation",
    "Gap",
    "HistoryFact",
    "Kind",
    "Reason",
    "explain_node",
    "explanation_document",
    "why_unknown",
]

Kind: TypeAlias = Literal["all", "any", "not", "leaf", "items", "did"]
"""What a part is; `items` is a leaf that tests each item of an array, `did` one that counts earlier
events."""

Reason: TypeAlias = Literal["missing", "null", "wrong_type", "redacted"]
"""Why a leaf is unknown."""

Gap: TypeAlias = Literal["unclear", "not_looked_at", "removed", "erased"]
"""Why nobody knows exactly how many earlier events count."""

GAPS: Final[Mapping[Gap, str]] = {
    "unclear": "of some of them `where` is unknown",
    "not_looked_at": "there are more than are looked at",
    "removed": "retention removed some that may count",
    "erased": "the Profile was erased, and with it what they held",
}
"""Every such reason, with what it says."""


@frozen
class CountedEvent:
    """An earlier event that counts, or may count.

    Attributes:
        event_id: the event.
        occurred_at: when it happened.
        counts: True, or None where nobody knows.
    """

    event_id: str
    occurred_at: datetime
    counts: bool | None


@frozen
class HistoryFact:
    """What a leaf that counts earlier events found.

    Attributes:
        least: how many count for certain.
        most: how many may count; None where nobody knows.
        since: only what occurred then or later was counted; None for no beginning.
        until: and then or earlier; None for no end.
        events: those that count or may count, newest first, at most `ITEM_LIMIT`.
        omitted: how many more of these were found.
        gaps: why `least` and `most` differ.
        removed: how many events of the name retention has removed that may have been counted.
        removed_until: when the last of these occurred; None where there are none.
        unequal: the paths of `same` at which the event itself has nothing that could be equal.
    """

    least: int
    most: int | None
    since: datetime | None = None
    until: datetime | None = None
    events: tuple[CountedEvent, ...] = ()
    omitted: int = 0
    gaps: tuple[Gap, ...] = ()
    removed: int = 0
    removed_until: datetime | None = None
    unequal: tuple[str, ...] = ()


@frozen
class Explanation:
    """One part of a condition, evaluated against one state document.

    Attributes:
        kind: what the part is.
        result: as evaluating gives it: True, False, or None for unknown.
        path: JSON Pointer into the state document, indexes of items included; leaves only.
        op: the operator; leaves only.
        expected: the definition's value; `MISSING` where the operator takes none. Of a leaf that
            counts earlier events, the whole leaf.
        found: what the state has at `path`; the redaction marker where that place or a parent
            of it is redacted.
        reason: why a leaf is unknown; None where it is known, or where `children` say why.
        children: the parts of a combination, or one for each item of an array.
        omitted: how many more items of the array the result counts and `children` leave out.
        history: what a leaf that counts earlier events found; None of every other part.
    """

    kind: Kind
    result: bool | None
    path: str | None = None
    op: str | None = None
    expected: JsonValue | Missing = MISSING
    found: JsonValue | Missing = field(default=MISSING, repr=False)
    reason: Reason | None = None
    children: tuple[Explanation, ...] = ()
    omitted: int = 0
    history: HistoryFact | None = None


ITEM_LIMIT: Final = 100
"""How many items of one array an explanation shows."""


def explanation_document(explanation: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON: members that do not apply are left out, unknown is null."""
    document: dict[str, Any] = {"kind": explanation.kind, "result": explanation.result}
    if explanation.path is not None:
        document |= {"path": explanation.path, "op": explanation.op}
    if explanation.expected is not MISSING:
        document["expected"] = explanation.expected
    if explanation.found is not MISSING:
        document["found"] = explanation.found
    if explanation.reason is not None:
        document["reason"] = explanation.reason
    if explanation.history is not None:
        return document | _history_document(explanation.history)
    if explanation.children or explanation.kind != "leaf":
        document["children"] = [explanation_document(child) for child in explanation.children]
    if explanation.omitted:
        document["omitted"] = explanation.omitted
    return document


def _history_document(fact: HistoryFact) -> dict[str, Any]:
    document: dict[str, Any] = {"least": fact.least, "most": fact.most}
    moments = (("since", fact.since), ("until", fact.until), ("removedUntil", fact.removed_until))
    document |= {name: format_instant(at) for name, at in moments if at is not None}
    document["events"] = [
        {
            "eventId": event.event_id,
            "occurredAt": format_instant(event.occurred_at),
            "counts": event.counts,
        }
        for event in fact.events
    ]
    counts = (("omitted", fact.omitted), ("removed", fact.removed))
    lists = (("gaps", fact.gaps), ("unequal", fact.unequal))
    document |= {name: count for name, count in counts if count}
    return document | {name: list(each) for name, each in lists if each}


_Told: TypeAlias = "Mapping[int, tuple[Truth, HistoryFact]]"
_NOTHING_TOLD: Final[_Told] = {}


def explain_node(node: Any, state: Any, at: str = "", told: _Told = _NOTHING_TOLD) -> Explanation:
    """Explain a checked definition against `state`.

    Args:
        node: the definition.
        state: the state document, or one item of an array in it.
        at: JSON Pointer of `state` in the state document.
        told: of nodes that count earlier events, by `id`, whether they are met and what was
            counted.
    """
    if "all" in node:
        children = tuple(explain_node(inner, state, at, told) for inner in node["all"])
        return Explanation("all", all_of(_results(children)), children=children)
    if "any" in node:
        children = tuple(explain_node(inner, state, at, told) for inner in node["any"])
        return Explanation("any", any_of(_results(children)), children=children)
    if "did" in node:
        result, fact = told.get(id(node), _UNTOLD)
        return Explanation("did", result, expected=node, history=fact)
    if "not" in node:
        inner = explain_node(node["not"], state, at, told)
        return Explanation("not", negation(inner.result), children=(inner,))
    operator = OPERATORS[node["op"]]
    found = read(state, parse_pointer(node["path"]))
    path = at + node["path"]
    if operator.value == "condition":
        return _explain_items(operator, node["value"], found, path)
    result = operator.build(node.get("value"))(found)
    return Explanation(
        kind="leaf",
        result=result,
        path=path,
        op=operator.name,
        expected=node.get("value", MISSING),
        found=found,
        reason=_why_leaf_is_unknown(operator, found) if result is None else None,
    )


_UNTOLD: Final[tuple[Truth, HistoryFact]] = (None, HistoryFact(0, None, gaps=("not_looked_at",)))


def _explain_items(operator: Operator, condition: Any, found: Any, path: str) -> Explanation:
    children: list[Explanation] = []
    results = found
    if type(found) is ARRAY:
        results = []
        for index, item in enumerate(found):
            child = explain_node(condition, item, path + format_pointer(index))
            results.append(child.result)
            if index < ITEM_LIMIT:
                children.append(child)
    return Explanation(
        kind="items",
        # Build the operator's own test, over results in place of items, to combine them.
        result=operator.build(_same)(results),
        path=path,
        op=operator.name,
        found=found,
        reason=None if type(found) is ARRAY else why_unknown(found),
        children=tuple(children),
        omitted=len(found) - len(children) if type(found) is ARRAY else 0,
    )


def _same(truth: Truth) -> Truth:
    return truth


def _results(children: tuple[Explanation, ...]) -> list[Truth]:
    return [child.result for child in children]


def why_unknown(found: Any) -> Reason:
    """Say why the value found cannot be compared."""
    if found is MISSING:
        return "missing"
    if found is None:
        return "null"
    return "redacted" if found == REDACTED else "wrong_type"


def _why_leaf_is_unknown(operator: Operator, found: Any) -> Reason:
    # The operator compares arrays, so only a redacted item can leave the answer unknown.
    if type(found) is ARRAY and operator.compares_arrays:
        return "redacted"
    return why_unknown(found)

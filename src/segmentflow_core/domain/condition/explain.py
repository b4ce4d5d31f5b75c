"""Why a state document met a condition, or did not: each part, what it found, its result.

Explaining is slower than evaluating, but uses the same tests, so the two cannot disagree.
Knows checked definitions and redacted state. Must never see a value from before redaction.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from attrs import field, frozen

from segmentflow_core.domain.condition.operators import OPERATORS, Operator
from segmentflow_core.domain.condition.reading import read
from segmentflow_core.domain.condition.truth import Truth, all_of, any_of, negation
from segmentflow_core.domain.condition.values import ARRAY
from segmentflow_core.domain.json_value import MISSING, JsonValue, Missing
from segmentflow_core.domain.pointer import format_pointer, parse_pointer
from segmentflow_core.domain.redaction import REDACTED

__all__ = [
    "ITEM_LIMIT",
    "Explanation",
    "Kind",
    "Reason",
    "explain_node",
    "explanation_document",
    "why_unknown",
]

Kind: TypeAlias = Literal["all", "any", "not", "leaf", "items"]
"""What a part is; `items` is a leaf that tests each item of an array."""

Reason: TypeAlias = Literal["missing", "null", "wrong_type", "redacted"]
"""Why a leaf is unknown."""


@frozen
class Explanation:
    """One part of a condition, evaluated against one state document.

    Attributes:
        kind: what the part is.
        result: as evaluating gives it: True, False, or None for unknown.
        path: JSON Pointer into the state document, indexes of items included; leaves only.
        op: the operator; leaves only.
        expected: the definition's value; `MISSING` where the operator takes none.
        found: what the state has at `path`; the redaction marker where that place or a parent
            of it is redacted.
        reason: why a leaf is unknown; None where it is known, or where `children` say why.
        children: the parts of a combination, or one for each item of an array.
        omitted: how many more items of the array the result counts and `children` leave out.
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
    if explanation.children or explanation.kind != "leaf":
        document["children"] = [explanation_document(child) for child in explanation.children]
    if explanation.omitted:
        document["omitted"] = explanation.omitted
    return document


def explain_node(node: Any, state: Any, at: str = "") -> Explanation:
    """Explain a checked definition against `state`.

    Args:
        node: the definition.
        state: the state document, or one item of an array in it.
        at: JSON Pointer of `state` in the state document.
    """
    if "all" in node:
        children = tuple(explain_node(inner, state, at) for inner in node["all"])
        return Explanation("all", all_of(_results(children)), children=children)
    if "any" in node:
        children = tuple(explain_node(inner, state, at) for inner in node["any"])
        return Explanation("any", any_of(_results(children)), children=children)
    if "not" in node:
        inner = explain_node(node["not"], state, at)
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

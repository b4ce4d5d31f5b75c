"""The check of a condition's definition: every fault, each with its path.

Knows the shape of a definition and the operator table. Must never know a state
document, nor trust what it is given: any Python object may arrive here.
"""

from __future__ import annotations

from typing import Any, Final, Literal, TypeAlias

from attrs import define

from segmentflow_core.domain.admission import text_fault
from segmentflow_core.domain.condition.did import (
    DID_LIMIT,
    DID_MEMBERS,
    MAX_EVENT_NAME,
    MAX_SAME,
    MAX_TIMES,
    TIMES,
)
from segmentflow_core.domain.condition.operators import OPERATORS, Operator
from segmentflow_core.domain.condition.values import ARRAY, OBJECT
from segmentflow_core.domain.duration import parse_duration
from segmentflow_core.domain.faults import Faults, Place
from segmentflow_core.domain.pointer import PointerSyntaxError, Tokens, parse_pointer
from segmentflow_core.errors import Violation

__all__ = [
    "COMBINATIONS",
    "DEPTH_LIMIT",
    "NODE_LIMIT",
    "Scope",
    "check_condition",
    "note_condition_faults",
]

DEPTH_LIMIT: Final = 32
"""How deep conditions may nest."""

NODE_LIMIT: Final = 1000
"""How many conditions a definition may hold, inner ones included."""

COMBINATIONS: Final = ("all", "any", "not")
"""The members that make a node a combination of other conditions."""

Scope: TypeAlias = Literal["state", "item", "earlier"]
"""What a leaf's path starts from: the state document, one item of an array, or the state document
of an earlier event."""

_LEAF_MEMBERS: Final = ("path", "op", "value")
_OPERATOR_NAMES: Final = ", ".join(OPERATORS)
_SHAPES: Final[dict[Scope, str]] = {
    "state": "all, any, not, did, or path and op",
    "item": "all, any, not, or path and op",
    "earlier": "all, any, not, or path and op",
}
_COUNTS: Final = f"an integer from 0 to {MAX_TIMES}"


def check_condition(document: object, path: str = "") -> list[Violation]:
    """Name every fault of a condition's definition, as many as one error may list.

    See docs/reference/rules/conditions.md.

    Args:
        document: the definition, as plain JSON; any Python object is accepted and checked.
        path: JSON Pointer of the definition in the document it is part of.

    Returns:
        The faults in the order of the definition; with none, it compiles.

    >>> check_condition({"path": "/event/total", "op": "gte", "value": 40})
    []
    >>> check_condition({"all": [{"path": "/event/total", "op": "gte", "value": "40"}]}, "/where")
    [Violation(path='/where/all/0/value', message='must be a number')]
    """
    faults = Faults()
    note_condition_faults(document, path, faults)
    return faults.violations()


def note_condition_faults(document: object, at: Place, faults: Faults) -> None:
    """Note every fault of a condition's definition.

    Args:
        document: the definition, as plain JSON; any Python object is accepted and checked.
        at: where it stands in the document it is part of.
        faults: takes the faults.
    """
    _ConditionReading(at, faults).node(document, at, 1, "state")


@define
class _ConditionReading:
    """One reading of one definition: notes each fault, and how many conditions it holds so far."""

    root: Place
    faults: Faults
    nodes: int = 0
    dids: int = 0

    def refuse(self, at: Place, message: str) -> None:
        self.faults.note(at, message)

    def node(self, node: Any, at: Place, depth: int, scope: Scope) -> None:
        self.nodes += 1
        if self.nodes > NODE_LIMIT:
            # Note it once and stop: a hostile definition costs no more than an honest one.
            if self.nodes == NODE_LIMIT + 1:
                self.refuse(self.root, f"must not hold more than {NODE_LIMIT} conditions")
            return
        if depth > DEPTH_LIMIT:
            self.refuse(at, f"must not nest deeper than {DEPTH_LIMIT} conditions")
            return
        if type(node) is not OBJECT:
            self.refuse(at, "must be an object")
            return
        if "did" in node:
            self.did(node, at, depth, scope)
            return
        given = [member for member in COMBINATIONS if member in node]
        if len(given) > 1:
            self.refuse(at, f"must have only one of {', '.join(COMBINATIONS)}")
        elif not given and not any(member in node for member in _LEAF_MEMBERS):
            self.refuse(at, f"must have {_SHAPES[scope]}")
        self.members(node, at, tuple(given) or _LEAF_MEMBERS)
        for member in given:
            inner = (at, member)
            if member == "not":
                self.node(node[member], inner, depth + 1, scope)
            else:
                self.nodes_of(node[member], inner, depth + 1, scope)
        if not given and any(member in node for member in _LEAF_MEMBERS):
            self.leaf(node, at, depth, scope)

    def members(self, node: dict[Any, Any], at: Place, allowed: tuple[str, ...]) -> None:
        for member in node:
            if type(member) is not str:
                self.refuse(at, "must have strings as member names")
            elif member not in allowed:
                self.refuse((at, member), f"is not a member here; allowed: {', '.join(allowed)}")

    def nodes_of(self, nodes: Any, at: Place, depth: int, scope: Scope) -> None:
        if type(nodes) is not ARRAY or not nodes:
            self.refuse(at, "must be a list of one or more conditions")
            return
        for index, node in enumerate(nodes):
            if self.nodes > NODE_LIMIT:
                return
            self.node(node, (at, index), depth, scope)

    def leaf(self, node: dict[Any, Any], at: Place, depth: int, scope: Scope) -> None:
        if "path" not in node:
            self.refuse((at, "path"), "is required")
        else:
            fault = _path_fault(node["path"], scope)
            if fault is not None:
                self.refuse((at, "path"), fault)
        if "op" not in node:
            self.refuse((at, "op"), "is required")
            return
        name = node["op"]
        operator = OPERATORS.get(name) if type(name) is str else None
        if operator is None:
            self.refuse((at, "op"), f"must be one of {_OPERATOR_NAMES}")
            return
        self.value(node, operator, (at, "value"), depth)

    def did(self, node: dict[Any, Any], at: Place, depth: int, scope: Scope) -> None:
        self.dids += 1
        if scope != "state":
            self.refuse((at, "did"), "must not stand here: only an event as a whole has a history")
            return
        if self.dids == DID_LIMIT + 1:
            self.refuse(self.root, f"must not count earlier events more than {DID_LIMIT} times")
        self.members(node, at, DID_MEMBERS)
        name = node["did"]
        if type(name) is not str or not 0 < len(name) <= MAX_EVENT_NAME:
            self.refuse((at, "did"), f"must be a string of 1 to {MAX_EVENT_NAME} characters")
        else:
            self.refuse_if((at, "did"), text_fault(name))
        if "times" in node:
            self.times(node["times"], (at, "times"))
        if "within" in node:
            self.refuse_if((at, "within"), _duration_fault(node["within"]))
        if "where" in node:
            self.node(node["where"], (at, "where"), depth + 1, "earlier")
        if "same" in node:
            self.same(node["same"], (at, "same"))

    def refuse_if(self, at: Place, fault: str | None) -> None:
        if fault is not None:
            self.refuse(at, fault)

    def times(self, times: Any, at: Place) -> None:
        if type(times) is not OBJECT or len(times) != 1 or next(iter(times)) not in TIMES:
            self.refuse(at, f"must be an object with one of {', '.join(TIMES)}")
            return
        ((op, value),) = times.items()
        if op != "between":
            if not _is_count(value):
                self.refuse((at, op), f"must be {_COUNTS}")
        elif type(value) is not ARRAY or len(value) != 2 or not all(map(_is_count, value)):
            self.refuse((at, op), f"must be a list of two counts, [low, high], each {_COUNTS}")
        elif value[0] > value[1]:
            self.refuse((at, op), "must have its low bound first")

    def same(self, same: Any, at: Place) -> None:
        if type(same) is not ARRAY or not 1 <= len(same) <= MAX_SAME:
            self.refuse(at, f"must be a list of 1 to {MAX_SAME} JSON Pointers")
            return
        for index, path in enumerate(same):
            self.refuse_if((at, index), _path_fault(path, "earlier"))

    def value(self, node: dict[Any, Any], operator: Operator, at: Place, depth: int) -> None:
        rule = operator.value
        if rule is None:
            if "value" in node:
                self.refuse(at, f"is not taken by {operator.name}")
        elif "value" not in node:
            self.refuse(at, f"is required by {operator.name}")
        elif rule == "condition":
            self.node(node["value"], at, depth + 1, "item")
        else:
            self.faults.note_all(rule.find_faults(node["value"], at))


def _is_count(value: object) -> bool:
    return type(value) is int and 0 <= value <= MAX_TIMES


def _duration_fault(value: object) -> str | None:
    try:
        # A str that is a subclass is no JSON, as everywhere.
        parse_duration(value if type(value) is str else "")
    except ValueError as error:
        return str(error)
    return None


def _path_fault(path: object, scope: Scope) -> str | None:
    if type(path) is not str:
        return "must be a string"
    fault = text_fault(path)
    if fault is not None:
        return fault
    try:
        tokens = parse_pointer(path)
    except PointerSyntaxError:
        return "must be a JSON Pointer (RFC 6901)"
    if scope == "item" or _is_in_state(tokens):
        return None
    return (
        "must start with /event/ or /profile/properties/,"
        " or be /profile/email or /profile/externalId"
    )


def _is_in_state(tokens: Tokens) -> bool:
    match tokens:
        case ("event", _, *_) | ("profile", "properties", _, *_):
            return True
        case ("profile", "email" | "externalId"):
            return True
        case _:
            return False

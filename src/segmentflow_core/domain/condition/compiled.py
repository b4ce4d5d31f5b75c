"""A checked condition, compiled once into closures.

Each leaf becomes one closure, made for its number of tokens and its operator. Evaluating
then looks nothing up in the definition and builds no objects. Knows state documents and
the operator table. Must never write to either.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from attrs import field, frozen

from segmentflow_core.domain.condition.check import note_condition_faults
from segmentflow_core.domain.condition.comparisons import Test
from segmentflow_core.domain.condition.did import Did
from segmentflow_core.domain.condition.explain import Explanation, HistoryFact, explain_node
from segmentflow_core.domain.condition.operators import OPERATORS
from segmentflow_core.domain.condition.reading import read
from segmentflow_core.domain.condition.truth import Truth, all_of, any_of, negation
from segmentflow_core.domain.condition.values import ARRAY, OBJECT
from segmentflow_core.domain.faults import Faults
from segmentflow_core.domain.json_value import MISSING, JsonObject
from segmentflow_core.domain.pointer import Tokens, parse_pointer
from segmentflow_core.errors import InvalidJourney
from segmentflow_core.tracebacks import forgets_locals

__all__ = ["Condition", "Judge", "compile_condition"]

_Evaluate: TypeAlias = Callable[[Any], Truth]

Judge: TypeAlias = Callable[[Did], Truth]
"""Says whether a leaf that counts earlier events is met."""

_EvaluateWith: TypeAlias = Callable[[Any, Judge], Truth]


@frozen
class Condition:
    """A condition, ready to evaluate state documents.

    Attributes:
        document: its definition, as plain JSON; a copy of what was compiled.
        paths: the paths it reads, in the order it first reads them; for `any_item` and
            `all_items` the path of the array.
        dids: its leaves that count earlier events, in the order of the definition.
    """

    document: JsonObject
    paths: tuple[Tokens, ...] = field(repr=False, eq=False)
    _evaluate: _EvaluateWith | _Evaluate = field(alias="evaluate", repr=False, eq=False)
    dids: tuple[Did, ...] = field(default=(), repr=False, eq=False)

    def evaluate(self, state: JsonObject, judge: Judge | None = None) -> bool | None:
        """Return True or False, or None where the state does not say.

        Args:
            state: the state document, of admitted JSON: ``{"event": …, "profile": …}``.
            judge: says of each of `dids` whether it is met; it is not asked where the rest of
                the condition decides. Without it none is known.
        """
        evaluate: Any = self._evaluate
        truth: Truth = evaluate(state, judge or _unknown) if self.dids else evaluate(state)
        return truth

    def explain(
        self, state: JsonObject, recall: Callable[[Did], tuple[Truth, HistoryFact]] | None = None
    ) -> Explanation:
        """Say what each part of the condition found in `state`, and its result.

        Args:
            state: the state document.
            recall: says of each of `dids` whether it is met, and what was counted.
        """
        told = {} if recall is None else {id(did.document): recall(did) for did in self.dids}
        return explain_node(self.document, state, told=told)


def _unknown(_: Did) -> Truth:
    return None


@forgets_locals
def compile_condition(document: JsonObject) -> Condition:
    """Compile a condition's definition.

    Raises:
        InvalidJourney: it breaks a rule; `violations` lists every one.

    >>> condition = compile_condition({"path": "/event/total", "op": "gte", "value": 40})
    >>> condition.evaluate({"event": {"total": 49}})
    True
    >>> condition.evaluate({"event": {"total": "49"}}) is None
    True
    """
    faults = Faults()
    note_condition_faults(document, "", faults)
    if faults.noted:
        raise faults.refusal(InvalidJourney)
    # Compile a copy: the caller may change its object after the check.
    own = _copy(document)
    paths = tuple(dict.fromkeys(_paths(own)))
    dids = {id(node): _did(node) for node in _did_nodes(own)}
    return Condition(
        document=own,
        paths=paths,
        evaluate=_compile_with(own, dids) if dids else _compile(own),
        dids=tuple(dids.values()),
    )


def _copy(value: Any) -> Any:
    if type(value) is OBJECT:
        return {name: _copy(item) for name, item in value.items()}
    if type(value) is ARRAY:
        return [_copy(item) for item in value]
    return value


def _paths(node: Any) -> Iterator[Tokens]:
    if "op" in node:
        yield parse_pointer(node["path"])
    for inner in _parts(node):
        yield from _paths(inner)


def _parts(node: Any) -> list[Any]:
    """Return the conditions that a node combines."""
    if "op" in node or "did" in node:
        return []
    parts: list[Any] = [node["not"]] if "not" in node else node.get("all") or node["any"]
    return parts


def _did_nodes(node: Any) -> Iterator[Any]:
    if "did" in node:
        yield node
    for inner in _parts(node):
        yield from _did_nodes(inner)


def _did(node: Any) -> Did:
    where = node.get("where")
    if where is None:
        return Did.of(node, None, ())
    return Did.of(node, _compile(where), tuple(_paths(where)))


def _compile_with(node: Any, dids: dict[int, Did]) -> _EvaluateWith:
    """Compile a node that may have leaves that count earlier events.

    Those come last in what they are combined with, so that none is asked where the others decide.
    """
    if "did" in node:
        did = dids[id(node)]
        return lambda _, judge: judge(did)
    if not any(True for _ in _did_nodes(node)):
        evaluate = _compile(node)
        return lambda state, _: evaluate(state)
    if "not" in node:
        inner = _compile_with(node["not"], dids)
        return lambda state, judge: negation(inner(state, judge))
    combine = all_of if "all" in node else any_of
    in_order = sorted(_parts(node), key=lambda part: any(True for _ in _did_nodes(part)))
    parts = [_compile_with(part, dids) for part in in_order]
    return lambda state, judge: combine(part(state, judge) for part in parts)


def _compile(node: Any) -> _Evaluate:
    if "all" in node:
        return _all([_compile(inner) for inner in node["all"]])
    if "any" in node:
        return _any([_compile(inner) for inner in node["any"]])
    if "not" in node:
        return _not(_compile(node["not"]))
    operator = OPERATORS[node["op"]]
    value = node.get("value")
    test = operator.build(_compile(value) if operator.value == "condition" else value)
    return _leaf(parse_pointer(node["path"]), test)


def _all(parts: list[_Evaluate]) -> _Evaluate:
    if len(parts) != 2:
        return lambda state: all_of(part(state) for part in parts)
    first, second = parts

    # Two parts are the most common case: this avoids a generator for each event.
    def evaluate_two(state: Any) -> Truth:
        truth = first(state)
        if truth:
            return second(state)
        return False if truth is False or second(state) is False else None

    return evaluate_two


def _any(parts: list[_Evaluate]) -> _Evaluate:
    return lambda state: any_of(part(state) for part in parts)


def _not(inner: _Evaluate) -> _Evaluate:
    return lambda state: negation(inner(state))


def _leaf(tokens: Tokens, test: Test) -> _Evaluate:
    """Read and test in one closure, which falls back to `read` for arrays and redacted parts."""
    match tokens:
        case ():
            return test
        case (first,):

            def evaluate_one(state: Any) -> Truth:
                if type(state) is OBJECT:
                    return test(state.get(first, MISSING))
                return test(read(state, tokens))

            return evaluate_one
        case (first, second):

            def evaluate_two(state: Any) -> Truth:
                if type(state) is OBJECT:
                    outer = state.get(first, MISSING)
                    if type(outer) is OBJECT:
                        return test(outer.get(second, MISSING))
                return test(read(state, tokens))

            return evaluate_two
        case (first, second, third):

            def evaluate_three(state: Any) -> Truth:
                if type(state) is OBJECT:
                    outer = state.get(first, MISSING)
                    if type(outer) is OBJECT:
                        inner = outer.get(second, MISSING)
                        if type(inner) is OBJECT:
                            return test(inner.get(third, MISSING))
                return test(read(state, tokens))

            return evaluate_three
        case _:
            return lambda state: test(read(state, tokens))

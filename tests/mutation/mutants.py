"""Small faults put into a module's code, one at a time.

Knows the syntax of Python only. Must never know what the module is for, nor how a fault is judged.
"""

from __future__ import annotations

import ast
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

__all__ = ["Mutant", "mutants", "planted"]

OPERATORS: dict[type[ast.AST], type[Any]] = {
    ast.Lt: ast.LtE,
    ast.LtE: ast.Lt,
    ast.Gt: ast.GtE,
    ast.GtE: ast.Gt,
    ast.Eq: ast.NotEq,
    ast.NotEq: ast.Eq,
    ast.Is: ast.IsNot,
    ast.IsNot: ast.Is,
    ast.In: ast.NotIn,
    ast.NotIn: ast.In,
    ast.And: ast.Or,
    ast.Or: ast.And,
    ast.Add: ast.Sub,
    ast.Sub: ast.Add,
    ast.Mult: ast.FloorDiv,
    ast.BitOr: ast.BitAnd,
    ast.BitAnd: ast.BitOr,
}
FUNCTIONS = {"min": "max", "max": "min", "any": "all", "all": "any"}
COPIES = ("deepcopy", "sorted", "reversed")
CALLED = (ast.Call, ast.Yield, ast.YieldFrom, ast.Await)
SHOWN = 80
"""How many characters of a piece of code name a mutant."""


@dataclass(frozen=True)
class Mutant:
    """One fault: where it is, by names that outlive an edit elsewhere, and as what."""

    name: str
    line: int
    place: tuple[int, int]


def mutants(source: str) -> Iterator[Mutant]:
    """Yield every fault that can be put into `source`, in its order."""
    seen: Counter[str] = Counter()
    for at, (node, scope, parent) in enumerate(_mutable(ast.parse(source), "", None)):
        for number, new in enumerate(_alternatives(node)):
            # A bare constant names nothing: show what it stands in.
            shown = parent if isinstance(node, ast.Constant) and parent else node
            told = _difference(_text(shown), _text(_Replaced(node, new).visit(shown)))
            name = f"{scope}: {told}" if scope else told
            seen[name] += 1
            ordinal = f" #{seen[name]}" if seen[name] > 1 else ""
            yield Mutant(name + ordinal, getattr(node, "lineno", 0), (at, number))


def planted(source: str, mutant: Mutant) -> ast.Module:
    """Return the module with the fault in it."""
    tree = ast.parse(source)
    at, number = mutant.place
    for index, (node, _, _) in enumerate(_mutable(tree, "", None)):
        if index == at:
            new = list(_alternatives(node))[number]
            faulty = _Replaced(node, new).visit(tree)
            assert isinstance(faulty, ast.Module)
            return ast.fix_missing_locations(faulty)
    raise LookupError(mutant.name)


class _Replaced(ast.NodeTransformer):
    """A copy along the way to one node, which is another in it."""

    def __init__(self, old: ast.AST, new: ast.AST) -> None:
        self._old = old
        self._new = new

    def visit(self, node: ast.AST) -> ast.AST:
        if node is self._old:
            return self._new
        fields = {name: self._of(value) for name, value in ast.iter_fields(node)}
        return ast.copy_location(type(node)(**fields), node)

    def _of(self, value: object) -> object:
        if isinstance(value, list):
            return [self._of(each) for each in value]
        return self.visit(value) if isinstance(value, ast.AST) else value


def _text(node: ast.AST) -> str:
    if isinstance(node, ast.If | ast.While):
        node = node.test
    return " ".join(ast.unparse(node).split())


def _difference(was: str, becomes: str) -> str:
    """Show both texts; of long ones what is around the first character that differs."""
    pairs = enumerate(zip(was, becomes, strict=False))
    alike = next((at for at, (one, other) in pairs if one != other), min(len(was), len(becomes)))
    start = max(0, alike - SHOWN // 4) if len(was) > SHOWN else 0
    before = "…" * (start > 0)
    texts = [text[start:] for text in (was, becomes)]
    cut = [text if len(text) <= SHOWN else f"{text[:SHOWN]}…" for text in texts]
    return " → ".join(f"{before}{text}" for text in cut)


Place = tuple[ast.AST, str, "ast.AST | None"]


def _mutable(node: ast.AST, scope: str, parent: ast.AST | None) -> Iterator[Place]:
    """Yield each node that may be mutated, in order, with its function and what it stands in."""
    if isinstance(node, ast.AnnAssign) and "TypeAlias" in ast.unparse(node.annotation):
        return
    if isinstance(node, ast.Assign) and ast.unparse(node).startswith("__all__ ="):
        return
    if isinstance(node, ast.Assign) and ast.unparse(node.value).startswith("TypeVar("):
        return
    yield node, scope, parent
    inside = scope
    if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef | ast.ClassDef):
        inside = f"{scope}.{node.name}".lstrip(".")
    for name, value in ast.iter_fields(node):
        # What types and decorators say is the type checkers' to judge.
        if name in ("annotation", "returns", "decorator_list", "bases"):
            continue
        for child in value if isinstance(value, list) else [value]:
            if isinstance(child, ast.AST) and not _says_nothing(child, node):
                yield from _mutable(child, inside, node)


def _is_prose(node: ast.AST) -> bool:
    """Tell a docstring or a message, which no test need pin."""
    if isinstance(node, ast.Expr) and isinstance(node.value, ast.Constant):
        return True
    if isinstance(node, ast.JoinedStr):
        return True
    return isinstance(node, ast.Constant) and isinstance(node.value, str) and " " in node.value


def _says_nothing(node: ast.AST, parent: ast.AST) -> bool:
    """Tell what no test need pin: prose, assertions, and what type checkers read."""
    if isinstance(parent, ast.Call) and ast.unparse(parent.func) == "cast":
        return node is parent.args[0]
    if isinstance(parent, ast.Call) and ast.unparse(parent.func) == "lru_cache":
        return True  # how much is remembered changes no answer
    return _is_prose(node) or _is_assertion(node)


def _is_assertion(node: ast.AST) -> bool:
    """Tell the word by which `zip` refuses what no caller gives it."""
    return isinstance(node, ast.keyword) and node.arg == "strict"


def _alternatives(node: ast.AST) -> Iterator[ast.AST]:
    """Yield what may stand in the place of a node, each a fault unless it means the same."""
    match node:
        case ast.Compare(left=left, ops=[op], comparators=right) if type(op) in OPERATORS:
            yield ast.Compare(left, [OPERATORS[type(op)]()], right)
        case ast.BoolOp(op=op, values=values):
            yield ast.BoolOp(OPERATORS[type(op)](), values)
            for index in range(len(values)):
                kept = [*values[:index], *values[index + 1 :]]
                yield kept[0] if len(kept) == 1 else ast.BoolOp(op, kept)
        case ast.UnaryOp(op=ast.Not(), operand=operand):
            yield operand
        case ast.BinOp(left=left, op=op, right=right) if type(op) in OPERATORS:
            yield ast.BinOp(left, OPERATORS[type(op)](), right)
        case ast.Constant(value=bool() | int() | str() as value):
            yield ast.Constant(_other_constant(value))
        case ast.IfExp(test=test, body=body, orelse=orelse) if not isinstance(test, ast.Compare):
            yield ast.IfExp(test, orelse, body)
        case ast.comprehension(target=target, iter=iterable, ifs=ifs, is_async=is_async) if ifs:
            yield ast.comprehension(target, iterable, [], is_async)
        case ast.Slice(lower=lower, upper=upper, step=step) if lower or upper:
            yield ast.Slice(None, None, step)
        case ast.Set() | ast.List() | ast.Dict():
            yield from _shorter(node)
        case ast.Call():
            yield from _other_calls(node)
        case ast.stmt():
            yield from _other_statements(node)


def _other_constant(value: bool | int | str) -> bool | int | str:
    if isinstance(value, bool):
        return not value
    return value + 1 if isinstance(value, int) else f"{value}?"


def _shorter(node: ast.Set | ast.List | ast.Dict) -> Iterator[ast.AST]:
    """Yield a display of several things without each of them."""
    things = node.values if isinstance(node, ast.Dict) else node.elts
    for at in range(len(things)) if len(things) > 1 else ():
        others = things[:at] + things[at + 1 :]
        match node:
            case ast.Set():
                yield ast.Set(others)
            case ast.List(ctx=ctx):
                yield ast.List(others, ctx)
            case ast.Dict(keys=keys):
                yield ast.Dict(keys[:at] + keys[at + 1 :], others)


def _other_calls(node: ast.Call) -> Iterator[ast.AST]:
    for keyword in node.keywords:
        if _says_nothing(keyword, node):
            continue
        others = [other for other in node.keywords if other is not keyword]
        yield ast.Call(node.func, node.args, others)
    if isinstance(node.func, ast.Name):
        if node.func.id in FUNCTIONS:
            yield ast.Call(ast.Name(FUNCTIONS[node.func.id], ast.Load()), node.args, node.keywords)
        if node.func.id in COPIES:
            yield node.args[0]


def _other_statements(node: ast.stmt) -> Iterator[ast.AST]:
    match node:
        case ast.If(test=test, body=body, orelse=orelse):
            if not isinstance(test, ast.Compare | ast.BoolOp | ast.UnaryOp):
                yield ast.If(ast.UnaryOp(ast.Not(), test), body, orelse)
        case ast.Expr(value=value) if isinstance(value, CALLED):
            yield ast.Pass()
        # Whoever asks whether something is so takes None for no.
        case ast.Return(value=value) if value and ast.unparse(value) not in ("None", "False"):
            yield ast.Return(ast.Constant(None))
        case ast.Raise() | ast.AugAssign() | ast.Delete():
            yield ast.Pass()
        case ast.Assign(targets=[ast.Attribute() | ast.Subscript()]):
            yield ast.Pass()
        case ast.Break():
            yield ast.Continue()
        case ast.Continue():
            yield ast.Break()

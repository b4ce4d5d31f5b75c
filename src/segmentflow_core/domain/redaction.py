"""Redaction: what is named by a JSON Pointer never reaches storage.

Knows paths and how to replace what they name. Must never change the original, nor reveal
what it replaced: the whole subtree becomes one fixed string, which hides type and length.
Arrays keep their indexes.

See docs/reference/rules/redaction.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, TypeAlias

from attrs import frozen

from segmentflow_core.domain.json_value import MISSING, JsonObject
from segmentflow_core.domain.pointer import (
    PointerSyntaxError,
    Tokens,
    array_index,
    parse_pointer,
    resolve,
)

__all__ = [
    "NOTHING_REDACTED",
    "REDACTED",
    "Redacted",
    "Redaction",
    "compile_redaction",
    "redaction_path_fault",
]

REDACTED: Final = "[REDACTED]"
"""The string that replaces a redacted subtree."""

_ROOT: Final = "event"
_CACHED_PATHS: Final = 16
_CACHED_LENGTH: Final = 1024

# A node maps a token to the node below it, or to the path that ends there.
_Node: TypeAlias = "dict[str, _Node | str]"


def redaction_path_fault(text: str) -> str | None:
    """Say what is wrong with a redaction path, or return None.

    A path is a JSON Pointer (RFC 6901) that starts with ``/event/``. The answer
    holds no part of it.
    """
    return _fault_cached(text) if len(text) <= _CACHED_LENGTH else _fault(text)


def _fault(text: str) -> str | None:
    try:
        tokens = parse_pointer(text)
    except PointerSyntaxError:
        return "must be a JSON Pointer (RFC 6901) that starts with /event/"
    if len(tokens) < 2 or tokens[0] != _ROOT:
        return "must start with /event/"
    return None


_fault_cached = lru_cache(maxsize=2048)(_fault)


@frozen
class Redacted:
    """The event's data after redaction.

    Attributes:
        data: a redacted copy; it shares the parts that no path touches with the original.
        unmatched: the paths that match nothing in the data, sorted.
    """

    data: JsonObject
    unmatched: tuple[str, ...]


@frozen
class Redaction:
    """A compiled set of redaction paths.

    Attributes:
        targets: the paths as tokens below ``/event``; a path inside another is left out.
    """

    targets: tuple[Tokens, ...]
    _root: _Node

    def apply(self, data: JsonObject) -> Redacted:
        """Replace every named subtree of admitted event data by ``"[REDACTED]"``."""
        if not self._root:
            return Redacted(data, ())
        unmatched: list[str] = []
        redacted = _redact(data, self._root, unmatched)
        return Redacted(redacted, tuple(sorted(unmatched)))

    def apply_to_properties(self, properties: dict[str, Any]) -> dict[str, Any]:
        """Return admitted Profile Properties: a request's paths redact none of them."""
        return properties

    def places(self, data: JsonObject) -> tuple[Tokens, ...]:
        """Return every redacted place of the state document, outermost places alone.

        Places are ``("event", …)``: each is there in the request, and named by one of its
        paths. No order is promised.

        Args:
            data: the request's event data, redacted or not.
        """
        return tuple([(_ROOT, *at) for at in self.targets if resolve(data, at) is not MISSING])

    def covers(self, tokens: Tokens) -> Tokens | None:
        """Return the target that equals `tokens` or is an ancestor of it, or None.

        Args:
            tokens: a place in the event's data, below ``/event``.
        """
        node = self._root
        for depth, token in enumerate(tokens, 1):
            below = node.get(token)
            if below is None:
                return None
            if isinstance(below, str):
                return tokens[:depth]
            node = below
        return None


def compile_redaction(paths: Iterable[str]) -> Redaction:
    """Compile redaction paths; a path inside another's subtree is dropped.

    Raises:
        ValueError: a path breaks its rule; `redaction_path_fault` says which.

    >>> compile_redaction(["/event/card"]).apply({"card": {"number": "4111"}, "total": 2}).data
    {'card': '[REDACTED]', 'total': 2}
    """
    unique = tuple(sorted(set(paths)))
    if not unique:
        return NOTHING_REDACTED
    if len(unique) <= _CACHED_PATHS and sum(map(len, unique)) <= _CACHED_LENGTH:
        return _compile_cached(unique)
    return _compile(unique)


def _compile(paths: tuple[str, ...]) -> Redaction:
    root: _Node = {}
    targets: list[Tokens] = []
    parsed = [(_tokens_below_event(path), path) for path in paths]
    for tokens, path in sorted(parsed, key=lambda pair: len(pair[0])):
        node = root
        for token in tokens[:-1]:
            below = node.setdefault(token, {})
            if isinstance(below, str):  # a shorter path took the whole subtree
                break
            node = below
        else:
            node[tokens[-1]] = path
            targets.append(tokens)
    return Redaction(tuple(targets), root)


_compile_cached = lru_cache(maxsize=512)(_compile)

NOTHING_REDACTED: Final = Redaction((), {})


def _tokens_below_event(path: str) -> Tokens:
    fault = redaction_path_fault(path)
    if fault is not None:
        raise ValueError(fault)
    return parse_pointer(path)[1:]


def _redact(value: Any, node: _Node, unmatched: list[str]) -> Any:
    kind = type(value)
    copy: Any = None
    for token, below in node.items():
        place: Any
        if kind is dict:
            place = token if token in value else None
        elif kind is list:
            place = array_index(token, len(value))
        else:
            place = None
        if place is None:
            _note_unmatched(below, unmatched)
            continue
        item = value[place]
        changed = REDACTED if isinstance(below, str) else _redact(item, below, unmatched)
        if changed is not item:
            if copy is None:
                copy = value.copy()
            copy[place] = changed
    return value if copy is None else copy


def _note_unmatched(below: _Node | str, unmatched: list[str]) -> None:
    pending = [below]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            unmatched.append(node)
        else:
            pending.extend(node.values())

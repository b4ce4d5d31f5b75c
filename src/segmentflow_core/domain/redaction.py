"""Redaction: what is named in a request never reaches storage.

Knows paths, and how to replace what they name. Must never change the original, nor
reveal what it replaced: the whole subtree becomes one fixed string, which hides type and
length. Arrays keep their indexes.

A request's paths say themselves what they name. What the host's policy matches in a request
(see `redaction_policy`) becomes places like any other.

See docs/reference/rules/redaction.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import lru_cache
from typing import Any, Final, TypeAlias

from attrs import define, frozen

from segmentflow_core.domain.json_value import MISSING, JsonObject
from segmentflow_core.domain.pointer import (
    PointerSyntaxError,
    Tokens,
    array_index,
    parse_pointer,
    resolve,
)

__all__ = [
    "EVENT",
    "NOTHING_REDACTED",
    "NO_PATH",
    "PROPERTIES",
    "REDACTED",
    "Node",
    "Redacted",
    "Redaction",
    "compile_redaction",
    "join_places",
    "redaction_path_fault",
]

REDACTED: Final = "[REDACTED]"
"""The string that replaces a redacted subtree."""

EVENT: Final = "event"
PROPERTIES: Final = ("profile", "properties")
NO_PATH: Final = ""
"""Stands for the path of a place that a policy matched, and no path of the request named."""

_CACHED_PATHS: Final = 16
_CACHED_LENGTH: Final = 1024

Node: TypeAlias = "dict[str, Node | str]"
"""A tree of places: maps a token to the node below it, or to the path that ends there."""


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
    if len(tokens) < 2 or tokens[0] != EVENT:
        return "must start with /event/"
    return None


_fault_cached = lru_cache(maxsize=2048)(_fault)


@define
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
    """What is redacted of one request.

    Attributes:
        targets: the paths as tokens below ``/event``; a path inside another is left out. What
            a policy matches is among them.
        properties: what a policy matches of the Profile Properties, as tokens below
            ``/profile/properties``, outermost places alone.
    """

    targets: tuple[Tokens, ...]
    _root: Node
    properties: tuple[Tokens, ...] = ()

    def apply(self, data: JsonObject) -> Redacted:
        """Replace every named subtree of admitted event data by ``"[REDACTED]"``."""
        if not self._root:
            return Redacted(data, ())
        unmatched: list[str] = []
        redacted = _redact(data, self._root, unmatched)
        return Redacted(redacted, tuple(sorted(unmatched)))

    def apply_to_properties(self, properties: dict[str, Any]) -> dict[str, Any]:
        """Replace what the policy matches of admitted Profile Properties.

        A Property that is null stays null: it removes what is stored, and holds no secret.
        """
        if not self.properties:
            return properties
        removed = {(name,) for name, value in properties.items() if value is None}
        places = [place for place in self.properties if place not in removed]
        root, _ = join_places([(place, NO_PATH) for place in places])
        redacted: dict[str, Any] = _redact(properties, root, [])
        return redacted

    def places(self, data: JsonObject) -> tuple[Tokens, ...]:
        """Return every redacted place of the state document, outermost places alone.

        Places are ``("event", …)`` and ``("profile", "properties", …)``: each is there in the
        request, and named by one of its paths or matched by the policy. No order is promised.

        Args:
            data: the request's event data, redacted or not.
        """
        in_data = [(EVENT, *at) for at in self.targets if resolve(data, at) is not MISSING]
        return (*in_data, *((*PROPERTIES, *at) for at in self.properties))

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


def compile_redaction(
    paths: Iterable[str], in_data: Sequence[Tokens] = (), in_properties: Sequence[Tokens] = ()
) -> Redaction:
    """Compile redaction paths; a path inside another's subtree is dropped.

    Args:
        paths: a request's own.
        in_data: the places of its event data that a policy matches.
        in_properties: the places of its Profile Properties that a policy matches.

    Raises:
        ValueError: a path breaks its rule; `redaction_path_fault` says which.

    >>> compile_redaction(["/event/card"]).apply({"card": {"number": "4111"}, "total": 2}).data
    {'card': '[REDACTED]', 'total': 2}
    """
    unique = tuple(sorted(set(paths)))
    if in_data or in_properties:
        named = [(_tokens_below_event(path), path) for path in unique]
        root, targets = join_places([*((place, NO_PATH) for place in in_data), *named])
        return Redaction(targets, root, tuple(in_properties))
    if not unique:
        return NOTHING_REDACTED
    if len(unique) <= _CACHED_PATHS and sum(map(len, unique)) <= _CACHED_LENGTH:
        return _compile_cached(unique)
    return _compile(unique)


def _compile(paths: tuple[str, ...]) -> Redaction:
    root, targets = join_places([(_tokens_below_event(path), path) for path in paths])
    return Redaction(targets, root)


def join_places(ends: Iterable[tuple[Tokens, str]]) -> tuple[Node, tuple[Tokens, ...]]:
    """Join places into one tree; leave out those inside another's subtree."""
    root: Node = {}
    targets: list[Tokens] = []
    for tokens, path in sorted(ends, key=lambda end: len(end[0])):
        node = root
        for token in tokens[:-1]:
            below = node.setdefault(token, {})
            if isinstance(below, str):  # a shorter path took the whole subtree
                break
            node = below
        else:
            if tokens[-1] not in node:
                targets.append(tokens)
            node.setdefault(tokens[-1], path)
    return root, tuple(targets)


_compile_cached = lru_cache(maxsize=512)(_compile)

NOTHING_REDACTED: Final = Redaction((), {})


def _tokens_below_event(path: str) -> Tokens:
    fault = redaction_path_fault(path)
    if fault is not None:
        raise ValueError(fault)
    return parse_pointer(path)[1:]


def _redact(value: Any, node: Node, unmatched: list[str]) -> Any:
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


def _note_unmatched(below: Node | str, unmatched: list[str]) -> None:
    pending = [below]
    while pending:
        node = pending.pop()
        if isinstance(node, str):
            unmatched.append(node)
        else:
            pending.extend(node.values())

"""Redaction: what a request's paths or the host's policy name never reaches storage.

Knows paths and names, and how to replace what they name. Must never change the original, nor
reveal what it replaced: the whole subtree becomes one fixed string, which hides type and
length. Arrays keep their indexes.

A request's paths say themselves what they name. A policy is held against each request: what
it matches there becomes paths like any other.

See docs/reference/rules/redaction.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from functools import lru_cache
from typing import Any, Final, TypeAlias, cast

from attrs import field, frozen

from segmentflow_core.domain.json_value import MISSING, JsonObject
from segmentflow_core.domain.pointer import (
    PointerSyntaxError,
    Tokens,
    array_index,
    parse_pointer,
    resolve,
)
from segmentflow_core.errors import ConfigurationError

__all__ = [
    "NOTHING_REDACTED",
    "NO_POLICY",
    "REDACTED",
    "Redacted",
    "Redaction",
    "RedactionPolicy",
    "compile_redaction",
    "redaction_path_fault",
]

REDACTED: Final = "[REDACTED]"
"""The string that replaces a redacted subtree."""

_ROOT: Final = "event"
_PROPERTIES: Final = ("profile", "properties")
_ANY: Final = "*"
_CACHED_PATHS: Final = 16
_CACHED_LENGTH: Final = 1024
_CONTAINERS: Final = frozenset({dict, list})

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
    """What is redacted of one request.

    Attributes:
        targets: the paths as tokens below ``/event``; a path inside another is left out. What
            a policy matches is among them.
        properties: what a policy matches of the Profile Properties, as tokens below
            ``/profile/properties``, outermost places alone.
    """

    targets: tuple[Tokens, ...]
    _root: _Node
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
        root, _ = _trie([(place, "") for place in places])
        redacted: dict[str, Any] = _redact(properties, root, [])
        return redacted

    def places(self, data: JsonObject) -> tuple[Tokens, ...]:
        """Return every redacted place of the state document, outermost places alone.

        Places are ``("event", …)`` and ``("profile", "properties", …)``: each is there in the
        request, and named by one of its paths or matched by the policy. No order is promised.

        Args:
            data: the request's event data, redacted or not.
        """
        in_data = [(_ROOT, *at) for at in self.targets if resolve(data, at) is not MISSING]
        return (*in_data, *((*_PROPERTIES, *at) for at in self.properties))

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
    root, targets = _trie([(_tokens_below_event(path), path) for path in paths])
    return Redaction(targets, root)


def _trie(ends: Iterable[tuple[Tokens, str]]) -> tuple[_Node, tuple[Tokens, ...]]:
    """Join places into one tree; leave out those inside another's subtree."""
    root: _Node = {}
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


# --- The host's policy --------------------------------------------------------------------


def _texts(given: Iterable[str]) -> tuple[str, ...]:
    """Read what must be several strings: one string alone would be read letter by letter."""
    unchecked = cast("object", given)
    if isinstance(unchecked, Iterable) and not isinstance(unchecked, (str, bytes)):
        texts = tuple(cast("Iterable[object]", unchecked))
        if all(isinstance(text, str) for text in texts):
            return cast("tuple[str, ...]", texts)
    raise ConfigurationError("The paths and the names of a RedactionPolicy are lists of text.")


@frozen
class RedactionPolicy:
    """What a host keeps out of storage, whatever its callers send.

    It comes beside each request's own paths and changes no fingerprint. A path or name that
    matches nothing in a request is no fault.

    Attributes:
        paths: JSON Pointers that start with ``/event/`` or ``/profile/properties/``. A token
            ``*`` stands for any member and any index, so for a member named ``*`` too.
        names: redacted wherever a member has one of them, at any depth of event data and of
            Profile Properties, whatever the case of either.
        refuse_unmatched: refuse a request of which a path in ``redactedDataPaths`` names
            nothing; otherwise it is accepted, and the receipt tells.

    Raises:
        ConfigurationError: a path or a name breaks its rule.

    >>> RedactionPolicy(paths=["/event/items/*/token"], names=["password"]).paths
    ('/event/items/*/token',)
    """

    paths: tuple[str, ...] = field(default=(), converter=_texts)
    names: tuple[str, ...] = field(default=(), converter=_texts)
    refuse_unmatched: bool = field(default=False, kw_only=True)
    _event: _Node = field(init=False, repr=False, eq=False)
    _properties: _Node = field(init=False, repr=False, eq=False)
    _names: frozenset[str] = field(init=False, repr=False, eq=False)
    _longest: int = field(init=False, repr=False, eq=False)

    def __attrs_post_init__(self) -> None:
        if "" in self.names:
            raise ConfigurationError("A name of a RedactionPolicy must have a character.")
        below = [_policy_place(path) for path in self.paths]
        event, _ = _trie([(tokens, "") for root, tokens in below if root == _ROOT])
        properties, _ = _trie([(tokens, "") for root, tokens in below if root != _ROOT])
        object.__setattr__(self, "_event", event)
        object.__setattr__(self, "_properties", properties)
        names = frozenset(name.casefold() for name in self.names)
        object.__setattr__(self, "_names", names)
        object.__setattr__(self, "_longest", max(map(len, names), default=0))

    @property
    def empty(self) -> bool:
        """Whether it redacts nothing."""
        return not (self.paths or self.names)

    def redaction(
        self, paths: Iterable[str], data: JsonObject, properties: JsonObject
    ) -> Redaction:
        """Compile a request's paths together with what the policy matches in that request.

        Args:
            paths: the request's redaction paths, which keep their rule.
            data: its admitted event data.
            properties: its admitted Profile Properties.
        """
        in_data = self._matches(data, self._event)
        in_properties = self._matches(properties, self._properties)
        if not in_data and not in_properties:
            return compile_redaction(paths)
        named = [(_tokens_below_event(path), path) for path in sorted(set(paths))]
        root, targets = _trie([*((place, "") for place in in_data), *named])
        return Redaction(targets, root, tuple(in_properties))

    def covers(self, tokens: Tokens) -> Tokens | None:
        """Return the outermost place at or above `tokens` that the policy could match, or None.

        Args:
            tokens: a place in the state document, whether or not anything is there.
        """
        if tokens[:1] == (_ROOT,):
            start, node = 1, self._event
        elif tokens[:2] == _PROPERTIES:
            start, node = 2, self._properties
        else:
            return None
        nodes = [node]
        for depth, token in enumerate(tokens[start:], start + 1):
            below = _below(nodes, token)
            # Folding never makes a text shorter. A fault's path may hold very long names.
            is_short = len(token) <= self._longest
            if below is None or (is_short and token.casefold() in self._names):
                return tokens[:depth]
            nodes = below
        return None

    def _matches(self, value: JsonObject, root: _Node) -> list[Tokens]:
        found: list[Tokens] = []
        if root or self._names:
            _find(value, [root] if root else [], self._names, (), found)
        return found


def _policy_place(path: str) -> tuple[str, Tokens]:
    """Return where a path of a policy starts, and its tokens below that.

    Raises:
        ConfigurationError: it names nothing that a policy can redact.
    """
    fault = "must be a JSON Pointer (RFC 6901)"
    tokens: Tokens = ()
    try:
        tokens = parse_pointer(path)
        fault = "must start with /event/ or /profile/properties/"
    except PointerSyntaxError:
        pass
    if len(tokens) > 1 and tokens[0] == _ROOT:
        return _ROOT, tokens[1:]
    if len(tokens) > len(_PROPERTIES) and tokens[:2] == _PROPERTIES:
        return _PROPERTIES[0], tokens[2:]
    if tokens[:2] in {("profile", "email"), ("profile", "externalId")}:
        fault += ": identities cannot be redacted"
    raise ConfigurationError(f"The path {path!r} of a RedactionPolicy {fault}.")


def _find(
    value: Any, nodes: list[_Node], names: frozenset[str], at: Tokens, found: list[Tokens]
) -> None:
    """Collect the outermost places below `at` that a policy matches."""
    if type(value) is dict:
        for name, item in value.items():
            below = _below(nodes, name) if nodes else nodes
            if below is None or (names and name.casefold() in names):
                found.append((*at, name))
            elif type(item) in _CONTAINERS and (below or names):
                _find(item, below, names, (*at, name), found)
    elif type(value) is list:
        for index, item in enumerate(value):
            if not nodes and type(item) not in _CONTAINERS:
                continue
            token = str(index)
            below = _below(nodes, token)
            if below is None:
                found.append((*at, token))
            elif below or names:
                _find(item, below, names, (*at, token), found)


def _below(nodes: list[_Node], token: str) -> list[_Node] | None:
    """Step from the nodes of a policy to those below; None where a path ends."""
    tokens = (_ANY,) if token == _ANY else (token, _ANY)
    found: list[_Node] = []
    for node in nodes:
        for of in tokens:
            below = node.get(of)
            if isinstance(below, str):
                return None
            if below is not None:
                found.append(below)
    return found


NO_POLICY: Final = RedactionPolicy()

"""What a host keeps out of storage: its `RedactionPolicy`, held against each request.

Knows paths with ``*`` and names of members. What they match in a request becomes places to
redact, as the request's own paths are. Must reveal nothing of a value.

See docs/reference/rules/redaction.md.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final, cast

from attrs import field, frozen

from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.domain.pointer import PointerSyntaxError, Tokens, parse_pointer
from segmentflow_core.domain.redaction import (
    EVENT,
    NO_PATH,
    PROPERTIES,
    Node,
    Redaction,
    compile_redaction,
    join_places,
)
from segmentflow_core.errors import ConfigurationError

__all__ = ["NO_POLICY", "RedactionPolicy"]

_ANY: Final = "*"
_CONTAINERS: Final = frozenset({dict, list})


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
    _event: Node = field(init=False, repr=False, eq=False)
    _properties: Node = field(init=False, repr=False, eq=False)
    _names: frozenset[str] = field(init=False, repr=False)
    _longest: int = field(init=False, repr=False)

    def __attrs_post_init__(self) -> None:
        if type(self.refuse_unmatched) is not bool:
            raise ConfigurationError("refuse_unmatched must be True or False.")
        if "" in self.names:
            raise ConfigurationError("A name of a RedactionPolicy must have a character.")
        below = [_policy_place(path) for path in self.paths]
        event, _ = join_places([(tokens, NO_PATH) for root, tokens in below if root == EVENT])
        properties, _ = join_places([(tokens, NO_PATH) for root, tokens in below if root != EVENT])
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
        return compile_redaction(paths, in_data, in_properties)

    def covers(self, tokens: Tokens) -> Tokens | None:
        """Return the outermost place at or above `tokens` that the policy could match, or None.

        Args:
            tokens: a place in the state document, whether or not anything is there.
        """
        if self.empty:  # the common policy: this is asked of every fault
            return None
        if tokens[:1] == (EVENT,):
            start, node = 1, self._event
        elif tokens[:2] == PROPERTIES:
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

    def _matches(self, value: JsonObject, root: Node) -> list[Tokens]:
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
    if len(tokens) > 1 and tokens[0] == EVENT:
        return EVENT, tokens[1:]
    if len(tokens) > len(PROPERTIES) and tokens[:2] == PROPERTIES:
        return PROPERTIES[0], tokens[2:]
    if tokens[:2] in {("profile", "email"), ("profile", "externalId")}:
        fault += ": identities cannot be redacted"
    raise ConfigurationError(f"The path {path!r} of a RedactionPolicy {fault}.")


def _find(
    value: Any, nodes: list[Node], names: frozenset[str], at: Tokens, found: list[Tokens]
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


def _below(nodes: list[Node], token: str) -> list[Node] | None:
    """Step from the nodes of a policy to those below; None where a path ends."""
    tokens = (_ANY,) if token == _ANY else (token, _ANY)
    found: list[Node] = []
    for node in nodes:
        for of in tokens:
            below = node.get(of)
            if isinstance(below, str):
                return None
            if below is not None:
                found.append(below)
    return found


NO_POLICY: Final = RedactionPolicy()

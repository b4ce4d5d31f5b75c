"""The JSON-like part of YAML: plain values by the core schema of YAML 1.2, and where a fault is.

Knows no aliases and no tags. Only JSON's kinds of values exist, so `NO`, `12:30` and dates are
text. Must never repeat anything of the text in a message.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import yaml
from yaml.reader import ReaderError

__all__ = ["YamlFault", "parse_yaml"]

_NULL: Final = "tag:yaml.org,2002:null"
_BOOL: Final = "tag:yaml.org,2002:bool"
_INT: Final = "tag:yaml.org,2002:int"
_FLOAT: Final = "tag:yaml.org,2002:float"

_CORE: Final = (
    (_NULL, r"(?:null|Null|NULL|~|)\Z", ["n", "N", "~", ""]),
    (_BOOL, r"(?:true|True|TRUE|false|False|FALSE)\Z", list("tTfF")),
    (_INT, r"(?:[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+)\Z", list("-+0123456789")),
    (_FLOAT, r"[-+]?(?:\.[0-9]+|[0-9]+(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?\Z", list("-+.0123456789")),
    (_FLOAT, r"(?:[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN))\Z", list("-+.")),
)
"""The kinds of plain scalars (YAML 1.2.2, section 10.3.2): tag, pattern, first characters.

A scalar that matches none is text."""

_REASONS: Final[Mapping[str, str]] = {
    "could not find expected ':'": "a member has no colon",
    "expected ',' or": "a comma or a closing bracket is missing",
    "expected <block end>": "its indentation fits nothing above it",
    "but found another document": "a file holds one document",
    "expected the node content": "a value is missing, or text here must be quoted",
    "found character": "text that starts with this character must be quoted",
    "found unexpected end of stream": "a quoted text does not end",
    "found unknown escape character": "a backslash in double quotes is written twice",
    "mapping values are not allowed": "a colon where no member is; text that holds one is quoted",
}
"""What to say in place of a parser's message, which may quote the text; by how that starts."""

_TAB: Final = "a tab cannot stand here; indent with spaces"
_TAG: Final = "must not use tags"
_QUOTE: Final = "quote what is text"
_LONG: Final = "holds a number too long to read"


class YamlFault(Exception):
    """The text is not YAML that is read here; the message says why and where."""


class _NotAllowed(yaml.MarkedYAMLError):
    """YAML, but not its JSON-like part."""

    def __init__(self, reason: str, mark: Any, hint: str = "") -> None:
        super().__init__(problem=reason, problem_mark=mark, note=hint)


class _Loader(yaml.SafeLoader):
    """Composes nodes with the tags of the core schema."""

    def compose_node(self, parent: Any, index: Any) -> Any:
        event: Any = self.peek_event()  # type: ignore[no-untyped-call]
        if isinstance(event, yaml.AliasEvent):
            raise _NotAllowed("must not use aliases", event.start_mark)
        if getattr(event, "tag", None) is not None:
            raise _NotAllowed(_TAG, event.start_mark, _QUOTE)
        return super().compose_node(parent, index)


_Loader.yaml_implicit_resolvers = {}
for _tag, _pattern, _first in _CORE:
    _Loader.add_implicit_resolver(_tag, re.compile(_pattern), _first)


def parse_yaml(text: str) -> Any:
    """Parse one YAML document as plain values.

    Raises:
        YamlFault: it is not valid, or uses what is not allowed here.
        RecursionError: it is nested too deep.
    """
    try:
        node = yaml.compose(text, _Loader)
        return None if node is None else _value(node)
    except yaml.YAMLError as error:
        fault = _described(error, text)
    raise YamlFault(fault)


def _value(node: yaml.Node) -> Any:
    if isinstance(node, yaml.SequenceNode):
        return [_value(item) for item in node.value]
    if isinstance(node, yaml.MappingNode):
        return _members(node)
    try:
        return _SCALARS.get(node.tag, str)(node.value)
    except ValueError:  # more digits than the interpreter converts
        pass
    raise _NotAllowed(_LONG, node.start_mark)


def _members(node: yaml.MappingNode) -> dict[Any, Any]:
    seen: set[str] = set()
    members: dict[Any, Any] = {}
    for key, value in node.value:
        if not isinstance(key, yaml.ScalarNode):
            raise _NotAllowed("must not use lists or mappings as members' names", key.start_mark)
        if key.value in seen:
            raise _NotAllowed("must not give a member twice", key.start_mark)
        seen.add(key.value)
        members[_value(key)] = _value(value)
    return members


def _integer(text: str) -> int:
    return int(text, {"0o": 8, "0x": 16}.get(text[:2], 10))


def _real(text: str) -> float:
    return float(text.lower().replace(".inf", "inf").replace(".nan", "nan"))


_SCALARS: Final[Mapping[str, Callable[[str], Any]]] = {
    _NULL: lambda _: None,
    _BOOL: lambda text: text.lower() == "true",
    _INT: _integer,
    _FLOAT: _real,
}


def _described(error: yaml.YAMLError, text: str) -> str:
    if isinstance(error, ReaderError):
        before = text[: error.position]
        line, column = before.count("\n") + 1, len(before) - before.rfind("\n")
        return _invalid(line, column, "a character that text cannot hold")
    mark = getattr(error, "problem_mark", None)
    if not isinstance(error, yaml.MarkedYAMLError) or mark is None:
        return "is not valid YAML"
    line, column = mark.line + 1, mark.column + 1
    if isinstance(error, _NotAllowed):
        return _at(error.problem, line, column, error.note)
    if text[mark.index : mark.index + 1] == "\t":
        return _invalid(line, column, _TAB)
    problem = error.problem or ""
    why = (reason for start, reason in _REASONS.items() if problem.startswith(start))
    return _invalid(line, column, next(why, ""))


def _invalid(line: int, column: int, why: str) -> str:
    return _at("is not valid YAML", line, column, why)


def _at(what: str | None, line: int, column: int, why: str | None) -> str:
    return f"{what}, at line {line}, column {column}" + (f": {why}" if why else "")

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


_QUICK: Final[Any] = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
"""The parser of libyaml, where PyYAML was built with it: some 25 times as fast."""

_READ_OTHERWISE: Final = re.compile("[\t\r\x85\u2028\u2029\ufeff\ud800-\udfff]")
"""Finds what libyaml reads where PyYAML's own parser refuses it, or otherwise."""

_EXPLAINED: Final = 256 * 1024
"""The longest text that is read a second time to say in which words it is refused."""


def parse_yaml(text: str) -> Any:
    """Parse one YAML document as plain values.

    Raises:
        YamlFault: it is not valid, or uses what is not allowed here.
        RecursionError: it is nested too deep.
    """
    fault = "is not valid YAML"
    if not _READ_OTHERWISE.search(text):
        try:
            return _Reading(text, _QUICK).document()
        except yaml.YAMLError as error:
            fault = _described(error, text)
        if len(text) > _EXPLAINED:
            raise YamlFault(fault)
    # PyYAML's own parser: it decides, and `_REASONS` knows its problems.
    try:
        return _Reading(text, yaml.SafeLoader).document()
    except yaml.YAMLError as error:
        fault = _described(error, text)
    raise YamlFault(fault)


class _Reading:
    """One reading of a text: a parser's events, made into plain values."""

    def __init__(self, text: str, parser: Any) -> None:
        self._events = yaml.parse(text, parser)
        self._fault: _NotAllowed | None = None
        self._anchors = set[str]()

    def document(self) -> Any:
        """Return the only document, or None where there is none."""
        self._next()  # the start of the stream
        if isinstance(self._next(), yaml.StreamEndEvent):
            return None
        value = self._value(self._next())
        self._next()  # the end of the document
        end = self._next()
        if not isinstance(end, yaml.StreamEndEvent):
            raise yaml.MarkedYAMLError(
                problem="but found another document", problem_mark=end.start_mark
            )
        if self._fault is not None:
            raise self._fault
        return value

    def _next(self) -> Any:
        return next(self._events)

    def _value(self, event: Any) -> Any:
        if isinstance(event, yaml.AliasEvent):
            raise _NotAllowed("must not use aliases", event.start_mark)
        if event.tag is not None:
            raise _NotAllowed(_TAG, event.start_mark, _QUOTE)
        if event.anchor is not None:
            if event.anchor in self._anchors:
                raise yaml.MarkedYAMLError(problem_mark=event.start_mark)
            self._anchors.add(event.anchor)
        if isinstance(event, yaml.ScalarEvent):
            return self._scalar(event)
        if isinstance(event, yaml.MappingStartEvent):
            return self._members()
        items: list[Any] = []
        while not isinstance(item := self._next(), yaml.SequenceEndEvent):
            items.append(self._value(item))
        return items

    def _members(self) -> dict[Any, Any]:
        seen: set[str] = set()
        members: dict[Any, Any] = {}
        while not isinstance(key := self._next(), yaml.MappingEndEvent):
            if isinstance(key, yaml.CollectionStartEvent):
                self._refuse("must not use lists or mappings as members' names", key)
            elif isinstance(key, yaml.ScalarEvent) and key.value in seen:
                self._refuse("must not give a member twice", key)
            name = self._value(key)
            value = self._value(self._next())
            if isinstance(key, yaml.ScalarEvent):
                seen.add(key.value)
                members[name] = value
        return members

    def _scalar(self, event: Any) -> Any:
        text: str = event.value
        if not event.implicit[0]:  # quoted, or a block
            return text
        for tag, matches in _BY_FIRST.get(text[:1], ()):
            if matches(text):
                try:
                    return _SCALARS[tag](text)
                except ValueError:  # more digits than the interpreter converts
                    self._refuse(_LONG, event)
        return text

    def _refuse(self, reason: str, event: Any) -> None:
        """Keep the first fault of this kind: aliases and tags anywhere are named before it."""
        self._fault = self._fault or _NotAllowed(reason, event.start_mark)


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


_BY_FIRST: Final[dict[str, list[tuple[str, Callable[[str], Any]]]]] = {}
for _tag, _pattern, _first in _CORE:
    for _character in _first:
        _BY_FIRST.setdefault(_character, []).append((_tag, re.compile(_pattern).match))


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

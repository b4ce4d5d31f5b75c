"""Which values may enter: strict JSON, bounded in depth and size.

Knows what JSON is. Returns a copy of plain Python values (`dict`, `list`, `str`, `int`,
`float`, `bool`, None) that shares nothing with the original. Must never know what a request
means, nor put a value into a message.

See docs/reference/rules/request.md.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from itertools import islice
from math import isfinite
from typing import Any, Final, TypeAlias

from attrs import define, field, frozen

from segmentflow_core.domain.canonical import needs_exact_spelling
from segmentflow_core.domain.faults import Faults, Place
from segmentflow_core.errors import MAX_VIOLATIONS

__all__ = [
    "INADMISSIBLE",
    "MAX_INTEGER",
    "MIN_INTEGER",
    "NOT_FINITE",
    "OUT_OF_RANGE",
    "Admission",
    "Flaw",
    "FlawedObject",
    "plain_value",
    "text_fault",
]

MIN_INTEGER: Final = -(2**63)
MAX_INTEGER: Final = 2**64 - 1


class Inadmissible:
    """The type of `INADMISSIBLE`, which replaces a refused value in the copy."""


INADMISSIBLE: Final = Inadmissible()


@frozen
class Flaw:
    """Replaces, in a parsed document, a value that Python cannot represent, such as 1e400."""

    message: str


class FlawedObject(dict[str, Any]):
    """An object in which a member was given more than once; `repeated` names each such member."""

    repeated: tuple[str, ...] = ()


NOT_FINITE: Final = "must be a finite number: NaN and infinities are not JSON"
LONE_SURROGATE: Final = "must not hold a lone surrogate"
NULL_CHARACTER: Final = "must not hold the character U+0000"
OUT_OF_RANGE: Final = "must be an integer between -2^63 and 2^64-1"
REPEATED_NAME: Final = "is given more than once"
_NAME_NOT_TEXT: Final = "must have strings as member names"
_NOT_JSON: Final = "must be a JSON value: object, array, string, number, boolean or null"

_NOT_STORED: Final = re.compile("[\0\ud800-\udfff]")
"""Finds what `text_fault` refuses."""


def text_fault(text: str) -> str | None:
    """Say why a string may not be stored, or return None.

    U+0000 and lone surrogates are refused: not every store and no UTF-8 can hold them.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return LONE_SURROGATE
    if "\0" in text:
        return NULL_CHARACTER
    return None


def plain_value(value: Any, most: int) -> Any:
    """Return a value of a foreign class as the plain JSON type it stands for.

    Runs code of the value's own class, which may do anything: what it raises means that the
    value is not JSON.

    Args:
        value: any Python object.
        most: the most members or items to read; a value may claim to have no end of them.

    Returns:
        A plain str, int, float, dict or list, or `INADMISSIBLE`. Members and items are as
        they were.
    """
    try:
        if isinstance(value, str):
            return str.__str__(value)
        if isinstance(value, int):
            return int.__index__(value)
        if isinstance(value, float):
            return float.__float__(value)
        if isinstance(value, Mapping):
            return dict(islice(value.items(), most + 1))
        if isinstance(value, (list, tuple)):
            return list(islice(value, most + 1))
    except Exception:  # noqa: BLE001 - the value's own code raised, and may quote the value
        return INADMISSIBLE
    return INADMISSIBLE


_Open: TypeAlias = "tuple[Any, Iterator[tuple[Any, Any]], str | int]"
# A container to be read on: its copy, what is left of it, and the token of where it was left.


@define
class Admission:
    """One pass over one document: it copies what is admitted and notes what is refused.

    Attributes:
        max_depth: how deep objects and arrays may nest; the document itself is 1.
        max_size: the length of JSON, in characters, at which the pass stops.
        faults: where and why for every refused value, in document order.
        size: a lower bound of the JSON's length so far. It never exceeds the real length, so
            the pass never stops in a document that fits.
        exact: whether a number was admitted that must be spelt exactly; see `canonical_json`.
    """

    max_depth: int
    max_size: int
    faults: Faults = field(factory=Faults)
    size: int = 0
    exact: bool = False

    @property
    def too_large(self) -> bool:
        """Whether the pass stopped because the document is too large."""
        return self.size > self.max_size

    def admit(self, value: Any, at: Place = "", outside: int = 0) -> Any:  # noqa: PLR0912, PLR0915
        """Return a plain copy of `value`, with `INADMISSIBLE` where a value was refused.

        The work is bounded for any input: a cycle ends at `max_depth`. Shared parts that
        would be copied again and again end at `max_size`, and then `INADMISSIBLE` is returned.

        Args:
            value: any Python object.
            at: where it stands.
            outside: how many objects and arrays it is in.
        """
        # One loop for all depths. What a document may hold by the thousand takes no call of a
        # function in Python: `stack_room` says what that may cost.
        copy: Any = [value]
        root, in_object = copy, False
        items: Iterator[tuple[Any, Any]] = enumerate(root)
        enclosing: list[_Open] = []
        size, limit, noted = self.size, self.max_size, self.faults.noted
        while size <= limit:
            for token, item in items:
                if in_object:
                    if type(token) is not str:
                        if not issubclass(type(token), str):
                            self.faults.note(_place(at, enclosing), _NAME_NOT_TEXT)
                            continue
                        token = _plain_text(token)  # noqa: PLW2901 - of a str subclass
                    size += len(token)
                    if (not token.isascii() or "\0" in token) and _NOT_STORED.search(token):
                        if len(noted) < MAX_VIOLATIONS:
                            fault = f"has a name that {text_fault(token)}"
                            self.faults.note(_place(at, enclosing, token), fault)
                        else:
                            self.faults.omitted += 1
                        continue
                kind = type(item)
                if kind is str:
                    size += len(item)
                    if size > limit:
                        break
                    if "\0" in item:
                        why = NULL_CHARACTER
                    elif item.isascii():
                        copy[token] = item
                        continue
                    else:
                        try:
                            item.encode()
                            copy[token] = item
                            continue
                        except UnicodeEncodeError:
                            why = LONE_SURROGATE
                elif item is None or kind is bool:
                    copy[token] = item
                    continue
                elif kind is int:
                    if MIN_INTEGER <= item <= MAX_INTEGER:
                        copy[token] = item
                        continue
                    why = OUT_OF_RANGE
                elif kind is float:
                    if isfinite(item):
                        if needs_exact_spelling(item):
                            self.exact = True
                        # RFC 8785 writes -0.0 as 0, and not every store can hold -0.0.
                        copy[token] = item + 0.0
                        continue
                    why = NOT_FINITE
                elif kind is dict or kind is list or kind is FlawedObject:
                    if kind is FlawedObject:
                        if len(noted) < MAX_VIOLATIONS:
                            place = _place(at, enclosing, token)
                            repeated = [((place, name), REPEATED_NAME) for name in item.repeated]
                            self.faults.note_all(repeated)
                        else:
                            self.faults.omitted += len(item.repeated)
                    if outside + len(enclosing) < self.max_depth:
                        enclosing.append((copy, items, token))
                        in_object = kind is not list
                        # At least two brackets; and commas, or two quotes and a colon a member.
                        size += 3 * len(item) + 2 if in_object else len(item) + 1
                        if size <= limit:
                            inner: Any = {} if in_object else item.copy()
                            copy[token] = copy = inner
                            items = iter(item.items()) if in_object else enumerate(inner)
                        break
                    why = f"is nested deeper than {self.max_depth}"
                elif kind is Flaw:
                    why = item.message
                else:
                    self.size = size
                    depth = outside + len(enclosing)
                    copy[token] = self._foreign(item, _place(at, enclosing, token), depth)
                    size = self.size
                    if size > limit:
                        break
                    continue
                copy[token] = INADMISSIBLE
                if len(noted) < MAX_VIOLATIONS:
                    self.faults.note(_place(at, enclosing, token), why)
                else:
                    self.faults.omitted += 1
            else:
                if not enclosing:
                    self.size = size
                    return root[0]
                copy, items, _ = enclosing.pop()
                in_object = type(copy) is dict
        self.size = size
        return INADMISSIBLE

    def _foreign(self, value: Any, at: Place, outside: int) -> Any:
        """Admit what stands for a JSON type; refuse everything else."""
        plain = list(value) if type(value) is tuple else plain_value(value, self.max_size)
        if plain is INADMISSIBLE:
            self.faults.note(at, _NOT_JSON)
            return INADMISSIBLE
        return self.admit(plain, at, outside)


def _plain_text(text: Any) -> str:
    return str.__str__(text)


def _place(at: Place, enclosing: list[_Open], *token: str | int) -> Place:
    """Return the place of the container that is read now, or of what is at `token` in it.

    Args:
        at: where the document stands.
        enclosing: the first is outside the document, and so the last token leads nowhere.
        token: at most one.
    """
    tokens = (*[outer for _, _, outer in enclosing], *token)[1:]
    return (at, tokens) if tokens else at

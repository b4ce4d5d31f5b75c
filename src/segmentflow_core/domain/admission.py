"""Which values may enter: strict JSON, bounded in depth and size.

Knows what JSON is. Returns a copy of plain Python values (`dict`, `list`, `str`, `int`,
`float`, `bool`, None) that shares nothing with the original. Must never know what a request
means, nor put a value into a message.

See docs/reference/rules/request.md.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from itertools import islice
from typing import Any, Final

from attrs import define, field, frozen

from segmentflow_core.domain.canonical import needs_exact_spelling
from segmentflow_core.domain.faults import Faults, Place
from segmentflow_core.domain.json_value import JsonValue

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
OUT_OF_RANGE: Final = "must be an integer between -2^63 and 2^64-1"
REPEATED_NAME: Final = "is given more than once"
_NOT_JSON: Final = "must be a JSON value: object, array, string, number, boolean or null"


def text_fault(text: str) -> str | None:
    """Say why a string may not be stored, or return None.

    U+0000 and lone surrogates are refused: not every store and no UTF-8 can hold them.
    """
    if not text.isascii():
        try:
            text.encode()
        except UnicodeEncodeError:
            return "must not hold a lone surrogate"
    if "\0" in text:
        return "must not hold the character U+0000"
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


@define
class Admission:
    """One pass over one document: it copies what is admitted and notes what is refused.

    Attributes:
        max_depth: how deep objects and arrays may nest; the document itself is 1.
        max_size: the length of JSON, in characters, at which the pass stops. The copy is then
            truncated and must not be used.
        faults: where and why for every refused value, in document order.
        size: a lower bound of the JSON's length so far. It never exceeds the real length, so
            a document that fits is never truncated.
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

    def admit(self, value: Any, at: Place = "", depth: int = 1) -> Any:
        """Return a plain copy of `value`, with `INADMISSIBLE` where a value was refused.

        The work is bounded for any input: a cycle ends at `max_depth`, and shared parts that
        would be copied again and again end at `max_size`.
        """
        kind = type(value)
        if kind is str:
            self.size += len(value)
            if value.isascii() and "\0" not in value:
                return value
            return self._text(value, at)
        if value is None or kind is bool:
            return value
        if kind is int:
            if MIN_INTEGER <= value <= MAX_INTEGER:
                return value
            return self.refuse(at, OUT_OF_RANGE)
        if kind is float:
            if math.isfinite(value):
                if needs_exact_spelling(value):
                    self.exact = True
                # RFC 8785 writes -0.0 as 0, and not every store can hold a negative zero.
                return value + 0.0
            return self.refuse(at, NOT_FINITE)
        if kind is dict:
            return self._object(value, at, depth)
        if kind is list or kind is tuple:
            return self._array(value, at, depth)
        return self._other(value, at, depth)

    def refuse(self, at: Place, why: str) -> Inadmissible:
        """Note a fault and return `INADMISSIBLE`."""
        self.faults.note(at, why)
        return INADMISSIBLE

    def _text(self, text: str, at: Place) -> str | Inadmissible:
        fault = text_fault(text)
        return text if fault is None else self.refuse(at, fault)

    def _object(self, value: dict[Any, Any], at: Place, depth: int) -> Any:
        if depth > self.max_depth:
            return self.refuse(at, f"is nested deeper than {self.max_depth}")
        # At least two braces, and for each member two quotes and a colon.
        size = self.size + 3 * len(value) + 2
        limit = self.max_size
        admitted: dict[str, JsonValue] = {}
        for name, item in value.items():
            if size > limit:
                break
            if type(name) is not str:
                if not issubclass(type(name), str):
                    self.refuse(at, "must have strings as member names")
                    continue
                name = str.__str__(name)  # noqa: PLW2901 - a str subclass becomes plain
            size += len(name)
            if not name.isascii() or "\0" in name:
                fault = text_fault(name)
                if fault is not None:
                    self.refuse((at, name), f"has a name that {fault}")
                    continue
            kind = type(item)
            # The most common types need no call.
            if kind is str and item.isascii() and "\0" not in item:
                size += len(item)
                admitted[name] = item
            elif item is None or kind is bool or (kind is int and 0 <= item <= MAX_INTEGER):
                admitted[name] = item
            else:
                self.size = size
                admit = self._object if kind is dict else self.admit
                admitted[name] = admit(item, (at, name), depth + 1)
                size = self.size
        self.size = size
        return admitted

    def _array(self, value: list[Any] | tuple[Any, ...], at: Place, depth: int) -> Any:
        if depth > self.max_depth:
            return self.refuse(at, f"is nested deeper than {self.max_depth}")
        self.size += len(value) + 1
        admitted: list[JsonValue] = []
        limit = self.max_size
        for index, item in enumerate(value):
            if self.size > limit:
                break
            kind = type(item)
            # As in an object: the most common types need no call.
            if kind is str and item.isascii() and "\0" not in item:
                self.size += len(item)
                admitted.append(item)
            elif item is None or kind is bool or (kind is int and 0 <= item <= MAX_INTEGER):
                admitted.append(item)
            elif kind is list:
                admitted.append(self._array(item, (at, index), depth + 1))
            else:
                admitted.append(self.admit(item, (at, index), depth + 1))
        return admitted

    def _other(self, value: Any, at: Place, depth: int) -> Any:
        """Make what stands for a JSON type plain; refuse everything else."""
        if type(value) is FlawedObject:
            for name in value.repeated:
                self.refuse((at, name), REPEATED_NAME)
            return self._object(value, at, depth)
        if type(value) is Flaw:
            return self.refuse(at, value.message)
        plain = plain_value(value, self.max_size)
        if plain is INADMISSIBLE:
            return self.refuse(at, _NOT_JSON)
        return self.admit(plain, at, depth)

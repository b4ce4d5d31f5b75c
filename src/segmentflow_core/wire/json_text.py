"""Raw JSON in: strict parsing (RFC 8259) that reports a fault instead of guessing.

Python's parser accepts more than JSON and hides some faults: it drops the first of two
members with one name, and raises at an integer of very many digits. Here each of these leaves
a mark in the parsed document, so that the check of the request can name its place beside
every other fault. NaN and 1e400, which it reads as an infinity, are left to that check. Must
never repeat any of the text in a message.
"""

from __future__ import annotations

import json
import re
from itertools import accumulate
from typing import Any, Final

from segmentflow_core.domain.admission import OUT_OF_RANGE, Flaw, FlawedObject
from segmentflow_core.domain.request import DEFAULT_LIMITS, Limits, RequestDocument
from segmentflow_core.domain.stack_room import MANY, with_room
from segmentflow_core.errors import InvalidRequest, PayloadTooLarge, Violation
from segmentflow_core.tracebacks import forgets_locals

__all__ = ["check_size", "parse_json", "parse_request"]

_BYTE_ORDER_MARK: Final = "\ufeff"
# Matches a string that never ends too: otherwise each quote in it would be tried as a start.
_STRING: Final = re.compile(r'"(?:[^"\\]++|\\.)*+(?:"|\\?\Z)', re.DOTALL)
_NOT_BRACKET: Final = re.compile(r"[^\[\]{}]+")
_STEPS: Final = {"[": 1, "{": 1, "]": -1, "}": -1}
_MAX_DIGITS: Final = 21
_PARSER_DEPTH: Final = 200


@forgets_locals
def parse_request(raw: bytes | str, limits: Limits = DEFAULT_LIMITS) -> RequestDocument:
    """Parse the JSON text of a request; `track` then checks what it says.

    Args:
        raw: UTF-8 bytes, or text.
        limits: the raw text may have at most `max_bytes`.

    Raises:
        PayloadTooLarge: the text is longer than `limits.max_bytes`.
        InvalidRequest: the text is not UTF-8, not JSON, or starts with a byte order mark.
    """
    check_size(raw, limits.max_bytes)
    return RequestDocument(parse_json(raw))


def check_size(raw: bytes | str, most: int) -> None:
    """Refuse a text that is longer than `most` bytes of UTF-8, before anything reads it.

    Raises:
        PayloadTooLarge: it is.
        InvalidRequest: it is neither bytes nor text.
    """
    _check_kind(raw)
    if (len(raw.encode("utf-8", "replace")) if isinstance(raw, str) else len(raw)) > most:
        raise PayloadTooLarge(details={"maxBytes": most})


@forgets_locals
def parse_json(raw: bytes | str) -> Any:
    """Parse JSON text. What is not JSON and can still be read is left for a check to refuse.

    NaN and infinities are floats; a number too large becomes an infinity, an integer of too
    many digits a `Flaw`, and an object that gives a name twice a `FlawedObject`.

    Raises:
        InvalidRequest: the text is not UTF-8, not JSON, nested too deep to read, or
            starts with a byte order mark (RFC 8259, section 8.1).
    """
    _check_kind(raw)
    text = raw if isinstance(raw, str) else _decoded(bytes(raw))
    if text is None:
        raise _refusal("is not UTF-8")
    if text.startswith(_BYTE_ORDER_MARK):
        raise _refusal("must not start with a byte order mark")
    if text.count("[") + text.count("{") > _PARSER_DEPTH and _depth(text) > _PARSER_DEPTH:
        raise _refusal("is nested too deep to read")
    try:
        return _DECODER.decode(text) if len(text) < MANY else with_room(_DECODER.decode, text)
    except json.JSONDecodeError as error:
        where = f"line {error.lineno}, column {error.colno}"
    # Raise outside the handler: the parser's error holds the whole text.
    raise _refusal(f"is not valid JSON, at {where}")


def _check_kind(raw: object) -> None:
    if not isinstance(raw, (bytes, bytearray, str)):
        raise _refusal("must be bytes or text")


def _decoded(raw: bytes) -> str | None:
    try:
        return raw.decode()
    except UnicodeDecodeError:
        return None


def _refusal(message: str) -> InvalidRequest:
    return InvalidRequest.from_violations([Violation("", message)])


def _depth(text: str) -> int:
    brackets = _NOT_BRACKET.sub("", _STRING.sub("", text))
    return max(accumulate(map(_STEPS.__getitem__, brackets), initial=0))


def _parse_integer(digits: str) -> int | Flaw:
    return Flaw(OUT_OF_RANGE) if len(digits) > _MAX_DIGITS else int(digits)


def _parse_object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    members = dict(pairs)
    if len(members) == len(pairs):
        return members
    seen: set[str] = set()
    repeated = [name for name, _ in pairs if name in seen or seen.add(name)]  # type: ignore[func-returns-value]
    flawed = FlawedObject(members)
    flawed.repeated = tuple(dict.fromkeys(repeated))
    return flawed


_DECODER: Final = json.JSONDecoder(
    parse_int=_parse_integer,
    object_pairs_hook=_parse_object,
)

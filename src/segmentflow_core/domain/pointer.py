"""JSON Pointer (RFC 6901): parsing, and reading a value without ever raising.

`jsonpointer` parses. Reading is written here, because the library's errors print the
document. Must never write to a document.
"""

from __future__ import annotations

from typing import Any, TypeAlias

from jsonpointer import JsonPointer, JsonPointerException

from segmentflow_core.domain.json_value import MISSING, JsonValue, Missing

__all__ = [
    "PointerSyntaxError",
    "Tokens",
    "array_index",
    "format_pointer",
    "parse_pointer",
    "resolve",
]

Tokens: TypeAlias = tuple[str, ...]
"""The unescaped reference tokens of a pointer."""


class PointerSyntaxError(ValueError):
    """The text is not a JSON Pointer. The error holds no part of it."""


def parse_pointer(text: str) -> Tokens:
    """Parse a JSON Pointer in its string form (RFC 6901, section 3).

    Raises:
        PointerSyntaxError: the text is not empty and does not start with ``/``, or it has
            a ``~`` without a ``0`` or ``1`` behind it.

    >>> parse_pointer("/event/a~1b/0")
    ('event', 'a/b', '0')
    """
    try:
        return tuple(JsonPointer(text).parts)
    except JsonPointerException:
        pass  # this error quotes the text: raise outside, to keep it out of the context
    raise PointerSyntaxError("is not a JSON Pointer (RFC 6901)")


def format_pointer(*tokens: str | int) -> str:
    """Join tokens into a pointer, escaping as RFC 6901 section 3 says.

    A lone surrogate or U+0000 cannot be printed everywhere, so it is written as an escape:
    the path of a fault can always be shown.

    >>> format_pointer("data", "a/b", 0)
    '/data/a~1b/0'
    """
    joined = "".join(f"/{str(t).replace('~', '~0').replace('/', '~1')}" for t in tokens)
    if joined.isascii() and "\0" not in joined:
        return joined
    return joined.replace("\0", "\\u0000").encode("utf-8", "backslashreplace").decode("utf-8")


def array_index(token: str, length: int) -> int | None:
    """Read `token` as an index into an array of `length` items, or return None.

    Only ``0`` and ASCII digits without a leading zero count (RFC 6901, section 4);
    ``-`` names the item after the last, so it never names an existing one.
    """
    if not (token.isascii() and token.isdigit()) or (token[0] == "0" and token != "0"):
        return None
    if len(token) > 9:
        return None
    index = int(token)
    return index if index < length else None


def resolve(document: JsonValue, tokens: Tokens) -> JsonValue | Missing:
    """Return the value at `tokens` in an admitted document, or `MISSING`."""
    value: Any = document
    for token in tokens:
        if type(value) is dict:
            members: dict[str, Any] = value
            if token not in members:
                return MISSING
            value = members[token]
        elif type(value) is list:
            index = array_index(token, len(value))
            if index is None:
                return MISSING
            value = value[index]
        else:
            return MISSING
    result: JsonValue | Missing = value
    return result

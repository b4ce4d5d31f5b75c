"""Canonical JSON (RFC 8785): equal values give equal bytes, however they were written.

Knows how an admitted value is spelt. Must never know what the value is for, nor
put any part of it into an error.

There are two writers. The standard library's encoder is written in C; it escapes strings
and spells most numbers as RFC 8785 demands. The exceptions are rare and easy to see: who
admits a value notes whether it holds one, or one quick look at it tells. A writer in Python
writes those values.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable
from json.encoder import encode_basestring
from math import isfinite
from typing import Any, Final, cast

from segmentflow_core.domain.json_value import JsonValue

__all__ = ["CanonicalizationError", "canonical_json", "encode_json", "needs_exact_spelling"]


class CanonicalizationError(ValueError):
    """The value is not admitted JSON. Carries no part of it."""


def canonical_json(value: JsonValue, *, exact: bool | None = None) -> bytes:
    r"""Write an admitted value as canonical JSON (RFC 8785), in UTF-8.

    Object members are sorted by the UTF-16 code units of their names, and floats are
    spelt as ECMAScript does, so ``1.0`` and ``1`` are the same bytes. One deviation:
    RFC 8785 passes every number through a double, while an `int` here is written
    exactly, so that two large identifiers never become the same bytes.

    Args:
        value: plain `dict`, `list`, `str`, `int`, `float`, `bool` and None only, as
            admission leaves it.
        exact: whether a number in it needs exact spelling, which `Admission.exact` tells; None
            where nobody has looked.

    Raises:
        CanonicalizationError: the value was never admitted: a type that is not JSON,
            NaN, an infinity, a lone surrogate, nesting beyond the interpreter's stack.

    >>> canonical_json({"total": 49.0, "id": 9007199254740993, "note": "é"})
    b'{"id":9007199254740993,"note":"\xc3\xa9","total":49}'
    """
    try:
        if exact is None:
            exact = not _suit_c_encoder((value,))
        return _encode_exactly(value) if exact else _encode_quickly(value)
    except (TypeError, ValueError, LookupError, AttributeError, RecursionError):
        # These errors quote or hold the value. Raise outside this block, to keep them out of
        # the new error's __context__.
        pass
    raise CanonicalizationError("The value is not admitted JSON.")


def _encoder(*, sort_keys: bool) -> Callable[[Any], str]:
    """Return the standard library's encoder, set up once instead of at every call.

    `JSONEncoder.encode` makes a new C encoder at each call, which takes longer than
    encoding a small value. An interpreter without a C encoder uses `encode` itself.
    """
    make: Any = getattr(json.encoder, "c_make_encoder", None)
    plain = json.JSONEncoder(
        ensure_ascii=False,
        allow_nan=False,
        check_circular=False,
        sort_keys=sort_keys,
        separators=(",", ":"),
    )
    if make is None:  # pragma: no cover - an interpreter without the C accelerator
        return plain.encode
    encode = make(None, plain.default, encode_basestring, None, ":", ",", sort_keys, False, False)

    def encode_text(value: Any) -> str:
        return "".join(encode(value, 0))

    return encode_text


_c_encode: Final = _encoder(sort_keys=True)

encode_json: Final = _encoder(sort_keys=False)
"""Write an admitted value as compact JSON text that reads back as the same value."""


def _encode_quickly(value: JsonValue) -> bytes:
    text = _c_encode(value)
    canonical = text.encode("utf-8")
    if text.isascii() or _is_sorted_either_way(canonical):
        return canonical
    return _encode_exactly(value)


def _is_sorted_either_way(encoded: bytes) -> bool:
    """Say whether sorting by code point equals sorting by UTF-16 code unit for this text.

    The two orders differ only where a character above U+FFFF (first byte F0 to F4 in
    UTF-8; a surrogate pair in UTF-16) meets one in U+E000 to U+FFFF (first byte EE, EF).
    """
    return not (
        (b"\xee" in encoded or b"\xef" in encoded)
        and any(lead in encoded for lead in (b"\xf0", b"\xf1", b"\xf2", b"\xf3", b"\xf4"))
    )


def needs_exact_spelling(number: float) -> bool:
    """Say whether Python spells a finite float otherwise than ECMAScript.

    Python writes "49.0" and "1e-05" where ECMAScript has "49" and "0.00001". Every float of
    1e16 or more, the other exponent form, is integral.
    """
    return number.is_integer() or -1e-4 < number < 1e-4


def _suit_c_encoder(values: Iterable[object]) -> bool:
    """Say whether Python spells every number in `values` as ECMAScript does."""
    for value in values:
        kind = type(value)
        if kind is str:
            continue
        if kind is float:
            if needs_exact_spelling(cast("float", value)):
                return False
        elif kind is dict:
            if not _suit_c_encoder(cast("dict[str, object]", value).values()):
                return False
        elif kind is list:
            if not _suit_c_encoder(cast("list[object]", value)):
                return False
        elif kind not in _SPELLINGS:
            return False
    return True


def _encode_exactly(value: JsonValue) -> bytes:
    return _spell(value).encode("utf-8")


def _spell(value: Any) -> str:
    return _SPELLINGS[type(value)](value)


def _spell_object(value: dict[str, Any]) -> str:
    names = sorted(value)
    if not "".join(names).isascii():
        names.sort(key=_utf16_code_units)
    members = [f"{encode_basestring(name)}:{_spell(value[name])}" for name in names]
    return f"{{{','.join(members)}}}"


def _spell_array(value: list[Any]) -> str:
    return f"[{','.join([_spell(item) for item in value])}]"


def _utf16_code_units(name: str) -> bytes:
    return name.encode("utf-16-be")


def _spell_float(number: float) -> str:
    """Spell a finite double as ECMAScript's Number::toString does (RFC 8785, 3.2.2.3)."""
    if not isfinite(number):
        raise ValueError("not a JSON number")
    if number == 0:
        return "0"
    # Both languages choose the shortest digits that read back as the same double; they
    # differ only in where the decimal point goes.
    mantissa, _, exponent = repr(number).partition("e")
    if not exponent:
        return mantissa.removesuffix(".0")
    sign = "-" if number < 0 else ""
    digits = mantissa.removeprefix("-").replace(".", "")
    point = int(exponent) + 1
    if 0 < point <= 21:
        # Python's exponent form starts at 1e16, and 17 digits always fit in front.
        return f"{sign}{digits.ljust(point, '0')}"
    if -6 < point <= 0:
        return f"{sign}0.{'0' * -point}{digits}"
    fraction = f".{digits[1:]}" if len(digits) > 1 else ""
    return f"{sign}{digits[0]}{fraction}e{point - 1:+d}"


_SPELLINGS: Final[dict[type[Any], Callable[[Any], str]]] = {
    dict: _spell_object,
    list: _spell_array,
    str: encode_basestring,
    int: int.__repr__,
    float: _spell_float,
    bool: {True: "true", False: "false"}.__getitem__,
    type(None): {None: "null"}.__getitem__,
}
"""Every JSON type, by exact class, and how its values are written."""

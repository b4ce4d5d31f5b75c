"""How each kind of database wants values written. Knows no columns.

JSON must come back from every database as it was: the same numbers, the same texts.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable
from datetime import datetime
from typing import Any, Final

from attrs import frozen

from segmentflow_core.ports import encode_json, to_microseconds

__all__ = ["POSTGRESQL", "SQLITE", "Codec", "may_be_stored"]


@frozen
class Codec:
    """How one kind of database wants values written.

    Attributes:
        instant: of an aware datetime in UTC. PostgreSQL takes it as it is: as text where it is
            a parameter, in microseconds where it is one of many in a list.
        json: of an admitted JSON value.
        listed: of strings that are one parameter, a list.
        may_be_id: whether a row could have this text for its id.
    """

    instant: Callable[[datetime], Any]
    json: Callable[[Any], str]
    listed: Callable[[Iterable[str]], str]
    may_be_id: Callable[[str], bool]

    def maybe(self, moment: datetime | None) -> Any:
        """Write an instant that may be absent."""
        return None if moment is None else self.instant(moment)


def _json_array(values: Iterable[str]) -> str:
    return encode_json(list(values))


def _array(values: Iterable[str]) -> str:
    quoted = (value.replace("\\", "\\\\").replace('"', '\\"') for value in values)
    items = ",".join([f'"{value}"' for value in quoted])
    return f"{{{items}}}"


_STRING_OR_LARGE_FLOAT: Final = re.compile(r'"(?:[^"\\]|\\.)*"|-?[0-9.]+e\+[0-9]+')


def _jsonb(value: Any) -> str:
    """Write JSON so that JSONB, which keeps the digits of a number and no exponent, gives it back.

    1e22 would come back as an integer; 10000000000000000000000.0 is the same float again.
    """
    text = encode_json(value)
    if "e+" not in text:
        return text
    return _STRING_OR_LARGE_FLOAT.sub(_without_exponent, text)


def _without_exponent(found: re.Match[str]) -> str:
    return found[0] if found[0][0] == '"' else format(float(found[0]), ".1f")


def _as_it_is(moment: datetime) -> datetime:
    return moment


_NEVER_STORED: Final = re.compile("[\0\ud800-\udfff]")
_UUID: Final = re.compile("[0-9a-f]{8}(?:-[0-9a-f]{4}){3}-[0-9a-f]{12}")


def may_be_stored(text: str) -> bool:
    """Say whether a row could hold a text: none holds U+0000 or a lone surrogate."""
    return _NEVER_STORED.search(text) is None


def _is_uuid(text: str) -> bool:
    return _UUID.fullmatch(text) is not None


SQLITE: Final = Codec(to_microseconds, encode_json, _json_array, may_be_stored)
POSTGRESQL: Final = Codec(_as_it_is, _jsonb, _array, _is_uuid)

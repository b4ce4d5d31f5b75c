"""The names of keys, and what sorted sets are sorted by.

Knows how parts become one name: each is quoted, so that no part of a name can pass for
another and no Organization's name for another one's. Every key leads with its
Organization, as a hash tag: all of them hash to one slot. Two indexes are shared by all
Organizations, and the format of the whole is written once. Must never know any value.

Members of a sorted set all score alike, so Redis sorts them by their bytes: ids by
themselves, what is due by its instant first.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final
from urllib.parse import quote

from segmentflow_core.ports import from_microseconds, to_microseconds

__all__ = [
    "EXPIRING",
    "FORMAT",
    "NUMBER_BYTES",
    "SECOND_DIGITS",
    "STAMP_BYTES",
    "WAITING",
    "api_key_lookup",
    "instant",
    "just_after",
    "key",
    "stamp",
]

FORMAT: Final = "segmentflow:format"
"""Holds the version of everything written below."""

EXPIRING: Final = "segmentflow:expiring"
"""Sorts the taken keys of all Organizations by the instant at which they expire, then by key."""

WAITING: Final = "segmentflow:waiting"
"""Scores every Organization that has Enrollments to hand over by the second of the first."""

_FIRST: Final = to_microseconds(datetime.min.replace(tzinfo=UTC))
STAMP_BYTES: Final = 18
SECOND_DIGITS: Final = 12
"""How many digits of a stamp are its seconds; the other six are microseconds."""

NUMBER_BYTES: Final = 19
"""How many digits the number of an event is written in."""


def key(organization_id: str, kind: str, *parts: str) -> str:
    """Name what an Organization has of a kind, such as the Profile with an id."""
    return ":".join([f"segmentflow:{{{_quoted(organization_id)}}}", kind, *map(_quoted, parts)])


def api_key_lookup(lookup: str) -> str:
    """Name the one index that no Organization leads: whose an API Key is, is what is asked."""
    return f"segmentflow:api_keys:{_quoted(lookup)}"


def stamp(moment: datetime) -> bytes:
    """Write an instant as 18 digits, microseconds since year 1, that sort as instants do."""
    return _digits(to_microseconds(moment))


def instant(stamped: bytes) -> datetime:
    """Read a stamp."""
    return from_microseconds(int(stamped) + _FIRST)


def just_after(moment: datetime) -> bytes:
    """Write the stamp that follows: what is stamped below it is not after `moment`."""
    return _digits(to_microseconds(moment) + 1)


def _digits(count: int) -> bytes:
    return b"%018d" % (count - _FIRST)


def _quoted(part: str) -> str:
    return quote(part, safe="@+")

"""How people write times: one parser of durations and one of instants, for every command."""

from __future__ import annotations

import re
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from cyclopts import Parameter, Token

from segmentflow_core.journeys import parse_duration
from segmentflow_core.ports import parse_instant

__all__ = [
    "DURATION",
    "LONGEST_WAIT",
    "MOMENT",
    "SECONDS",
    "WAIT",
    "read_duration",
    "read_moment",
    "read_seconds",
]

LONGEST_WAIT: Final = timedelta(days=366)
"""For how long a lease, a rest or a stop may be, at most."""


_SHORT: Final = re.compile(
    r"(?=[0-9])((?:[0-9]{1,6}w)?(?:[0-9]{1,6}d)?)((?:[0-9]{1,6}h)?(?:[0-9]{1,6}m)?(?:[0-9]{1,9}s)?)"
)
_NO_DURATION: Final = (
    "Must be a duration such as 5m, 7d, 1d12h or PT5M; a part has at most 6 digits, the seconds 9."
)
_NUMBER: Final = re.compile(r"-?[0-9]{1,9}(?:\.[0-9]{1,9})?")
_DATE: Final = re.compile(r"[0-9]{4}-[0-9]{2}-[0-9]{2}")


def read_duration(text: str) -> timedelta:
    """Read a duration: short, such as ``5m`` or ``1d12h``, or ISO 8601, such as ``PT5M``.

    Raises:
        ValueError: the text is neither, or its length is zero.

    >>> read_duration("1d12h") == read_duration("P1DT12H")
    True
    """
    short = _SHORT.fullmatch(text)
    if short is not None:
        days, rest = (part.upper() for part in short.groups())
        text = f"P{days}{'T' if rest else ''}{rest}"
    try:
        return parse_duration(text)
    except ValueError:
        raise ValueError(_NO_DURATION) from None


def read_moment(text: str, now: datetime) -> datetime:
    """Read an instant: a date-time, a date, which is its first instant in UTC, or how long ago.

    Args:
        text: such as ``2026-05-31T12:00:00Z``, ``2026-05-31`` or ``7d``.
        now: from which a duration is counted back.

    Raises:
        ValueError: the text is none of these.

    >>> read_moment("2026-05-31", datetime(2026, 6, 1, tzinfo=UTC)).isoformat()
    '2026-05-31T00:00:00+00:00'
    """
    try:
        if text.startswith("P") or _SHORT.fullmatch(text) is not None:
            return now - read_duration(text)
        return parse_instant(f"{text}T00:00Z" if _DATE.fullmatch(text) else text)
    except (ValueError, OverflowError):
        raise ValueError(
            "Must be a date-time such as 2026-05-31T12:00:00Z, a date, or how long ago, as 7d."
        ) from None


def read_seconds(text: str) -> float:
    """Read how many seconds: a number of them, or a duration.

    Raises:
        ValueError: the text is neither.

    >>> read_seconds("30"), read_seconds("5m"), read_seconds("PT0.5S")
    (30.0, 300.0, 0.5)
    """
    if _NUMBER.fullmatch(text) is not None:
        return float(text)
    return read_duration(text).total_seconds()


def _duration(_type: object, tokens: Sequence[Token]) -> timedelta:
    return read_duration(tokens[0].value)


def _moment(_type: object, tokens: Sequence[Token]) -> datetime:
    return read_moment(tokens[0].value, datetime.now(UTC))


def _seconds(kind: object, tokens: Sequence[Token]) -> float:
    seconds = read_seconds(tokens[0].value)
    if kind is not int:
        return seconds
    if seconds % 1:
        raise ValueError("Must be whole seconds.")
    return int(seconds)


def _check_wait(_type: object, wait: timedelta | None) -> None:
    if wait is not None and wait > LONGEST_WAIT:
        raise ValueError(f"Must be <= {LONGEST_WAIT.days}d.")


SECONDS: Final = Parameter(converter=_seconds)
"""Reads seconds, as `read_seconds` does; whole ones where the option is an integer."""

DURATION: Final = Parameter(converter=_duration)
"""Reads a duration, as `read_duration` does."""

WAIT: Final = Parameter(converter=_duration, validator=_check_wait)
"""Reads a duration of `LONGEST_WAIT` at most."""

MOMENT: Final = Parameter(converter=_moment)
"""Reads an instant, as `read_moment` does."""

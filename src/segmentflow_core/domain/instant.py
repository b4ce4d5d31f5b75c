"""Instants: RFC 3339 date-times in, UTC out. Knows the calendar; must never ask what time it is."""

from __future__ import annotations

import re
from datetime import UTC, datetime, timedelta
from typing import Final

__all__ = ["format_instant", "from_microseconds", "parse_instant", "to_microseconds"]

_DATE_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}[Tt](?!24)[0-9]{2}:[0-9]{2}(?::[0-9]{2}(?:\.[0-9]{1,40})?)?"
    r"(?:[Zz]|[+-][0-9]{2}:[0-5][0-9])"
)
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_MILLISECONDS: Final = "%04d-%02d-%02dT%02d:%02d:%02d.%03dZ"
_MICROSECONDS: Final = "%04d-%02d-%02dT%02d:%02d:%02d.%06dZ"


def parse_instant(text: str) -> datetime:
    """Read an RFC 3339 date-time (section 5.6) as an aware datetime in UTC.

    Seconds may be left out; the offset, or Z, may not. Digits beyond the
    microsecond are cut off. A leap second is refused: a datetime cannot hold it.

    Raises:
        ValueError: the text is not such a date-time, or names a day the calendar
            does not have. The message holds no part of the text.

    >>> parse_instant("2026-05-31T14:00+02:00").isoformat()
    '2026-05-31T12:00:00+00:00'
    """
    if _DATE_TIME.fullmatch(text) is None:
        raise ValueError("is not an RFC 3339 date-time with an offset or Z")
    try:
        # Python reads more forms than RFC 3339 allows; the expression above refuses them.
        # Python also cuts off digits beyond the microsecond, and needs a capital Z.
        moment = datetime.fromisoformat(text[:-1] + "Z" if text[-1] == "z" else text)
        return moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        pass  # this error may quote the text: raise outside, to keep it out of the context
    raise ValueError("is not a date and time of the calendar")


def format_instant(moment: datetime) -> str:
    """Write an aware datetime as RFC 3339 in UTC: milliseconds, or microseconds where needed.

    >>> format_instant(parse_instant("2026-05-31T12:00Z"))
    '2026-05-31T12:00:00.000Z'
    """
    utc = moment if moment.tzinfo is UTC else moment.astimezone(UTC)
    form, fraction = _MICROSECONDS, utc.microsecond
    if fraction % 1000 == 0:
        form, fraction = _MILLISECONDS, fraction // 1000
    # Half the time of `isoformat`.
    return form % (utc.year, utc.month, utc.day, utc.hour, utc.minute, utc.second, fraction)


def to_microseconds(moment: datetime) -> int:
    """Count the microseconds from 1970-01-01T00:00Z to an aware datetime, exactly."""
    return (moment - _EPOCH) // _MICROSECOND


def from_microseconds(count: int) -> datetime:
    """Turn a count of microseconds since 1970-01-01T00:00Z into an aware datetime."""
    return _EPOCH + count * _MICROSECOND

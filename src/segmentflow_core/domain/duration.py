"""ISO 8601 durations of fixed length: weeks, days, hours, minutes, seconds."""

from __future__ import annotations

import re
from datetime import timedelta
from typing import Final

__all__ = ["DURATION_PATTERN", "DURATION_SCHEMA_PATTERN", "parse_duration"]

DURATION_PATTERN: Final = (
    r"P(?:([0-9]{1,6})W)?(?:([0-9]{1,6})D)?"
    r"(?:T(?=[0-9])(?:([0-9]{1,6})H)?(?:([0-9]{1,6})M)?(?:([0-9]{1,9}(?:\.[0-9]{1,6})?)S)?)?"
)
"""The pattern for the whole text of a duration; its length must also be more than zero."""

DURATION_SCHEMA_PATTERN: Final = f"^(?=.*[1-9]){DURATION_PATTERN}$"
"""What a JSON Schema says of a duration: its form, and a digit that makes it longer than nothing.
"""

_DURATION: Final = re.compile(DURATION_PATTERN)
_OF_ANY_SIZE: Final = re.compile(re.sub(r"\{1,[69]\}", "+", DURATION_PATTERN))


def parse_duration(text: str) -> timedelta:
    """Read an ISO 8601 duration, such as ``P1DT12H`` or ``PT30M``.

    Years and months are refused, because their length depends on the calendar.

    Raises:
        ValueError: the text is not such a duration, a part of it has too many digits, or its
            length is zero.

    >>> parse_duration("P1DT12H")
    datetime.timedelta(days=1, seconds=43200)
    """
    match = _DURATION.fullmatch(text)
    if match is None and _OF_ANY_SIZE.fullmatch(text) is not None:
        raise ValueError(
            "must have at most 6 digits in each part, 9 in the seconds and 6 behind their point"
        )
    if match is None:
        raise ValueError(
            "must be an ISO 8601 duration of weeks, days, hours, minutes and seconds, like P1DT12H"
        )
    weeks, days, hours, minutes, seconds = (float(part or 0) for part in match.groups())
    length = timedelta(weeks=weeks, days=days, hours=hours, minutes=minutes, seconds=seconds)
    if not length:
        raise ValueError("must be longer than nothing")
    return length

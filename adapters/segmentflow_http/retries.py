"""When to send a request again, and how long to wait before that. Sends nothing itself."""

from __future__ import annotations

import math
import re
from collections.abc import Callable
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Final, TypeAlias

import httpx
from attrs import frozen

from segmentflow_core.errors import ConfigurationError, SegmentflowError

__all__ = [
    "DEFAULT_RETRIES",
    "Retried",
    "Retries",
    "Uniform",
    "is_seconds",
    "may_yet_succeed",
    "pause_after",
]

_RETRIED_STATUSES: Final = frozenset({408, 429})

Uniform: TypeAlias = Callable[[float, float], float]
"""Draws a number between two bounds."""


@frozen
class Retries:
    """How often to try, and how long to wait in between.

    Attributes:
        attempts: how often to send at most, the first time included.
        first_pause: the longest pause before the second attempt, in seconds; it doubles with
            each further attempt.
        longest_pause: the bound of that doubling, in seconds.
        longest_retry_after: the longest ``retry-after`` to wait for, in seconds; a service that
            asks for more is not tried again.
    """

    attempts: int = 5
    first_pause: float = 0.25
    longest_pause: float = 8.0
    longest_retry_after: float = 60.0

    def __attrs_post_init__(self) -> None:
        pauses = (self.first_pause, self.longest_pause, self.longest_retry_after)
        if type(self.attempts) is not int or self.attempts < 1 or not all(map(is_seconds, pauses)):
            raise ConfigurationError(
                "attempts must be an integer of at least 1, and each pause a number that is not "
                "negative."
            )


def is_seconds(value: object) -> bool:
    """Say whether a value is a number of seconds: finite, and not negative."""
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return False
    return math.isfinite(value) and value >= 0


DEFAULT_RETRIES: Final = Retries()


@frozen
class Retried:
    """A failed attempt that is followed by another.

    Attributes:
        attempt: the number of the attempt that failed, from 1.
        code: the code of its error.
        pause: seconds until the next attempt.
    """

    attempt: int
    code: str
    pause: float


def pause_after(
    attempt: int, answer: httpx.Response | SegmentflowError, rules: Retries, uniform: Uniform
) -> float | None:
    """Return the seconds to wait before another attempt, or None to make none.

    Args:
        attempt: the number of the attempt that failed, from 1.
        answer: its answer, or the error that says why there is none.
        rules: how often to try, and how long to wait.
        uniform: draws a pause between two bounds.
    """
    if isinstance(answer, SegmentflowError):
        again, asked = answer.should_retry, None
    else:
        again, asked = may_yet_succeed(answer), _retry_after(answer)
    if attempt >= rules.attempts or not again:
        return None
    longest = min(rules.longest_pause, rules.first_pause * 2 ** (attempt - 1))
    if asked is None:
        return uniform(0, longest)
    if asked > rules.longest_retry_after:
        return None
    # Clients that were told the same time must not all come back at that very moment.
    return asked + uniform(0, rules.first_pause)


def may_yet_succeed(response: httpx.Response) -> bool:
    """Tell whether the same request may be accepted later: by the service's word, or its status."""
    told = response.headers.get("x-should-retry")
    if told in ("true", "false"):
        return bool(told == "true")
    return response.status_code in _RETRIED_STATUSES or response.status_code >= 500


def _retry_after(response: httpx.Response) -> float | None:
    """Return the seconds that ``retry-after`` asks for (RFC 9110, section 10.2.3)."""
    asked = response.headers.get("retry-after")
    if asked is None:
        return None
    if re.fullmatch(r"[0-9]{1,9}", asked):
        return float(asked)
    try:
        moment = parsedate_to_datetime(asked)
    except ValueError:
        return None
    if moment.tzinfo is None:
        moment = moment.replace(tzinfo=UTC)
    return max(0.0, (moment - datetime.now(UTC)).total_seconds())

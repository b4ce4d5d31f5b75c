"""How a worker works: its settings, held against their rules, and what follows from them.

Pure: it reads no clock and rolls no dice.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import timedelta
from typing import Any, Final

from attrs import frozen

from segmentflow_core.errors import ConfigurationError
from segmentflow_worker.assignment import (
    GiveUp,
    Handler,
    TryAgain,
    in_words,
    is_counted,
    rest_after,
)
from segmentflow_worker.bodies import check_bodies

__all__ = ["Settings", "Verdict", "verdict_on"]

_MOST_AT_ONCE: Final = 10_000
_MOST_ATTEMPTS: Final = 1_000_000
_LONGEST: Final = timedelta(days=366)
_DOUBLINGS: Final = 60
"""More than this many would not change the answer, and overflow."""


@frozen
class Settings:
    """The settings of a worker. `Worker` says what each means.

    Raises:
        ConfigurationError: one breaks its rule.
    """

    handlers: Mapping[str, Handler]
    default: Handler | None
    organization_id: str | None
    concurrency: int
    lease: timedelta
    max_attempts: int
    retry_after: timedelta
    longest_retry: timedelta
    poll: timedelta
    longest_poll: timedelta
    grace: timedelta
    measure: timedelta | None = None

    def __attrs_post_init__(self) -> None:
        if not self.handlers and self.default is None:
            raise ConfigurationError("A worker needs a handler: of a Journey, or a default one.")
        named: dict[Any, Any] = dict(self.handlers)
        if not all(isinstance(each, str) and callable(named[each]) for each in named):
            raise ConfigurationError("handlers must lead from Journey ids to functions.")
        if not (self.default is None or callable(self.default)):
            raise ConfigurationError("default must be a function, or None.")
        check_bodies([*named.values(), self.default])
        _check_count("concurrency", self.concurrency, _MOST_AT_ONCE)
        _check_count("max_attempts", self.max_attempts, _MOST_ATTEMPTS)
        for name in ("lease", "retry_after", "longest_retry", "poll", "longest_poll"):
            _check_time(name, getattr(self, name), timedelta(microseconds=1))
        _check_time("grace", self.grace, timedelta())
        if self.measure is not None:
            _check_time("measure", self.measure, timedelta(microseconds=1))
            if self.organization_id is None:
                raise ConfigurationError("measure needs an organization_id: whose queues it reads.")

    @property
    def journeys(self) -> list[str | None]:
        """Return what is asked for, claim by claim: each Journey, or whatever there is."""
        if self.default is not None:
            return [None]
        return [*sorted(self.handlers)]

    @property
    def measured_journeys(self) -> list[str] | None:
        """Return the Journeys whose queues are measured; None for each of the Organization."""
        return None if self.default is not None else sorted(self.handlers)

    def handler_of(self, journey_id: str) -> Handler:
        """Return the handler of a Journey."""
        handler = self.handlers.get(journey_id, self.default)
        assert handler is not None  # nothing else is claimed
        return handler

    def retry_delay(self, attempt: int, chance: float) -> timedelta:
        """Return how long an Enrollment rests after its nth failed attempt.

        It doubles from attempt to attempt, up to `longest_retry`. Of that, chance takes up to
        a half away, so that what failed together does not come back together.

        Args:
            attempt: from 1.
            chance: from 0 up to 1.
        """
        return _doubled(self.retry_after, self.longest_retry, attempt - 1) * (1 - chance / 2)

    def poll_delay(self, times: int, chance: float) -> timedelta:
        """Return how long to wait after so many claims in a row that found nothing, from 1."""
        return _doubled(self.poll, self.longest_poll, times - 1) * (1 - chance / 2)


def _doubled(first: timedelta, longest: timedelta, times: int) -> timedelta:
    # In seconds: a timedelta has an end, which doubling it reaches.
    seconds = first.total_seconds() * 2.0 ** min(max(times, 0), _DOUBLINGS)
    return timedelta(seconds=min(seconds, longest.total_seconds()))


def _check_count(name: str, value: object, most: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int) or not 1 <= value <= most:
        raise ConfigurationError(f"{name} must be an integer from 1 to {most}.")


def _check_time(name: str, value: object, least: timedelta) -> None:
    if not isinstance(value, timedelta) or not least <= value <= _LONGEST:
        word = "longer than nothing" if least else "of nothing or more"
        raise ConfigurationError(f"{name} must be a timedelta, {word}, up to 366 days.")


@frozen
class Verdict:
    """How an Enrollment whose handler did not succeed is given back.

    Attributes:
        delay: how long nobody is handed it.
        failed: whether the attempt counts.
        error: the failure in words; None where it does not count.
        max_attempts: the attempts it may have.
    """

    delay: timedelta
    failed: bool
    error: str | None
    max_attempts: int


def verdict_on(error: BaseException, attempt: int, settings: Settings, chance: float) -> Verdict:
    """Decide how an Enrollment is given back after what its handler raised.

    Never raises: where an error's own words or terms cannot be read, those of any failure stand.
    """
    words = in_words(error)
    delay = settings.retry_delay(attempt, chance)
    if isinstance(error, GiveUp):
        return Verdict(timedelta(), failed=True, error=words, max_attempts=1)
    if isinstance(error, TryAgain):
        after, counted = rest_after(error), is_counted(error)
        said = words if counted else None
        return Verdict(delay if after is None else after, counted, said, settings.max_attempts)
    return Verdict(delay, failed=True, error=words, max_attempts=settings.max_attempts)

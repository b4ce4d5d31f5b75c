"""What the observers of a worker are told: ids, counts, times and codes, never a value.

The one exception is what a handler raised, which is the host's own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import suppress
from datetime import timedelta
from typing import Final, Protocol

from attrs import field, frozen

from segmentflow_core import Backlog

__all__ = [
    "Claimed",
    "Completed",
    "Failed",
    "GivenBack",
    "LostLease",
    "Measured",
    "Started",
    "Telling",
    "Unavailable",
    "WorkerObserver",
]

_NONE: Final = timedelta()


@frozen
class Claimed:
    """The worker asked for Enrollments.

    Attributes:
        asked: how many it had room for.
        count: how many it was handed; where that is all it asked for, more may be waiting.
        running: how many it holds now.
        lag: how long ago the event of the oldest among them was received, of those handed over
            for the first time; None where there is none.
    """

    asked: int
    count: int
    running: int
    lag: timedelta | None


@frozen
class Started:
    """A handler begins.

    Attributes:
        organization_id: whose Enrollment it is.
        journey_id: its Journey.
        enrollment_id: the Enrollment.
        attempt: the number of the attempt, from 1.
    """

    organization_id: str
    journey_id: str
    enrollment_id: str
    attempt: int


@frozen
class Completed:
    """An Enrollment was completed.

    Attributes:
        organization_id: whose Enrollment it is.
        journey_id: its Journey.
        enrollment_id: the Enrollment.
        attempt: the number of the attempt, from 1.
        seconds: from the handler's start to the completion.
    """

    organization_id: str
    journey_id: str
    enrollment_id: str
    attempt: int
    seconds: float


@frozen
class Failed:
    """A handler failed, and its Enrollment was given back.

    Attributes:
        organization_id: whose Enrollment it is.
        journey_id: its Journey.
        enrollment_id: the Enrollment.
        attempt: the number of the attempt, from 1.
        seconds: from the handler's start to giving it back.
        dead: whether that was its last attempt.
        delay: how long nobody is handed it.
        error: what the handler raised; it may hold anything that the handler had.
    """

    organization_id: str
    journey_id: str
    enrollment_id: str
    attempt: int
    seconds: float
    dead: bool
    delay: timedelta
    error: BaseException = field(repr=False)


@frozen
class LostLease:
    """An Enrollment is another worker's now, or nobody's: what its handler does is not completed.

    Attributes:
        organization_id: whose Enrollment it is.
        journey_id: its Journey.
        enrollment_id: the Enrollment.
        attempt: the number of the attempt, from 1.
        code: of the refusal.
    """

    organization_id: str
    journey_id: str
    enrollment_id: str
    attempt: int
    code: str


@frozen
class GivenBack:
    """The worker stopped, and gave an Enrollment back whose handler had not ended.

    Attributes:
        organization_id: whose Enrollment it is.
        journey_id: its Journey.
        enrollment_id: the Enrollment.
        attempt: the number of the attempt, from 1; it does not count.
    """

    organization_id: str
    journey_id: str
    enrollment_id: str
    attempt: int


@frozen
class Measured:
    """The worker asked how much waits, of the Journeys it has handlers for, as `measure` says.

    Attributes:
        organization_id: whose Enrollments they are.
        backlogs: one for each active Journey, sorted by its id.
    """

    organization_id: str
    backlogs: Sequence[Backlog]

    @property
    def depth(self) -> int:
        """Return how many Enrollments wait; of a Journey that was cut, those that were counted."""
        return sum(each.depth for each in self.backlogs)

    @property
    def lag(self) -> timedelta:
        """Return how long the oldest of them has been available; nothing where none waits."""
        return max((each.lag for each in self.backlogs if each.lag is not None), default=_NONE)


@frozen
class Unavailable:
    """The store could not be asked; the worker tries again.

    Attributes:
        code: of the refusal.
        times: how often in a row.
    """

    code: str
    times: int


class WorkerObserver(Protocol):
    """Is told what a worker does, in the thread or loop that works. Must be quick.

    What an observer raises is dropped.
    """

    def claimed(self, details: Claimed) -> None:
        """Hear of a claim."""
        ...

    def started(self, details: Started) -> None:
        """Hear that a handler begins."""
        ...

    def completed(self, details: Completed) -> None:
        """Hear of a completion."""
        ...

    def failed(self, details: Failed) -> None:
        """Hear of a failure."""
        ...

    def lease_lost(self, details: LostLease) -> None:
        """Hear that a lease is lost."""
        ...

    def given_back(self, details: GivenBack) -> None:
        """Hear that a stop gave an Enrollment back."""
        ...

    def unavailable(self, details: Unavailable) -> None:
        """Hear that the store could not be asked."""
        ...

    def measured(self, details: Measured) -> None:
        """Hear how much waits."""
        ...


class Telling:
    """Tells observers, and lets none of them disturb the work."""

    def __init__(self, observers: Sequence[WorkerObserver]) -> None:
        self._observers = tuple(observers)

    def tell(self, tell: Callable[[WorkerObserver], None]) -> None:
        """Tell each observer."""
        for observer in self._observers:
            with suppress(Exception):
                tell(observer)

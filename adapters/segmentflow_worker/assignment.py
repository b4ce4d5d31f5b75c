"""What a handler is given, and what it may raise to say how to go on.

Knows one claimed Enrollment. Must never reach the store: the worker finishes it.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping
from datetime import timedelta
from typing import Any, Final, TypeAlias

from attrs import field, frozen

from segmentflow_core import ClaimedEnrollment, UserEvent

__all__ = ["Assignment", "GiveUp", "Handler", "TryAgain", "in_words", "is_counted", "rest_after"]

_LONGEST: Final = timedelta(days=366)


@frozen(eq=False)
class Assignment:
    """A claimed Enrollment in the hands of a handler.

    Attributes:
        claimed: the Enrollment, its event and its lease.
        is_last_attempt: whether a failure makes it dead.
    """

    claimed: ClaimedEnrollment
    is_last_attempt: bool
    _lost: threading.Event = field(factory=threading.Event, repr=False)

    @property
    def organization_id(self) -> str:
        """Return whose Enrollment it is."""
        return self.claimed.organization_id

    @property
    def journey_id(self) -> str:
        """Return the Journey that was entered."""
        return self.claimed.enrollment.journey_id

    @property
    def event(self) -> UserEvent:
        """Return the UserEvent that caused the Enrollment, redacted."""
        return self.claimed.event

    @property
    def state(self) -> Mapping[str, Any]:
        """Return the state document that templates read: ``/event/…`` and ``/profile/…``."""
        return self.claimed.state

    @property
    def attempt(self) -> int:
        """Return the number of this attempt, from 1."""
        return self.claimed.enrollment.attempts

    @property
    def idempotency_key(self) -> str:
        """Return the Enrollment's id, to pass on to whoever is asked to act.

        It is the same at every attempt, so that the other side can tell that it acted before.
        """
        return self.claimed.enrollment.enrollment_id

    @property
    def lease_lost(self) -> bool:
        """Return whether the work is no longer this handler's: what it does is not completed.

        Its lease could not be extended, or the worker stopped and gave the Enrollment back. A
        handler that works for long asks now and then, and stops where this is true.
        """
        return self._lost.is_set()

    def lose(self) -> None:
        """Note that the work is no longer this handler's."""
        self._lost.set()


Handler: TypeAlias = Callable[[Assignment], object]
"""Does the work of one Enrollment: a `def`, or an `async def`, without a `yield`.

What it returns is dropped. A coroutine or a generator is a failure: nobody would run it.
"""


class GiveUp(Exception):
    """Raised by a handler: no other attempt will do better, so the Enrollment is dead."""


class TryAgain(Exception):
    """Raised by a handler: give the Enrollment back, to be handed over again.

    Args:
        message: why, in words; kept as the last failure where the attempt counts.
        after: how long nobody shall be handed it, up to 366 days; None waits as after any failure.
        counted: whether the attempt counts. What waits for something else, such as an hour of the
            day, may say False: it then waits for ever, never dead.

    Attributes:
        after: the same, from nothing up to 366 days. A worker takes what is no `timedelta` as None.
        counted: the same. A worker takes whatever is not False as True.
    """

    after: timedelta | None = None
    counted: bool = True

    def __init__(
        self, message: str = "", *, after: timedelta | None = None, counted: bool = True
    ) -> None:
        super().__init__(message)
        self.after = None if after is None else min(max(after, timedelta()), _LONGEST)
        self.counted = counted


def rest_after(error: TryAgain) -> timedelta | None:
    """Return how long nobody shall be handed it; None where the error says nothing that is usable.

    Like the other readers of an error it never raises: what was raised may be of a host's own
    class, which need not have called `__init__`.
    """
    after = _said(error, "after")
    return min(max(after, timedelta()), _LONGEST) if isinstance(after, timedelta) else None


def is_counted(error: TryAgain) -> bool:
    """Return whether the attempt counts: unless the error says False."""
    return _said(error, "counted") is not False


def _said(error: TryAgain, name: str) -> object:
    try:
        return getattr(error, name, None)
    except BaseException:  # noqa: BLE001 - it is a stranger's, and may do anything
        return None


def in_words(error: BaseException) -> str:
    """Write a failure as it is kept with the Enrollment: its class, and what it says."""
    try:
        said = str(error)
    except BaseException:  # noqa: BLE001 - it is a stranger's, and may do anything
        said = ""
    if isinstance(error, GiveUp | TryAgain):
        return said or type(error).__name__
    return f"{type(error).__name__}: {said}" if said else type(error).__name__

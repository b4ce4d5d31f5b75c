"""Telling observers what a call of `track_many` did. Must never let one of them fail the call."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import suppress

from segmentflow_core.domain.event import Enrollment, EnrollmentStatus, Outcome, Receipt, UserEvent
from segmentflow_core.errors import InternalError, SegmentflowError
from segmentflow_core.ports.observation import (
    JourneyOutcome,
    Observer,
    Refused,
    Replayed,
    Retried,
    Tracked,
)

__all__ = ["Observation", "code_of"]


def code_of(error: Exception) -> str:
    """Return the code that observers are told of an error; the error itself may hold anything."""
    return error.code if isinstance(error, SegmentflowError) else InternalError.code


class Observation:
    """One call of `track_many`, as observers will be told of it.

    Args:
        observers: who is told.
        organization_id: whose call it is.
        calls: how many events it tracks.
    """

    def __init__(self, observers: Sequence[Observer], organization_id: str, calls: int) -> None:
        self._observers = observers
        self._organization_id = organization_id
        self._calls = calls
        self._runs = 0

    def began(self) -> None:
        """Note that the transaction runs, or runs again."""
        self._runs += 1

    def ended(
        self,
        results: Sequence[Receipt | SegmentflowError],
        written: Sequence[UserEvent],
        enrollments: Sequence[Enrollment],
    ) -> None:
        """Tell what came of each event, once that is committed.

        Args:
            results: of the calls, in order.
            written: the events that the last run of the transaction wrote.
            enrollments: those that they caused.
        """
        self._tell_runs()
        withdrew = {event.event_id: len(event.withdrew) for event in written if event.withdrew}
        delayed = Counter(each.event_id for each in enrollments if not _is_available(each))
        for result in results:
            if isinstance(result, SegmentflowError):
                self._tell_refusal(result.code)
            elif result.replayed:
                self._tell_replay(result)
            else:
                of = result.event_id
                self._tell_event(result, withdrew.get(of, 0), delayed[of])
        for event in written:
            for outcome in event.outcomes:
                self._tell_outcome(event.event_id, outcome)

    def failed(self, code: str) -> None:
        """Report that no event was recorded, by the error's code."""
        self._tell_runs()
        for _ in range(self._calls):
            self._tell_refusal(code)

    def _tell_event(self, receipt: Receipt, withdrawn: int, delayed: int) -> None:
        details = Tracked(
            self._organization_id,
            receipt.event_id,
            receipt.matched_journeys,
            receipt.enrolled_journeys,
            len(receipt.unmatched_paths),
            withdrawn,
            delayed,
        )
        self._tell(lambda observer: observer.tracked(details))

    def _tell_replay(self, receipt: Receipt) -> None:
        details = Replayed(self._organization_id, receipt.event_id)
        self._tell(lambda observer: observer.replayed(details))

    def _tell_outcome(self, event_id: str, outcome: Outcome) -> None:
        details = JourneyOutcome(
            self._organization_id,
            event_id,
            outcome.journey_id,
            outcome.version,
            outcome.outcome,
            outcome.reason,
        )
        self._tell(lambda observer: observer.journey_outcome(details))

    def _tell_refusal(self, code: str) -> None:
        details = Refused(self._organization_id, code)
        self._tell(lambda observer: observer.refused(details))

    def _tell_runs(self) -> None:
        if self._runs > 1:
            details = Retried(self._organization_id, self._runs)
            self._tell(lambda observer: observer.retried(details))

    def _tell(self, tell: Callable[[Observer], None]) -> None:
        for observer in self._observers:
            with suppress(Exception):
                tell(observer)


def _is_available(enrollment: Enrollment) -> bool:
    is_pending = enrollment.status is EnrollmentStatus.PENDING
    return is_pending and enrollment.waits_until <= enrollment.entered_at

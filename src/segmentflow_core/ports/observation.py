"""What an observer is told: that something happened, by ids, counts and codes.

The details are frozen and hold no value from a request, not even the event's name, so
that none can reach a log or a metric through them.
"""

from __future__ import annotations

from typing import Protocol

from attrs import frozen

from segmentflow_core.domain.event import OutcomeKind, SkipReason

__all__ = ["JourneyOutcome", "Observer", "Refused", "Replayed", "Retried", "Tracked"]


@frozen
class Tracked:
    """One event was recorded.

    Attributes:
        organization_id: whose it is.
        event_id: the UserEvent.
        matched_journeys: active Journeys that listen for it.
        enrolled_journeys: how many of them the Profile entered.
        unmatched_paths: how many redaction paths named nothing: each may be a typing error.
        withdrawn: how many Enrollments of earlier events it withdrew, or will have withdrawn once
            no worker holds them.
        delayed: how many of the Enrollments that it caused no worker is handed yet: they wait for
            their Journey's delay, or are withdrawn already.
    """

    organization_id: str
    event_id: str
    matched_journeys: int
    enrolled_journeys: int
    unmatched_paths: int
    withdrawn: int = 0
    delayed: int = 0


@frozen
class Replayed:
    """A call repeated an earlier one and got its receipt.

    Attributes:
        organization_id: whose it is.
        event_id: the UserEvent of the earlier call.
    """

    organization_id: str
    event_id: str


@frozen
class Refused:
    """A call was refused.

    Attributes:
        organization_id: whose call it was.
        code: the error's.
    """

    organization_id: str
    code: str


@frozen
class Retried:
    """The storage ran a transaction more than once: it lost a race, or could not be serialized.

    Attributes:
        organization_id: whose call it was.
        runs: how often it ran.
    """

    organization_id: str
    runs: int


@frozen
class JourneyOutcome:
    """What one matched Journey did with one recorded event.

    Attributes:
        organization_id: whose Journey it is.
        event_id: the UserEvent.
        journey_id: the Journey.
        version: the version that decided.
        outcome: ``"enrolled"`` or ``"skipped"``.
        reason: why it was skipped; None when enrolled.
    """

    organization_id: str
    event_id: str
    journey_id: str
    version: int
    outcome: OutcomeKind
    reason: SkipReason | None


class Observer(Protocol):
    """Is told what a tracker did, after it is committed. Must be quick, and safe between threads.

    What an observer raises is dropped: what was recorded stays recorded.
    """

    def tracked(self, details: Tracked) -> None:
        """Hear of a recorded event."""
        ...

    def replayed(self, details: Replayed) -> None:
        """Hear of a replay."""
        ...

    def refused(self, details: Refused) -> None:
        """Hear of a refusal; it may have failed for an inner reason as well."""
        ...

    def retried(self, details: Retried) -> None:
        """Hear of a transaction that ran more than once."""
        ...

    def journey_outcome(self, details: JourneyOutcome) -> None:
        """Hear of an outcome."""
        ...

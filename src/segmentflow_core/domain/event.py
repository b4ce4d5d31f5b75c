"""What is recorded: the UserEvent, its Outcomes, the Enrollments it caused, the Receipt.

Knows only what may be stored: data is redacted before it comes here.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal, TypeAlias

from attrs import field, frozen

from segmentflow_core.domain.cancelling import Cancellers, Withdrawal

__all__ = [
    "SKIP_REASONS",
    "Enrollment",
    "EnrollmentStatus",
    "Outcome",
    "OutcomeKind",
    "Receipt",
    "SkipReason",
    "UserEvent",
]


class SkipReason(StrEnum):
    """Why a matched Journey did not enrol the Profile. Stable codes."""

    CONDITION_NOT_MET = "condition_not_met"
    CONDITION_UNKNOWN = "condition_unknown"
    ALREADY_ENROLLED = "already_enrolled"
    COOLING_DOWN = "cooling_down"
    LIMIT_REACHED = "limit_reached"
    CANCELLED = "cancelled"
    ENTRY_KEY_MISSING = "entry_key_missing"
    TOO_LATE = "too_late"
    OUTSIDE_WINDOW = "outside_window"
    SAMPLED_OUT = "sampled_out"
    SUPPRESSED = "suppressed"


SKIP_REASONS: Final[dict[SkipReason, str]] = {
    SkipReason.SUPPRESSED: "The Profile is suppressed: no Journey enrols it.",
    SkipReason.OUTSIDE_WINDOW: "The event happened outside the Journey's active window.",
    SkipReason.TOO_LATE: "The event was received longer after it happened than the Journey allows.",
    SkipReason.SAMPLED_OUT: "The Profile is not in the Journey's sample.",
    SkipReason.CONDITION_NOT_MET: "The Journey's condition is false.",
    SkipReason.CONDITION_UNKNOWN: "The Journey's condition reads something missing, null, of"
    " another type or redacted, or counts what is not known, and so is neither true nor false.",
    SkipReason.ENTRY_KEY_MISSING: "A part of the Journey's entry key is missing or redacted.",
    SkipReason.ALREADY_ENROLLED: "The Profile has entered before, and the Journey lets it in once,"
    " or once for each key.",
    SkipReason.COOLING_DOWN: "The Profile entered too short a time ago.",
    SkipReason.LIMIT_REACHED: "The Profile has entered as often as the Journey lets it for now.",
    SkipReason.CANCELLED: "An event that cancels the entry was recorded already.",
}
"""Every reason, in the order the rules are applied, with its explanation."""

OutcomeKind: TypeAlias = Literal["enrolled", "skipped"]


@frozen
class Outcome:
    """The outcome of one event for one matched Journey.

    Attributes:
        journey_id: the Journey.
        version: the version of the Journey that decided.
        outcome: ``"enrolled"`` or ``"skipped"``.
        reason: why it was skipped; None when enrolled.
    """

    journey_id: str
    version: int
    outcome: OutcomeKind
    reason: SkipReason | None = None


@frozen(repr=False)
class UserEvent:
    """One recorded event.

    Attributes:
        event_id: UUIDv7.
        profile_id: whose event it is.
        number: its place in the Profile's history, from 1, without gaps; never changed.
        event: its name.
        data: redacted.
        profile: the ``/profile`` part of the state document, after this event.
        profile_version: the version of the Profile that this event left.
        reference_id: the host's own id for what happened, or None.
        occurred_at: when it happened.
        received_at: when it was received.
        outcomes: one for every matched Journey, sorted by Journey id.
        withdrew: what it did to Enrollments of earlier events, sorted by their ids.
    """

    event_id: str
    profile_id: str
    number: int
    event: str
    data: Mapping[str, Any]
    profile: Mapping[str, Any]
    profile_version: int
    reference_id: str | None
    occurred_at: datetime
    received_at: datetime
    outcomes: tuple[Outcome, ...]
    withdrew: tuple[Withdrawal, ...] = ()

    def __repr__(self) -> str:
        """Name the event without showing what it holds."""
        return f"<UserEvent {self.event_id}>"


class EnrollmentStatus(StrEnum):
    """Where an Enrollment stands in its hand-over to a worker."""

    PENDING = "pending"
    CLAIMED = "claimed"
    COMPLETED = "completed"
    DEAD = "dead"
    WITHDRAWN = "withdrawn"


@frozen
class Enrollment:
    """One entry of one Profile into one Journey, caused by one UserEvent.

    Attributes:
        enrollment_id: UUIDv7.
        journey_id: the Journey entered.
        version: the version of it that was entered.
        profile_id: who entered.
        event_id: the UserEvent that caused it.
        event_number: the number of that event.
        entry_key: the key re-entry is counted by: ``""`` for once, a digest of the key parts
            for once_per_key; for at_most that digest, if any, a hyphen and the id of the event;
            None for the other policies. Unique per Journey and Profile.
        entered_at: when the event was received.
        status: where it stands in its hand-over.
        available_at: it is not handed over before this instant, which is the end of its lease
            while it is claimed.
        attempts: how often it was handed over.
        lease_until: when its lease runs out; None while nobody holds one.
        token: the token of the latest claim; an earlier holder has another one and is refused.
        completed_at: when a worker completed it.
        last_failure: what a worker said of the latest failure that it had words for, at most 1,000
            characters; None before any, and again once it is completed or revived.
        withdrawn_at: when it was withdrawn: it is handed over no more.
        cancellers: by which later events it is withdrawn; None where by none, and once it is
            finished.
        cancelled_by: the event that withdrew it. While a worker holds it, the event that will have
            withdrawn it when the worker gives it back or its lease ends; one that is completed
            first keeps this.
        era: how often its Journey had been archived when it entered.
        archived_at: when its Journey was last archived after it entered, while it is neither
            completed nor withdrawn; the Journey says it, so it is not stored with the Enrollment.
    """

    enrollment_id: str
    journey_id: str
    version: int
    profile_id: str
    event_id: str
    event_number: int
    entry_key: str | None
    entered_at: datetime
    status: EnrollmentStatus = EnrollmentStatus.PENDING
    available_at: datetime | None = None
    attempts: int = 0
    lease_until: datetime | None = None
    token: str | None = None
    completed_at: datetime | None = None
    last_failure: str | None = None
    withdrawn_at: datetime | None = None
    cancellers: Cancellers | None = None
    cancelled_by: str | None = None
    era: int = 0
    archived_at: datetime | None = None

    @property
    def waits_until(self) -> datetime:
        """Return the instant from which it may be handed over, by which its queue is sorted."""
        return self.available_at or self.entered_at


@frozen
class Receipt:
    """The answer to an accepted event; a replay gets an equal receipt.

    Attributes:
        event_id: the UserEvent, UUIDv7.
        profile_id: the Profile it belongs to.
        matched_journeys: active Journeys that listen for the event.
        enrolled_journeys: how many of them the Profile entered.
        skipped_journeys: how many it did not; matched = enrolled + skipped.
        replayed: whether this call repeated an earlier one; equality ignores it.
        unmatched_paths: redaction paths that match nothing in the data, sorted.
    """

    event_id: str
    profile_id: str
    matched_journeys: int
    enrolled_journeys: int
    skipped_journeys: int
    replayed: bool = field(default=False, eq=False)
    unmatched_paths: tuple[str, ...] = ()

    @classmethod
    def of(cls, event: UserEvent, unmatched_paths: tuple[str, ...] = ()) -> Receipt:
        """Derive the receipt of a UserEvent from its outcomes."""
        matched = len(event.outcomes)
        enrolled = [outcome.outcome for outcome in event.outcomes].count("enrolled")
        return cls(
            event.event_id,
            event.profile_id,
            matched,
            enrolled,
            matched - enrolled,
            unmatched_paths=unmatched_paths,
        )

"""One person's story: her events, what each Journey made of them, what became of each entry.

Knows what is recorded. Must never decide anything anew.
"""

from __future__ import annotations

from attrs import frozen

from segmentflow_core.domain.event import Enrollment, Outcome, UserEvent
from segmentflow_core.domain.explanation import ExplainedJourney
from segmentflow_core.domain.profile import Profile

__all__ = ["Story", "ToldEvent", "ToldOutcome"]


@frozen(repr=False)
class ToldOutcome:
    """What one Journey made of an event, and what became of it.

    Attributes:
        outcome: as it was recorded with the event.
        enrollment: the entry as it stands now; None where the Profile was skipped.
        explained: each leaf of the condition and every other fact, of the version of the Journey
            that decided; only where the story is about one Journey.
    """

    outcome: Outcome
    enrollment: Enrollment | None
    explained: ExplainedJourney | None = None

    def __repr__(self) -> str:
        """Name the Journey and the outcome without showing what the event holds."""
        return f"<ToldOutcome {self.outcome.journey_id} {self.outcome.reason or 'enrolled'}>"


@frozen(repr=False)
class ToldEvent:
    """One event of the person, with what every Journey made of it.

    Attributes:
        event: as it was recorded, with what it withdrew.
        outcomes: one for each Journey that matched, sorted by Journey id.
    """

    event: UserEvent
    outcomes: tuple[ToldOutcome, ...]

    def __repr__(self) -> str:
        """Name the event without showing what it holds."""
        return f"<ToldEvent {self.event.event_id}>"


@frozen(repr=False)
class Story:
    """One person's events, newest first, as far as they were looked at.

    Attributes:
        profile: who she is today.
        events: those that were looked at; of a story about one Journey, those it matched and those
            that withdrew an Enrollment of it.
        before: where the next page of the story starts; None where it is told to its end.
    """

    profile: Profile
    events: tuple[ToldEvent, ...]
    before: str | None

    def __repr__(self) -> str:
        """Name the Profile without showing whose it is."""
        return f"<Story {self.profile.profile_id}>"

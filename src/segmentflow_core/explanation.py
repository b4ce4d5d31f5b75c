"""What explaining, rehearsing and telling a story return: answers, facts and reasons, as values."""

from __future__ import annotations

from segmentflow_core.domain.condition import Explanation
from segmentflow_core.domain.event import SKIP_REASONS
from segmentflow_core.domain.explanation import (
    CancelFact,
    CancelRule,
    DelayFact,
    ExplainedEvent,
    ExplainedJourney,
    KeyPart,
    LatenessFact,
    ReentryFact,
    SampleFact,
    SilentJourney,
    WindowFact,
)
from segmentflow_core.domain.rehearsal import Rehearsal, RehearsedJourney
from segmentflow_core.domain.story import Story, ToldEvent, ToldOutcome

__all__ = [
    "SKIP_REASONS",
    "CancelFact",
    "CancelRule",
    "DelayFact",
    "ExplainedEvent",
    "ExplainedJourney",
    "Explanation",
    "KeyPart",
    "LatenessFact",
    "ReentryFact",
    "Rehearsal",
    "RehearsedJourney",
    "SampleFact",
    "SilentJourney",
    "Story",
    "ToldEvent",
    "ToldOutcome",
    "WindowFact",
]

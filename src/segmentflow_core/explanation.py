"""What explaining, rehearsing and telling a story return: answers, facts and reasons, as values."""

from __future__ import annotations

from segmentflow_core.domain.condition import GAPS, CountedEvent, Explanation, HistoryFact
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
    "GAPS",
    "SKIP_REASONS",
    "CancelFact",
    "CancelRule",
    "CountedEvent",
    "DelayFact",
    "ExplainedEvent",
    "ExplainedJourney",
    "Explanation",
    "HistoryFact",
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

"""Journeys: their definition, every rule it must keep, and how one judges an event.

`definition` holds the values an operator writes and `document` their JSON. `check` finds
every fault of a definition; `json_schema` writes the same rules for editors. `rules`
compiles a definition and judges events with it.

See docs/reference/rules/journeys.md and docs/reference/rules/matching.md.
"""

from __future__ import annotations

from segmentflow_core.domain.journey.check import check_journey
from segmentflow_core.domain.journey.definition import (
    MAX_CANCEL_RULES,
    MAX_KEY_PARTS,
    MAX_NAME,
    MAX_TIMES,
    OPTIONAL_REENTRY_MEMBERS,
    REENTRY_MEMBERS,
    CancelOn,
    JourneyDefinition,
    JourneyStatus,
    Reentry,
    ReentryPolicy,
    Sample,
    Trigger,
    Window,
)
from segmentflow_core.domain.journey.document import (
    MAX_JOURNEYS_BYTES,
    definition_changes,
    definition_digest,
    journey_definition,
    journey_definitions,
    journey_document,
)
from segmentflow_core.domain.journey.json_schema import journey_file_json_schema
from segmentflow_core.domain.journey.rules import (
    ENTRY_KEY_FOR_ONCE,
    KEY_SEPARATOR,
    Journey,
    Passage,
    PriorEntries,
    Rules,
    entry_key_of,
    has_key,
    in_sample,
    is_within,
)

__all__ = [
    "ENTRY_KEY_FOR_ONCE",
    "KEY_SEPARATOR",
    "MAX_CANCEL_RULES",
    "MAX_JOURNEYS_BYTES",
    "MAX_KEY_PARTS",
    "MAX_NAME",
    "MAX_TIMES",
    "OPTIONAL_REENTRY_MEMBERS",
    "REENTRY_MEMBERS",
    "CancelOn",
    "Journey",
    "JourneyDefinition",
    "JourneyStatus",
    "Passage",
    "PriorEntries",
    "Reentry",
    "ReentryPolicy",
    "Rules",
    "Sample",
    "Trigger",
    "Window",
    "check_journey",
    "definition_changes",
    "definition_digest",
    "entry_key_of",
    "has_key",
    "in_sample",
    "is_within",
    "journey_definition",
    "journey_definitions",
    "journey_document",
    "journey_file_json_schema",
]

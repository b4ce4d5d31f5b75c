"""What recorded events lacked of what a template reads: counts by pointer, never a value.

Knows the state document of one event at a time. Must never know how events are read.

See docs/reference/rules/templates.md.
"""

from __future__ import annotations

from datetime import datetime

from attrs import define, field, frozen

from segmentflow_core.domain.condition.reading import read
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.json_value import MISSING
from segmentflow_core.domain.pointer import Tokens, parse_pointer
from segmentflow_core.domain.redaction import REDACTED
from segmentflow_core.domain.template import Template

__all__ = ["GapTally", "PathGaps", "TemplateGaps"]


@frozen
class PathGaps:
    """In how many events one pointer of a template found no value.

    Attributes:
        path: the JSON Pointer.
        required: whether a place without a default reads it.
        missing: in how many events it named nothing.
        null: in how many the value was null.
        redacted: in how many it, or what it is inside of, was redacted.
    """

    path: str
    required: bool
    missing: int
    null: int
    redacted: int


@frozen
class TemplateGaps:
    """What recorded events lacked of what a template reads.

    Attributes:
        event: the name of the events that were looked at.
        since: where the period of receipt starts that this is of; None for the first event that
            was recorded.
        until: where it ends, itself excluded; None for the last event that was recorded.
        cut: whether it starts later than what was asked for, because only so many events are
            looked at.
        events: how many events these counts are of.
        erased: how many more there were that say nothing any more, for they were erased.
        paths: one for each pointer of the template, in the order it first reads them.
    """

    event: str
    since: datetime | None
    until: datetime | None
    cut: bool
    events: int
    erased: int
    paths: tuple[PathGaps, ...]


@define
class _Counts:
    missing: int = 0
    null: int = 0
    redacted: int = 0


@define
class GapTally:
    """Counts what events lack, one event after another."""

    template: Template
    events: int = 0
    erased: int = 0
    _read: list[tuple[Tokens, _Counts]] = field(init=False)

    def __attrs_post_init__(self) -> None:
        self._read = [(parse_pointer(path), _Counts()) for path in self.template.paths]

    def add(self, event: UserEvent) -> None:
        """Count what an event lacks."""
        if _is_erased(event):
            self.erased += 1
            return
        self.events += 1
        state = {"event": event.data, "profile": event.profile}
        for tokens, counts in self._read:
            value = read(state, tokens)
            if value is MISSING:
                counts.missing += 1
            elif value is None:
                counts.null += 1
            elif type(value) is str and value == REDACTED:
                counts.redacted += 1

    def paths(self) -> tuple[PathGaps, ...]:
        """Return what was counted, by pointer."""
        required = set(self.template.required)
        return tuple(
            PathGaps(path, path in required, counts.missing, counts.null, counts.redacted)
            for path, (_, counts) in zip(self.template.paths, self._read, strict=True)
        )


def _is_erased(event: UserEvent) -> bool:
    # A Profile has an email or an external id at each of its events, until it is erased.
    return "email" not in event.profile and "externalId" not in event.profile

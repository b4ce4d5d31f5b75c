"""What an operator writes: a Journey's definition and its parts, as values.

Knows which values there are. Must never judge an event, nor know the definition as JSON.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import frozen

from segmentflow_core.domain.cancelling import CancelOn
from segmentflow_core.domain.json_value import JsonObject

__all__ = [
    "MAX_CANCEL_RULES",
    "MAX_KEY_PARTS",
    "MAX_NAME",
    "MAX_TIMES",
    "OPTIONAL_REENTRY_MEMBERS",
    "REENTRY_MEMBERS",
    "CancelOn",
    "JourneyDefinition",
    "JourneyStatus",
    "Reentry",
    "ReentryPolicy",
    "Sample",
    "Trigger",
    "Window",
]

MAX_NAME: Final = 255
"""How many characters an id, a name, an event's name or a seed may have."""

MAX_KEY_PARTS: Final = 8
"""How many parts an entry key may have."""

MAX_CANCEL_RULES: Final = 8
"""How many rules of what cancels an Enrollment a Journey may have."""

MAX_TIMES: Final = 1_000
"""How many entries `at_most` may let in."""


class JourneyStatus(StrEnum):
    """Only an active Journey listens."""

    DRAFT = "draft"
    ACTIVE = "active"
    PAUSED = "paused"
    ARCHIVED = "archived"


class ReentryPolicy(StrEnum):
    """When a Profile that has entered a Journey may enter again."""

    EVERY_EVENT = "every_event"
    ONCE = "once"
    ONCE_PER_KEY = "once_per_key"
    COOLDOWN = "cooldown"
    AT_MOST = "at_most"


REENTRY_MEMBERS: Final[dict[ReentryPolicy, tuple[str, ...]]] = {
    ReentryPolicy.EVERY_EVENT: (),
    ReentryPolicy.ONCE: (),
    ReentryPolicy.ONCE_PER_KEY: ("key",),
    ReentryPolicy.COOLDOWN: ("duration",),
    ReentryPolicy.AT_MOST: ("times", "within"),
}
"""The members each policy needs beside `policy`."""

OPTIONAL_REENTRY_MEMBERS: Final[dict[ReentryPolicy, tuple[str, ...]]] = {
    ReentryPolicy.AT_MOST: ("key",),
}
"""The members a policy takes besides; no other is allowed."""


@frozen
class Trigger:
    """The event name a Journey listens for, and an optional condition as JSON.

    Attributes:
        event: the name, matched exactly.
        where: the condition, or None.
    """

    event: str
    where: JsonObject | None = None


@frozen
class Reentry:
    """The re-entry policy with its own members.

    Attributes:
        policy: when a Profile may enter again.
        key: JSON Pointers into the state document, the parts of the entry key; only for
            `once_per_key` and, where it counts by key, `at_most`.
        duration: ISO 8601; how long after an entry the Profile may enter again; only for
            `cooldown`.
        times: how many entries are let in; only for `at_most`.
        within: ISO 8601; for how long an entry counts; only for `at_most`.
    """

    policy: ReentryPolicy = ReentryPolicy.EVERY_EVENT
    key: tuple[str, ...] = ()
    duration: str | None = None
    times: int | None = None
    within: str | None = None


@frozen
class Window:
    """When an event must have happened: at `starts_at` or later, and before `ends_at`.

    Attributes:
        starts_at: in UTC, or None for no start.
        ends_at: in UTC, or None for no end.
    """

    starts_at: datetime | None = None
    ends_at: datetime | None = None


@frozen
class Sample:
    """The share of Profiles a Journey takes; the seed decides which ones.

    Attributes:
        percent: 0 to 100.
        seed: one seed always chooses the same Profiles; a larger percent only adds to them.
    """

    percent: float
    seed: str


@frozen
class JourneyDefinition:
    """What an operator writes: one item of a Journey file.

    Attributes:
        journey_id: unique in its Organization, 1 to 255 characters.
        name: shown to people.
        status: whether it listens.
        trigger: what it listens for.
        reentry: when a Profile may enter again.
        window: when the event must have happened, or None.
        max_lateness: ISO 8601 duration from occurrence to receipt, or None.
        sample: the share of Profiles it takes, or None for all.
        delay: ISO 8601 duration from when the event occurred, or was received if that is earlier,
            until its Enrollment is handed over; None for at once.
        cancel_on: which later events withdraw its Enrollments.
    """

    journey_id: str
    name: str
    status: JourneyStatus
    trigger: Trigger
    reentry: Reentry = Reentry()
    window: Window | None = None
    max_lateness: str | None = None
    sample: Sample | None = None
    delay: str | None = None
    cancel_on: tuple[CancelOn, ...] = ()

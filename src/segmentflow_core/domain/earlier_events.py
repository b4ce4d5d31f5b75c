"""Earlier events: what a store is asked about a Profile's history, and what it answers.

Knows the values that cross to a store. Must never count any of them.

See docs/reference/rules/history.md.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final, TypeAlias

from attrs import define, evolve, field, frozen

from segmentflow_core.domain.canonical import encode_json
from segmentflow_core.domain.condition.did import Reads
from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.json_value import JsonObject
from segmentflow_core.domain.profile import MergedSeries, Profile
from segmentflow_core.domain.retention import GoneEvents

__all__ = [
    "MAX_BYTES",
    "MAX_EVENTS",
    "PARTS",
    "EarlierEvent",
    "EarlierEvents",
    "HistoryProbe",
    "Question",
    "Reads",
    "Series",
    "series_before",
    "series_of",
]

MAX_EVENTS: Final = 1000
"""How many earlier events one leaf looks at, the newest ones."""

MAX_BYTES: Final = 4 * 1024 * 1024
"""How many bytes these may be as JSON, as far as they are read."""


Question: TypeAlias = "tuple[str, str, datetime | None, int | None, Reads]"
"""What probes have in common of which one answer serves all: see `HistoryProbe.question`."""


@frozen
class HistoryProbe:
    """A question about earlier events of one series; `EarlierEvents` answers it.

    Attributes:
        profile_id: whose events, as they were recorded.
        event: their name.
        since: only what occurred then or later; None for no beginning.
        until: and then or earlier; None for no end.
        before: only numbers below this one; None for all that are recorded.
        reads: what of each event is needed: ``nothing`` but that it is there, its ``data``, or its
            ``state``, the Profile as it left it included.
        limit: how many are needed, the newest ones by when they occurred, then by number.
    """

    profile_id: str
    event: str
    since: datetime | None = None
    until: datetime | None = None
    before: int | None = None
    reads: Reads = "nothing"
    limit: int = MAX_EVENTS

    @property
    def question(self) -> Question:
        """What it has in common with others that its answer serves.

        An answer has the newest events, so one with an earlier beginning and a larger limit
        begins with what others ask for.
        """
        return self.profile_id, self.event, self.until, self.before, self.reads

    def joined(self, other: HistoryProbe) -> HistoryProbe:
        """Return the probe whose answer serves both this one and another of one question."""
        since = None
        if self.since is not None and other.since is not None:
            since = min(self.since, other.since)
        return evolve(self, since=since, limit=max(self.limit, other.limit))


@define(repr=False)
class EarlierEvent:
    """An earlier event, as far as a probe reads it.

    Attributes:
        event_id: UUIDv7.
        number: its place in the history of its Profile.
        occurred_at: when it happened.
        state: its state document; without `/profile` where that is not read, and empty where
            nothing is.
    """

    event_id: str
    number: int
    occurred_at: datetime
    state: JsonObject
    _sizes: dict[str, int] = field(factory=dict[str, int], init=False, eq=False)

    @classmethod
    def of(cls, event: UserEvent) -> EarlierEvent:
        """Return a recorded event as an earlier one."""
        state = {"event": event.data, "profile": event.profile}
        return cls(event.event_id, event.number, event.occurred_at, state)

    def size(self, part: str) -> int:
        """Return how many bytes of JSON a part of its state document is; counted once."""
        size = self._sizes.get(part)
        if size is None:
            size = self._sizes[part] = len(encode_json(self.state[part]).encode())
        return size

    def __repr__(self) -> str:
        """Name the event without showing what it holds."""
        return f"<EarlierEvent {self.event_id}>"


@frozen
class EarlierEvents:
    """The answer to a probe.

    Attributes:
        events: those asked for, newest first by when they occurred, then by number.
        more: whether there are others that were asked for and are not among `events`.
        gone: what retention left of events of that name and Profile; None where none went.
    """

    events: tuple[EarlierEvent, ...] = ()
    more: bool = False
    gone: GoneEvents | None = None


@frozen
class Series:
    """One run of numbered events that is a part of a history.

    Attributes:
        profile_id: the Profile that they were recorded for.
        before: numbers below this one belong to it; None for all.
    """

    profile_id: str
    before: int | None = None


def series_of(profile: Profile) -> tuple[Series, ...]:
    """Return the series that are earlier than the next event of a Profile, its own first."""
    return tuple([Series(profile_id) for profile_id in profile.series])


def series_before(event: UserEvent, merged: Sequence[MergedSeries]) -> tuple[Series, ...]:
    """Return the series that are earlier than a recorded event, its own first.

    Args:
        event: the event.
        merged: what merges brought the Profile that it was recorded for.
    """
    earlier = [Series(each.profile_id) for each in merged if each.before <= event.number]
    return (Series(event.profile_id, event.number), *earlier)


PARTS: Final[Mapping[Reads, tuple[str, ...]]] = {
    "nothing": (),
    "data": ("event",),
    "state": ("event", "profile"),
}
"""Which parts of a state document are read."""

"""What conditions that count a Profile's earlier events need of a store.

An adapter can do without: tracking, reading and the hand-over are a complete one. Its
transactions then have no `history`, and no Journey with such a condition can be published.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.condition.did import Reads
from segmentflow_core.domain.earlier_events import (
    EarlierEvent,
    EarlierEvents,
    HistoryProbe,
)
from segmentflow_core.domain.journey import PriorEntries
from segmentflow_core.domain.tracking import Probe

__all__ = [
    "EarlierEvent",
    "EarlierEvents",
    "HistoryProbe",
    "HistoryRepository",
    "KnowsHistory",
    "Reads",
]


class HistoryRepository(Protocol):
    """What Profiles did, as far as it is recorded."""

    def earlier(
        self,
        organization_id: str,
        probes: Sequence[HistoryProbe],
        entries: Sequence[Probe],
        /,
    ) -> MaybeAwaitable[tuple[Mapping[HistoryProbe, EarlierEvents], Mapping[Probe, PriorEntries]]]:
        """Answer every probe about earlier events, and every one about earlier entries.

        One exchange, however many they are. Events come newest first: by when they occurred, the
        latest first, and of those that occurred at once the one with the highest number first. An
        answer has at most `HistoryProbe.limit` of them. One whose probe reads more than that they
        are there may end earlier: once its events, with the next one, hold more than 4 MiB of what
        is read, as the store keeps it; the core looks at no more than 4 MiB of compact JSON. Where
        an event is left out for either reason, `EarlierEvents.more` says so.

        Events and what `RetentionRepository` left of others are of one moment: an event is among
        `events`, or left out with `more`, or counted in `gone`, and never two of these.

        Within a tracking transaction it is asked after `TrackingRepository.load`, whose locks keep
        the Profiles' events from changing, and answers with all that were committed before.

        Args:
            organization_id: whose events.
            probes: each once, one or more.
            entries: as `TrackingRepository.prior_entries` takes them; none or more.

        Returns:
            An answer for each probe, of either kind.
        """
        ...


class KnowsHistory(Protocol):
    """A transaction of an adapter that answers what Profiles did before."""

    @property
    def history(self) -> HistoryRepository:
        """What Profiles did."""
        ...

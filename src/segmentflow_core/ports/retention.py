"""What forgetting by age needs of a store.

An adapter can do without: tracking, reading and the hand-over are a complete one. Its
transactions then have no `retention`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.retention import (
    EventPlace,
    GoneEvents,
    RemovedEnrollments,
    RemovedEvents,
    finished_at,
    gone_events,
    joined,
)

__all__ = [
    "EventPlace",
    "GoneEvents",
    "KeepsForATime",
    "RemovedEnrollments",
    "RemovedEvents",
    "Rests",
    "RetentionRepository",
    "finished_at",
    "gone_events",
    "joined",
]


class RetentionRepository(Protocol):
    """Old records, which go in batches while others are written.

    Nothing that tracking waits for may stay locked for longer than a batch takes: no Profile is
    locked. Of two transactions that remove at once, each passes over what the other one has
    locked, where the engine can; otherwise it waits, and does not count what the other removed.
    """

    def remove_events(
        self,
        organization_id: str,
        received_before: datetime,
        limit: int,
        after: EventPlace | None,
        /,
    ) -> MaybeAwaitable[RemovedEvents]:
        """Remove the next old events that no Enrollment needs, and leave what `GoneEvents` says.

        The next `limit` events are looked at, by receipt and then by id. One stays as long as an
        Enrollment refers to it that has none of `FINISHED_STATUSES`. With the last event that
        refers to a version of its Profile, that version goes, except the current one. The claim
        of its key stays, without `paths`, which only a comparison with the event needs; where
        the transactions have `people`, scrubbing its Profile finds the claim all the same.
        Nothing else goes with an event, such as the Enrollments it caused.

        Args:
            organization_id: whose events.
            received_before: one that was received at this instant or later stays.
            limit: at most so many are looked at.
            after: only events behind this place are looked at; None begins with the first.

        Returns:
            What became of them, with the place of the last one that was looked at; without a
            place where fewer than `limit` were.
        """
        ...

    def remove_enrollments(
        self, organization_id: str, finished_before: datetime, limit: int, /
    ) -> MaybeAwaitable[RemovedEnrollments]:
        """Remove at most `limit` Enrollments that finished before an instant, in any order.

        A removed Enrollment is no longer found by any port. Where it has an entry key, or is the
        Profile's latest entry into its Journey, an entry is left of it: Journey, Profile, key,
        `entered_at` and `event_number`, and nothing else. The latest is the one with the latest
        `entered_at`, and among equals the highest `event_number`. An entry without a key goes
        once there is a later one.

        `TrackingRepository.prior_entries` counts what was left as it counts Enrollments, and
        (Journey, Profile, key) stays unique among both: no event is decided otherwise than
        before. An erased Profile loses the keys of its entries with those of its Enrollments.

        Args:
            organization_id: whose Enrollments.
            finished_before: one whose `finished_at` is this instant or later stays.
            limit: at most so many go.

        Returns:
            How many went; fewer than `limit` where none is left.
        """
        ...

    def gone(
        self, organization_id: str, profile_ids: Sequence[str], /
    ) -> MaybeAwaitable[Iterable[GoneEvents]]:
        """Return what is left of the removed events of these Profiles, in any order.

        One exchange, however many they are. It agrees with the events that the same statement,
        or the same snapshot, finds: an event is there, or counted here, and never both.

        Args:
            organization_id: whose Profiles.
            profile_ids: as events have them, each once.
        """
        ...


class Rests(Protocol):
    """A storage in which a long run of short transactions would keep others from writing.

    One that has a method `rest` is asked for it between the transactions of a retention.
    """

    def rest(self) -> MaybeAwaitable[None]:
        """Wait for long enough that whoever waits to write gets to it."""
        ...


class KeepsForATime(Protocol):
    """A transaction of an adapter that forgets by age."""

    @property
    def retention(self) -> RetentionRepository:
        """Old records, to be removed."""
        ...

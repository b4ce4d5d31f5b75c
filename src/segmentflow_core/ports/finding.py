"""What the core needs to find records by what they say, not by their ids.

An adapter can do without: tracking, reading and the hand-over are a complete one. Its
transactions then have no `finding`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.event import Enrollment, UserEvent
from segmentflow_core.domain.finding import EnrollmentFilter, EventFilter
from segmentflow_core.domain.identity import IdentityKind
from segmentflow_core.domain.profile import Profile

__all__ = ["EnrollmentFilter", "EventFilter", "FindingRepository", "FindsRecords"]


class FindingRepository(Protocol):
    """Look-ups in what an Organization has recorded. Each goes by an index, and is one exchange."""

    def profile(
        self, organization_id: str, kind: IdentityKind, value: str, /
    ) -> MaybeAwaitable[Profile | None]:
        """Return the Profile whose own email or external id, or alias, this is, or None.

        An email that gave way to a newer one is nobody's own.

        Args:
            organization_id: whose Profile.
            kind: which of the two.
            value: an email in its identifying form, or an external id. Whatever a caller asked
                for: what no row could hold finds nobody.
        """
        ...

    def profiles(
        self, organization_id: str, limit: int, before: str | None, /
    ) -> MaybeAwaitable[Sequence[Profile]]:
        """Return the newest `limit` Profiles by id, in any order; only ids below `before`."""
        ...

    def events(
        self, organization_id: str, wanted: EventFilter, limit: int, before: str | None, /
    ) -> MaybeAwaitable[Sequence[UserEvent]]:
        """Return the newest `limit` events that `wanted` admits, by id, in any order.

        Only ids below `before`. What no row could hold admits nothing.
        """
        ...

    def enrollments(
        self, organization_id: str, wanted: EnrollmentFilter, limit: int, before: str | None, /
    ) -> MaybeAwaitable[Sequence[Enrollment]]:
        """Return the newest `limit` Enrollments that `wanted` admits, by id, in any order.

        Only ids below `before`. What no row could hold admits nothing.
        """
        ...

    def entries(
        self, organization_id: str, profile_id: str, event_ids: Sequence[str], /
    ) -> MaybeAwaitable[Sequence[Enrollment]]:
        """Return every Enrollment that these events of one Profile caused, in any order."""
        ...

    def backlogs(
        self, organization_id: str, journey_ids: Sequence[str], now: datetime, limit: int, /
    ) -> MaybeAwaitable[Mapping[str, tuple[int, datetime]]]:
        """Say of each Journey how many of its Enrollments are available, and since when.

        Available as `HandOverRepository` says. Locks nothing, so that no claim waits. At most
        `limit` of a Journey are looked at, from the one that has been available longest.

        Args:
            organization_id: whose Journeys.
            journey_ids: the Journeys, each once.
            now: what becomes available later does not count.
            limit: how many of each Journey to count, at most.

        Returns:
            By Journey, how many were counted and the earliest `waits_until` of them. A Journey
            that has nothing available has none.
        """
        ...


class FindsRecords(Protocol):
    """A transaction of an adapter that finds."""

    @property
    def finding(self) -> FindingRepository:
        """Look-ups."""
        ...

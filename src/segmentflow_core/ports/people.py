"""What suppressing, erasing and merging Profiles needs of a store.

An adapter can do without: tracking, reading and the hand-over are a complete one. Its
transactions then have no `people`. Profiles are saved as tracking saves them, by
`TrackingRepository.write`, and Enrollments as the hand-over does, by `HandOverRepository.save`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.event import Enrollment
from segmentflow_core.domain.profile import Alias, MergedSeries, Profile

__all__ = ["Alias", "KeepsPeople", "MergedSeries", "PeopleRepository"]


class PeopleRepository(Protocol):
    """Profiles to be changed by what a host decides about them, not by their events."""

    def lock(
        self, organization_id: str, profile_ids: Sequence[str], /
    ) -> MaybeAwaitable[Iterable[Profile]]:
        """Return those of the Profiles that there are, in any order; also those that have ended.

        They are locked, in the order given, until the transaction ends; what is returned is
        what is stored after any wait. Nothing is tracked for a locked Profile meanwhile, and
        what waits to be finds it as this transaction leaves it.

        Args:
            organization_id: whose Profiles.
            profile_ids: sorted, each once.
        """
        ...

    def unfinished(
        self, organization_id: str, profile_ids: Sequence[str], /
    ) -> MaybeAwaitable[Iterable[Enrollment]]:
        """Return the Enrollments of these Profiles that are not finished, in any order.

        Those that are neither completed nor withdrawn. They are locked in the order of their
        ids until the transaction ends; what is returned is what is stored after any wait.

        Args:
            organization_id: whose Profiles.
            profile_ids: of locked Profiles, sorted, each once.
        """
        ...

    def block(
        self, organization_id: str, profile_id: str, identities: Sequence[Alias], /
    ) -> MaybeAwaitable[None]:
        """Keep the identities as blocked: `Known.blocked` names those that a batch asks for.

        A store keeps keyed hashes of them, never what they are. The key is a random secret of
        the store's own. A second time changes nothing.

        Args:
            organization_id: whose identities.
            profile_id: the Profile whose they were, which this transaction erases.
            identities: sorted, each once.
        """
        ...

    def scrub(self, organization_id: str, profile_id: str, limit: int, /) -> MaybeAwaitable[int]:
        """Take from what an erased Profile left behind what it says of the person.

        Of its events the data and the referenceId: an event then has the data ``{}``. Of the key
        claims of its events, also of those that retention removed, the fingerprint and the
        paths. Of its Enrollments the entry key, the words of the last failure and the cancellers,
        also of those that an archiving withdrew. Of its versions email, external id and
        Properties: a version then has none. What is left stays: names, times, numbers, outcomes,
        statuses.

        Args:
            organization_id: whose Profile.
            profile_id: a Profile that is erased and locked.
            limit: at most about so many records are changed.

        Returns:
            How many were; 0 when nothing is left to be scrubbed.
        """
        ...

    def unscrubbed(self, organization_id: str, limit: int, /) -> MaybeAwaitable[Sequence[str]]:
        """Return the ids of at most `limit` Profiles that are erased and not yet scrubbed."""
        ...


class KeepsPeople(Protocol):
    """A transaction of an adapter that keeps people."""

    @property
    def people(self) -> PeopleRepository:
        """Profiles, to be suppressed, erased and merged."""
        ...

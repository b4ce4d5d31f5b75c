"""What Journeys with `cancelOn` need of a store: what waits for a Profile, and what happened to it.

An adapter can do without: tracking, reading and the hand-over are a complete one. Its
transactions then have no `cancelling`, and such Journeys are not published. What an event
withdraws is locked and saved as the hand-over does it, by `HandOverRepository.lock` and `save`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final, Protocol

from attrs import field, frozen

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.cancelling import (
    LOOKED_AT,
    Cancellers,
    CancelOn,
    Withdrawal,
    happened_at,
)
from segmentflow_core.domain.event import Enrollment, UserEvent
from segmentflow_core.domain.withdrawals import RecordedProbe

__all__ = [
    "LOOKED_AT",
    "OTHERS_TOLD",
    "CancelOn",
    "Cancellable",
    "Cancellers",
    "CancellingRepository",
    "Cancels",
    "RecordedProbe",
    "Withdrawal",
    "happened_at",
]


OTHERS_TOLD: Final = 100
"""How many Enrollments that none of the digests is of are told at most, for each Profile."""


@frozen
class Cancellable:
    """The Enrollments of Profiles that events may withdraw.

    Attributes:
        enrollments: those that one of the digests asked about is of, and perhaps others.
        complete: whether all others are there, too. Otherwise nobody knows for which events these
            Profiles wait no longer, so that their next ones ask again.
    """

    enrollments: tuple[Enrollment, ...] = field(converter=tuple[Enrollment, ...])
    complete: bool = True


class CancellingRepository(Protocol):
    """What may be withdrawn, and what may have happened already. Both calls only read."""

    def cancellable(
        self, organization_id: str, profile_ids: Sequence[str], digests: Sequence[str], /
    ) -> MaybeAwaitable[Cancellable]:
        """Return the Enrollments of these Profiles that have `cancellers`, in any order.

        All that have one of the digests. The others, too, where no more than `OTHERS_TOLD` of each
        Profile wait; of more, no more are read. Where the storage pauses Journeys, as `archived`
        gives them: what an archiving withdrew has none.

        One exchange, however many they are; by an index of such Enrollments alone. Nothing is
        locked but the Profiles themselves, by `load`: no new ones come meanwhile, and a worker
        may finish one of these.

        Args:
            organization_id: whose Profiles.
            profile_ids: sorted, each once.
            digests: of `Cancellers.digests`, sorted, each once.
        """
        ...

    def recorded(
        self, organization_id: str, probes: Sequence[RecordedProbe], /
    ) -> MaybeAwaitable[Mapping[RecordedProbe, Sequence[UserEvent]]]:
        """Answer each probe with events of a Profile, in any order; one exchange.

        Those of the name whose `occurred_at` and `received_at` are both later than
        `RecordedProbe.since`, with lower numbers than `RecordedProbe.before`, as far as that is
        given. Of more than `LOOKED_AT` the ones that occurred last, then those of higher numbers.

        Args:
            organization_id: whose events.
            probes: each once.

        Returns:
            An answer for each probe.
        """
        ...


class Cancels(Protocol):
    """A transaction of an adapter that keeps what cancels Enrollments."""

    @property
    def cancelling(self) -> CancellingRepository:
        """What an event may withdraw, and events that may keep an entry from being made."""
        ...

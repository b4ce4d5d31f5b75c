"""What recording a batch needs of a store, and the values that cross: `Intent` to `Changes`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.fingerprint import Fingerprint
from segmentflow_core.domain.identity import IdentityKind
from segmentflow_core.domain.journey import PriorEntries
from segmentflow_core.domain.profile import EmailTimes, ProfileVersion, PropertyTime
from segmentflow_core.domain.tracking import Changes, Intent, KeyClaim, Known, Probe
from segmentflow_core.errors import StorageUnavailable

__all__ = [
    "Changes",
    "EmailTimes",
    "Fingerprint",
    "IdempotencyRepository",
    "IdentityKind",
    "Intent",
    "KeyClaim",
    "Known",
    "PriorEntries",
    "Probe",
    "ProfileVersion",
    "PropertyTime",
    "StillHeld",
    "TrackingRepository",
]


class StillHeld(StorageUnavailable):
    """A transaction has waited for as long as its `Intent.wait`: what it needs is still held.

    A key that is held is `IdempotencyInProgress`; anything else, such as a Profile, is this. It
    tells what may pass once somebody waits longer from a store that cannot be reached.
    """


class TrackingRepository(Protocol):
    """The two exchanges a tracked batch costs, and a third where re-entry is limited.

    Where a condition counts earlier events, `HistoryRepository` is asked in place of the third.

    They are batch-shaped so that an adapter can send what does not depend on each other
    together, whatever the batch's size.
    """

    def load(self, organization_id: str, intent: Intent, /) -> MaybeAwaitable[Known]:
        """Take the batch's keys, then read what the decision needs.

        The keys come first, in the order given, which is sorted. One statement takes a key
        that is new or expired, and waits for a concurrent call that has taken it. Until this
        transaction ends, no other one gets past that; what the store keeps of it until then,
        only it can see. A key with a committed, unexpired claim is not taken again: its claim
        is returned in `taken`, and nothing else is read for it.

        Profiles are found by their emails and external ids, by the emails that they had and by
        their aliases: each of `Profile.former_emails` and `Profile.aliases` leads to its Profile
        too. They are locked until the
        transaction ends, in the order of their ids; a concurrent batch about one of them waits
        here. A Profile's number and all else of it are those of after the wait, and so is what
        leads to it: where an identity leads to another Profile by then, that one is loaded, or
        the work runs again; so it does where a Profile has ended by a merge or an erasure.
        Identities that are blocked are named in `blocked`; a store whose transactions have no
        `people` has none. Journeys are read, not locked.

        Where the intent says how long the transaction waits, it waits no longer for a key or a
        Profile that a concurrent one holds, nor does the work run again because of that: it is
        refused. A store may make nothing of it.

        An intent without keys only reads: nothing is taken and no Profile is locked, and
        the Profiles and Journeys it asks for are returned as they stand.

        Args:
            organization_id: whose everything is.
            intent: what to take and what to look for.

        Raises:
            IdempotencyInProgress: a concurrent call with one of the keys did not finish in time.
            StillHeld: what else it needs was held for longer than the intent's `wait`.
        """
        ...

    def prior_entries(
        self, organization_id: str, probes: Sequence[Probe], /
    ) -> MaybeAwaitable[Mapping[Probe, PriorEntries]]:
        """Answer every probe about earlier entries, of whatever version.

        `last_entered_at` is of the Profile's latest entry into the Journey with any key;
        `key_taken` tells of an entry with the probe's own key, where it has one. A probe
        with `before` is answered from the entries alone whose `event_number` is below it:
        what was known when the Profile's event of that number was decided.

        An entry was made with a key that begins its `entry_key`: that is the key itself, or the
        key, `KEY_SEPARATOR` and what tells this entry from others with it. `count` is asked for by
        a probe with `since`: of the entries whose `entered_at` is later, those made with the
        probe's key, and all of them where it has none. `domain.prior_entries` has all this as a
        function over entries, `answered`.

        Args:
            organization_id: whose entries.
            probes: each once.

        Returns:
            An answer for each probe.
        """
        ...

    def write(self, organization_id: str, changes: Changes, /) -> MaybeAwaitable[None]:
        """Write a decided batch: all of it within this transaction.

        Order: key claims, of which nothing may be left for a key in `freed`, not even an
        expired claim; changed Profiles, new ones, then versions, events and Enrollments. Where
        a unique rule shows that a concurrent transaction was first (email, external id, entry
        key), nothing may be kept: the adapter rolls back and runs the work again.

        Every Profile that got an event has a new number, and its row is written, whatever
        else of it changed. So a transaction that reads from an older snapshot fails when it
        locks or writes that row, and runs again: no number is given twice, and what was
        decided by the Profile's history was decided by all of it.

        Where the host changed a Profile and no event did, its number is the same, and there are
        no events: what is written of it is all that differs from `previous_profiles`.

        `UserEvent.profile` is what the version `profile_version` of its Profile says. A store
        keeps each version once: what it keeps of an event does not grow with a Profile that the
        event does not change.

        Args:
            organization_id: whose everything is.
            changes: what to write.
        """
        ...


class IdempotencyRepository(Protocol):
    """The keys that were taken."""

    def purge(self, now: datetime, limit: int, /) -> MaybeAwaitable[int]:
        """Remove at most `limit` keys that expired at or before `now`; return how many.

        Of every Organization; in no order. An expired key is free with or without this.
        """
        ...

"""What tracking asks a store and writes to it: plain values that cross the ports.

Knows what is claimed, loaded and written for a batch. Must never know how a store keeps
any of it, nor hold a value that redaction took away.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Final

from attrs import define, field, frozen

from segmentflow_core.domain.event import Enrollment, Receipt, UserEvent
from segmentflow_core.domain.fingerprint import Fingerprint
from segmentflow_core.domain.journey import Journey
from segmentflow_core.domain.profile import Alias, Profile, ProfileVersion

__all__ = ["Changes", "Intent", "KeyClaim", "Known", "Probe"]


@define
class KeyClaim:
    """One idempotency key, taken for one accepted request. Written once, never changed.

    Attributes:
        key_digest: says which key, and does not show it; see `key_digest`.
        fingerprint: the fingerprint of the request; None once the event is erased: the key then
            answers with its receipt whatever the request.
        paths: keyed digests by request path, of what the event does not show as it was sent;
            empty once the event is erased or gone, when nothing is compared any more.
        receipt: what every later call with the key and the request is answered, whatever has
            become of the event; without unmatched paths, which each call finds for itself.
        taken_at: when the request was received.
        expires_at: when the key is free again; None keeps it for ever.
    """

    key_digest: str
    fingerprint: Fingerprint | None
    paths: Mapping[str, str] = field(repr=False)
    receipt: Receipt
    taken_at: datetime
    expires_at: datetime | None

    def is_expired(self, now: datetime) -> bool:
        """Say whether the key is free again."""
        return self.expires_at is not None and self.expires_at <= now


@define(repr=False)
class Intent:
    """What a batch needs from the store before it can be decided.

    Attributes:
        keys: the digests of the keys to take, sorted, each once; without any, the store only
            reads.
        emails: the identifying emails in the batch, sorted.
        external_ids: the external ids in the batch, sorted.
        events: the event names whose active Journeys to load, sorted; empty for none.
        now: when the batch was received; a key whose `expires_at` is not after it is free.
        expires_at: when the keys that are taken are free again; None keeps them for ever.
        wait: seconds that the transaction waits for a key or a Profile that a concurrent one
            holds; None for as long as the store waits otherwise. Waiting for leave to write is
            not meant. A store may make nothing of it.
    """

    keys: tuple[str, ...]
    emails: tuple[str, ...]
    external_ids: tuple[str, ...]
    events: tuple[str, ...]
    now: datetime
    expires_at: datetime | None = None
    wait: float | None = None


_NONE_BLOCKED: Final[frozenset[Alias]] = frozenset()


@define(repr=False)
class Known:
    """What the store answered to an `Intent`.

    Attributes:
        taken: the claim of every key that was taken before, by the key's digest.
        profiles: every Profile that has or had one of the emails or has one of the external
            ids, each once: `Profile.former_emails` and `Profile.aliases` are looked up too.
            Others do no harm.
        journeys: every active Journey that listens for one of `Intent.events`.
        blocked: those of the identities that are blocked since an erasure.
    """

    taken: Mapping[str, KeyClaim]
    profiles: tuple[Profile, ...]
    journeys: tuple[Journey, ...]
    blocked: frozenset[Alias] = _NONE_BLOCKED


@frozen
class Probe:
    """A question about earlier entries; a `PriorEntries` answers it.

    Attributes:
        journey_id: the Journey; entries into any version count.
        profile_id: who entered it.
        entry_key: the key that may be taken already; None where keys do not matter.
        before: count only entries caused by events of the Profile with numbers below this one;
            None counts all.
        since: how many entries were made after this instant is asked as well; None does not ask.
    """

    journey_id: str
    profile_id: str
    entry_key: str | None
    before: int | None = None
    since: datetime | None = None


@define(repr=False)
class Changes:
    """What a decided batch writes.

    Attributes:
        freed: the digests of keys this transaction took for nothing, since every request with
            them was refused, sorted.
        key_claims: the claims of the keys this transaction took, sorted by digest.
        created_profiles: new Profiles, in the order they were decided.
        changed_profiles: the existing Profiles that got events, as the last of these left
            them. Each has a new number, also where nothing else of it changed.
        previous_profiles: the changed Profiles as they were loaded, in the same order: what an
            index of their identities has to forget.
        new_versions: the versions of Profiles to store, in the order they were made. The
            property times of the latest one are those of its Profile; a times-only change of a
            Profile makes no version.
        events: the accepted events. Each refers to a version that is stored or in `new_versions`.
        enrollments: the entries they caused.
    """

    freed: tuple[str, ...] = ()
    key_claims: tuple[KeyClaim, ...] = ()
    created_profiles: tuple[Profile, ...] = ()
    changed_profiles: tuple[Profile, ...] = ()
    previous_profiles: tuple[Profile, ...] = ()
    new_versions: tuple[ProfileVersion, ...] = ()
    events: tuple[UserEvent, ...] = ()
    enrollments: tuple[Enrollment, ...] = ()

    @property
    def empty(self) -> bool:
        """Whether there is nothing to write."""
        return not (self.freed or self.events or self.changed_profiles)

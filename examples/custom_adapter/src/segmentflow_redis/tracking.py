"""Tracked batches and their keys: what is read to decide one, and what is written.

Takes no lock and waits for nobody: the commit compares whether a key is still free, an email
still unused and a Profile still as it was.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime

from attrs import frozen

from segmentflow_core.ports import (
    KEY_SEPARATOR,
    Changes,
    Enrollment,
    Intent,
    KeyClaim,
    Known,
    PriorEntries,
    Probe,
    Profile,
    answered,
)
from segmentflow_redis import documents
from segmentflow_redis.enrollments import put_enrollment
from segmentflow_redis.keys import (
    EXPIRING,
    NUMBER_BYTES,
    STAMP_BYTES,
    instant,
    just_after,
    key,
    stamp,
)
from segmentflow_redis.ledger import Ledger, LostRace, Range
from segmentflow_redis.profiles import load_profiles, profile_keys, put_profiles

__all__ = ["Idempotency", "Tracking"]


@frozen
class Tracking:
    """What recording a batch needs."""

    ledger: Ledger

    async def load(self, organization_id: str, intent: Intent) -> Known:
        ledger = self.ledger
        claim_keys = [_claim_key(organization_id, digest) for digest in intent.keys]
        identities = [
            key(organization_id, kind, value)
            for kind, values in (("email", intent.emails), ("external_id", intent.external_ids))
            for value in values
        ]
        former = [_former_key(organization_id, email) for email in intent.emails]
        listening = [key(organization_id, "listening", name) for name in intent.events]
        # One exchange for all of it; what is asked for below is known by then.
        await ledger.values([*claim_keys, *identities, *former, *listening])
        stored = await ledger.existing(claim_keys)
        claims = [documents.read(KeyClaim, document) for document in stored]
        taken = {claim.key_digest: claim for claim in claims if not claim.is_expired(intent.now)}
        profile_ids = await ledger.values(identities)
        journey_ids = await ledger.values(listening)
        formerly = await ledger.values(former)
        led_to = [profile_id.decode() for profile_id in profile_ids if profile_id is not None]
        led_to += [each for document in formerly for each in documents.read_ids(document)]
        known = list(dict.fromkeys(led_to))
        profile_places = [place for each in known for place in profile_keys(organization_id, each)]
        journey_keys = [
            key(organization_id, "journey", journey_id)
            for document in journey_ids
            for journey_id in documents.read_ids(document)
        ]
        await ledger.values([*profile_places, *journey_keys])
        profiles = await load_profiles(ledger, organization_id, known)
        journeys = await ledger.existing(journey_keys)
        return Known(
            taken,
            tuple(profiles),
            tuple(map(documents.read_journey, journeys)),
        )

    async def prior_entries(
        self, organization_id: str, probes: Sequence[Probe]
    ) -> Mapping[Probe, PriorEntries]:
        ledger = self.ledger
        answers: dict[Probe, PriorEntries] = {}
        current = [probe for probe in probes if probe.before is None and probe.since is None]
        await ledger.values([k for p in current for k in _prior_keys(organization_id, p)])
        for probe in current:
            last, *entry = await ledger.values(_prior_keys(organization_id, probe))
            answers[probe] = PriorEntries(
                None if last is None else instant(last), key_taken=any(entry)
            )
        past = [probe for probe in probes if probe not in current]
        histories = await ledger.members(
            [
                Range(
                    _history_key(organization_id, probe),
                    limit=None,
                    below=None if probe.before is None else _number(probe.before),
                )
                for probe in past
            ]
        )
        for probe, members in zip(past, histories, strict=True):
            answers[probe] = answered(probe, list(map(_read_entry, members)))
        return answers

    async def write(self, organization_id: str, changes: Changes) -> None:
        ledger = self.ledger
        await self._write_claims(organization_id, changes)
        await self._write_identities(organization_id, changes)
        await put_profiles(ledger, organization_id, changes)
        for event in changes.events:
            identifier = event.event_id
            ledger.put(key(organization_id, "event", identifier), documents.write(event))
            ledger.move(key(organization_id, "events"), identifier.encode(), present=True)
        for enrollment in changes.enrollments:
            put_enrollment(ledger, organization_id, None, enrollment)
            # Under `at_most` entries share a key; where they may not, it was read as absent.
            for place in _prior_keys(organization_id, enrollment):
                ledger.raise_to(place, stamp(enrollment.entered_at))
            ledger.move(_history_key(organization_id, enrollment), _entry(enrollment), present=True)

    async def _write_claims(self, organization_id: str, changes: Changes) -> None:
        written = [(claim.key_digest, claim) for claim in changes.key_claims]
        freed = [(digest, None) for digest in changes.freed]
        after = {_claim_key(organization_id, digest): claim for digest, claim in [*written, *freed]}
        stored = await self.ledger.values(list(after))
        for (claim_key, claim), document in zip(after.items(), stored, strict=True):
            before = None if document is None else documents.read(KeyClaim, document)
            _put_claim(self.ledger, claim_key, before, claim)

    async def _write_identities(self, organization_id: str, changes: Changes) -> None:
        ledger = self.ledger
        profiles = (*changes.changed_profiles, *changes.created_profiles)
        before = [
            set(_identities(organization_id, profile)) for profile in changes.previous_profiles
        ]
        before += [set() for _ in changes.created_profiles]
        after = [set(_identities(organization_id, profile)) for profile in profiles]
        # Within a batch one Profile may take an identity another one gives up.
        given_up = [i for old, new in zip(before, after, strict=True) for i in sorted(old - new)]
        await ledger.values(given_up)
        for identity in given_up:
            ledger.put(identity, None)
        for profile, old, new in zip(profiles, before, after, strict=True):
            for identity in sorted(new - old):
                ledger.put(identity, profile.profile_id.encode())
        await self._write_former_emails(organization_id, changes)

    async def _write_former_emails(self, organization_id: str, changes: Changes) -> None:
        """Let each email that gave way lead to its Profiles; several may have had it."""
        before = {profile.profile_id: profile for profile in changes.previous_profiles}
        for profile in (*changes.changed_profiles, *changes.created_profiles):
            known = before.get(profile.profile_id)
            had = set() if known is None else set(known.former_emails)
            for email in sorted(had ^ set(profile.former_emails)):
                place = _former_key(organization_id, email)
                ids = set(documents.read_ids(await self.ledger.value(place)))
                ids ^= {profile.profile_id}
                self.ledger.put(place, documents.write_ids(sorted(ids)) if ids else None)


@frozen
class Idempotency:
    """The keys that were taken."""

    ledger: Ledger

    async def purge(self, now: datetime, limit: int) -> int:
        ledger = self.ledger
        (expired,) = await ledger.members([Range(EXPIRING, limit, below=just_after(now))])
        claim_keys = [member[STAMP_BYTES:].decode() for member in expired]
        found = await ledger.values(claim_keys)
        for claim_key, member, stored in zip(claim_keys, expired, found, strict=True):
            if stored is None or _expiry(claim_key, documents.read(KeyClaim, stored)) != member:
                raise LostRace
            ledger.put(claim_key, None)
            ledger.move(EXPIRING, member, present=False)
        return len(expired)


def _claim_key(organization_id: str, key_digest: str) -> str:
    return key(organization_id, "claim", key_digest)


def _former_key(organization_id: str, email: str) -> str:
    return key(organization_id, "former_email", email)


def _identities(organization_id: str, profile: Profile) -> list[str]:
    """Return the keys that lead to a Profile."""
    values = (("email", profile.email), ("external_id", profile.external_id))
    return [key(organization_id, kind, value) for kind, value in values if value is not None]


def _prior_keys(organization_id: str, entry: Probe | Enrollment) -> list[str]:
    """Return the keys that tell of the latest entry, and of one with the entry key, if any."""
    pair = (entry.profile_id, entry.journey_id)
    entered = [key(organization_id, "entered", *pair)]
    if entry.entry_key is not None:
        made_with, _, _ = entry.entry_key.partition(KEY_SEPARATOR)
        entered.append(key(organization_id, "entry", *pair, made_with))
    return entered


def _history_key(organization_id: str, entry: Probe | Enrollment) -> str:
    return key(organization_id, "history", entry.profile_id, entry.journey_id)


def _entry(enrollment: Enrollment) -> bytes:
    """Return an entry of a history: by number, with its instant and its entry key."""
    entry_key = b"" if enrollment.entry_key is None else b"=" + enrollment.entry_key.encode()
    return _number(enrollment.event_number) + stamp(enrollment.entered_at) + entry_key


def _number(number: int) -> bytes:
    """Write a number in digits that sort as numbers do."""
    return b"%0*d" % (NUMBER_BYTES, number)


def _read_entry(member: bytes) -> tuple[datetime, str | None]:
    rest = member[NUMBER_BYTES:]
    entry_key = rest[STAMP_BYTES:]
    return instant(rest[:STAMP_BYTES]), entry_key[1:].decode() if entry_key else None


def _put_claim(
    ledger: Ledger, claim_key: str, before: KeyClaim | None, after: KeyClaim | None
) -> None:
    """Write, replace or take away a key claim, and when it expires."""
    ledger.put(claim_key, None if after is None else documents.write(after))
    for claim in (before, after):
        expiry = None if claim is None else _expiry(claim_key, claim)
        if expiry is not None:
            ledger.move(EXPIRING, expiry, present=claim is after)


def _expiry(claim_key: str, claim: KeyClaim) -> bytes | None:
    """Return a claim's entry among those that expire, None where it is kept for ever."""
    return None if claim.expires_at is None else stamp(claim.expires_at) + claim_key.encode()

"""Records written at the ports, and read back through every port that returns them.

Knows which calls of a transaction write a batch and which ones read. Every value is compared
with its type: to Python 1, 1.0 and True are equal. Must never look into a store.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any, Final, TypeAlias

from attrs import frozen

from segmentflow_core.colour import settle
from segmentflow_core.domain.idempotency_key import key_digest
from segmentflow_core.domain.people import identities_of
from segmentflow_core.ports import (
    Alias,
    AuditRecord,
    Changes,
    Enrollment,
    EnrollmentChange,
    IdentityKind,
    Intent,
    Journey,
    JourneyStatus,
    KeyClaim,
    PriorEntries,
    Probe,
    Profile,
    ProfileVersion,
    UserEvent,
)
from segmentflow_core.testing.contract.comparing import difference, exact
from segmentflow_core.testing.facts import Facts, build
from segmentflow_core.usecases.reading import list_events, list_journeys, read_journey

__all__ = ["Batch", "Doors", "InTransaction", "batch_of"]

InTransaction: TypeAlias = Callable[[Callable[[Any], Coroutine[Any, Any, Any]]], Any]
"""Runs work in a transaction of its own and returns its result; it may run it again."""

_EVER: Final = datetime.min.replace(tzinfo=UTC)
_MANY: Final = 100_000


@frozen
class Batch:
    """What one accepted event writes, and the Journey that it entered."""

    claim: KeyClaim
    profile: Profile
    version: ProfileVersion
    event: UserEvent
    journey: Journey
    enrollment: Enrollment | None


def batch_of(facts: Facts) -> Batch:
    """Make the records of an event; a skipped one has no Enrollment."""
    return Batch(
        build(KeyClaim, facts),
        build(Profile, facts),
        build(ProfileVersion, facts),
        build(UserEvent, facts),
        build(Journey, facts),
        build(Enrollment, facts) if facts["reason"] is None else None,
    )


class Doors:
    """The ports of a storage, for tests that call them; each call is a transaction of its own.

    Args:
        in_transaction: runs work in a transaction and returns its result.
    """

    def __init__(self, in_transaction: InTransaction) -> None:
        self._run = in_transaction

    def ask(self, repository: str, method: str, *arguments: Any) -> Any:
        """Call one method of a port."""

        async def work(transaction: Any) -> Any:
            return await settle(getattr(getattr(transaction, repository), method)(*arguments))

        return self._run(work)

    def publish(self, organization_id: str, *journeys: Journey) -> None:
        """Publish new versions of Journeys; of one that is named twice, once."""
        by_id = {journey.journey_id: journey for journey in journeys}
        versions = [by_id[name] for name in sorted(by_id)]
        self.ask("journeys", "publish", organization_id, versions, [])

    def journey(
        self, organization_id: str, journey_id: str, version: int | None = None
    ) -> Journey | None:
        """Read one version of a Journey, the current one by default."""

        async def work(transaction: Any) -> Journey | None:
            return await read_journey(transaction, organization_id, journey_id, version)

        found: Journey | None = self._run(work)
        return found

    def write(self, organization_id: str, *batches: Batch) -> None:
        """Publish the Journeys; then write new Profiles, with the events that made them, at once.

        The batches' keys are taken until one instant: the first one's.
        """
        self.publish(organization_id, *(batch.journey for batch in batches))
        self._run(lambda transaction: _write(transaction, organization_id, batches))

    def rewrite(
        self,
        organization_id: str,
        befores: Sequence[Batch],
        afters: Sequence[Batch],
        *,
        enters: bool = False,
    ) -> None:
        """Write another event of each of these Profiles, which leaves it as `afters` say.

        Args:
            organization_id: whose they are.
            befores: as the Profiles stand.
            afters: what each becomes.
            enters: whether the events enter their Journeys, too.
        """
        self._run(lambda t: _rewrite(t, organization_id, befores, afters, enters=enters))

    def follow(self, organization_id: str, before: Batch, afters: Sequence[Batch]) -> None:
        """Write further events of one Profile at once, which the last one leaves as it says.

        Args:
            organization_id: whose it is.
            before: as the Profile stands.
            afters: one for each event, in the order of their numbers; none makes a version, and
                each enters the Journey of the first.
        """

        async def work(transaction: Any) -> None:
            one = afters[-1].profile
            await _load(
                transaction,
                organization_id,
                afters,
                emails=() if one.email is None else (one.email,),
                external_ids=() if one.external_id is None else (one.external_id,),
                expires_at=before.claim.expires_at,
            )
            claims = sorted((each.claim for each in afters), key=lambda claim: claim.key_digest)
            changes = Changes(
                key_claims=tuple(claims),
                changed_profiles=(one,),
                previous_profiles=(before.profile,),
                events=tuple(each.event for each in afters),
                enrollments=tuple(e.enrollment for e in afters if e.enrollment is not None),
            )
            await settle(transaction.tracking.write(organization_id, changes))

        self._run(work)

    def become(
        self,
        organization_id: str,
        enrollment_ids: Iterable[str],
        alter: Callable[[Enrollment], Enrollment],
    ) -> None:
        """Lock Enrollments and save what becomes of each, as the hand-over does."""

        async def work(transaction: Any) -> None:
            named = [(organization_id, each) for each in sorted(enrollment_ids)]
            changes = [
                EnrollmentChange(whose, before, alter(before))
                for whose, before in await settle(transaction.hand_over.lock(named))
            ]
            changes.sort(key=lambda change: change.after.enrollment_id)
            await settle(transaction.hand_over.save(changes))

        self._run(work)

    def change(
        self, organization_id: str, befores: Sequence[Batch], afters: Sequence[Batch]
    ) -> None:
        """Lock Profiles and change them as a host does, without an event."""
        ids = sorted(batch.profile.profile_id for batch in befores)

        async def work(transaction: Any) -> None:
            await settle(transaction.people.lock(organization_id, ids))
            changes = Changes(
                changed_profiles=tuple(batch.profile for batch in afters),
                previous_profiles=tuple(batch.profile for batch in befores),
                new_versions=tuple(
                    after.version
                    for before, after in zip(befores, afters, strict=True)
                    if after.profile.version != before.profile.version
                ),
            )
            await settle(transaction.tracking.write(organization_id, changes))

        self._run(work)

    def led_to(
        self, organization_id: str, identities: Sequence[Alias]
    ) -> dict[Alias, tuple[Profile, ...]]:
        """Load what each identity leads to by itself; all together, to change it, leads there."""

        async def load(transaction: Any, *asked: Alias, **more: Any) -> tuple[Profile, ...]:
            emails = sorted({a.value for a in asked if a.kind is IdentityKind.EMAIL})
            others = sorted({a.value for a in asked if a.kind is not IdentityKind.EMAIL})
            more = {"emails": tuple(emails), "external_ids": tuple(others), **more}
            known = await _load(transaction, organization_id, [], **more)
            # A store may load more than was asked for; the core passes over those.
            return tuple(
                each for each in known.profiles if not {*asked}.isdisjoint(identities_of(each))
            )

        async def work(transaction: Any) -> dict[Alias, tuple[Profile, ...]]:
            found = {each: await load(transaction, each) for each in identities}
            keys = (key_digest(organization_id, "led to"),)
            together = await load(transaction, *identities, keys=keys)
            await settle(transaction.tracking.write(organization_id, Changes(freed=keys)))
            apart = {each.profile_id: each for profiles in found.values() for each in profiles}
            assert exact(_by_id(together, "profile_id")) == exact(apart)
            return found

        led: dict[Alias, tuple[Profile, ...]] = self._run(work)
        return led

    def offers(self, repository: str) -> bool:
        """Say whether the storage's transactions have a repository that they may lack."""

        async def work(transaction: Any) -> bool:
            return hasattr(transaction, repository)

        offered: bool = self._run(work)
        return offered

    def audited(self, organization_id: str) -> list[AuditRecord]:
        """Return all that is recorded of what was done."""
        found = self.ask("audit", "list", organization_id, _MANY, None)
        return sorted(found, key=lambda record: record.audit_id)

    def free(self, organization_id: str, batch: Batch) -> None:
        """Take the key of a batch for nothing, as a request does that is refused."""

        async def work(transaction: Any) -> None:
            await _load(transaction, organization_id, [batch])
            changes = Changes(freed=(batch.claim.key_digest,))
            await settle(transaction.tracking.write(organization_id, changes))

        self._run(work)

    def load(self, organization_id: str, *batches: Batch, **other: Any) -> Any:
        """Load what batches are about; `other` replaces members of the `Intent`."""
        return self._run(lambda transaction: _load(transaction, organization_id, batches, **other))

    def known(self, organization_id: str, keys: Sequence[str], **other: Any) -> Any:
        """Load as `load`; keys that are free stay so."""

        async def work(transaction: Any) -> Any:
            asked = tuple(sorted(keys))
            known = await _load(transaction, organization_id, [], keys=asked, **other)
            freed = tuple(key for key in asked if key not in known.taken)
            if freed:
                await settle(transaction.tracking.write(organization_id, Changes(freed=freed)))
            return known

        return self._run(work)

    def check(
        self, organization_id: str, batches: Sequence[Batch], *, one_by_one: bool = True
    ) -> None:
        """Read an Organization through every port: it has these batches, and nothing else.

        Args:
            organization_id: whose they are.
            batches: as they were written.
            one_by_one: whether to read each by itself, too, and not only all by one call.
        """

        async def work(transaction: Any) -> list[str]:
            found = _Differences()
            for batch in batches if one_by_one else ():
                await _read_one(transaction, organization_id, batch, found)
            await _read_all(transaction, organization_id, batches, found)
            return found.noted

        assert self._run(work) == []

    def check_profiles(
        self, organization_id: str, befores: Sequence[Batch], afters: Sequence[Batch]
    ) -> None:
        """Read Profiles that changed, and their events of before and after."""

        async def work(transaction: Any) -> list[str]:
            found = _Differences()
            for before, after in zip(befores, afters, strict=True):
                await _read_profile(transaction, organization_id, after, found)
                for event in (before.event, after.event):
                    got = await settle(transaction.events.get(organization_id, event.event_id))
                    found.compare("events.get", event, got)
            known = await _load(transaction, organization_id, afters)
            profiles = {batch.profile.profile_id: batch.profile for batch in afters}
            loaded = [each for each in known.profiles if each.profile_id in profiles]
            found.compare("tracking.load", profiles, _by_id(loaded, "profile_id"))
            return found.noted

        assert self._run(work) == []


async def _load(
    transaction: Any, organization_id: str, batches: Sequence[Batch], **other: Any
) -> Any:
    """Load what the batches are about, as the core does before it writes them."""
    profiles = [batch.profile for batch in batches]
    asked: dict[str, Any] = {
        "keys": tuple(sorted(batch.claim.key_digest for batch in batches)),
        "emails": tuple(sorted({p.email for p in profiles if p.email is not None})),
        "external_ids": tuple(
            sorted({p.external_id for p in profiles if p.external_id is not None})
        ),
        "events": (),
        "now": _EVER,
        **other,
    }
    return await settle(transaction.tracking.load(organization_id, Intent(**asked)))


async def _write(transaction: Any, organization_id: str, batches: Sequence[Batch]) -> None:
    claim = batches[0].claim
    await _load(transaction, organization_id, batches, expires_at=claim.expires_at)
    changes = Changes(
        key_claims=tuple(
            sorted((batch.claim for batch in batches), key=lambda claim: claim.key_digest)
        ),
        created_profiles=tuple(batch.profile for batch in batches),
        new_versions=tuple(batch.version for batch in batches),
        events=tuple(batch.event for batch in batches),
        enrollments=tuple(b.enrollment for b in batches if b.enrollment is not None),
    )
    await settle(transaction.tracking.write(organization_id, changes))


async def _rewrite(
    transaction: Any,
    organization_id: str,
    befores: Sequence[Batch],
    afters: Sequence[Batch],
    *,
    enters: bool,
) -> None:
    profiles = [batch.profile for batch in (*befores, *afters)]
    await _load(
        transaction,
        organization_id,
        afters,
        emails=tuple(sorted({p.email for p in profiles if p.email is not None})),
        external_ids=tuple(sorted({p.external_id for p in profiles if p.external_id is not None})),
        expires_at=afters[0].claim.expires_at,
    )
    entered = [batch.enrollment for batch in afters if batch.enrollment is not None]
    pairs = zip(befores, afters, strict=True)
    changes = Changes(
        key_claims=tuple(
            sorted((batch.claim for batch in afters), key=lambda claim: claim.key_digest)
        ),
        changed_profiles=tuple(batch.profile for batch in afters),
        previous_profiles=tuple(batch.profile for batch in befores),
        new_versions=tuple(a.version for b, a in pairs if a.version != b.version),
        events=tuple(batch.event for batch in afters),
        enrollments=tuple(entered) if enters else (),
    )
    await settle(transaction.tracking.write(organization_id, changes))


async def _read_one(
    transaction: Any, organization_id: str, batch: Batch, found: _Differences
) -> None:
    """Read each record of a batch by what it is found by, one call for each."""
    event, journey = batch.event, batch.journey
    await _read_profile(transaction, organization_id, batch, found)
    got = await settle(transaction.events.get(organization_id, event.event_id))
    found.compare("events.get", event, got)
    for version in (None, journey.version):
        read = await read_journey(transaction, organization_id, journey.journey_id, version)
        found.compare(f"journeys.get of version {version}", journey, read)
    listening = (journey.definition.trigger.event,)
    known = await _load(transaction, organization_id, [batch], events=listening)
    active = [journey] if journey.definition.status is JourneyStatus.ACTIVE else []
    found.compare("tracking.load by events", active, [*known.journeys])
    found.compare("tracking.load by keys", {batch.claim.key_digest: batch.claim}, known.taken)
    if batch.enrollment is not None:
        await _read_enrollment(transaction, organization_id, batch.enrollment, found)


async def _read_profile(
    transaction: Any, organization_id: str, batch: Batch, found: _Differences
) -> None:
    """Read a Profile by its id, and by each of its identities: to change it, and only to look.

    What gave way may lead to others as well.
    """
    profile = batch.profile
    got = await settle(transaction.profiles.get(organization_id, profile.profile_id))
    found.compare("profiles.get", profile, got)
    for name, field in (("emails", "email"), ("external_ids", "external_id")):
        asked = getattr(profile, field)
        for keys in ((), (batch.claim.key_digest,)):
            if asked is not None:
                by = {"keys": keys, "emails": (), "external_ids": (), name: (asked,)}
                known = await _load(transaction, organization_id, [batch], **by)
                # A store may load more than was asked for; the core passes over those.
                own = [each for each in known.profiles if getattr(each, field) == asked]
                found.compare(f"tracking.load by {name}", [profile], own)
    for former in profile.former_emails:
        known = await _load(
            transaction, organization_id, [batch], emails=(former,), external_ids=()
        )
        own = [each for each in known.profiles if each.profile_id == profile.profile_id]
        found.compare("tracking.load by an email that gave way", [profile], own)


async def _read_enrollment(
    transaction: Any, organization_id: str, enrollment: Enrollment, found: _Differences
) -> None:
    enrollments, journey_id = transaction.enrollments, enrollment.journey_id
    got = await settle(enrollments.get(organization_id, enrollment.enrollment_id))
    found.compare("enrollments.get", enrollment, got)
    got = await settle(enrollments.list(organization_id, _MANY, None, journey_id))
    found.compare("enrollments.list of a Journey", [enrollment], [*got])
    probe = Probe(journey_id, enrollment.profile_id, enrollment.entry_key)
    answers = await settle(transaction.tracking.prior_entries(organization_id, [probe]))
    answer = PriorEntries(enrollment.entered_at, key_taken=enrollment.entry_key is not None)
    found.compare("tracking.prior_entries", {probe: answer}, answers)


async def _read_all(
    transaction: Any, organization_id: str, batches: Sequence[Batch], found: _Differences
) -> None:
    """Read all records of a kind by one call."""
    events = tuple(sorted({batch.journey.definition.trigger.event for batch in batches}))
    known = await _load(transaction, organization_id, batches, events=events)
    claims = {batch.claim.key_digest: batch.claim for batch in batches}
    found.compare("tracking.load", claims, known.taken)
    profiles = {batch.profile.profile_id: batch.profile for batch in batches}
    loaded = [profile for profile in known.profiles if profile.profile_id in profiles]
    found.compare("tracking.load", profiles, _by_id(loaded, "profile_id"))
    journeys = {batch.journey.journey_id: batch.journey for batch in batches}
    active = {
        name: journey
        for name, journey in journeys.items()
        if journey.definition.status is JourneyStatus.ACTIVE
    }
    found.compare("tracking.load", active, _by_id(known.journeys, "journey_id"))
    written = {batch.event.event_id: batch.event for batch in batches}
    got = await settle(transaction.events.get_many(organization_id, list(written)))
    found.compare("events.get_many", written, got)
    newest = [written[event_id] for event_id in sorted(written, reverse=True)]
    got = await list_events(transaction, organization_id, _MANY, None)
    found.compare("events.list", newest, [*got])
    entered = {b.enrollment.enrollment_id: b.enrollment for b in batches if b.enrollment}
    got = await settle(transaction.enrollments.list(organization_id, _MANY))
    found.compare("enrollments.list", entered, _by_id(got, "enrollment_id"))
    got = await list_journeys(transaction, organization_id)
    found.compare("journeys.list", [journeys[name] for name in sorted(journeys)], [*got])


def _by_id(records: Sequence[Any], name: str) -> dict[str, Any]:
    return {getattr(record, name): record for record in records}


class _Differences:
    """What was read otherwise than it was written."""

    def __init__(self) -> None:
        self.noted: list[str] = []

    def compare(self, door: str, written: Any, read: Any) -> None:
        """Note where two values differ, if they do."""
        expected, got = exact(written), exact(read)
        if expected != got:
            self.noted.append(f"{door}: {difference(expected, got)}")

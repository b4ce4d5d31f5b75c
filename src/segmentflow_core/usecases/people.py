"""Suppressing, erasing and merging: lock whom it is about, decide, save, keep the record.

Knows the order of the steps, and that a word which leads to a merged Profile means the one that
stayed. What becomes of a Profile, `domain.people` says.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Final

from attrs import evolve

from segmentflow_core.colour import settle
from segmentflow_core.domain.audit import AuditAction
from segmentflow_core.domain.event import Enrollment
from segmentflow_core.domain.hand_over import EnrollmentChange, withdrawn
from segmentflow_core.domain.identity import IdentityKind
from segmentflow_core.domain.people import (
    Erasure,
    Merge,
    Suppression,
    doubled,
    erased,
    identities_of,
    merged,
    suppressed,
    version_of,
)
from segmentflow_core.domain.profile import Alias, Profile, ProfileLimits
from segmentflow_core.domain.tracking import Changes, Intent
from segmentflow_core.errors import NotFound
from segmentflow_core.ports import Transaction
from segmentflow_core.ports.people import PeopleRepository
from segmentflow_core.usecases.audit import Actor, earlier_record, keep_record
from segmentflow_core.usecases.capabilities import capability
from segmentflow_core.usecases.finding import find_profile

__all__ = [
    "begin_erasure",
    "merge_profiles",
    "scrub_some",
    "suppress_profile",
    "unscrubbed_profiles",
]


_ERASED: Final = AuditAction.PROFILE_ERASED
_MERGED: Final = AuditAction.PROFILES_MERGED


async def suppress_profile(
    transaction: Transaction,
    *,
    organization_id: str,
    who: str,
    suppress: bool,
    actor: Actor,
) -> Suppression:
    """Suppress a Profile and withdraw what waits for it, or lift its suppression.

    Raises:
        NotFound: there is no such Profile, or it is erased.
    """
    locked, (found,) = await _found(transaction, organization_id, who)
    before = _living(locked, found)
    profile = suppressed(before, actor.now if suppress else None)
    withdrawals = 0
    if suppress:
        waiting = await _unfinished(transaction, organization_id, before.series)
        withdrawals = await _withdraw(transaction, organization_id, waiting, actor.now)
    if profile is not before:
        await _save(transaction, organization_id, [(before, profile)])
    action = AuditAction.PROFILE_SUPPRESSED if suppress else AuditAction.PROFILE_UNSUPPRESSED
    if profile is not before or withdrawals:
        await keep_record(
            transaction,
            organization_id,
            actor,
            action,
            profile.profile_id,
            withdrawn=withdrawals,
        )
        return Suppression(profile, profile is not before, withdrawals)
    earlier = await earlier_record(transaction, organization_id, actor, action)
    if earlier is None:
        return Suppression(profile, changed=False, withdrawn=0)
    changed = profile.suppressed_at == (actor.now if suppress else None)
    return Suppression(profile, changed, earlier.counts["withdrawn"])


async def begin_erasure(
    transaction: Transaction, *, organization_id: str, who: str, block: bool, actor: Actor
) -> Erasure:
    """Free the identities of a Profile, empty it, and withdraw what waits for it.

    What its events left, `scrub_some` takes afterwards. One that is erased already stays so.

    Raises:
        NotFound: there is no such Profile.
    """
    try:
        locked, (found,) = await _found(transaction, organization_id, who)
    except NotFound:
        # Nothing leads to an erased Profile but its id.
        earlier = await earlier_record(transaction, organization_id, actor, _ERASED)
        if earlier is None:
            raise
        locked, (found,) = await _found(transaction, organization_id, earlier.subjects[0])
    profile = _survivor(locked, found)
    whose = sorted(profile.series)
    if profile.erased_at is not None:
        earlier = await earlier_record(transaction, organization_id, actor, _ERASED)
        counts = {"withdrawn": 0, "blocked": 0} if earlier is None else earlier.counts
        return Erasure(profile.profile_id, tuple(whose), counts["withdrawn"], counts["blocked"])
    waiting = await _unfinished(transaction, organization_id, whose)
    withdrawals = await _withdraw(transaction, organization_id, waiting, actor.now)
    identities = await _to_be_blocked(transaction, organization_id, profile) if block else ()
    await _save(
        transaction,
        organization_id,
        [(locked[each], erased(locked[each], actor.now)) for each in whose],
    )
    if identities:
        people = _people(transaction)
        await settle(people.block(organization_id, profile.profile_id, identities))
    await keep_record(
        transaction,
        organization_id,
        actor,
        _ERASED,
        profile.profile_id,
        profiles=len(whose),
        withdrawn=withdrawals,
        blocked=len(identities),
    )
    return Erasure(profile.profile_id, tuple(whose), withdrawals, len(identities))


async def scrub_some(
    transaction: Transaction, *, organization_id: str, profile_id: str, limit: int, actor: Actor
) -> int:
    """Scrub a part of what an erased Profile left; return how much, 0 when all is done."""
    people = _people(transaction)
    locked = await settle(people.lock(organization_id, [profile_id]))
    for profile in locked:
        if profile.erased_at is None or profile.scrubbed_at is not None:
            return 0
        scrubbed = await settle(people.scrub(organization_id, profile_id, limit))
        if not scrubbed:
            done = evolve(profile, scrubbed_at=actor.now)
            await _save(transaction, organization_id, [(profile, done)])
            scrubbing = AuditAction.PROFILE_SCRUBBED
            await keep_record(transaction, organization_id, actor, scrubbing, profile_id)
        return scrubbed
    return 0


async def unscrubbed_profiles(
    transaction: Transaction, organization_id: str, limit: int
) -> list[str]:
    """Return the ids of Profiles whose erasure was begun and is not done, sorted."""
    return sorted(await settle(_people(transaction).unscrubbed(organization_id, limit)))


async def merge_profiles(
    transaction: Transaction,
    *,
    organization_id: str,
    stays: str,
    goes: str,
    limits: ProfileLimits,
    actor: Actor,
) -> Merge:
    """Merge two Profiles into one.

    Two words that lead to one Profile change nothing: they were merged before.

    Raises:
        NotFound: there is no such Profile, or one is erased.
        ProfileTooLarge: the one that stays would hold more than `limits` allow.
    """
    locked, ids = await _found(transaction, organization_id, stays, goes)
    one, other = (_living(locked, each) for each in ids)
    if one.profile_id == other.profile_id:
        earlier = await earlier_record(transaction, organization_id, actor, _MERGED)
        withdrawals = 0 if earlier is None else earlier.counts["withdrawn"]
        return Merge(one, changed=earlier is not None, withdrawn=withdrawals)
    both = merged(one, other, actor.now, limits)
    # The one that goes comes first: it gives up what the other one takes.
    await _save(transaction, organization_id, [(other, both.goes), (one, both.stays)])
    waiting = await _unfinished(transaction, organization_id, both.stays.series)
    later = waiting if both.stays.suppressed_at else doubled(waiting, actor.now)
    withdrawals = await _withdraw(transaction, organization_id, later, actor.now)
    await keep_record(
        transaction,
        organization_id,
        actor,
        _MERGED,
        one.profile_id,
        other.profile_id,
        withdrawn=withdrawals,
    )
    return Merge(both.stays, changed=True, withdrawn=withdrawals)


async def _found(
    transaction: Transaction, organization_id: str, *words: str
) -> tuple[Mapping[str, Profile], list[str]]:
    """Lock the Profiles that words lead to; return what is locked, and the id for each word.

    A word may lead elsewhere by the time its Profile is locked, and is then looked up again: what
    leads to a locked Profile stays.

    Raises:
        NotFound: a word leads to none.
    """
    _people(transaction)
    locked: Mapping[str, Profile] = {}
    wanted: set[str] = set()
    while True:
        ids: list[str] = []
        series: set[str] = set()
        for word in words:
            profile = await find_profile(transaction, organization_id, word, None)
            if profile is None:
                raise NotFound
            ids.append(profile.profile_id)
            series.update(profile.series)
        if wanted.issuperset(ids):
            return locked, ids
        # All at once, and so in one order, as far as it is known before anything is locked.
        wanted |= series
        locked = await _locked(transaction, organization_id, wanted)


async def _locked(
    transaction: Transaction, organization_id: str, wanted: set[str]
) -> Mapping[str, Profile]:
    """Lock Profiles, those they were merged into, and those that were merged into them.

    Which those are is known only once they are locked, so they may be locked in steps. Where
    that meets another call's steps, the store runs one of the two again.
    """
    people = _people(transaction)
    while True:
        found = await settle(people.lock(organization_id, sorted(wanted)))
        locked = {profile.profile_id: profile for profile in found}
        more = {profile_id for each in locked.values() for profile_id in each.series}
        more |= {each.merged_into for each in locked.values() if each.merged_into is not None}
        if more <= wanted:
            return locked
        wanted |= more


async def _to_be_blocked(
    transaction: Transaction, organization_id: str, profile: Profile
) -> tuple[Alias, ...]:
    """Return the identities of a Profile, but no email that another one has by now."""
    emails = tuple(sorted(profile.former_emails))
    if not emails:
        return identities_of(profile)
    asked = Intent(keys=(), emails=emails, external_ids=(), events=(), now=profile.updated_at)
    known = await settle(transaction.tracking.load(organization_id, asked))
    own = {Alias(IdentityKind.EMAIL, profile.email or ""), *profile.aliases}
    of_others = {
        alias
        for other in known.profiles
        if other.profile_id != profile.profile_id
        for alias in (Alias(IdentityKind.EMAIL, other.email or ""), *other.aliases)
    }
    return tuple(each for each in identities_of(profile) if each in own or each not in of_others)


def _survivor(locked: Mapping[str, Profile], profile_id: str) -> Profile:
    """Return the Profile that stayed of those that this one was merged into."""
    profile = locked[profile_id]
    while profile.merged_into is not None:
        profile = locked[profile.merged_into]
    return profile


def _living(locked: Mapping[str, Profile], profile_id: str) -> Profile:
    """Return the Profile that stayed.

    Raises:
        NotFound: it is erased.
    """
    profile = _survivor(locked, profile_id)
    if profile.erased_at is not None:
        raise NotFound
    return profile


async def _unfinished(
    transaction: Transaction, organization_id: str, profile_ids: Sequence[str]
) -> list[Enrollment]:
    asked = _people(transaction).unfinished(organization_id, sorted(profile_ids))
    return list(await settle(asked))


async def _withdraw(
    transaction: Transaction, organization_id: str, waiting: Sequence[Enrollment], now: datetime
) -> int:
    """Withdraw Enrollments that are locked; return how many."""
    changes = [
        EnrollmentChange(organization_id, before, after)
        for before in sorted(waiting, key=lambda each: each.enrollment_id)
        for after in [withdrawn(before, now)]
        if after is not None
    ]
    if changes:
        await settle(transaction.hand_over.save(changes))
    return len(changes)


async def _save(
    transaction: Transaction, organization_id: str, changed: Sequence[tuple[Profile, Profile]]
) -> None:
    """Save locked Profiles, each as it was and as it is to be."""
    changes = Changes(
        changed_profiles=tuple(after for _, after in changed),
        previous_profiles=tuple(before for before, _ in changed),
        new_versions=tuple(
            version_of(after) for before, after in changed if after.version != before.version
        ),
    )
    await settle(transaction.tracking.write(organization_id, changes))


def _people(transaction: Transaction) -> PeopleRepository:
    repository: PeopleRepository = capability(
        transaction, "people", "This storage can neither erase nor merge nor suppress."
    )
    return repository

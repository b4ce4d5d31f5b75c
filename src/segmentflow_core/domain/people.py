"""What becomes of a Profile that is suppressed, erased or merged: pure functions.

Knows Profiles and their versions. Must never know what their events hold, nor how a store
scrubs any of it.

See docs/reference/rules/people.md.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime

from attrs import evolve, frozen

from segmentflow_core.domain.emails import leads_before
from segmentflow_core.domain.event import Enrollment, EnrollmentStatus
from segmentflow_core.domain.identity import IdentityKind
from segmentflow_core.domain.instant import to_microseconds
from segmentflow_core.domain.json_value import JsonValue
from segmentflow_core.domain.profile import (
    NEVER_GIVEN,
    Alias,
    EmailTimes,
    MergedSeries,
    Profile,
    ProfileLimits,
    ProfileVersion,
    PropertyTime,
    check_size,
)
from segmentflow_core.errors import ProfileTooLarge

__all__ = [
    "Erasure",
    "Merge",
    "Merged",
    "Suppression",
    "doubled",
    "erased",
    "identities_of",
    "merged",
    "suppressed",
    "version_of",
]


@frozen
class Suppression:
    """What suppressing a Profile, or lifting it, did.

    Attributes:
        profile: as it stands afterwards.
        changed: whether it was not so before.
        withdrawn: how many Enrollments that waited were withdrawn.
    """

    profile: Profile
    changed: bool
    withdrawn: int


@frozen
class Erasure:
    """What erasing a Profile did.

    Attributes:
        profile_id: the Profile.
        profile_ids: it and those that were merged into it, sorted.
        withdrawn: how many Enrollments that waited were withdrawn by this call.
        blocked: how many identities were blocked by this call.
        scrubbed: how many records this call took what they said of the person from.
        done: whether nothing is left that says anything of her; a call that was told to scrub
            at most so much may leave something.
    """

    profile_id: str
    profile_ids: tuple[str, ...]
    withdrawn: int
    blocked: int
    scrubbed: int = 0
    done: bool = False


@frozen
class Merge:
    """What merging two Profiles did.

    Attributes:
        profile: the one that stayed, as it stands afterwards.
        changed: whether they were two before.
        withdrawn: how many Enrollments that waited were withdrawn, since the other Profile
            waits in the same Journey with the same entry key.
    """

    profile: Profile
    changed: bool
    withdrawn: int


def version_of(profile: Profile) -> ProfileVersion:
    """Return the version that a Profile stands at."""
    return ProfileVersion(
        profile.profile_id,
        profile.version,
        profile.email,
        profile.external_id,
        profile.properties,
    )


def identities_of(profile: Profile) -> tuple[Alias, ...]:
    """Return everything that leads to a Profile, sorted, each once."""
    own = (
        (IdentityKind.EMAIL, profile.email),
        (IdentityKind.EXTERNAL_ID, profile.external_id),
    )
    found = {
        *profile.aliases,
        *(Alias(IdentityKind.EMAIL, email) for email in profile.former_emails),
        *(Alias(kind, value) for kind, value in own if value is not None),
    }
    return _sorted(found)


def _sorted(aliases: Iterable[Alias]) -> tuple[Alias, ...]:
    return tuple(sorted(aliases, key=lambda alias: (alias.kind, alias.value)))


def suppressed(profile: Profile, now: datetime | None) -> Profile:
    """Return a Profile as suppressed since `now`; None lifts the suppression.

    One that is suppressed already stays so since when it was.
    """
    if (profile.suppressed_at is None) == (now is None):
        return profile
    return evolve(profile, suppressed_at=now)


def erased(profile: Profile, now: datetime) -> Profile:
    """Return a Profile as erased: nothing leads to it, and it holds nothing.

    It has one more version, which is empty. What leads to it no more, `identities_of` said.
    """
    return evolve(
        _emptied(profile),
        suppressed_at=None,
        updated_at=now,
        erased_at=now,
    )


def _emptied(profile: Profile) -> Profile:
    return evolve(
        profile,
        email=None,
        external_id=None,
        properties={},
        property_times={},
        version=profile.version + 1,
        email_times=NEVER_GIVEN,
        former_emails={},
        aliases=(),
        awaits=(),
    )


@frozen(repr=False)
class Merged:
    """Two Profiles after their merge.

    Attributes:
        stays: to which everything leads that led to either.
        goes: empty, and merged into the other one.
    """

    stays: Profile
    goes: Profile


def merged(stays: Profile, goes: Profile, now: datetime, limits: ProfileLimits) -> Merged:
    """Merge two Profiles of which neither has ended.

    An identity that the one has not becomes its own; where it has one, the other's is an alias.
    Of each Property the value stays that was set later. The survivor is suppressed where either
    was. Each has one more version.

    Raises:
        ProfileTooLarge: the survivor would hold more than `limits` allow.
    """
    properties, times = _properties(stays, goes)
    former = _former_emails(stays, goes, to_microseconds(now))
    aliases = {*stays.aliases, *goes.aliases}
    if stays.email is not None and goes.email is not None:
        aliases.add(Alias(IdentityKind.EMAIL, goes.email))
    if stays.external_id is not None and goes.external_id is not None:
        aliases.add(Alias(IdentityKind.EXTERNAL_ID, goes.external_id))
    before = stays.number + 1
    history = (*stays.merged, *(MergedSeries(profile_id, before) for profile_id in goes.series))
    check_size(stays, properties, times, limits)
    if (
        max(len(aliases), len(history)) > limits.max_aliases
        or len(former) > limits.max_former_emails
    ):
        raise ProfileTooLarge(
            details={
                "maxAliases": limits.max_aliases,
                "maxFormerEmails": limits.max_former_emails,
            }
        )
    whose = stays if stays.email is not None else goes
    since = [at for at in (stays.suppressed_at, goes.suppressed_at) if at is not None]
    kept = evolve(
        stays,
        email=whose.email,
        external_id=goes.external_id if stays.external_id is None else stays.external_id,
        properties=properties,
        property_times=times,
        created_at=min(stays.created_at, goes.created_at),
        updated_at=now,
        version=stays.version + 1,
        email_times=whose.email_times,
        former_emails=former,
        aliases=_sorted(aliases),
        merged=history,
        awaits=tuple(dict.fromkeys((*stays.awaits, *goes.awaits))),
        suppressed_at=min(since, default=None),
    )
    gone = evolve(_emptied(goes), suppressed_at=None, updated_at=now, merged_into=stays.profile_id)
    return Merged(kept, gone)


def _properties(
    stays: Profile, goes: Profile
) -> tuple[dict[str, JsonValue], dict[str, PropertyTime]]:
    """Return the Properties of both: of each the one that was set, or removed, later."""
    properties: dict[str, JsonValue] = dict(stays.properties)
    times = dict(stays.property_times)
    for name, time in goes.property_times.items():
        known = times.get(name)
        if known is not None and known >= time:
            continue
        times[name] = time
        if name in goes.properties:
            properties[name] = goes.properties[name]
        else:
            properties.pop(name, None)
    return properties, times


def _former_emails(stays: Profile, goes: Profile, now: int) -> dict[str, EmailTimes]:
    """Return the emails of both that gave way, an alias of the merge included.

    An alias always leads to the survivor. It stands among them, since the emails it followed
    lead only until it was given. No email of the one Profile gives way earlier by an email of the
    other: each is kept as if it had been given again right before it gave way.
    """
    former = _until_they_gave_way(stays, now)
    others = _until_they_gave_way(goes, now)
    if stays.email is not None and goes.email is not None:
        others[goes.email] = goes.email_times
    for email, times in others.items():
        known = former.get(email)
        former[email] = times if known is None else _both(known, times)
    former.pop(stays.email or goes.email or "", None)
    return former


def _until_they_gave_way(profile: Profile, now: int) -> dict[str, EmailTimes]:
    former: dict[str, EmailTimes] = {}
    for email, times in profile.former_emails.items():
        end = leads_before(profile, email)
        # An alias never gave way, and of two given at one instant the earlier has no time left.
        ends_here = Alias(IdentityKind.EMAIL, email) in profile.aliases or end <= times[1]
        former[email] = times if ends_here else (times[0], end - 1, now)
    return former


def _both(one: EmailTimes, other: EmailTimes) -> EmailTimes:
    return min(one[0], other[0]), *max(one[1:], other[1:])


def doubled(waiting: Sequence[Enrollment], now: datetime) -> list[Enrollment]:
    """Return which of the Enrollments of merged Profiles are to be withdrawn.

    Of those with an equal Journey and entry key one stays: what a worker holds, which is never
    withdrawn; else the earliest that waits, by entry and then by id; else the earliest that is
    dead. One without an entry key has no equal.

    Args:
        waiting: of both Profiles, not finished.
        now: when they are merged.
    """
    first: set[tuple[str, str]] = set()
    later: list[Enrollment] = []
    held = {
        each.enrollment_id
        for each in waiting
        if each.lease_until is not None and each.lease_until > now
    }

    def place(each: Enrollment) -> tuple[bool, bool, datetime, str]:
        is_dead = each.status is EnrollmentStatus.DEAD
        return each.enrollment_id not in held, is_dead, each.entered_at, each.enrollment_id

    for each in sorted(waiting, key=place):
        if each.entry_key is None:
            continue
        entry = (each.journey_id, each.entry_key)
        if entry in first and each.enrollment_id not in held:
            later.append(each)
        first.add(entry)
    return later

"""Profiles and their Properties.

Knows that a late event must not undo a newer change. Must never read an event's data:
Properties come from the request's profile alone.

See docs/reference/rules/identity.md and docs/reference/rules/properties.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime, timedelta
from typing import Any, Final, TypeAlias

from attrs import frozen

from segmentflow_core.domain.cancelling import CancelOn
from segmentflow_core.domain.canonical import encode_json
from segmentflow_core.domain.count import is_count
from segmentflow_core.domain.identity import IdentityKind
from segmentflow_core.domain.instant import to_microseconds
from segmentflow_core.domain.json_value import JsonObject, JsonValue
from segmentflow_core.errors import ConfigurationError, ProfileTooLarge

__all__ = [
    "DEFAULT_PROFILE_LIMITS",
    "NEVER_GIVEN",
    "Alias",
    "EmailTimes",
    "MergedSeries",
    "Profile",
    "ProfileLimits",
    "ProfileVersion",
    "PropertyTime",
    "check_size",
    "event_time",
    "same_values",
    "with_properties",
]

PropertyTime: TypeAlias = tuple[int, int]
"""When a Property was set: (event time, receipt time), microseconds since 1970 UTC."""

EmailTimes: TypeAlias = tuple[int, int, int]
"""When events gave an email to its Profile, microseconds since 1970 UTC: the event time of the
first, the event time of the last, and the receipt time of the last."""

NEVER_GIVEN: Final[EmailTimes] = (0, 0, 0)
"""The times of an email that is not there."""

_NO_FORMER_EMAILS: Final[Mapping[str, EmailTimes]] = {}


@frozen(repr=False)
class Alias:
    """An identity that leads to a Profile since a merge, and is never shown as its own.

    Attributes:
        kind: email or external id.
        value: an email in its identifying form, or an external id.
    """

    kind: IdentityKind
    value: str

    def __repr__(self) -> str:
        """Name the kind without showing whose it is."""
        return f"<Alias {self.kind}>"


@frozen
class MergedSeries:
    """The events of another Profile that a merge made part of a Profile's history.

    Attributes:
        profile_id: the Profile that they were recorded for.
        before: they are earlier than the survivor's event of this number, and later ones.
    """

    profile_id: str
    before: int


@frozen(repr=False)
class Profile:
    """An identified contact of an Organization.

    Attributes:
        profile_id: UUIDv7.
        email: trimmed and lowercased; None only where a setting allows it.
        external_id: the host's own id, or None.
        properties: the current Profile Properties.
        property_times: when each Property was last set or removed. A removed one keeps its
            time, so that an older event cannot bring it back.
        created_at: when the first event of the Profile was received.
        updated_at: when it last changed.
        number: the number of its latest event; 0 before the first.
        version: counts the changes of its identities and of the values of its Properties.
        email_times: when its email was given to it.
        former_emails: the emails that gave way to a newer one, with their times. Each leads to
            the Profile for events that occurred before the newer one.
        aliases: the identities that merges brought, beside its own, sorted.
        merged: the series that merges brought, in the order of the merges.
        merged_into: the Profile that stayed, where a merge ended this one.
        suppressed_at: since when no Journey enrols it; None where it is not suppressed.
        erased_at: when it was erased; what it held is gone from then on.
        scrubbed_at: when the last of what its events held was gone too; None until then.
        awaits: the rules by which one of its events may withdraw an Enrollment of it: those of
            every Enrollment that is not finished, and perhaps of some that are.
    """

    profile_id: str
    email: str | None
    external_id: str | None
    properties: JsonObject
    property_times: Mapping[str, PropertyTime]
    created_at: datetime
    updated_at: datetime
    number: int = 0
    version: int = 0
    email_times: EmailTimes = NEVER_GIVEN
    former_emails: Mapping[str, EmailTimes] = _NO_FORMER_EMAILS
    aliases: tuple[Alias, ...] = ()
    merged: tuple[MergedSeries, ...] = ()
    merged_into: str | None = None
    suppressed_at: datetime | None = None
    erased_at: datetime | None = None
    scrubbed_at: datetime | None = None
    awaits: tuple[CancelOn, ...] = ()

    @property
    def series(self) -> tuple[str, ...]:
        """The ids whose events are its history: its own, and those that merges brought."""
        return (self.profile_id, *[each.profile_id for each in self.merged])

    @property
    def has_ended(self) -> bool:
        """Whether a merge or an erasure ended it: no identity leads to it, no event is for it."""
        return self.merged_into is not None or self.erased_at is not None

    def __repr__(self) -> str:
        """Name the Profile without showing whose it is."""
        return f"<Profile {self.profile_id}>"

    def state(self) -> dict[str, Any]:
        """Return the Profile as the ``/profile`` part of the state document."""
        return _state(self.email, self.external_id, self.properties)


@frozen(repr=False)
class ProfileVersion:
    """A Profile as one of its events left it. Written once; the events refer to it.

    Attributes:
        profile_id: whose version it is.
        version: counts from 1.
        email: as it was.
        external_id: as it was.
        properties: as they were.
    """

    profile_id: str
    version: int
    email: str | None
    external_id: str | None
    properties: JsonObject

    def __repr__(self) -> str:
        """Name the version without showing whose it is."""
        return f"<ProfileVersion {self.profile_id} {self.version}>"

    def state(self) -> dict[str, Any]:
        """Return it as the ``/profile`` part of the state document."""
        return _state(self.email, self.external_id, self.properties)


def _state(email: str | None, external_id: str | None, properties: JsonObject) -> dict[str, Any]:
    state: dict[str, Any] = {}
    if email is not None:
        state["email"] = email
    if external_id is not None:
        state["externalId"] = external_id
    state["properties"] = properties
    return state


def same_values(before: JsonObject, after: JsonObject) -> bool:
    """Say whether two sets of Properties hold the same values, whenever they were set.

    To Python 1, 1.0 and True are equal; to a Property each is another value.
    """
    if before.keys() != after.keys():
        return False
    for name, value in after.items():
        held = before[name]
        if held is value:
            continue
        if isinstance(value, str):
            if held != value:
                return False
        elif encode_json(held) != encode_json(value):
            return False
    return True


@frozen
class ProfileLimits:
    """How much one Profile may hold, and how long a removal is remembered.

    Attributes:
        max_properties: how many Properties, removed ones that are still remembered included.
        max_bytes: how many bytes they are as JSON, a removed one as ``null``.
        forget_removed_after: how long after its receipt a removal is forgotten.
        max_former_emails: how many emails that gave way are remembered; beyond, the one that
            gave way first is forgotten.
        max_aliases: how many aliases merges may bring, and how many series; a merge beyond that
            is refused.

    Raises:
        ConfigurationError: one is not positive, or counts and is no integer.
    """

    max_properties: int = 1000
    max_bytes: int = 100 * 1024
    forget_removed_after: timedelta = timedelta(days=30)
    max_former_emails: int = 100
    max_aliases: int = 100

    def __attrs_post_init__(self) -> None:
        counts = (
            self.max_properties,
            self.max_bytes,
            self.max_former_emails,
            self.max_aliases,
        )
        if not all(map(is_count, counts)):
            raise ConfigurationError("The limits of a Profile must be positive integers.")
        if not _is_time(self.forget_removed_after):
            raise ConfigurationError(
                "forget_removed_after must be a timedelta that is longer than nothing."
            )


def _is_time(value: object) -> bool:
    return isinstance(value, timedelta) and value > timedelta()


DEFAULT_PROFILE_LIMITS: Final = ProfileLimits()


def event_time(occurred_at: datetime | None, received_at: datetime) -> tuple[int, int]:
    """Return by what an event is older or newer than another: when it happened, and was received.

    A time after the receipt counts as the receipt, and so does none.

    Args:
        occurred_at: when the event happened; None where the request does not say.
        received_at: when it was received.

    Returns:
        Microseconds since 1970 UTC.
    """
    received = to_microseconds(received_at)
    if occurred_at is None:
        return received, received
    return min(to_microseconds(occurred_at), received), received


def with_properties(
    profile: Profile,
    changes: JsonObject,
    time: PropertyTime,
    limits: ProfileLimits = DEFAULT_PROFILE_LIMITS,
    *,
    is_timed: bool,
) -> tuple[JsonObject, Mapping[str, PropertyTime]] | None:
    """Return Properties and their times with `changes` applied, where nothing newer stands.

    A value replaces and None removes. The event time decides, the receipt time breaks
    ties, and an event time after the receipt counts as the receipt time. An event without
    an event time is never older than what stands, whatever the clocks of the hosts say.

    Args:
        profile: as it stands.
        changes: admitted Properties.
        time: the `event_time` of the event.
        limits: what the Profile may hold.
        is_timed: whether the request says when the event happened.

    Returns:
        None where neither a value nor a time changes.

    Raises:
        ProfileTooLarge: the changes take the Profile beyond `limits`.
    """
    if not changes:
        return None
    properties: dict[str, JsonValue] = dict(profile.properties)
    times = _remembered(profile, time[1] - limits.forget_removed_after // _MICROSECOND)
    for name, value in changes.items():
        known = times.get(name)
        if known is None or known <= time:
            times[name] = time
        elif is_timed:
            continue
        if value is None:
            properties.pop(name, None)
        else:
            properties[name] = value
    if same_values(profile.properties, properties):
        if times == profile.property_times:
            return None
        # What does not change is shared by every version.
        kept = profile.properties
    else:
        kept = properties
    check_size(profile, kept, times, limits)
    return kept, times


_MICROSECOND: Final = timedelta(microseconds=1)


def _remembered(profile: Profile, forgotten: int) -> dict[str, PropertyTime]:
    """Return the times of a Profile without removals received at `forgotten` or before."""
    properties = profile.properties
    if len(properties) == len(profile.property_times):
        return dict(profile.property_times)  # nothing was removed
    return {
        name: time
        for name, time in profile.property_times.items()
        if name in properties or time[1] > forgotten
    }


def check_size(
    before: Profile,
    properties: JsonObject,
    times: Mapping[str, PropertyTime],
    limits: ProfileLimits,
) -> None:
    """Refuse a Profile that grows beyond its limits; one that shrinks towards them is let be.

    Raises:
        ProfileTooLarge: with the limits.
    """
    count = len(times)
    if count <= len(before.property_times) and properties is before.properties:
        return  # only newer times: the common case, and not worth writing as JSON
    bytes_ = _bytes_of(properties, times)
    if (count > limits.max_properties and count > len(before.property_times)) or (
        bytes_ > limits.max_bytes and bytes_ > _bytes_of(before.properties, before.property_times)
    ):
        raise ProfileTooLarge(
            details={"maxProperties": limits.max_properties, "maxBytes": limits.max_bytes}
        )


def _bytes_of(properties: JsonObject, times: Mapping[str, PropertyTime]) -> int:
    return len(encode_json({**dict.fromkeys(times), **properties}).encode())

"""Profiles and their Properties.

Knows that a late event must not undo a newer change. Must never read an event's data:
Properties come from the request's profile alone.

See docs/reference/rules/identity.md and docs/reference/rules/properties.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from typing import Any, TypeAlias

from attrs import frozen

from segmentflow_core.domain.canonical import encode_json
from segmentflow_core.domain.instant import to_microseconds
from segmentflow_core.domain.json_value import JsonObject, JsonValue

__all__ = ["Profile", "ProfileVersion", "PropertyTime", "same_values", "with_properties"]

PropertyTime: TypeAlias = tuple[int, int]
"""When a Property was set: (event time, receipt time), microseconds since 1970 UTC."""


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
    if before is after:
        return True
    if before.keys() != after.keys():
        return False
    return all(
        value is before[name] or encode_json(value) == encode_json(before[name])
        for name, value in after.items()
    )


def with_properties(
    profile: Profile, changes: JsonObject, occurred_at: datetime, received_at: datetime
) -> Profile:
    """Return the Profile with `changes` applied, each unless a newer change was made.

    A value sets a Property, None removes it. The event time decides which change is newer,
    and for equal event times the receipt time. An event time after the receipt counts as
    the receipt time.

    Args:
        profile: as it is now.
        changes: admitted Properties.
        occurred_at: when the event happened.
        received_at: when it was received.
    """
    if not changes:
        return profile
    received = to_microseconds(received_at)
    time = (min(to_microseconds(occurred_at), received), received)
    properties: dict[str, JsonValue] = dict(profile.properties)
    times = dict(profile.property_times)
    for name, value in changes.items():
        known = times.get(name)
        if known is not None and known > time:
            continue
        times[name] = time
        if value is None:
            properties.pop(name, None)
        else:
            properties[name] = value
    # To Python 1, 1.0 and True are equal; to a Property each is another value.
    if times == profile.property_times and (
        encode_json(properties) == encode_json(profile.properties)
    ):
        return profile
    return Profile(
        profile.profile_id,
        profile.email,
        profile.external_id,
        properties,
        times,
        profile.created_at,
        received_at,
    )

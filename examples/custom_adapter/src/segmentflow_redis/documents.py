"""Values to documents and back. Knows fields by their names; must never change what they say.

A document is a JSON object in UTF-8 with the value's own fields, written by the core's
`encode_json`, which gives every admitted value back exactly. Instants are microseconds,
which are integers, and digests are hexadecimal. Only what is listed here is anything else
than JSON already.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from datetime import datetime
from functools import lru_cache
from typing import Any, Final, TypeVar

from attrs import fields_dict

from segmentflow_core.ports import (
    Enrollment,
    EnrollmentStatus,
    Fingerprint,
    Journey,
    KeyClaim,
    Outcome,
    Profile,
    ProfileVersion,
    Receipt,
    SkipReason,
    UserEvent,
    encode_json,
    from_microseconds,
    journey_definition,
    journey_document,
    to_microseconds,
)
from segmentflow_core.ports.api_keys import ApiKey

__all__ = [
    "read",
    "read_event",
    "read_ids",
    "read_journey",
    "read_profile",
    "read_publication",
    "read_version_of",
    "write",
    "write_ids",
    "write_journey",
    "write_properties",
]

V = TypeVar("V", KeyClaim, Profile, ProfileVersion, UserEvent, Enrollment, ApiKey)

_ELSEWHERE: Final[dict[type, tuple[str, ...]]] = {
    Profile: ("properties", "property_times", "former_emails"),
    UserEvent: ("profile",),
}
"""The fields of a value that stand in another document."""


def write(value: KeyClaim | Profile | ProfileVersion | UserEvent | Enrollment | ApiKey) -> bytes:
    """Write a value, without what stands elsewhere."""
    elsewhere = _ELSEWHERE.get(type(value), ())
    names = [name for name in fields_dict(type(value)) if name not in elsewhere]
    return encode_json({name: _written(getattr(value, name)) for name in names}).encode()


def write_properties(profile: Profile) -> bytes:
    """Write the Properties of a Profile and their times, and the emails that gave way."""
    kept = [profile.properties, profile.property_times, profile.former_emails]
    return encode_json(kept).encode()


def read_profile(document: bytes, properties: bytes) -> Profile:
    """Read a Profile from its two documents."""
    values, times, former = json.loads(properties)
    return read(Profile, document, properties=values, property_times=times, former_emails=former)


def read_version_of(event: bytes) -> tuple[str, int]:
    """Read whose version an event refers to, and which."""
    fields = json.loads(event)
    return fields["profile_id"], fields["profile_version"]


def read_event(document: bytes, version: ProfileVersion) -> UserEvent:
    """Read an event with the version of its Profile."""
    return read(UserEvent, document, profile=version.state())


def read(kind: type[V], document: bytes, **elsewhere: Any) -> V:
    """Read a value of a kind, with the fields that stand elsewhere."""
    fields: dict[str, Any] = json.loads(document) | elsewhere
    for name, reader in _READ.items():
        if fields.get(name) is not None:
            fields[name] = reader(fields[name])
    return kind(**fields)


def write_ids(ids: list[str]) -> bytes:
    """Write a list of ids."""
    return encode_json(ids).encode()


def read_ids(document: bytes | None) -> list[str]:
    """Read a list of ids; none, where there is no document."""
    return [] if document is None else json.loads(document)


def write_journey(journey: Journey, publication: int) -> bytes:
    """Write a version of a Journey, with the status it has, as the nth publication of it."""
    definition = journey_document(journey.definition)
    published_at = to_microseconds(journey.published_at)
    columns = [definition, journey.version, journey.digest, published_at, publication]
    return encode_json(columns).encode()


@lru_cache(maxsize=10_000)
def read_journey(document: bytes) -> Journey:
    """Read a Journey; compiled once for all transactions of this process that meet it."""
    definition, version, digest, published_at, _ = json.loads(document)
    return Journey(journey_definition(definition), version, digest, from_microseconds(published_at))


def read_publication(document: bytes | None) -> int:
    """Read how often a Journey has been published."""
    return 0 if document is None else json.loads(document)[-1]


def _written(value: Any) -> Any:
    if isinstance(value, datetime):
        return to_microseconds(value)
    if isinstance(value, bytes):
        return value.hex()
    if isinstance(value, Fingerprint):
        return [value.scheme, value.key_id, value.digest.hex()]
    if isinstance(value, Receipt):
        counts = (value.matched_journeys, value.enrolled_journeys, value.skipped_journeys)
        return [value.event_id, value.profile_id, *counts]
    if isinstance(value, Outcome):
        return [value.journey_id, value.version, value.outcome, value.reason]
    if isinstance(value, tuple):
        return [_written(item) for item in value]
    return value


def _fingerprint(stored: list[str]) -> Fingerprint:
    scheme, key_id, digest = stored
    return Fingerprint(scheme, key_id, bytes.fromhex(digest))


def _receipt(stored: list[Any]) -> Receipt:
    return Receipt(*stored)


def _outcomes(stored: list[Any]) -> tuple[Outcome, ...]:
    return tuple(
        Outcome(journey_id, version, kind, None if reason is None else SkipReason(reason))
        for journey_id, version, kind, reason in stored
    )


def _times(stored: dict[str, Any]) -> dict[str, Any]:
    return {name: tuple(times) for name, times in stored.items()}


_READ: Final[dict[str, Callable[[Any], Any]]] = {
    "available_at": from_microseconds,
    "taken_at": from_microseconds,
    "completed_at": from_microseconds,
    "created_at": from_microseconds,
    "digest": bytes.fromhex,
    "email_times": tuple,
    "entered_at": from_microseconds,
    "expires_at": from_microseconds,
    "fingerprint": _fingerprint,
    "former_emails": _times,
    "lease_until": from_microseconds,
    "occurred_at": from_microseconds,
    "outcomes": _outcomes,
    "property_times": _times,
    "last_used_at": from_microseconds,
    "receipt": _receipt,
    "received_at": from_microseconds,
    "revoked_at": from_microseconds,
    "scopes": tuple,
    "status": EnrollmentStatus,
    "updated_at": from_microseconds,
}
"""How to read the fields that are not JSON already, by name; None stays None."""

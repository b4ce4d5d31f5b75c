"""Records to documents and back, by the core's codecs. Knows which fields stand elsewhere."""

from __future__ import annotations

import json
from functools import lru_cache
from typing import Any, Final, TypeVar

from segmentflow_core.codecs import decode_record, document_of, encode_record, record_of
from segmentflow_core.ports import Journey, Profile, ProfileVersion, UserEvent, encode_json

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

R = TypeVar("R")

_ELSEWHERE: Final[dict[type, tuple[str, ...]]] = {
    Profile: ("properties", "property_times", "former_emails"),
    UserEvent: ("profile",),
}
"""The fields of a record that stand in another document."""


def write(record: object) -> bytes:
    """Write a record, without what stands elsewhere."""
    return encode_record(record, without=_ELSEWHERE.get(type(record), ()))


def read(kind: type[R], document: bytes, **elsewhere: Any) -> R:
    """Read a record of a kind, with the fields that stand elsewhere."""
    return decode_record(kind, document, **elsewhere)


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


def write_ids(ids: list[str]) -> bytes:
    """Write a list of ids."""
    return encode_json(ids).encode()


def read_ids(document: bytes | None) -> list[str]:
    """Read a list of ids; none, where there is no document."""
    return [] if document is None else json.loads(document)


def write_journey(journey: Journey, publication: int) -> bytes:
    """Write a version of a Journey, with the status it has, as the nth publication of it."""
    return encode_json([document_of(journey), publication]).encode()


@lru_cache(maxsize=10_000)
def read_journey(document: bytes) -> Journey:
    """Read a Journey; compiled once for all transactions of this process that meet it."""
    return record_of(Journey, json.loads(document)[0])


def read_publication(document: bytes | None) -> int:
    """Read how often a Journey has been published."""
    return 0 if document is None else json.loads(document)[1]

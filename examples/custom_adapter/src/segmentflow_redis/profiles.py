"""Profiles and what their events show of them, each in documents of their own.

A Profile's own document is small, for every event of the Profile writes it anew: it has the
number of the latest one. Its Properties and their times are a second document, written where
they change. Each version is a third, written once; events have its number.
"""

from __future__ import annotations

from collections.abc import Sequence

from segmentflow_core.ports import Changes, Profile, ProfileVersion, UserEvent
from segmentflow_redis import documents
from segmentflow_redis.keys import key
from segmentflow_redis.ledger import Ledger

__all__ = ["load_events", "load_profiles", "profile_keys", "put_profiles"]


def profile_keys(organization_id: str, profile_id: str) -> tuple[str, str]:
    """Return the keys of a Profile's own document and of its Properties."""
    own = key(organization_id, "profile", profile_id)
    return own, key(organization_id, "properties", profile_id)


async def load_profiles(
    ledger: Ledger, organization_id: str, profile_ids: Sequence[str]
) -> list[Profile]:
    """Read those Profiles that there are."""
    places = [profile_keys(organization_id, profile_id) for profile_id in profile_ids]
    found = await ledger.existing([place for pair in places for place in pair])
    return [
        documents.read_profile(own, properties)
        for own, properties in zip(found[::2], found[1::2], strict=True)
    ]


async def load_events(ledger: Ledger, found: Sequence[tuple[str, bytes]]) -> list[UserEvent]:
    """Read events from their documents, each with its Organization; join their versions."""
    places = [
        _version_key(organization_id, *documents.read_version_of(event))
        for organization_id, event in found
    ]
    versions = await ledger.existing(places)
    return [
        documents.read_event(event, documents.read(ProfileVersion, version))
        for (_, event), version in zip(found, versions, strict=True)
    ]


async def put_profiles(ledger: Ledger, organization_id: str, changes: Changes) -> None:
    """Write every Profile that got an event, its Properties where they changed, new versions."""
    profiles = (*changes.changed_profiles, *changes.created_profiles)
    places = [profile_keys(organization_id, profile.profile_id) for profile in profiles]
    # What was not read is new to the ledger; of Profiles that were, this asks nothing again.
    changed = places[: len(changes.changed_profiles)]
    await ledger.values([place for pair in changed for place in pair])
    for (own, properties), profile in zip(places, profiles, strict=True):
        ledger.put(own, documents.write(profile))
        ledger.put(properties, documents.write_properties(profile))
    for version in changes.new_versions:
        place = _version_key(organization_id, version.profile_id, version.version)
        ledger.put(place, documents.write(version))


def _version_key(organization_id: str, profile_id: str, version: int) -> str:
    return key(organization_id, "profile_version", profile_id, str(version))

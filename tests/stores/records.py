"""Every record of a store, read through the library's public facade, and calls made again.

What a version of the library calls its reads is said here and nowhere else in these tests.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from enum import Enum
from typing import Any

import attrs

from segmentflow_core import (
    ApiKeys,
    FingerprintKey,
    FingerprintKeys,
    Lease,
    Receipt,
    SegmentflowError,
    Tracker,
)
from stores.api_key_secrets import api_key_secret
from stores.plain_rows import write_instant

__all__ = [
    "answer",
    "api_key_secret",
    "claim_all",
    "complete",
    "fingerprint_keys",
    "read_records",
    "track_again",
]

MANY = 100_000


def read_records(
    tracker: Tracker, api_keys: ApiKeys, organizations: Iterable[str]
) -> list[dict[str, Any]]:
    """Read all there is: Profiles, events, Enrollments, every version of Journeys, API Keys."""
    records: list[dict[str, Any]] = []
    for organization in organizations:
        whose = {"organization_id": organization}
        events = tracker.records.events(limit=MANY, **whose)
        profile_ids = sorted({event.profile_id for event in events})
        journeys = tracker.journeys.list(**whose)
        found = {
            "profile": [tracker.records.profile(profile_id, **whose) for profile_id in profile_ids],
            "event": events,
            "enrollment": tracker.enrollments.list(limit=MANY, **whose),
            "journey": journeys,
            "journey_version": [
                tracker.journeys.get(journey.journey_id, version, **whose)
                for journey in journeys
                for version in range(1, journey.version + 1)
            ],
            "api_key": api_keys.list(**whose),
        }
        records += [
            {**whose, "kind": kind, "record": plain(value)}
            for kind, values in found.items()
            for value in values
        ]
    return records


def track_again(tracker: Tracker, call: Mapping[str, Any]) -> dict[str, Any]:
    """Make a call as it was made, and return its answer in the form it was kept in."""
    try:
        receipt = tracker.track(
            call["request"], call["idempotency_key"], organization_id=call["organization_id"]
        )
    except SegmentflowError as refusal:
        return answer(refusal)
    return answer(receipt)


def claim_all(tracker: Tracker) -> set[str]:
    """Claim what is available, of every Organization, and return the ids."""
    claimed = tracker.enrollments.claim(limit=MANY, organization_id=None)
    return {each.enrollment.enrollment_id for each in claimed}


def complete(tracker: Tracker, row: Mapping[str, Any]) -> str:
    """Complete an Enrollment with the token in its row, and return its status then."""
    lease = Lease(row["organization_id"], row["enrollment_id"], row["token"])
    return tracker.enrollments.complete(lease).status.value


def answer(result: Receipt | SegmentflowError) -> dict[str, Any]:
    """Write a receipt or a refusal as it is kept; whether it was replayed is not part of it."""
    if isinstance(result, Receipt):
        receipt = plain(result)
        del receipt["replayed"]
        return {"receipt": receipt}
    return {"refusal": {"code": result.code, "details": plain(result.details)}}


def fingerprint_keys(kept: Mapping[str, Any]) -> FingerprintKeys:
    """Return the host's keys: the newest makes fingerprints, the others compare."""
    newest, *previous = (FingerprintKey(i, s.encode()) for i, s in kept["fingerprint_keys"].items())
    return FingerprintKeys(newest, previous=tuple(previous))


def plain(value: Any) -> Any:
    """Write what the library returns as plain JSON, whatever its fields are called."""
    if attrs.has(type(value)):
        return {
            field.name: plain(getattr(value, field.name)) for field in attrs.fields(type(value))
        }
    if isinstance(value, Mapping):
        return {name: plain(item) for name, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, Enum):
        return value.value
    if isinstance(value, datetime):
        return write_instant(value)
    if isinstance(value, timedelta):
        return value.total_seconds()
    return value.hex() if isinstance(value, bytes) else value

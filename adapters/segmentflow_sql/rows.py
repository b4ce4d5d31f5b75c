"""Values to rows and back. Knows columns; must never change what a value says."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

from segmentflow_core.ports import (
    Claim,
    Enrollment,
    EnrollmentStatus,
    Fingerprint,
    Journey,
    JourneyDefinition,
    JourneyStatus,
    Outcome,
    Profile,
    SkipReason,
    UserEvent,
    encode_json,
    from_microseconds,
    journey_definition,
    journey_document,
    to_microseconds,
)

__all__ = [
    "claim_from",
    "claim_row",
    "definition_from",
    "enrollment_from",
    "enrollment_row",
    "event_from",
    "event_row",
    "json_list",
    "outcomes_from",
    "profile_from",
    "profile_row",
    "version_row",
]


def json_list(values: Iterable[str]) -> str:
    """Write strings as one JSON array, for a parameter that stands for a list."""
    return encode_json(list(values))


def _maybe_count(moment: datetime | None) -> int | None:
    return None if moment is None else to_microseconds(moment)


def _maybe_moment(count: int | None) -> datetime | None:
    return None if count is None else from_microseconds(count)


def claim_row(organization_id: str, operation: str, claim: Claim) -> dict[str, Any]:
    """Return the columns of a claim."""
    return {
        "organization_id": organization_id,
        "operation": operation,
        "key": claim.key,
        "event_id": claim.event_id,
        "scheme": claim.fingerprint.scheme,
        "key_id": claim.fingerprint.key_id,
        "digest": claim.fingerprint.digest,
        "paths": encode_json(claim.paths),
        "claimed_at": to_microseconds(claim.claimed_at),
        "expires_at": _maybe_count(claim.expires_at),
    }


def claim_from(row: Sequence[Any]) -> Claim:
    """Read a claim from its columns, in table order."""
    _, _, key, event_id, scheme, key_id, digest, paths, claimed_at, expires_at = row
    return Claim(
        key,
        event_id,
        Fingerprint(scheme, key_id, bytes(digest)),
        json.loads(paths),
        from_microseconds(claimed_at),
        _maybe_moment(expires_at),
    )


def profile_row(organization_id: str, profile: Profile) -> dict[str, Any]:
    """Return the columns of a Profile."""
    return {
        "organization_id": organization_id,
        "profile_id": profile.profile_id,
        "email": profile.email,
        "external_id": profile.external_id,
        "properties": encode_json(profile.properties),
        "property_times": encode_json(profile.property_times),
        "created_at": to_microseconds(profile.created_at),
        "updated_at": to_microseconds(profile.updated_at),
    }


def profile_from(row: Sequence[Any]) -> Profile:
    """Read a Profile from its columns, in table order."""
    _, profile_id, email, external_id, properties, times, created_at, updated_at = row
    return Profile(
        profile_id,
        email,
        external_id,
        json.loads(properties),
        {name: (time[0], time[1]) for name, time in json.loads(times).items()},
        from_microseconds(created_at),
        from_microseconds(updated_at),
    )


def event_row(organization_id: str, event: UserEvent) -> dict[str, Any]:
    """Return the columns of an event."""
    return {
        "organization_id": organization_id,
        "event_id": event.event_id,
        "profile_id": event.profile_id,
        "event": event.event,
        "data": encode_json(event.data),
        "profile": encode_json(event.profile),
        "reference_id": event.reference_id,
        "occurred_at": to_microseconds(event.occurred_at),
        "received_at": to_microseconds(event.received_at),
        "outcomes": encode_json([_outcome_document(outcome) for outcome in event.outcomes]),
    }


def event_from(row: Sequence[Any]) -> UserEvent:
    """Read an event from its columns, in table order."""
    _, event_id, profile_id, event, data, profile, reference_id, occurred, received, outcomes = row
    return UserEvent(
        event_id,
        profile_id,
        event,
        json.loads(data),
        json.loads(profile),
        reference_id,
        from_microseconds(occurred),
        from_microseconds(received),
        outcomes_from(outcomes),
    )


def _outcome_document(outcome: Outcome) -> list[Any]:
    return [outcome.journey_id, outcome.version, outcome.outcome, outcome.reason]


def outcomes_from(text: str) -> tuple[Outcome, ...]:
    """Read the outcomes stored with an event."""
    return tuple(
        [
            Outcome(journey_id, version, kind, None if reason is None else SkipReason(reason))
            for journey_id, version, kind, reason in json.loads(text)
        ]
    )


def version_row(organization_id: str, journey: Journey) -> dict[str, Any]:
    """Return the columns of one version of a Journey."""
    return {
        "organization_id": organization_id,
        "journey_id": journey.journey_id,
        "version": journey.version,
        "digest": journey.digest,
        "definition": encode_json(journey_document(journey.definition)),
        "published_at": to_microseconds(journey.published_at),
    }


def definition_from(text: str, status: str) -> JourneyDefinition:
    """Read a stored definition, with the Journey's current status."""
    document = json.loads(text)
    document["status"] = str(JourneyStatus(status))
    return journey_definition(document)


def enrollment_row(organization_id: str, enrollment: Enrollment) -> dict[str, Any]:
    """Return the columns of an Enrollment."""
    return {
        "organization_id": organization_id,
        "enrollment_id": enrollment.enrollment_id,
        "journey_id": enrollment.journey_id,
        "version": enrollment.version,
        "profile_id": enrollment.profile_id,
        "event_id": enrollment.event_id,
        "entry_key": enrollment.entry_key,
        "entered_at": to_microseconds(enrollment.entered_at),
        "status": str(enrollment.status),
        "available_at": _maybe_count(enrollment.available_at),
        "attempts": enrollment.attempts,
        "lease_until": _maybe_count(enrollment.lease_until),
        "token": enrollment.token,
        "completed_at": _maybe_count(enrollment.completed_at),
    }


def enrollment_from(row: Sequence[Any]) -> Enrollment:
    """Read an Enrollment from its columns, in table order."""
    _, identifier, journey_id, version, profile_id, event_id, entry_key, entered_at, *rest = row
    status, available_at, attempts, lease_until, token, completed_at = rest
    return Enrollment(
        identifier,
        journey_id,
        version,
        profile_id,
        event_id,
        entry_key,
        from_microseconds(entered_at),
        EnrollmentStatus(status),
        _maybe_moment(available_at),
        attempts,
        _maybe_moment(lease_until),
        token,
        _maybe_moment(completed_at),
    )

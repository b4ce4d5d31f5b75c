"""Values to rows and back. Knows columns; must never change what a value says.

A row is a tuple in the order of its table's columns. Every database reads back alike:
ids and JSON as text, instants as microseconds; how each wants them written, its
`Codec` says.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from datetime import datetime
from operator import attrgetter
from typing import Any, Final, TypeAlias

from attrs import evolve

from segmentflow_core.ports import (
    Alias,
    AuditAction,
    AuditRecord,
    Cancellers,
    CancelOn,
    EmailTimes,
    Enrollment,
    EnrollmentStatus,
    IdentityKind,
    Journey,
    JourneyDefinition,
    JourneyStatus,
    MergedSeries,
    Outcome,
    Profile,
    ProfileVersion,
    Reads,
    SkipReason,
    UserEvent,
    Withdrawal,
    archived,
    from_microseconds,
    journey_definition,
    journey_document,
    to_microseconds,
)
from segmentflow_core.ports.api_keys import ApiKey
from segmentflow_sql.codecs import Codec

__all__ = [
    "Row",
    "api_key_from",
    "api_key_row",
    "as_archived",
    "audit_from",
    "audit_row",
    "count_row",
    "definition_from",
    "enrollment_from",
    "enrollment_row",
    "event_from",
    "event_row",
    "has_changed",
    "has_ended",
    "identity_row",
    "journey_row",
    "life_of",
    "life_row",
    "outcomes_from",
    "profile_from",
    "profile_row",
    "profile_version_row",
    "read_enrollment",
    "state_from",
    "times_row",
    "version_row",
]


Row: TypeAlias = tuple[Any, ...]


_decode: Final = json.JSONDecoder().raw_decode


def _read_json(text: str) -> Any:
    """Read JSON that a store has kept; as `json.loads` in a third of the time."""
    value, _ = _decode(text)
    return value


def _maybe_moment(count: int | None) -> datetime | None:
    return None if count is None else from_microseconds(count)


def profile_row(codec: Codec, organization_id: str, profile: Profile) -> Row:
    """Return the columns of a Profile's own row."""
    return (
        organization_id,
        profile.profile_id,
        profile.number,
        profile.version,
        profile.email,
        profile.external_id,
        *profile.email_times,
        codec.instant(profile.created_at),
        codec.instant(profile.updated_at),
        *_life(codec, profile),
    )


def _life(codec: Codec, profile: Profile) -> Row:
    """Return what a host changes of a Profile, and no event."""
    joined = None
    if profile.aliases or profile.merged:
        joined = codec.json(
            {
                "aliases": [[alias.kind, alias.value] for alias in profile.aliases],
                "merged": [[series.profile_id, series.before] for series in profile.merged],
            }
        )
    return (
        codec.maybe(profile.suppressed_at),
        codec.maybe(profile.erased_at),
        codec.maybe(profile.scrubbed_at),
        profile.merged_into,
        joined,
        codec.json([[rule.event, *rule.same] for rule in profile.awaits])
        if profile.awaits
        else None,
    )


def life_row(codec: Codec, organization_id: str, profile: Profile) -> Row:
    """Return what a host changes of a Profile, and no event, then the key it is found by."""
    created_at = codec.instant(profile.created_at)
    return (created_at, *_life(codec, profile), organization_id, profile.profile_id)


life_of: Final = attrgetter(
    "created_at",
    "suppressed_at",
    "erased_at",
    "scrubbed_at",
    "merged_into",
    "aliases",
    "merged",
    "awaits",
)


def identity_row(codec: Codec, organization_id: str, profile: Profile) -> Row:
    """Return what changes of a Profile with another identity, then the key it is found by."""
    number, version, *rest = count_row(codec, organization_id, profile)
    return (number, version, profile.email, profile.external_id, *rest)


def count_row(codec: Codec, organization_id: str, profile: Profile) -> Row:
    """Return what every event changes of its Profile's own row, then its key."""
    return (
        profile.number,
        profile.version,
        *profile.email_times,
        codec.instant(profile.updated_at),
        organization_id,
        profile.profile_id,
    )


def profile_version_row(
    codec: Codec,
    organization_id: str,
    version: ProfileVersion,
    profile: Profile,
    numbers: tuple[int, int | None],
) -> Row:
    """Return the columns of a version; the latest has the property times of its Profile.

    Args:
        codec: of the database.
        organization_id: whose Profile.
        version: of the Profile.
        profile: as it stands.
        numbers: of the first and the last event that refer to the version; no last one yet
            where it is the latest.
    """
    is_latest = version.version == profile.version
    return (
        organization_id,
        version.profile_id,
        version.version,
        version.email,
        version.external_id,
        codec.json(version.properties),
        *(_times(codec, profile) if is_latest else (NO_TIMES, NO_TIMES)),
        *numbers,
    )


def times_row(codec: Codec, organization_id: str, profile: Profile, last_number: int | None) -> Row:
    """Return what tells the latest version from others, then the key of a Profile's version.

    Args:
        codec: of the database.
        organization_id: whose Profile.
        profile: at that version.
        last_number: of the last event that refers to the version; None where it is the latest.
    """
    times = _times(codec, profile) if last_number is None else (NO_TIMES, NO_TIMES)
    return (*times, last_number, organization_id, profile.profile_id, profile.version)


def _times(codec: Codec, profile: Profile) -> tuple[str, str]:
    former = codec.json(profile.former_emails) if profile.former_emails else NO_TIMES
    return former, codec.json(profile.property_times)


NO_TIMES: Final = "{}"
"""The times that a version which is not the latest has."""


def profile_from(row: Sequence[Any]) -> Profile:
    """Read a Profile from its row, then the Properties and times of its version."""
    _, profile_id, number, version, email, external_id, first, last, last_received = row[:9]
    created_at, updated_at = row[9:11]
    properties, former, times = row[17:20]
    profile = Profile(
        profile_id,
        email,
        external_id,
        _properties(properties),
        {name: (time[0], time[1]) for name, time in _properties(times).items()},
        from_microseconds(created_at),
        from_microseconds(updated_at),
        number,
        version,
        (first, last, last_received),
        {} if former == NO_TIMES else _email_times(former),
    )
    if row[11:17] == _UNTOUCHED:
        return profile
    suppressed, erased, scrubbed, merged_into, joined, awaits = row[11:17]
    aliases, merged = _joined(joined)
    return evolve(
        profile,
        suppressed_at=_maybe_moment(suppressed),
        erased_at=_maybe_moment(erased),
        scrubbed_at=_maybe_moment(scrubbed),
        merged_into=merged_into,
        aliases=aliases,
        merged=merged,
        awaits=() if awaits is None else _rules(awaits),
    )


_UNTOUCHED: Final = (None,) * 6
"""What is kept of a Profile that no host has changed, and that waits for no event."""


def _rules(text: str) -> tuple[CancelOn, ...]:
    return tuple([CancelOn(event, tuple(same)) for event, *same in _read_json(text)])


def _joined(text: str | None) -> tuple[tuple[Alias, ...], tuple[MergedSeries, ...]]:
    if text is None:
        return (), ()
    said = _read_json(text)
    return (
        tuple([Alias(IdentityKind(kind), value) for kind, value in said["aliases"]]),
        tuple([MergedSeries(profile_id, before) for profile_id, before in said["merged"]]),
    )


def has_ended(row: Sequence[Any]) -> bool:
    """Say of a Profile's row whether a merge or an erasure ended the Profile."""
    return row[12] is not None or row[14] is not None


def has_changed(row: Sequence[Any]) -> bool:
    """Say of a Profile's row that ends with what was seen before a wait whether that changed."""
    seen = row[-2:]
    return bool(seen != row[2:4])


def _email_times(text: str | None) -> dict[str, EmailTimes]:
    return {
        email: (first, last, last_received)
        for email, (first, last, last_received) in _properties(text).items()
    }


KEY_START: Final = 4
"""How many characters of the digest of its key an event keeps: of 16 million keys, one."""


def event_row(
    codec: Codec, organization_id: str, event: UserEvent, key_digest: str | None = None
) -> Row:
    """Return the columns of an event; its key's digest leads to the key claim."""
    return (
        organization_id,
        event.event_id,
        event.profile_id,
        event.number,
        event.profile_version,
        event.event,
        codec.json(event.data),
        event.reference_id,
        codec.instant(event.occurred_at),
        codec.instant(event.received_at),
        codec.json([_outcome_document(outcome) for outcome in event.outcomes]),
        codec.json([_withdrawal_document(each) for each in event.withdrew])
        if event.withdrew
        else None,
        None if key_digest is None else key_digest[:KEY_START],
    )


def event_from(row: Sequence[Any]) -> UserEvent:
    """Read an event from its row, then what its version says of its Profile."""
    _, event_id, profile_id, number, version, event, data, reference_id, *rest = row
    occurred, received, outcomes, withdrew, email, external_id, properties = rest
    return UserEvent(
        event_id,
        profile_id,
        number,
        event,
        _read_json(data),
        ProfileVersion(profile_id, version, email, external_id, _properties(properties)).state(),
        version,
        reference_id,
        from_microseconds(occurred),
        from_microseconds(received),
        outcomes_from(outcomes),
        () if withdrew is None else _withdrawals(withdrew),
    )


def _withdrawal_document(withdrawal: Withdrawal) -> list[Any]:
    return [withdrawal.enrollment_id, withdrawal.journey_id, withdrawal.marked]


def _withdrawals(text: str) -> tuple[Withdrawal, ...]:
    return tuple([Withdrawal(*each) for each in _read_json(text)])


def state_from(
    reads: Reads,
    data: str | None,
    email: str | None,
    external_id: str | None,
    properties: str | None,
) -> dict[str, Any]:
    """Read the state document of an earlier event, as far as it was asked for."""
    if data is None:
        return {}
    event = {"event": _read_json(data)}
    if reads == "data":
        return event
    version = ProfileVersion("", 0, email, external_id, _properties(properties))
    return {**event, "profile": version.state()}


def _properties(text: str | None) -> Any:
    return {} if text is None else _read_json(text)


def _outcome_document(outcome: Outcome) -> list[Any]:
    """Write an outcome: a reason says that it was skipped, none that it enrolled."""
    if outcome.reason is None:
        return [outcome.journey_id, outcome.version]
    return [outcome.journey_id, outcome.version, outcome.reason]


def outcomes_from(text: str) -> tuple[Outcome, ...]:
    """Read the outcomes stored with an event.

    One that was migrated has "enrolled" or "skipped" before its reason, and null for none.
    """
    outcomes: list[Outcome] = []
    for journey_id, version, *rest in _read_json(text):
        reason = rest[-1] if rest else None
        if reason is None:
            outcomes.append(Outcome(journey_id, version, "enrolled"))
        else:
            outcomes.append(Outcome(journey_id, version, "skipped", SkipReason(reason)))
    return tuple(outcomes)


def journey_row(codec: Codec, organization_id: str, journey: Journey) -> Row:
    """Return the columns of a Journey as it stands."""
    definition = journey.definition
    return (
        organization_id,
        journey.journey_id,
        definition.trigger.event,
        str(definition.status),
        journey.version,
        journey.era,
        codec.maybe(journey.archived_at),
    )


def version_row(codec: Codec, organization_id: str, journey: Journey) -> Row:
    """Return the columns of one version of a Journey."""
    return (
        organization_id,
        journey.journey_id,
        journey.version,
        journey.digest,
        codec.json(journey_document(journey.definition)),
        codec.instant(journey.published_at),
    )


def definition_from(text: str, status: str) -> JourneyDefinition:
    """Read a stored definition, with the Journey's current status."""
    document = _read_json(text)
    document["status"] = str(JourneyStatus(status))
    return journey_definition(document)


def enrollment_row(codec: Codec, organization_id: str, enrollment: Enrollment) -> Row:
    """Return the columns of an Enrollment."""
    return (
        organization_id,
        enrollment.enrollment_id,
        enrollment.journey_id,
        enrollment.version,
        enrollment.profile_id,
        enrollment.event_id,
        enrollment.event_number,
        enrollment.entry_key,
        codec.instant(enrollment.entered_at),
        enrollment.era,
        str(enrollment.status),
        codec.maybe(enrollment.available_at),
        enrollment.attempts,
        codec.maybe(enrollment.lease_until),
        enrollment.token,
        codec.maybe(enrollment.completed_at),
        enrollment.last_failure,
        codec.maybe(enrollment.withdrawn_at),
        None if enrollment.cancellers is None else codec.json(_cancellers(enrollment.cancellers)),
        enrollment.cancelled_by,
    )


def _cancellers(cancellers: Cancellers) -> list[Any]:
    return [to_microseconds(cancellers.since), *cancellers.digests]


def _cancellers_from(text: str) -> Cancellers:
    since, *digests = _read_json(text)
    return Cancellers(from_microseconds(since), tuple(digests))


def enrollment_from(row: Sequence[Any]) -> Enrollment:
    """Read an Enrollment from its columns, in table order."""
    _, identifier, journey_id, version, profile_id, event_id, event_number, *rest = row
    entry_key, entered_at, era, status, available_at, attempts, *handed_over = rest
    lease_until, token, completed_at, last_failure, withdrawn_at, *cancelling = handed_over
    cancellers, cancelled_by = cancelling
    return Enrollment(
        identifier,
        journey_id,
        version,
        profile_id,
        event_id,
        event_number,
        entry_key,
        from_microseconds(entered_at),
        EnrollmentStatus(status),
        _maybe_moment(available_at),
        attempts,
        _maybe_moment(lease_until),
        token,
        _maybe_moment(completed_at),
        last_failure,
        _maybe_moment(withdrawn_at),
        None if cancellers is None else _cancellers_from(cancellers),
        cancelled_by,
        era,
    )


def read_enrollment(row: Sequence[Any]) -> Enrollment:
    """Read an Enrollment as its Journey leaves it: when that was archived comes last in the row."""
    *columns, archived_at = row
    return as_archived(enrollment_from(columns), archived_at)


def as_archived(enrollment: Enrollment, archived_at: int | None) -> Enrollment:
    """Return an Enrollment as an archiving left it; None where there was none after it entered."""
    if archived_at is None:
        return enrollment
    return archived(enrollment, enrollment.era + 1, from_microseconds(archived_at))


def api_key_row(codec: Codec, api_key: ApiKey) -> Row:
    """Return the columns of an API Key."""
    return (
        api_key.organization_id,
        api_key.key_id,
        api_key.digest.hex(),
        api_key.lookup,
        codec.json(list(api_key.scopes)),
        api_key.label,
        int(api_key.test),
        codec.instant(api_key.created_at),
        codec.maybe(api_key.last_used_at),
        codec.maybe(api_key.revoked_at),
    )


def api_key_from(row: Sequence[Any]) -> ApiKey:
    """Read an API Key from its columns, in table order."""
    organization_id, key_id, digest, _, scopes, label, test, *moments = row
    created_at, last_used_at, revoked_at = moments
    return ApiKey(
        key_id,
        organization_id,
        bytes.fromhex(digest),
        tuple(_read_json(scopes)),
        label,
        bool(test),
        from_microseconds(created_at),
        _maybe_moment(last_used_at),
        _maybe_moment(revoked_at),
    )


def audit_row(codec: Codec, organization_id: str, record: AuditRecord) -> Row:
    """Return the columns of a record of what was done."""
    return (
        organization_id,
        record.audit_id,
        codec.instant(record.at),
        str(record.action),
        codec.json(list(record.subjects)),
        codec.json(record.counts),
        record.by,
    )


def audit_from(row: Sequence[Any]) -> AuditRecord:
    """Read a record of what was done from its columns, in table order."""
    _, audit_id, at, action, subjects, counts, by = row
    return AuditRecord(
        audit_id,
        from_microseconds(at),
        AuditAction(action),
        tuple(_read_json(subjects)),
        _read_json(counts),
        by,
    )

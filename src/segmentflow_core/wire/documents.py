"""What the library returns, as JSON documents: camelCase names, instants as RFC 3339.

cattrs unstructures, with one converter configured once. Must never see a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

import cattrs
from cattrs.gen import make_dict_unstructure_fn, override

from segmentflow_core.domain.api_key import ApiKey
from segmentflow_core.domain.audit import AuditRecord
from segmentflow_core.domain.cancelling import Withdrawal
from segmentflow_core.domain.event import Enrollment, Outcome, Receipt, UserEvent
from segmentflow_core.domain.hand_over import ClaimedEnrollment
from segmentflow_core.domain.instant import format_instant
from segmentflow_core.domain.journey import Journey, journey_document
from segmentflow_core.domain.journey_stats import JourneyCounts, JourneyStats
from segmentflow_core.domain.people import Erasure, Merge, Suppression
from segmentflow_core.domain.profile import Profile
from segmentflow_core.domain.template_gaps import TemplateGaps

__all__ = [
    "api_key_document",
    "audit_document",
    "camel_case",
    "claimed_document",
    "enrollment_document",
    "erasure_document",
    "event_document",
    "journey_stats_document",
    "merge_document",
    "profile_document",
    "published_document",
    "receipt_document",
    "suppression_document",
    "template_gaps_document",
    "withdrew_document",
]

T = TypeVar("T")


def camel_case(name: str) -> str:
    """Turn a Python name into its name on the wire."""
    first, *rest = name.split("_")
    return first + "".join(word.title() for word in rest)


def _converter() -> cattrs.Converter:
    converter = cattrs.Converter()
    converter.register_unstructure_hook(datetime, format_instant)
    converter.register_unstructure_hook(StrEnum, str)

    def register(kind: type[Any], *hidden: str) -> None:
        names = [a.name for a in kind.__attrs_attrs__]
        renamed: Any = {n: override(omit=n in hidden, rename=camel_case(n)) for n in names}
        converter.register_unstructure_hook(
            kind,
            make_dict_unstructure_fn(
                kind,
                converter,
                **renamed,
            ),
        )

    register(Outcome)
    register(Receipt, "replayed", "unmatched_paths")
    register(UserEvent, "number", "profile", "profile_version", "withdrew")
    register(Enrollment, "event_number", "lease_until", "token", "cancellers", "era", "archived_at")
    register(ApiKey, "organization_id", "digest")
    return converter


_CONVERTER: Final = _converter()


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """Write a receipt; a replay is answered with the same document."""
    document: dict[str, Any] = _CONVERTER.unstructure(receipt)
    return document


def event_document(event: UserEvent) -> dict[str, Any]:
    """Write an event with its outcomes, and with what it withdrew, if anything.

    Its data is already redacted.
    """
    document: dict[str, Any] = _CONVERTER.unstructure(event)
    document["data"] = event.data
    if event.withdrew:
        document["withdrew"] = withdrew_document(event.withdrew)
    return document


def withdrew_document(withdrew: Sequence[Withdrawal]) -> list[dict[str, Any]]:
    """Write what an event did to Enrollments of earlier ones."""
    return [
        {
            "enrollmentId": each.enrollment_id,
            "journeyId": each.journey_id,
            "marked": each.marked,
        }
        for each in withdrew
    ]


def profile_document(profile: Profile) -> dict[str, Any]:
    """Write a Profile as it stands: who it is, its Properties, and what became of it.

    Of its aliases only how many there are: they are never shown.
    """
    return {
        "profileId": profile.profile_id,
        "email": profile.email,
        "externalId": profile.external_id,
        "properties": profile.properties,
        "createdAt": format_instant(profile.created_at),
        "updatedAt": format_instant(profile.updated_at),
        "aliases": len(profile.aliases),
        "suppressedAt": _moment(profile.suppressed_at),
        "mergedInto": profile.merged_into,
        "erasedAt": _moment(profile.erased_at),
        "scrubbedAt": _moment(profile.scrubbed_at),
    }


def _moment(moment: datetime | None) -> str | None:
    return None if moment is None else format_instant(moment)


def suppression_document(suppression: Suppression) -> dict[str, Any]:
    """Write what suppressing a Profile, or lifting it, did."""
    return {
        "profileId": suppression.profile.profile_id,
        "suppressedAt": _moment(suppression.profile.suppressed_at),
        "changed": suppression.changed,
        "withdrawn": suppression.withdrawn,
    }


def erasure_document(erasure: Erasure) -> dict[str, Any]:
    """Write what erasing a Profile did; nothing of what was erased."""
    return {
        "profileId": erasure.profile_id,
        "withdrawn": erasure.withdrawn,
        "blocked": erasure.blocked,
        "scrubbed": erasure.scrubbed,
        "done": erasure.done,
    }


def merge_document(merge: Merge) -> dict[str, Any]:
    """Write what merging two Profiles did: which one stayed."""
    return {
        "profileId": merge.profile.profile_id,
        "changed": merge.changed,
        "withdrawn": merge.withdrawn,
    }


def enrollment_document(enrollment: Enrollment) -> dict[str, Any]:
    """Write an Enrollment without its lease, which belongs to its holder alone."""
    document: dict[str, Any] = _CONVERTER.unstructure(enrollment)
    return document


def claimed_document(claimed: ClaimedEnrollment) -> dict[str, Any]:
    """Write an Enrollment for the worker that claimed it, with lease, event and state."""
    enrollment, event = claimed.enrollment, claimed.event
    return {
        "organizationId": claimed.organization_id,
        **enrollment_document(enrollment),
        "leaseUntil": _moment(enrollment.lease_until),
        "token": enrollment.token,
        "event": event.event,
        "referenceId": event.reference_id,
        "occurredAt": format_instant(event.occurred_at),
        "state": claimed.state,
    }


def published_document(journey: Journey) -> dict[str, Any]:
    """Write a published Journey: its definition, its version and when that was published."""
    document = journey_document(journey.definition)
    document["version"] = journey.version
    document["publishedAt"] = format_instant(journey.published_at)
    return document


def journey_stats_document(stats: JourneyStats) -> dict[str, Any]:
    """Write the counts of Journeys, with the period that they are of."""
    return {
        "since": format_instant(stats.since),
        "until": format_instant(stats.until),
        "cut": stats.cut,
        "events": stats.events,
        "waitingCut": stats.waiting_cut,
        "journeys": [_counts(counts, stats.at) for counts in stats.journeys],
    }


def _counts(counts: JourneyCounts, at: datetime) -> dict[str, Any]:
    oldest = counts.oldest_waiting
    return {
        "journeyId": counts.journey_id,
        "name": counts.name,
        "status": str(counts.status),
        "matched": counts.matched,
        "enrolled": counts.enrolled,
        "skipped": {str(reason): count for reason, count in counts.skipped.items()},
        "enrollments": {str(status): count for status, count in counts.enrollments.items()},
        "waiting": counts.waiting,
        "oldestWaitingAt": _moment(oldest),
        "oldestWaitingSeconds": None if oldest is None else (at - oldest).total_seconds(),
    }


def template_gaps_document(gaps: TemplateGaps) -> dict[str, Any]:
    """Write what recorded events lacked of a template, with the period that this is of."""
    return {
        "event": gaps.event,
        "since": _moment(gaps.since),
        "until": _moment(gaps.until),
        "cut": gaps.cut,
        "events": gaps.events,
        "erased": gaps.erased,
        "paths": [
            {
                "path": each.path,
                "required": each.required,
                "missing": each.missing,
                "null": each.null,
                "redacted": each.redacted,
            }
            for each in gaps.paths
        ],
    }


def audit_document(record: AuditRecord) -> dict[str, Any]:
    """Write one thing that was done to people, Journeys or API Keys."""
    return {
        "auditId": record.audit_id,
        "at": format_instant(record.at),
        "action": str(record.action),
        "subjects": list(record.subjects),
        "counts": dict(record.counts),
        "by": record.by,
    }


def api_key_document(api_key: ApiKey) -> dict[str, Any]:
    """Write an API Key as lists show it; nothing in it helps to guess the secret."""
    document: dict[str, Any] = _CONVERTER.unstructure(api_key)
    return document

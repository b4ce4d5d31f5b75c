"""What the library returns, as JSON documents: camelCase names, instants as RFC 3339.

cattrs unstructures, with one converter configured once. Must never see a request.
"""

from __future__ import annotations

from datetime import datetime
from enum import StrEnum
from typing import Any, Final, TypeVar

import cattrs
from cattrs.gen import make_dict_unstructure_fn, override

from segmentflow_core.domain.api_key import ApiKey
from segmentflow_core.domain.event import Enrollment, Outcome, Receipt, UserEvent
from segmentflow_core.domain.hand_over import ClaimedEnrollment
from segmentflow_core.domain.instant import format_instant
from segmentflow_core.domain.journey import Journey, journey_document
from segmentflow_core.domain.profile import Profile

__all__ = [
    "api_key_document",
    "camel_case",
    "claimed_document",
    "enrollment_document",
    "event_document",
    "profile_document",
    "published_document",
    "receipt_document",
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
    register(UserEvent, "number", "profile", "profile_version")
    register(Enrollment, "event_number", "lease_until", "token")
    register(ApiKey, "organization_id", "digest")
    return converter


_CONVERTER: Final = _converter()


def receipt_document(receipt: Receipt) -> dict[str, Any]:
    """Write a receipt; a replay is answered with the same document."""
    document: dict[str, Any] = _CONVERTER.unstructure(receipt)
    return document


def event_document(event: UserEvent) -> dict[str, Any]:
    """Write an event with its outcomes; its data is already redacted."""
    document: dict[str, Any] = _CONVERTER.unstructure(event)
    document["data"] = event.data
    return document


def profile_document(profile: Profile) -> dict[str, Any]:
    """Write a Profile as it stands: who it is, its Properties, and when it was made and changed."""
    return {
        "profileId": profile.profile_id,
        "email": profile.email,
        "externalId": profile.external_id,
        "properties": profile.properties,
        "createdAt": format_instant(profile.created_at),
        "updatedAt": format_instant(profile.updated_at),
    }


def enrollment_document(enrollment: Enrollment) -> dict[str, Any]:
    """Write an Enrollment without its lease, which belongs to its holder alone."""
    document: dict[str, Any] = _CONVERTER.unstructure(enrollment)
    return document


def claimed_document(claimed: ClaimedEnrollment) -> dict[str, Any]:
    """Write an Enrollment for the worker that claimed it, with lease, event and state."""
    enrollment, event = claimed.enrollment, claimed.event
    lease_until = enrollment.lease_until
    return {
        "organizationId": claimed.organization_id,
        **enrollment_document(enrollment),
        "leaseUntil": None if lease_until is None else format_instant(lease_until),
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


def api_key_document(api_key: ApiKey) -> dict[str, Any]:
    """Write an API Key as lists show it; nothing in it helps to guess the secret."""
    document: dict[str, Any] = _CONVERTER.unstructure(api_key)
    return document

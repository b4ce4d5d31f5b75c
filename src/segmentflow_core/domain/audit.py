"""The record of what was done to people, Journeys and API Keys. Holds no personal data.

Knows when, what, how many, and by whom as the host says it. Must never hold an identity, a
Property or anything else of a request.

See docs/reference/rules/people.md.
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime
from enum import StrEnum
from typing import Final

from attrs import frozen

__all__ = ["AUDIT_ACTIONS", "AuditAction", "AuditRecord"]


class AuditAction(StrEnum):
    """What was done. Stable codes."""

    PROFILE_ERASED = "profile_erased"
    PROFILE_SCRUBBED = "profile_scrubbed"
    PROFILES_MERGED = "profiles_merged"
    PROFILE_SUPPRESSED = "profile_suppressed"
    PROFILE_UNSUPPRESSED = "profile_unsuppressed"
    RETAINED = "retained"
    JOURNEYS_PUBLISHED = "journeys_published"
    ENROLLMENTS_WITHDRAWN = "enrollments_withdrawn"
    API_KEY_CREATED = "api_key_created"
    API_KEY_REVOKED = "api_key_revoked"


AUDIT_ACTIONS: Final[dict[AuditAction, str]] = {
    AuditAction.PROFILE_ERASED: "A Profile was erased: its identities and Properties went, and what"
    " waited was withdrawn.",
    AuditAction.PROFILE_SCRUBBED: "The last of what the events of an erased Profile held is gone.",
    AuditAction.PROFILES_MERGED: "A Profile was merged into another one, which stayed.",
    AuditAction.PROFILE_SUPPRESSED: "A Profile was suppressed: no Journey enrols it.",
    AuditAction.PROFILE_UNSUPPRESSED: "The suppression of a Profile was lifted.",
    AuditAction.RETAINED: "Old events or finished Enrollments were removed.",
    AuditAction.JOURNEYS_PUBLISHED: "Journeys were published, or their status was changed.",
    AuditAction.ENROLLMENTS_WITHDRAWN: "Enrollments were withdrawn by hand.",
    AuditAction.API_KEY_CREATED: "An API Key was created.",
    AuditAction.API_KEY_REVOKED: "An API Key was revoked.",
}
"""Every action, with what it means."""


@frozen
class AuditRecord:
    """One thing that was done.

    Attributes:
        audit_id: UUIDv7.
        at: when.
        action: what.
        subjects: the ids of what it was done to: of Profiles, Journeys, Enrollments or an API Key.
        counts: how many, by what they are, such as ``{"withdrawn": 2}``.
        by: who did it, in the host's words; None where the host does not say.
    """

    audit_id: str
    at: datetime
    action: AuditAction
    subjects: tuple[str, ...]
    counts: Mapping[str, int]
    by: str | None = None

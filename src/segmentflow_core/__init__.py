"""events.track for any backend: one identified business event, durably and exactly once."""

from __future__ import annotations

from segmentflow_core._version import __version__
from segmentflow_core.domain.event import (
    Enrollment,
    EnrollmentStatus,
    Outcome,
    Receipt,
    SkipReason,
    UserEvent,
)
from segmentflow_core.domain.fingerprint import FingerprintKey, FingerprintKeys
from segmentflow_core.domain.journey import (
    Journey,
    JourneyDefinition,
    JourneyStatus,
    Reentry,
    ReentryPolicy,
    Sample,
    Trigger,
    Window,
    check_journey,
    journey_definition,
    journey_definitions,
    journey_document,
)
from segmentflow_core.domain.profile import Profile
from segmentflow_core.domain.redaction import REDACTED
from segmentflow_core.domain.request import Limits, ProfileInput, RequestDocument, TrackRequest
from segmentflow_core.errors import (
    ConfigurationError,
    FingerprintKeyUnknown,
    IdempotencyInProgress,
    IdempotencyKeyRequired,
    IdempotencyKeyReuse,
    IdentityConflict,
    InternalError,
    InvalidJourney,
    InvalidRequest,
    NotFound,
    PayloadTooLarge,
    ProfileEmailRequired,
    SegmentflowError,
    StorageUnavailable,
    Violation,
)
from segmentflow_core.tracker import AsyncTracker, SystemClock, Tracker, Uuid7Factory
from segmentflow_core.usecases.journeys import PublishedJourney
from segmentflow_core.wire.documents import (
    enrollment_document,
    event_document,
    published_document,
    receipt_document,
)
from segmentflow_core.wire.json_text import parse_json, parse_request

__all__ = [
    "REDACTED",
    "AsyncTracker",
    "ConfigurationError",
    "Enrollment",
    "EnrollmentStatus",
    "FingerprintKey",
    "FingerprintKeyUnknown",
    "FingerprintKeys",
    "IdempotencyInProgress",
    "IdempotencyKeyRequired",
    "IdempotencyKeyReuse",
    "IdentityConflict",
    "InternalError",
    "InvalidJourney",
    "InvalidRequest",
    "Journey",
    "JourneyDefinition",
    "JourneyStatus",
    "Limits",
    "NotFound",
    "Outcome",
    "PayloadTooLarge",
    "Profile",
    "ProfileEmailRequired",
    "ProfileInput",
    "PublishedJourney",
    "Receipt",
    "Reentry",
    "ReentryPolicy",
    "RequestDocument",
    "Sample",
    "SegmentflowError",
    "SkipReason",
    "StorageUnavailable",
    "SystemClock",
    "TrackRequest",
    "Tracker",
    "Trigger",
    "UserEvent",
    "Uuid7Factory",
    "Violation",
    "Window",
    "__version__",
    "check_journey",
    "enrollment_document",
    "event_document",
    "journey_definition",
    "journey_definitions",
    "journey_document",
    "parse_json",
    "parse_request",
    "published_document",
    "receipt_document",
]

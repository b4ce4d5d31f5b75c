"""events.track for any backend: one identified business event, durably and exactly once.

What README and tutorial use is here. The rest has doors of its own: `errors`, `explanation`,
`templates`, `journeys` (definitions as JSON), `wire` (JSON documents), `api_keys`
(`refuse_write_key`), `ports` and `testing` (for storage adapters), `colour` and `system`.
"""

from __future__ import annotations

from segmentflow_core._version import __version__
from segmentflow_core.api_keys import ApiKeys, AsyncApiKeys
from segmentflow_core.domain.api_key import ApiKey, CreatedApiKey
from segmentflow_core.domain.backlog import Backlog
from segmentflow_core.domain.event import (
    Enrollment,
    EnrollmentStatus,
    Outcome,
    Receipt,
    SkipReason,
    UserEvent,
)
from segmentflow_core.domain.fingerprint import FingerprintKey, FingerprintKeys
from segmentflow_core.domain.hand_over import ClaimedEnrollment, Lease
from segmentflow_core.domain.journey import (
    Journey,
    JourneyDefinition,
    JourneyStatus,
    Reentry,
    ReentryPolicy,
    Sample,
    Trigger,
    Window,
)
from segmentflow_core.domain.profile import Profile, ProfileLimits
from segmentflow_core.domain.redaction import REDACTED
from segmentflow_core.domain.redaction_policy import RedactionPolicy
from segmentflow_core.domain.request import Limits, ProfileInput, TrackRequest
from segmentflow_core.enrollments import AsyncEnrollments, Enrollments
from segmentflow_core.errors import SegmentflowError
from segmentflow_core.journeys import AsyncJourneys, Journeys, PublishedJourney
from segmentflow_core.people import AsyncPeople, People
from segmentflow_core.records import AsyncRecords, Records
from segmentflow_core.tracker import AsyncTracker, Tracker

__all__ = [
    "REDACTED",
    "ApiKey",
    "ApiKeys",
    "AsyncApiKeys",
    "AsyncEnrollments",
    "AsyncJourneys",
    "AsyncPeople",
    "AsyncRecords",
    "AsyncTracker",
    "Backlog",
    "ClaimedEnrollment",
    "CreatedApiKey",
    "Enrollment",
    "EnrollmentStatus",
    "Enrollments",
    "FingerprintKey",
    "FingerprintKeys",
    "Journey",
    "JourneyDefinition",
    "JourneyStatus",
    "Journeys",
    "Lease",
    "Limits",
    "Outcome",
    "People",
    "Profile",
    "ProfileInput",
    "ProfileLimits",
    "PublishedJourney",
    "Receipt",
    "Records",
    "RedactionPolicy",
    "Reentry",
    "ReentryPolicy",
    "Sample",
    "SegmentflowError",
    "SkipReason",
    "TrackRequest",
    "Tracker",
    "Trigger",
    "UserEvent",
    "Window",
    "__version__",
]

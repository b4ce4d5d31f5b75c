"""What the core needs from outside, as Protocols, and the values that cross them.

One set of protocols serves both colours: a synchronous adapter writes these methods
with `def`, an asynchronous one with `async def`, under the same names; neither inherits
from anything. Repositories are given their arguments by position: an adapter may name its
parameters otherwise. Must never know how any of it is done.

Every method may raise `StorageUnavailable` when the store cannot be reached and
`IdempotencyInProgress` when a concurrent call that has taken a key did not finish within
the adapter's bound. A driver's own errors never come through.
"""

from __future__ import annotations

from segmentflow_core.colour import MaybeAwaitable
from segmentflow_core.domain.canonical import encode_json
from segmentflow_core.domain.idempotency_key import key_digest
from segmentflow_core.domain.identifier import is_id
from segmentflow_core.domain.instant import (
    format_instant,
    from_microseconds,
    parse_instant,
    to_microseconds,
)
from segmentflow_core.domain.journey import KEY_SEPARATOR, journey_definition, journey_document
from segmentflow_core.domain.prior_entries import answer, answered
from segmentflow_core.ports.audit import AuditAction, AuditRecord, AuditRepository, KeepsAudit
from segmentflow_core.ports.cancelling import (
    LOOKED_AT,
    Cancellers,
    CancellingRepository,
    CancelOn,
    Cancels,
    RecordedProbe,
    Withdrawal,
    happened_at,
)
from segmentflow_core.ports.finding import (
    EnrollmentFilter,
    EventFilter,
    FindingRepository,
    FindsRecords,
)
from segmentflow_core.ports.hand_over import (
    AVAILABLE_STATUSES,
    FINISHED_STATUSES,
    ClaimedEnrollment,
    ClaimTerms,
    EnrollmentChange,
    Found,
    HandOverRepository,
    Lease,
    QuickHandOverRepository,
    ReleaseTerms,
    archived,
    completed,
    deal,
    extended,
    handed_over,
    released,
    revived,
)
from segmentflow_core.ports.history import (
    EarlierEvent,
    EarlierEvents,
    HistoryProbe,
    HistoryRepository,
    KnowsHistory,
    Reads,
)
from segmentflow_core.ports.pausing import PausesJourneys, PausingRepository
from segmentflow_core.ports.people import Alias, KeepsPeople, MergedSeries, PeopleRepository
from segmentflow_core.ports.records import (
    Enrollment,
    EnrollmentRepository,
    EnrollmentStatus,
    EventRepository,
    Journey,
    JourneyDefinition,
    JourneyRepository,
    JourneyStatus,
    Outcome,
    Profile,
    ProfileRepository,
    Receipt,
    SkipReason,
    UserEvent,
)
from segmentflow_core.ports.retention import (
    EventPlace,
    GoneEvents,
    KeepsForATime,
    RemovedEnrollments,
    RemovedEvents,
    Rests,
    RetentionRepository,
    finished_at,
    gone_events,
    joined,
)
from segmentflow_core.ports.storage import (
    AsyncStorage,
    Storage,
    TellsCommits,
    TellsTime,
    Transaction,
)
from segmentflow_core.ports.system import Clock, IdFactory
from segmentflow_core.ports.tracking import (
    Changes,
    EmailTimes,
    Fingerprint,
    IdempotencyRepository,
    IdentityKind,
    Intent,
    KeyClaim,
    Known,
    PriorEntries,
    Probe,
    ProfileVersion,
    PropertyTime,
    TrackingRepository,
)

__all__ = [
    "AVAILABLE_STATUSES",
    "FINISHED_STATUSES",
    "KEY_SEPARATOR",
    "LOOKED_AT",
    "Alias",
    "AsyncStorage",
    "AuditAction",
    "AuditRecord",
    "AuditRepository",
    "CancelOn",
    "Cancellers",
    "CancellingRepository",
    "Cancels",
    "Changes",
    "ClaimTerms",
    "ClaimedEnrollment",
    "Clock",
    "EarlierEvent",
    "EarlierEvents",
    "EmailTimes",
    "Enrollment",
    "EnrollmentChange",
    "EnrollmentFilter",
    "EnrollmentRepository",
    "EnrollmentStatus",
    "EventFilter",
    "EventPlace",
    "EventRepository",
    "FindingRepository",
    "FindsRecords",
    "Fingerprint",
    "Found",
    "GoneEvents",
    "HandOverRepository",
    "HistoryProbe",
    "HistoryRepository",
    "IdFactory",
    "IdempotencyRepository",
    "IdentityKind",
    "Intent",
    "Journey",
    "JourneyDefinition",
    "JourneyRepository",
    "JourneyStatus",
    "KeepsAudit",
    "KeepsForATime",
    "KeepsPeople",
    "KeyClaim",
    "Known",
    "KnowsHistory",
    "Lease",
    "MaybeAwaitable",
    "MergedSeries",
    "Outcome",
    "PausesJourneys",
    "PausingRepository",
    "PeopleRepository",
    "PriorEntries",
    "Probe",
    "Profile",
    "ProfileRepository",
    "ProfileVersion",
    "PropertyTime",
    "QuickHandOverRepository",
    "Reads",
    "Receipt",
    "RecordedProbe",
    "ReleaseTerms",
    "RemovedEnrollments",
    "RemovedEvents",
    "Rests",
    "RetentionRepository",
    "SkipReason",
    "Storage",
    "TellsCommits",
    "TellsTime",
    "TrackingRepository",
    "Transaction",
    "UserEvent",
    "Withdrawal",
    "answer",
    "answered",
    "archived",
    "completed",
    "deal",
    "encode_json",
    "extended",
    "finished_at",
    "format_instant",
    "from_microseconds",
    "gone_events",
    "handed_over",
    "happened_at",
    "is_id",
    "joined",
    "journey_definition",
    "journey_document",
    "key_digest",
    "parse_instant",
    "released",
    "revived",
    "to_microseconds",
]

"""The ports over SQL: what to ask and what the answers mean, written once for both colours."""

from __future__ import annotations

from segmentflow_sql.repositories.api_keys import ApiKeyRepository
from segmentflow_sql.repositories.cancelling import CancellingRepository
from segmentflow_sql.repositories.finding import FindingRepository
from segmentflow_sql.repositories.hand_over import HandOverRepository
from segmentflow_sql.repositories.history import HistoryRepository
from segmentflow_sql.repositories.journeys import JourneyRepository
from segmentflow_sql.repositories.keys import IdempotencyRepository
from segmentflow_sql.repositories.pausing import PausingRepository
from segmentflow_sql.repositories.people import AuditRepository, PeopleRepository
from segmentflow_sql.repositories.records import (
    EnrollmentRepository,
    EventRepository,
    ProfileRepository,
)
from segmentflow_sql.repositories.retention import RetentionRepository
from segmentflow_sql.repositories.tracking import TrackingRepository

__all__ = [
    "ApiKeyRepository",
    "AuditRepository",
    "CancellingRepository",
    "EnrollmentRepository",
    "EventRepository",
    "FindingRepository",
    "HandOverRepository",
    "HistoryRepository",
    "IdempotencyRepository",
    "JourneyRepository",
    "PausingRepository",
    "PeopleRepository",
    "ProfileRepository",
    "RetentionRepository",
    "TrackingRepository",
]

"""One transaction, as the ports want it: a repository for each of its parts."""

from __future__ import annotations

from datetime import datetime
from functools import partial

from segmentflow_core.ports import from_microseconds
from segmentflow_sql.exchange import Connection, ask
from segmentflow_sql.repositories import (
    ApiKeyRepository,
    AuditRepository,
    CancellingRepository,
    EnrollmentRepository,
    EventRepository,
    FindingRepository,
    HandOverRepository,
    HistoryRepository,
    IdempotencyRepository,
    JourneyRepository,
    PausingRepository,
    PeopleRepository,
    ProfileRepository,
    RetentionRepository,
    TrackingRepository,
)
from segmentflow_sql.statements import Statement

__all__ = ["SqlTransaction"]


class SqlTransaction:
    """One transaction. Over a synchronous driver, no method of its repositories suspends.

    Attributes:
        connection: what every repository asks.
        now: reads the server's clock; not there where the store has none of its own.
    """

    def __init__(self, connection: Connection) -> None:
        self.connection = connection
        # Only tracking keeps state; the others are made when asked for.
        self.tracking = TrackingRepository(connection)
        read_clock = connection.kind.statements.hand_over.read_clock
        if read_clock is not None:
            self.now = partial(_read, connection, read_clock)

    @property
    def idempotency(self) -> IdempotencyRepository:
        """Keys that were taken."""
        return IdempotencyRepository(self.connection)

    @property
    def profiles(self) -> ProfileRepository:
        """Profiles."""
        return ProfileRepository(self.connection)

    @property
    def events(self) -> EventRepository:
        """Events."""
        return EventRepository(self.connection)

    @property
    def journeys(self) -> JourneyRepository:
        """Journeys."""
        return JourneyRepository(self.connection)

    @property
    def enrollments(self) -> EnrollmentRepository:
        """Enrollments."""
        return EnrollmentRepository(self.connection)

    @property
    def finding(self) -> FindingRepository:
        """Look-ups."""
        return FindingRepository(self.connection)

    @property
    def api_keys(self) -> ApiKeyRepository:
        """API Keys."""
        return ApiKeyRepository(self.connection)

    @property
    def hand_over(self) -> HandOverRepository:
        """Enrollments on their way to workers."""
        return HandOverRepository(self.connection)

    @property
    def people(self) -> PeopleRepository:
        """Profiles, to be suppressed, erased and merged."""
        return PeopleRepository(self.connection)

    @property
    def audit(self) -> AuditRepository:
        """The record of what was done."""
        return AuditRepository(self.connection)

    @property
    def cancelling(self) -> CancellingRepository:
        """What events cancel."""
        return CancellingRepository(self.connection)

    @property
    def history(self) -> HistoryRepository:
        """What Profiles did before."""
        return HistoryRepository(self.connection)

    @property
    def retention(self) -> RetentionRepository:
        """Old records, to be removed."""
        return RetentionRepository(self.connection)

    @property
    def pausing(self) -> PausingRepository:
        """Journeys whose lines stand still."""
        return PausingRepository(self.connection)


async def _read(connection: Connection, clock: Statement) -> datetime:
    ((microseconds,),) = await ask(connection, clock)
    return from_microseconds(microseconds)

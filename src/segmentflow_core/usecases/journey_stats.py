"""Counting what Journeys did in a period, from rows, page by page, a transaction each.

Knows where to stop: at the end of the period, or once so many rows were looked at. Rows are read
by id, newest first, so that a page costs as much as it holds, however long the period is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import TypeVar

from attrs import define

from segmentflow_core.domain.event import Enrollment, EnrollmentStatus, UserEvent
from segmentflow_core.domain.finding import EnrollmentFilter
from segmentflow_core.domain.journey import Journey
from segmentflow_core.domain.journey_stats import JourneyStats, JourneyTally
from segmentflow_core.errors import NotFound
from segmentflow_core.ports import Transaction
from segmentflow_core.usecases.finding import list_enrollments
from segmentflow_core.usecases.paging import Ask, Run, walk
from segmentflow_core.usecases.reading import list_events, list_journeys, read_journey

__all__ = ["JourneyCounting"]

T = TypeVar("T")


@define
class JourneyCounting:
    """One count of what Journeys did.

    Attributes:
        run: runs each read.
        organization_id: whose Journeys.
        journey_id: only this one; None for each.
        since: events received at this instant or later.
        until: and before this one.
        now: when it is counted.
        at_most: how many rows of a kind to look at.
    """

    run: Run
    organization_id: str
    journey_id: str | None
    since: datetime
    until: datetime
    now: datetime
    at_most: int

    async def count(self) -> JourneyStats:
        """Read and count.

        Raises:
            NotFound: there is no such Journey.
        """
        journeys = await self.run(self._journeys)
        tally = JourneyTally(self.now)
        waiting_cut = await self._count_waiting(tally)
        # Enrollments first: there may be several of one event, so their pages end earlier.
        since, entries_cut = await self._count_entries(tally)
        since, events, events_cut = await self._count_events(tally, since)
        return JourneyStats(
            since,
            self.until,
            entries_cut or events_cut,
            events,
            waiting_cut,
            self.now,
            tally.counts(journeys, since, self.until),
        )

    async def _journeys(self, transaction: Transaction) -> Sequence[Journey]:
        if self.journey_id is None:
            return await list_journeys(transaction, self.organization_id)
        found = await read_journey(transaction, self.organization_id, self.journey_id, None)
        if found is None:
            raise NotFound
        return [found]

    async def _count_waiting(self, tally: JourneyTally) -> bool:
        cut = False
        for status in (EnrollmentStatus.PENDING, EnrollmentStatus.CLAIMED):

            def take(page: Sequence[Enrollment]) -> bool:
                for enrollment in page:
                    tally.add_waiting(enrollment)
                return False

            cut |= await self._walk(self._enrollments(status), _enrollment_id, take)
        return cut

    async def _count_entries(self, tally: JourneyTally) -> tuple[datetime, bool]:
        oldest = self.until

        def take(page: Sequence[Enrollment]) -> bool:
            nonlocal oldest
            for enrollment in page:
                tally.add_entry(enrollment)
                oldest = min(oldest, enrollment.entered_at)
            return all(enrollment.entered_at < self.since for enrollment in page)

        cut = await self._walk(self._enrollments(None), _enrollment_id, take)
        return (max(oldest, self.since) if cut else self.since), cut

    async def _count_events(
        self, tally: JourneyTally, since: datetime
    ) -> tuple[datetime, int, bool]:
        oldest, count = self.until, 0

        def take(page: Sequence[UserEvent]) -> bool:
            nonlocal oldest, count
            for event in page:
                oldest = min(oldest, event.received_at)
                if since <= event.received_at < self.until:
                    tally.add_event(event)
                    count += 1
            return all(event.received_at < since for event in page)

        async def ask(
            transaction: Transaction, limit: int, before: str | None
        ) -> Sequence[UserEvent]:
            return await list_events(transaction, self.organization_id, limit, before)

        cut = await self._walk(ask, _event_id, take)
        return (max(oldest, since) if cut else since), count, cut

    def _enrollments(self, status: EnrollmentStatus | None) -> Ask[Enrollment]:
        wanted = EnrollmentFilter(journey_id=self.journey_id, status=status)

        async def ask(
            transaction: Transaction, limit: int, before: str | None
        ) -> Sequence[Enrollment]:
            return await list_enrollments(transaction, self.organization_id, wanted, limit, before)

        return ask

    async def _walk(
        self, ask: Ask[T], id_of: Callable[[T], str], take: Callable[[Sequence[T]], bool]
    ) -> bool:
        return await walk(self.run, ask, id_of, take, self.at_most)


def _event_id(event: UserEvent) -> str:
    return event.event_id


def _enrollment_id(enrollment: Enrollment) -> str:
    return enrollment.enrollment_id

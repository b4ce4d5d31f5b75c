"""Looking for what recorded events lack of what a template reads, page by page.

Knows where to stop: at the start of the period, or once so many events were looked at.
"""

from __future__ import annotations

from collections.abc import Sequence
from datetime import datetime

from attrs import evolve, frozen

from segmentflow_core.domain.event import UserEvent
from segmentflow_core.domain.finding import EventFilter
from segmentflow_core.domain.template import Template
from segmentflow_core.domain.template_gaps import GapTally, TemplateGaps
from segmentflow_core.errors import NotFound
from segmentflow_core.ports import Transaction
from segmentflow_core.usecases.finding import find_events
from segmentflow_core.usecases.paging import Run, walk
from segmentflow_core.usecases.reading import read_journey

__all__ = ["GapSearch"]


@frozen(repr=False)
class GapSearch:
    """One search for what events lack.

    Attributes:
        run: runs each read.
        organization_id: whose events.
        template: what reads them.
        wanted: their name and period; no name stands for the one that the Journey listens for.
        journey_id: the Journey.
        enrolled: look only at events that enrolled their Profile in the Journey.
        at_most: how many events to look at.
    """

    run: Run
    organization_id: str
    template: Template
    wanted: EventFilter
    journey_id: str | None
    enrolled: bool
    at_most: int

    async def gaps(self) -> TemplateGaps:
        """Read and count.

        Raises:
            NotFound: there is no such Journey.
        """
        event = self.wanted.event
        if event is None:
            event = await self.run(self._event_of_journey)
        since, until = self.wanted.since, self.wanted.until
        # By name alone, a page is read in the order of the ids; a period has to be sorted first.
        wanted = evolve(self.wanted, event=event, since=None if until is None else since)
        tally = GapTally(self.template)
        oldest: datetime | None = None
        reached = False

        async def ask(
            transaction: Transaction, limit: int, before: str | None
        ) -> Sequence[UserEvent]:
            return await find_events(transaction, self.organization_id, wanted, limit, before)

        def take(page: Sequence[UserEvent]) -> bool:
            nonlocal oldest, reached
            within = [each for each in page if since is None or each.received_at >= since]
            for each in within:
                oldest = min(oldest or each.received_at, each.received_at)
                if not self.enrolled or self._enrolled_by(each):
                    tally.add(each)
            reached |= len(within) < len(page)
            return not within

        stopped = await walk(self.run, ask, lambda each: each.event_id, take, self.at_most)
        cut = stopped and not reached
        return TemplateGaps(
            event,
            oldest if cut else since,
            until,
            cut,
            tally.events,
            tally.erased,
            tally.paths(),
        )

    async def _event_of_journey(self, transaction: Transaction) -> str:
        assert self.journey_id is not None
        journey = await read_journey(transaction, self.organization_id, self.journey_id, None)
        if journey is None:
            raise NotFound
        return journey.definition.trigger.event

    def _enrolled_by(self, event: UserEvent) -> bool:
        return any(
            outcome.journey_id == self.journey_id and outcome.outcome == "enrolled"
            for outcome in event.outcomes
        )

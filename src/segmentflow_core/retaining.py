"""A run of retention: batch after batch, each a transaction, then the record of it.

The body that both colours of `People.retain` share.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import timedelta
from functools import partial
from typing import TypeAlias

from attrs import evolve

from segmentflow_core.archiving import finish_archiving
from segmentflow_core.calls import StorageCalls
from segmentflow_core.domain.retention import EventPlace, longer_ago_than
from segmentflow_core.usecases.audit import Actor
from segmentflow_core.usecases.retention import (
    Retained,
    record_retention,
    remove_old_enrollments,
    remove_old_events,
)

__all__ = ["OnRetained", "Retained", "Run"]

OnRetained: TypeAlias = Callable[[Retained], object]
"""Called after each transaction with what has gone so far."""


class Run:
    """One run of retention.

    Args:
        calls: run its transactions.
        organization_id: whose records.
        limit: how many records a transaction looks at.
        actor: who asks for it, and when: what is old, is so at that instant.
        on_progress: told after each transaction what has gone so far.
    """

    def __init__(
        self,
        calls: StorageCalls,
        organization_id: str,
        limit: int,
        actor: Actor,
        on_progress: OnRetained | None,
    ) -> None:
        self._calls = calls
        self._organization_id = organization_id
        self._limit = limit
        self._actor = actor
        self._on_progress = on_progress
        self._retained = Retained()

    async def go(self, events: timedelta | None, enrollments: timedelta | None) -> Retained:
        """Remove what is older than that, and keep the record of what went.

        The record is kept as well where the run is interrupted, or the storage fails.
        """
        # Rows of archived Journeys that still say that they wait would keep their events.
        now, of = self._actor.now, self._organization_id
        await finish_archiving(self._calls, now, None, None, of, demanded=False)
        try:
            await self._remove_enrollments(enrollments)
            await self._remove_events(events)
        finally:
            if self._retained.events or self._retained.enrollments:
                await self._calls.run(
                    partial(
                        record_retention,
                        organization_id=self._organization_id,
                        retained=self._retained,
                        actor=self._actor,
                    )
                )
        return self._retained

    async def _remove_enrollments(self, age: timedelta | None) -> None:
        before = longer_ago_than(age, self._actor.now)
        goes_on = True
        while before is not None and goes_on:
            batch = await self._calls.run(
                partial(
                    remove_old_enrollments,
                    organization_id=self._organization_id,
                    finished_before=before,
                    limit=self._limit,
                )
            )
            goes_on = batch.removed == self._limit
            await self._tell(
                evolve(
                    self._retained,
                    enrollments=self._retained.enrollments + batch.removed,
                    entries=self._retained.entries + batch.entries,
                ),
                goes_on=goes_on,
            )

    async def _remove_events(self, age: timedelta | None) -> None:
        before = longer_ago_than(age, self._actor.now)
        place: EventPlace | None = None
        goes_on = True
        while before is not None and goes_on:
            batch = await self._calls.run(
                partial(
                    remove_old_events,
                    organization_id=self._organization_id,
                    received_before=before,
                    limit=self._limit,
                    after=place,
                )
            )
            place = batch.place
            goes_on = place is not None
            await self._tell(
                evolve(
                    self._retained,
                    events=self._retained.events + batch.removed,
                    held=self._retained.held + batch.held,
                    reached=before if batch.place is None else batch.place.received_at,
                ),
                goes_on=goes_on,
            )

    async def _tell(self, retained: Retained, *, goes_on: bool) -> None:
        self._retained = retained
        if self._on_progress is not None:
            self._on_progress(retained)
        if goes_on:
            await self._calls.rest()

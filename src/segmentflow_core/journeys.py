"""The facade of Journeys: publish, read, rehearse and count them. Needs no fingerprint secret.

What a definition may say is `segmentflow_core.domain.journey`'s; its names for users are here.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from functools import partial
from typing import Final, TypeAlias

from segmentflow_core.archiving import OnWithdrawn, finish_archiving
from segmentflow_core.arguments import (
    DEFAULT_ORGANIZATION,
    check_actor,
    check_at_most,
    check_journey_version,
    check_limit,
    check_moment,
    check_organization,
    checked_clock,
    checked_definitions,
    checked_ids,
    found,
)
from segmentflow_core.calls import StorageCalls
from segmentflow_core.colour import drive
from segmentflow_core.domain.duration import parse_duration
from segmentflow_core.domain.journey import (
    Journey,
    JourneyStatus,
    check_journey,
    journey_definition,
    journey_definitions,
    journey_document,
)
from segmentflow_core.domain.journey.json_schema import journey_file_json_schema
from segmentflow_core.domain.journey_stats import JourneyCounts, JourneyDay, JourneyStats
from segmentflow_core.domain.rehearsal import Rehearsal
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports import AsyncStorage, Clock, IdFactory, Storage
from segmentflow_core.tracebacks import forgets_locals
from segmentflow_core.usecases.audit import Actor
from segmentflow_core.usecases.explain import drafts, listens
from segmentflow_core.usecases.journey_stats import JourneyCounting
from segmentflow_core.usecases.journeys import (
    JourneyChange,
    PublishedJourney,
    publish_journeys,
    set_status,
)
from segmentflow_core.usecases.reading import list_journeys, read_journey
from segmentflow_core.usecases.rehearse import Rehearsing

__all__ = [
    "AsyncJourneys",
    "JourneyChange",
    "JourneyCounts",
    "JourneyDay",
    "JourneyStats",
    "Journeys",
    "PublishedJourney",
    "check_journey",
    "journey_definition",
    "journey_definitions",
    "journey_document",
    "journey_file_json_schema",
    "parse_duration",
]

# Under other names, since within the facades `list` is a method.
PublishedJourneys: TypeAlias = list[PublishedJourney]
OnProgress: TypeAlias = Callable[[int, "int | None"], object]
"""Called with how many events are done and the total; None until it is known."""

_COUNTED: Final = timedelta(days=7)
_LOOKED_AT: Final = 100_000


class _JourneyCalls(StorageCalls):
    """What both colours do."""

    def __init__(
        self,
        storage: Storage | AsyncStorage,
        clock: Clock | None,
        ids: IdFactory | None,
        face: str,
        *,
        asynchronous: bool,
    ) -> None:
        super().__init__(storage, face, asynchronous=asynchronous)
        self._clock = checked_clock(clock)
        self._ids = checked_ids(ids)

    async def publish(
        self, journeys: object, organization_id: str, dry_run: bool, by: str | None
    ) -> PublishedJourneys:
        check_organization(organization_id)
        check_actor(by)
        definitions = checked_definitions(journeys)
        return await self.run(
            partial(
                publish_journeys,
                organization_id=organization_id,
                definitions=definitions,
                actor=Actor(by, self._clock.now(), self._ids.new_id()),
                dry_run=dry_run,
            ),
            reads_only=dry_run,
        )

    async def set_status(
        self, journey_id: str, status: JourneyStatus, by: str | None, organization_id: str
    ) -> PublishedJourney:
        check_journey_version(journey_id, None)
        check_actor(by)
        check_organization(organization_id)
        return await self.run(
            partial(
                set_status,
                organization_id=organization_id,
                journey_id=journey_id,
                status=status,
                actor=Actor(by, self._clock.now(), self._ids.new_id()),
            )
        )

    async def finish_archiving(
        self, at_most: int | None, on_progress: OnWithdrawn | None, organization_id: str
    ) -> int:
        check_at_most(at_most)
        check_organization(organization_id)
        now = self._clock.now()
        return await finish_archiving(self, now, at_most, on_progress, organization_id)

    async def all(self, organization_id: str) -> Sequence[Journey]:
        return await self.read(organization_id, lambda t: list_journeys(t, organization_id))

    async def get(self, journey_id: str, version: int | None, organization_id: str) -> Journey:
        check_journey_version(journey_id, version)
        check_organization(organization_id)
        read = partial(
            read_journey, organization_id=organization_id, journey_id=journey_id, version=version
        )
        return found(await self.run(read, reads_only=True))

    async def rehearse(
        self,
        journeys: object,
        period: tuple[datetime, datetime | None],
        by_occurrence: bool,
        on_progress: OnProgress | None,
        organization_id: str,
    ) -> Rehearsal:
        check_organization(organization_id)
        since, until = period
        check_moment("since", since)
        check_moment("until", until)
        given = drafts(checked_definitions(journeys), self._clock.now())
        listening = tuple(filter(listens, given))
        rehearsing = Rehearsing(
            organization_id, listening, since, until, by_occurrence=by_occurrence
        )
        for read in rehearsing.reads():
            rehearsing.fold(await self.run(read, reads_only=True))
            if on_progress is not None:
                on_progress(rehearsing.done, rehearsing.total)
        return rehearsing.result()

    async def stats(
        self,
        journey_id: str | None,
        since: datetime | None,
        until: datetime | None,
        at_most: int,
        organization_id: str,
    ) -> JourneyStats:
        check_organization(organization_id)
        if journey_id is not None:
            check_journey_version(journey_id, None)
        check_moment("since", since)
        check_moment("until", until)
        check_limit(at_most)
        now = self._clock.now()
        ends = until or now
        starts = since or ends - _COUNTED
        if starts > ends:
            raise ConfigurationError("since must not be later than until.")
        read = partial(self.run, reads_only=True)
        counting = JourneyCounting(read, organization_id, journey_id, starts, ends, now, at_most)
        return await counting.count()


class Journeys:
    """Publishes, reads, rehearses and counts Journeys, over a synchronous storage.

    Args:
        storage: where they are kept.
        clock: tells the time; default the machine's.
        ids: makes the ids of the record; default UUIDv7.

    Raises:
        ConfigurationError: the storage is asynchronous.
    """

    def __init__(
        self, storage: Storage, *, clock: Clock | None = None, ids: IdFactory | None = None
    ) -> None:
        self._calls = _JourneyCalls(storage, clock, ids, "Journeys", asynchronous=False)

    @forgets_locals
    def publish(
        self,
        journeys: object,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        dry_run: bool = False,
        by: str | None = None,
    ) -> PublishedJourneys:
        """Publish Journeys: a file's document, ``{"journeys": [...]}``, or a list of definitions.

        Args:
            journeys: what to publish; Journeys not in it stay as they are.
            organization_id: whose Journeys they are.
            dry_run: only say what would change.
            by: who does it, for the record.

        Returns:
            One for each definition, in order, with what publishing did, or would do, to it.

        Raises:
            InvalidJourney: with every fault of every Journey; nothing is published.
            ConfigurationError: a Journey counts earlier events, and the storage cannot.
        """
        return drive(self._calls.publish(journeys, organization_id, dry_run, by))

    @forgets_locals
    def pause(
        self,
        journey_id: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> PublishedJourney:
        """Let a Journey enrol nobody, and let what waits in it wait until it is active again.

        Constant work, however many wait. Publishing the definition as ``paused`` does the same. A
        worker that holds an Enrollment keeps it. Doing it twice changes nothing.

        Args:
            journey_id: the Journey.
            by: who does it, for the record.
            organization_id: whose Journey.

        Raises:
            NotFound: this Organization has no such Journey.
            ConfigurationError: the storage cannot pause Journeys.
        """
        return drive(self._calls.set_status(journey_id, JourneyStatus.PAUSED, by, organization_id))

    @forgets_locals
    def activate(
        self,
        journey_id: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> PublishedJourney:
        """Let a Journey enrol again, and hand over what has waited; as `pause`.

        Of an archived one, what was withdrawn stays withdrawn.
        """
        return drive(self._calls.set_status(journey_id, JourneyStatus.ACTIVE, by, organization_id))

    @forgets_locals
    def archive(
        self,
        journey_id: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> PublishedJourney:
        """Let a Journey enrol nobody, and withdraw for good what waits in it; as `pause`.

        What waits reads as withdrawn at once. Its rows follow by `finish_archiving`. A worker that
        holds an Enrollment may complete it; given back, it is withdrawn. A dead one stays dead and
        is not revived.
        """
        return drive(
            self._calls.set_status(journey_id, JourneyStatus.ARCHIVED, by, organization_id)
        )

    @forgets_locals
    def finish_archiving(
        self,
        *,
        at_most: int | None = None,
        on_progress: OnWithdrawn | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> int:
        """Let the rows of withdrawn Enrollments say so, batch by batch; return how many did.

        Nothing that is read changes by it. Until then retention takes them for Enrollments that
        wait: `retain` begins with it. A killed call goes on when it is made again; several at once
        share the work.

        Args:
            at_most: so many rows and no more, for a caller that has not the time for all.
            on_progress: told after each transaction how many rows that were so far.
            organization_id: whose Enrollments.

        Raises:
            ConfigurationError: the storage cannot pause Journeys.
        """
        return drive(self._calls.finish_archiving(at_most, on_progress, organization_id))

    def list(self, *, organization_id: str = DEFAULT_ORGANIZATION) -> Sequence[Journey]:
        """Return every Journey in its current version, by id."""
        return drive(self._calls.all(organization_id))

    def get(
        self,
        journey_id: str,
        version: int | None = None,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Journey:
        """Return one Journey, in its current version or the one asked for.

        Raises:
            NotFound: this Organization has no such Journey or version.
        """
        return drive(self._calls.get(journey_id, version, organization_id))

    @forgets_locals
    def rehearse(
        self,
        journeys: object,
        *,
        since: datetime,
        until: datetime | None = None,
        by_occurrence: bool = False,
        on_progress: OnProgress | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Rehearsal:
        """Count who would have entered drafts with the stored events of a period; write nothing.

        Entries of the rehearsal count for re-entry, and so do those the store has from before
        the period. Reads page by page, a transaction each.

        Args:
            journeys: the drafts, as `publish` takes them; paused and archived ones are left out.
            since: an aware datetime; events received then or later.
            until: and before this one; None for no end.
            by_occurrence: take the events that occurred in the period, as imported ones did,
                whenever they were received; an event counts as received where that is earlier.
            on_progress: told after every page how many events are done, of how many.
            organization_id: whose events they are.

        Raises:
            InvalidJourney: the drafts break a rule.
            ConfigurationError: an instant is not aware.
        """
        return drive(
            self._calls.rehearse(
                journeys, (since, until), by_occurrence, on_progress, organization_id
            )
        )

    def stats(
        self,
        journey_id: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        at_most: int = _LOOKED_AT,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> JourneyStats:
        """Count what Journeys did with the events of a period, and what waits for a worker.

        Counted from rows, newest first, page by page, a transaction each.

        Args:
            journey_id: only this Journey; default each of them.
            since: events received at this instant or later; default 7 days before the end.
            until: and before this one; default now.
            at_most: how many events, and how many Enrollments, to look at, 1 to 100,000. Where
                that is not enough, the result starts later and says so.
            organization_id: whose Journeys.

        Raises:
            NotFound: this Organization has no such Journey.
            ConfigurationError: an argument breaks its rule.
        """
        return drive(self._calls.stats(journey_id, since, until, at_most, organization_id))


class AsyncJourneys:
    """As `Journeys`, over an asynchronous storage; every call is awaited."""

    def __init__(
        self, storage: AsyncStorage, *, clock: Clock | None = None, ids: IdFactory | None = None
    ) -> None:
        self._calls = _JourneyCalls(storage, clock, ids, "AsyncJourneys", asynchronous=True)

    @forgets_locals
    async def publish(
        self,
        journeys: object,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
        dry_run: bool = False,
        by: str | None = None,
    ) -> PublishedJourneys:
        """Publish Journeys; as `Journeys.publish`."""
        return await self._calls.publish(journeys, organization_id, dry_run, by)

    @forgets_locals
    async def pause(
        self,
        journey_id: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> PublishedJourney:
        """Let what waits in a Journey wait until it is active again; as `Journeys.pause`."""
        return await self._calls.set_status(journey_id, JourneyStatus.PAUSED, by, organization_id)

    @forgets_locals
    async def activate(
        self,
        journey_id: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> PublishedJourney:
        """Let a Journey enrol again, and hand over what has waited; as `Journeys.activate`."""
        return await self._calls.set_status(journey_id, JourneyStatus.ACTIVE, by, organization_id)

    @forgets_locals
    async def archive(
        self,
        journey_id: str,
        *,
        by: str | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> PublishedJourney:
        """Withdraw for good what waits in a Journey; as `Journeys.archive`."""
        return await self._calls.set_status(journey_id, JourneyStatus.ARCHIVED, by, organization_id)

    @forgets_locals
    async def finish_archiving(
        self,
        *,
        at_most: int | None = None,
        on_progress: OnWithdrawn | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> int:
        """Let the rows of withdrawn Enrollments say so; as `Journeys.finish_archiving`."""
        return await self._calls.finish_archiving(at_most, on_progress, organization_id)

    async def list(self, *, organization_id: str = DEFAULT_ORGANIZATION) -> Sequence[Journey]:
        """Return every Journey; as `Journeys.list`."""
        return await self._calls.all(organization_id)

    async def get(
        self,
        journey_id: str,
        version: int | None = None,
        *,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Journey:
        """Return one Journey; as `Journeys.get`."""
        return await self._calls.get(journey_id, version, organization_id)

    @forgets_locals
    async def rehearse(
        self,
        journeys: object,
        *,
        since: datetime,
        until: datetime | None = None,
        by_occurrence: bool = False,
        on_progress: OnProgress | None = None,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> Rehearsal:
        """Rehearse drafts over the stored events of a period; as `Journeys.rehearse`."""
        return await self._calls.rehearse(
            journeys, (since, until), by_occurrence, on_progress, organization_id
        )

    async def stats(
        self,
        journey_id: str | None = None,
        *,
        since: datetime | None = None,
        until: datetime | None = None,
        at_most: int = _LOOKED_AT,
        organization_id: str = DEFAULT_ORGANIZATION,
    ) -> JourneyStats:
        """Count what Journeys did in a period; as `Journeys.stats`."""
        return await self._calls.stats(journey_id, since, until, at_most, organization_id)

"""What a host's code recorded in a test, and what Journeys made of it.

Every assertion that fails says what there is instead: names, counts and reasons, never a value.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Awaitable, Generator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from inspect import isawaitable
from typing import Any, Final

from segmentflow_core import AsyncTracker, Enrollments, Journeys, People, Records, Tracker
from segmentflow_core.errors import NotFound
from segmentflow_core.ports import Enrollment, Outcome, SkipReason, UserEvent
from segmentflow_core.system import Uuid7Factory
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_worker import Assignment, GiveUp, Handler, TryAgain, Worker
from segmentflow_worker.bodies import check_bodies, check_result

__all__ = ["Recording", "Segmentflow", "StoppedClock"]

_SECRET: Final = "for tests only: this secret protects nothing"
_MOST: Final = 100_000
_DEFAULT: Final = "default"


class StoppedClock:
    """A clock that a test alone moves. It stands at noon of 2026-06-01, UTC, until then."""

    def __init__(self) -> None:
        self._now = datetime(2026, 6, 1, 12, tzinfo=UTC)

    def now(self) -> datetime:
        """Return the instant at which it stands."""
        return self._now

    def advance(self, **length: float) -> None:
        """Move it by a `timedelta` of these arguments, such as ``days=1``."""
        self._now += timedelta(**length)


class Recording:
    """What a tracker recorded, wherever it is stored, and what Journeys made of it.

    Args:
        tracker: that the host's code is given.

    Attributes:
        tracker: the same.
    """

    def __init__(self, tracker: Tracker) -> None:
        self.tracker = tracker

    @property
    def journeys(self) -> Journeys:
        """The Journeys: `journeys.publish(load_journeys("journeys.yaml"))`."""
        return self.tracker.journeys

    @property
    def enrollments(self) -> Enrollments:
        """The Enrollments."""
        return self.tracker.enrollments

    @property
    def records(self) -> Records:
        """Events and Profiles."""
        return self.tracker.records

    @property
    def people(self) -> People:
        """Profiles, to be suppressed, erased and merged."""
        return self.tracker.people

    def all_recorded(
        self,
        event: str | None = None,
        *,
        who: str | None = None,
        organization_id: str = _DEFAULT,
    ) -> list[UserEvent]:
        """Return what was recorded, oldest first.

        Args:
            event: only events of this name.
            who: only events of this person: a Profile's id, an email or an external id.
            organization_id: whose events.
        """
        whose: dict[str, Any] = {"organization_id": organization_id}
        profile_id = None
        if who is not None:
            try:
                profile_id = self.records.find_profile(who, **whose).profile_id
            except NotFound:
                return []
        found = self.records.events(limit=_MOST, event=event, profile_id=profile_id, **whose)
        return [*found][::-1]

    def recorded(
        self, event: str, *, who: str | None = None, organization_id: str = _DEFAULT
    ) -> UserEvent:
        """Return the one event of this name.

        Args:
            event: its name.
            who: whose it must be: a Profile's id, an email or an external id.
            organization_id: whose events.

        Raises:
            AssertionError: there is none, or more than one.
        """
        found = self.all_recorded(event, who=who, organization_id=organization_id)
        if len(found) != 1:
            instead = _counted(self.all_recorded(organization_id=organization_id))
            of = "" if who is None else " of this person"
            message = f"{event}{of} was recorded {len(found)} times, not once. There is: {instead}."
            raise AssertionError(message)
        return found[0]

    def assert_enrolled(
        self, who: str, journey_id: str, *, times: int = 1, organization_id: str = _DEFAULT
    ) -> list[Enrollment]:
        """Return this person's entries into a Journey, oldest first.

        Args:
            who: a Profile's id, an email or an external id.
            journey_id: the Journey.
            times: how many entries there must be; 0 for a person who did not enter, which holds of
                one of whom nothing is recorded as well. The Journey must exist in any case.
            organization_id: whose Journey.

        Raises:
            AssertionError: there are more or fewer; it says why. Or there is no such Journey.
        """
        entries = [
            told.enrollment
            for told in self._outcomes(who, journey_id, organization_id)
            if isinstance(told.enrollment, Enrollment)
        ]
        if len(entries) != times:
            why = self._why(who, journey_id, organization_id)
            message = f"{journey_id} was entered {len(entries)} times, not {times}. {why}"
            raise AssertionError(message)
        if not times:
            self._require(journey_id, organization_id)
        return entries

    def assert_skipped(
        self,
        who: str,
        journey_id: str,
        reason: SkipReason | str,
        *,
        organization_id: str = _DEFAULT,
    ) -> None:
        """Require that a Journey skipped this person's latest event that it matched.

        Args:
            who: a Profile's id, an email or an external id.
            journey_id: the Journey.
            reason: why, such as ``"condition_not_met"``.
            organization_id: whose Journey.

        Raises:
            AssertionError: it matched none, enrolled her, or skipped it for another reason.
        """
        told = self._outcomes(who, journey_id, organization_id)
        if not told or told[-1].outcome.reason != reason:
            why = self._why(who, journey_id, organization_id)
            message = f"{journey_id} did not skip for {reason}. {why}"
            raise AssertionError(message)

    def _require(self, journey_id: str, organization_id: str) -> None:
        """Require that a Journey exists: nobody enters one whose id is mistyped."""
        try:
            self.journeys.get(journey_id, organization_id=organization_id)
        except NotFound:
            message = f"Nobody can enter {journey_id}. There is no such Journey."
            raise AssertionError(message) from None

    def _outcomes(self, who: str, journey_id: str, organization_id: str) -> list[Any]:
        try:
            story = self.records.why(
                who, journey_id=journey_id, limit=_MOST, organization_id=organization_id
            )
        except NotFound:
            return []
        return [told for event in story.events[::-1] for told in event.outcomes]

    def _why(self, who: str, journey_id: str, organization_id: str) -> str:
        """Say what a Journey made of a person's events, or why it made nothing of any."""
        whose: dict[str, Any] = {"organization_id": organization_id}
        try:
            definition = self.journeys.get(journey_id, **whose).definition
        except NotFound:
            return "There is no such Journey."
        outcomes = [told.outcome for told in self._outcomes(who, journey_id, organization_id)]
        if outcomes:
            return f"It made of her events, oldest first: {', '.join(map(_told, outcomes))}."
        listens = f"It is {definition.status} and listens for {definition.trigger.event}."
        hers = self.all_recorded(who=who, **whose)
        if not hers:
            return f"{listens} Nothing is recorded of such a person."
        return f"{listens} Of her there is: {_counted(hers)}."


class Segmentflow(Recording):
    """A store in memory with its trackers. The clock stands still until the test moves it.

    Args:
        options: arguments of the trackers, such as `redaction` or `observers`.

    Attributes:
        storage: the store, which both trackers share.
        clock: what both read; `clock.advance(days=1)` moves it.
        tracker: to be given to the host's code.
        async_tracker: the same, to be awaited.
    """

    def __init__(self, **options: Any) -> None:
        self.storage = MemoryStorage()
        self.clock = StoppedClock()
        # One source of ids, so that events are listed in the order of the calls of both.
        drawn: dict[str, Any] = {"clock": self.clock, "ids": Uuid7Factory()}
        given: dict[str, Any] = {"fingerprint_key": _SECRET, **drawn, **options}
        super().__init__(Tracker(self.storage, **given))
        self.async_tracker = AsyncTracker(AsyncMemoryStorage(self.storage), **given)

    def work(self, handlers: Mapping[str, Handler]) -> int:
        """Let a worker do what is available now, and return how many Enrollments it completed.

        What a handler raises, plain or asynchronous, is raised in the test once the worker has
        ended, the first of several; but for `TryAgain` and `GiveUp`, which a worker is told.

        Args:
            handlers: what to do, by Journey, as of `segmentflow_worker.Worker`.

        Raises:
            ConfigurationError: a handler is a generator function, of which no line would run.
        """
        check_bodies(handlers.values())
        failures: list[BaseException] = []
        noting = {name: _noting(handler, failures) for name, handler in handlers.items()}
        completed = Worker(self.storage, noting, clock=self.clock).drain()
        if failures:
            raise failures[0]
        return completed


def _noting(handler: Handler, failures: list[BaseException]) -> Handler:
    """Return the same handler, whose failures are kept. `pytest.fail` raises no `Exception`."""

    def noted(assignment: Assignment) -> Any:
        with _kept(failures):
            result = handler(assignment)
            if isawaitable(result):
                return awaited(result)
            return check_result(result)

    async def awaited(result: Awaitable[object]) -> None:
        with _kept(failures):
            check_result(await result)

    return noted


@contextmanager
def _kept(failures: list[BaseException]) -> Generator[None]:
    try:
        yield
    except (GiveUp, TryAgain):
        raise
    except BaseException as failure:
        failures.append(failure)
        raise


def _told(outcome: Outcome) -> str:
    return "enrolled" if outcome.reason is None else f"skipped, {outcome.reason}"


def _counted(events: list[UserEvent]) -> str:
    counts = Counter(event.event for event in events)
    return ", ".join(f"{name} ({counts[name]})" for name in sorted(counts)) or "nothing"

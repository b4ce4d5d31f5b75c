"""A shift: one run of a worker, from its first claim to its stop. The one body of both colours.

All calls to the store are made here, one after the other, in one thread or task: claims, extensions
and completions are batched, and need no lock among themselves. Handlers run elsewhere, and leave
word when they end. Knows no thread and no event loop; it reads time from its waiter alone.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from typing import Any, Final, TypeVar

from attrs import define

from segmentflow_core import (
    AsyncEnrollments,
    Backlog,
    ClaimedEnrollment,
    Enrollments,
    EnrollmentStatus,
    Lease,
    SegmentflowError,
)
from segmentflow_core.colour import settle
from segmentflow_worker.assignment import Assignment
from segmentflow_worker.hands import Hands
from segmentflow_worker.observing import (
    Claimed,
    Completed,
    Failed,
    GivenBack,
    LostLease,
    Measured,
    Started,
    Telling,
    Unavailable,
)
from segmentflow_worker.settings import Settings, Verdict, verdict_on
from segmentflow_worker.waiting import Waiter

__all__ = ["Shift"]

T = TypeVar("T")

_EXTENSIONS: Final = 3
"""How many times a lease is extended, or tried to be, before it would run out."""


@define(eq=False)
class _Held:
    """An Enrollment that the worker holds.

    Attributes:
        assignment: as the handler has it.
        began: when its handler was started.
        extend_at: when its lease is extended next.
        ended: whether its handler has ended.
        raised: what it raised.
        verdict: how it is to be given back; None where nothing was raised.
    """

    assignment: Assignment
    began: float
    extend_at: float
    ended: bool = False
    raised: BaseException | None = None
    verdict: Verdict | None = None

    @property
    def lease(self) -> Lease:
        return self.assignment.claimed.lease

    @property
    def names(self) -> tuple[str, str, str, int]:
        """Return by what observers know it."""
        it = self.assignment
        return it.organization_id, it.journey_id, it.idempotency_key, it.attempt


class Shift:
    """One run of a worker.

    Args:
        enrollments: of either colour.
        settings: of the worker.
        hands: run the handlers.
        waiter: tells the time and waits.
        telling: tells the observers.
        chance: gives numbers from 0 up to 1.
    """

    def __init__(
        self,
        enrollments: Enrollments | AsyncEnrollments,
        settings: Settings,
        *,
        hands: Hands,
        waiter: Waiter,
        telling: Telling,
        chance: Callable[[], float],
    ) -> None:
        self._completed = 0
        self._enrollments = enrollments
        self._settings = settings
        self._hands = hands
        self._waiter = waiter
        self._telling = telling
        self._chance = chance
        self._journeys = deque(settings.journeys)
        self._held: dict[Lease, _Held] = {}
        # Handlers add to it from their threads.
        self._left_word: deque[tuple[Lease, BaseException | None]] = deque()
        self._claim_at = self._measure_at = self._resume_at = waiter.now()
        self._empty_claims = self._outages = 0
        self._woken = self._stopped = self._at_once = False

    # --- called from anywhere ------------------------------------------------------------

    def wake(self) -> None:
        """Claim soon, whenever the next claim was to be."""
        self._woken = True
        self._waiter.call()

    def stop(self) -> None:
        """Claim no more; called again, wait for no handler either."""
        self._at_once = self._stopped
        self._stopped = True
        self._waiter.call()

    # --- the body -------------------------------------------------------------------------

    async def run(self, *, until_idle: bool) -> int:
        """Work until told to stop, or until nothing is available; finish or give back all.

        Returns:
            How many Enrollments were completed.
        """
        try:
            while not self._stopped:
                await self._turn(claims=True)
                if until_idle and not self._held and self._found_nothing:
                    break
                await self._wait(None)
            await self._wind_up()
        except BaseException:
            with suppress(Exception):
                await self._give_back()
            raise
        finally:
            self._hands.let_go()
        return self._completed

    @property
    def _found_nothing(self) -> bool:
        return self._empty_claims > 0 and self._outages == 0

    async def _wind_up(self) -> None:
        """Let handlers end within the grace; give back what is left."""
        end = self._waiter.now() + self._settings.grace.total_seconds()
        while self._held:
            await self._turn(claims=False)
            if not self._held or self._at_once or self._waiter.now() >= end:
                break
            await self._wait(end)
        self._hands.let_go()
        await self._give_back()

    async def _turn(self, *, claims: bool) -> None:
        """Do all that is due."""
        self._take_in()
        await self._finish()
        await self._extend()
        if claims:
            await self._measure()
            await self._claim()

    async def _wait(self, end: float | None) -> None:
        """Wait until something is due, somebody calls, or the end comes."""
        now = self._waiter.now()
        due = [held.extend_at for held in self._held.values() if not held.assignment.lease_lost]
        if not self._stopped and len(self._held) < self._settings.concurrency:
            due.append(self._claim_at)
        if self._settings.measure is not None and not self._stopped:
            due.append(self._measure_at)
        if any(held.ended for held in self._held.values()):
            due.append(now)
        until = max(min(due), self._resume_at) if due else None
        if end is not None:
            until = end if until is None else min(until, end)
        if self._left_word or (self._woken and not self._stopped):
            until = now
        await settle(self._waiter.wait(None if until is None else max(0.0, until - now)))

    async def _ask(self, call: Callable[[], T | Awaitable[T]]) -> T | None:
        """Call the store; None where it could not be asked, now or a moment ago.

        Raises:
            SegmentflowError: trying again would not help.
        """
        if self._waiter.now() < self._resume_at:
            return None
        try:
            answer: T = await settle(call())
        except SegmentflowError as error:
            if not error.should_retry:
                raise
            self._outages += 1
            delay = self._settings.poll_delay(self._outages, self._chance())
            self._resume_at = self._waiter.now() + delay.total_seconds()
            told = Unavailable(error.code, self._outages)
            self._telling.tell(lambda observer: observer.unavailable(told))
            return None
        self._outages = 0
        return answer

    # --- what handlers left word of --------------------------------------------------------

    def _take_in(self) -> None:
        while self._left_word:
            lease, raised = self._left_word.popleft()
            held = self._held.get(lease)
            if held is None:
                continue
            if held.assignment.lease_lost:
                del self._held[lease]
                continue
            # Before it counts as ended: were no verdict to be had, it must not look completed.
            if raised is not None:
                attempt = held.assignment.attempt
                held.verdict = verdict_on(raised, attempt, self._settings, self._chance())
            held.ended, held.raised = True, raised

    async def _finish(self) -> None:
        """Complete or give back what ended; what the store does not answer stays for the next turn.

        Both may be repeated: a call whose answer was lost changes nothing more.
        """
        ended = [held for held in self._held.values() if held.ended]
        done = [held for held in ended if held.raised is None]
        if done:
            leases = [held.lease for held in done]
            answers = await self._ask(lambda: self._enrollments.complete_many(leases))
            if answers is None:
                return
            for held, answer in zip(done, answers, strict=True):
                self._tell_completion(held, answer)
        for held in ended:
            verdict = held.verdict
            if verdict is None:
                continue
            back = await self._release(held.lease, verdict)
            if back is None:
                return
            self._tell_failure(held, verdict, back[0])

    async def _release(self, lease: Lease, verdict: Verdict) -> Any:
        return await self._ask(
            lambda: self._enrollments.release_many(
                [lease],
                delay=verdict.delay,
                failed=verdict.failed,
                error=verdict.error,
                max_attempts=verdict.max_attempts,
            )
        )

    def _tell_completion(self, held: _Held, answer: Any) -> None:
        del self._held[held.lease]
        if isinstance(answer, SegmentflowError):
            self._tell_loss(held, answer)
            return
        self._completed += 1
        told = Completed(*held.names, self._waiter.now() - held.began)
        self._telling.tell(lambda observer: observer.completed(told))

    def _tell_failure(self, held: _Held, verdict: Verdict, answer: Any) -> None:
        del self._held[held.lease]
        if isinstance(answer, SegmentflowError):
            self._tell_loss(held, answer)
            return
        assert held.raised is not None
        told = Failed(
            *held.names,
            self._waiter.now() - held.began,
            answer.status is EnrollmentStatus.DEAD,
            verdict.delay,
            held.raised,
        )
        self._telling.tell(lambda observer: observer.failed(told))

    def _tell_loss(self, held: _Held, refusal: SegmentflowError) -> None:
        held.assignment.lose()
        told = LostLease(*held.names, refusal.code)
        self._telling.tell(lambda observer: observer.lease_lost(told))

    # --- leases ----------------------------------------------------------------------------

    @property
    def _between_extensions(self) -> float:
        return self._settings.lease.total_seconds() / _EXTENSIONS

    async def _extend(self) -> None:
        """Extend the leases that are due, while handlers run and what ended waits for the store."""
        now = self._waiter.now()
        due = [
            held
            for held in self._held.values()
            if held.extend_at <= now and not held.assignment.lease_lost
        ]
        if not due:
            return
        leases = [held.lease for held in due]
        answers = await self._ask(
            lambda: self._enrollments.extend_many(leases, by=self._settings.lease)
        )
        if answers is None:
            return
        for held, answer in zip(due, answers, strict=True):
            held.extend_at = now + self._between_extensions
            if isinstance(answer, SegmentflowError):
                self._tell_loss(held, answer)
                if held.ended:
                    del self._held[held.lease]

    # --- what waits ------------------------------------------------------------------------

    async def _measure(self) -> None:
        """Tell how much waits, before this worker takes of it."""
        every, now = self._settings.measure, self._waiter.now()
        organization_id = self._settings.organization_id
        if every is None or organization_id is None or now < self._measure_at:
            return
        self._measure_at = now + every.total_seconds()
        backlogs: Sequence[Backlog] | None = await self._ask(
            lambda: self._enrollments.backlog(
                journey_ids=self._settings.measured_journeys, organization_id=organization_id
            )
        )
        if backlogs is not None:
            told = Measured(organization_id, tuple(backlogs))
            self._telling.tell(lambda observer: observer.measured(told))

    # --- claims ----------------------------------------------------------------------------

    async def _claim(self) -> None:
        """Claim as many as there is room for, of each Journey in turn, and start them."""
        if self._woken:
            self._woken, self._claim_at, self._empty_claims = False, self._waiter.now(), 0
        room = self._settings.concurrency - len(self._held)
        if room < 1 or self._waiter.now() < self._claim_at:
            return
        claimed: list[ClaimedEnrollment] = []
        for journey_id in self._journeys:
            found = await self._claim_of(journey_id, room - len(claimed))
            if found is None:
                break
            claimed += found
            if len(claimed) == room:
                break
        else:
            self._note_end_of_queue(len(claimed))
        self._journeys.rotate(-1)
        told = Claimed(room, len(claimed), len(self._held), self._lag(claimed))
        self._telling.tell(lambda observer: observer.claimed(told))

    def _note_end_of_queue(self, count: int) -> None:
        """Nothing more was available: ask again later, and later each time."""
        self._empty_claims = 0 if count else self._empty_claims + 1
        delay = self._settings.poll_delay(max(self._empty_claims, 1), self._chance())
        self._claim_at = self._waiter.now() + delay.total_seconds()

    async def _claim_of(self, journey_id: str | None, limit: int) -> Any:
        asked = self._waiter.now()
        found = await self._ask(
            lambda: self._enrollments.claim(
                limit=limit,
                lease=self._settings.lease,
                max_attempts=self._settings.max_attempts,
                journey_id=journey_id,
                organization_id=self._settings.organization_id,
            )
        )
        for claimed in found or ():
            self._start(claimed, asked)
        return found

    def _start(self, claimed: ClaimedEnrollment, asked: float) -> None:
        last = claimed.enrollment.attempts >= self._settings.max_attempts
        assignment = Assignment(claimed, last)
        # From before the claim: by then the lease had not begun.
        held = _Held(assignment, self._waiter.now(), asked + self._between_extensions)
        self._held[held.lease] = held
        told = Started(*held.names)
        self._telling.tell(lambda observer: observer.started(told))
        self._hands.start(
            self._settings.handler_of(assignment.journey_id),
            assignment,
            lambda raised: self._leave_word(held.lease, raised),
        )

    def _leave_word(self, lease: Lease, raised: BaseException | None) -> None:
        self._left_word.append((lease, raised))
        self._waiter.call()

    def _lag(self, claimed: list[ClaimedEnrollment]) -> Any:
        new = [c.enrollment for c in claimed if c.enrollment.attempts == 1]
        waited = [
            each.lease_until - self._settings.lease - each.entered_at
            for each in new
            if each.lease_until is not None
        ]
        return max(waited, default=None)

    # --- the end ---------------------------------------------------------------------------

    async def _give_back(self) -> None:
        """Finish what ended, and give the rest back, as if it had not been handed over."""
        self._take_in()
        self._resume_at = self._waiter.now()
        await self._finish()
        left = [held for held in self._held.values() if not held.assignment.lease_lost]
        for held in left:
            held.assignment.lose()
        unended = [held for held in left if not held.ended]
        self._held.clear()
        if not unended:
            return
        leases = [held.lease for held in unended]
        answers = await self._ask(lambda: self._enrollments.release_many(leases, failed=False))
        for held, answer in zip(unended, answers or (), strict=False):
            if not isinstance(answer, SegmentflowError):
                self._tell_return(GivenBack(*held.names))

    def _tell_return(self, told: GivenBack) -> None:
        self._telling.tell(lambda observer: observer.given_back(told))

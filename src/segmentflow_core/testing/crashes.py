"""Workers that claim Enrollments and crash at random, by a seed.

Knows where a worker may crash: at a port's call, before or after it took effect; between two
calls; and when the commit succeeded but its answer was lost. Some workers live on and finish
after all others are done. Must never look into the store.
"""

from __future__ import annotations

import random
import threading
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from datetime import timedelta
from typing import Any, Final

from segmentflow_core import ClaimedEnrollment, EnrollmentStatus
from segmentflow_core.errors import LeaseLost
from segmentflow_core.testing.builders import FixedClock
from segmentflow_core.testing.faults import FaultyStorage, InjectedFault

__all__ = ["CrashingWorkers"]

_LEASE: Final = timedelta(minutes=1)
_ATTEMPTS: Final = 1_000_000
_BATCH: Final = 5
_WHAT_HAPPENS: Final = ("complete", "give back", "put off", "crash")
_HOW_OFTEN: Final = (78, 10, 10, 2)


class CrashingWorkers:
    """Workers over one synchronous store; a crashed one is replaced by its successor.

    Args:
        storage: holds the Enrollments.
        new_tracker: makes a tracker over a storage given to it.
        clock: the clock of those trackers; it moves when a worker crashes or finds nothing.
        seed: decides where they crash.
        organizations: the Organizations whose Enrollments they work on.

    Attributes:
        completed: the ids whose completion was confirmed to a worker; a crash hides some.
        crashes: how many workers crashed.
        refused: how many were refused because they finished too late.
    """

    def __init__(
        self,
        storage: Any,
        new_tracker: Callable[..., Any],
        clock: FixedClock,
        *,
        seed: int,
        organizations: Sequence[str] = ("default",),
    ) -> None:
        self._storage = storage
        self._new_tracker = new_tracker
        self._clock = clock
        self._seed = seed
        self._organizations = organizations
        self._lock = threading.Lock()
        self.completed: list[str] = []
        self.crashes = 0
        self.refused = 0

    def run(self, count: int) -> None:
        """Let `count` workers work until no Enrollment is pending or claimed."""
        with ThreadPoolExecutor(count) as pool:
            list(pool.map(self._work, range(count)))

    def _work(self, number: int) -> None:
        chance = random.Random(f"{self._seed} {number}")  # noqa: S311 - a test's dice
        put_off: list[ClaimedEnrollment] = []
        while self._left():
            storage = FaultyStorage(
                _AnswerLost(self._storage, chance),
                fail_at=chance.randrange(12),
                after=chance.random() < 0.5,
            )
            try:
                self._until_crash(self._new_tracker(storage), chance, put_off)
            except InjectedFault:
                with self._lock:
                    self.crashes += 1
            # Leases of crashed workers run out, and so do those of some who are only late.
            with self._lock:
                self._clock.advance(seconds=chance.choice([0, 20, 61]))
        tracker = self._new_tracker()
        for item in put_off:
            self._complete(tracker, item)

    def _until_crash(
        self, tracker: Any, chance: random.Random, put_off: list[ClaimedEnrollment]
    ) -> None:
        while claimed := tracker.enrollments.claim(
            limit=_BATCH, lease=_LEASE, max_attempts=_ATTEMPTS, organization_id=None
        ):
            for item in claimed:
                what = chance.choices(_WHAT_HAPPENS, _HOW_OFTEN)[0]
                if what == "crash":
                    raise InjectedFault
                if what == "put off":
                    put_off.append(item)
                elif what == "give back":
                    tracker.enrollments.release_many([item.lease], max_attempts=_ATTEMPTS)
                else:
                    self._complete(tracker, item)

    def _complete(self, tracker: Any, item: ClaimedEnrollment) -> None:
        try:
            tracker.enrollments.complete(item.lease)
        except LeaseLost:
            with self._lock:
                self.refused += 1
        else:
            with self._lock:
                self.completed.append(item.enrollment.enrollment_id)

    def _left(self) -> bool:
        tracker = self._new_tracker()
        return any(
            tracker.enrollments.list(status=status, limit=1, organization_id=name)
            for name in self._organizations
            for status in (EnrollmentStatus.PENDING, EnrollmentStatus.CLAIMED)
        )


class _AnswerLost:
    """A storage that sometimes commits and then crashes, so that its answer is lost."""

    def __init__(self, storage: Any, chance: random.Random) -> None:
        self._storage = storage
        self._chance = chance

    def run(self, work: Callable[[Any], Any], **how: Any) -> Any:
        result = self._storage.run(work, **how)
        if self._chance.random() < 0.02:
            raise InjectedFault
        return result

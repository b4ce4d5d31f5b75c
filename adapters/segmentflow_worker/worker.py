"""The two faces of a worker: `Worker` and `AsyncWorker`. What both do in a run is in `shift`."""

from __future__ import annotations

import random
import signal
import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from datetime import timedelta
from types import FrameType
from typing import Any, Final, TypeAlias

from segmentflow_core import AsyncEnrollments, Enrollments
from segmentflow_core.colour import drive
from segmentflow_core.errors import ConfigurationError
from segmentflow_core.ports import AsyncStorage, Clock, IdFactory, Storage
from segmentflow_worker.assignment import Handler
from segmentflow_worker.hands import Hands, LoopHands, ThreadHands
from segmentflow_worker.observing import Telling, WorkerObserver
from segmentflow_worker.settings import Settings
from segmentflow_worker.shift import Shift
from segmentflow_worker.waiting import LoopWaiter, ThreadWaiter, Waiter

__all__ = ["AsyncWorker", "Worker"]

_LEASE: Final = timedelta(minutes=1)
_RETRY_AFTER: Final = timedelta(seconds=10)
_LONGEST_RETRY: Final = timedelta(hours=1)
_POLL: Final = timedelta(milliseconds=100)
_LONGEST_POLL: Final = timedelta(seconds=5)
_GRACE: Final = timedelta(seconds=30)
_SIGNALS: Final = (signal.SIGTERM, signal.SIGINT)


_Listening: TypeAlias = Callable[[Callable[[], None]], AbstractContextManager[None]]


def _listening_of(storage: object, *, listen: bool) -> _Listening:
    """Return how a storage calls a worker; where it cannot, or is not to, nothing does."""
    offered: _Listening | None = getattr(storage, "listening", None) if listen else None
    return offered or (lambda _: nullcontext())


class _Shifts:
    """The runs of one worker, one at a time."""

    def __init__(
        self,
        enrollments: Enrollments | AsyncEnrollments,
        settings: Settings,
        *,
        hands: Callable[[], Hands],
        waiter: Waiter,
        listening: _Listening,
        observers: Sequence[WorkerObserver],
        chance: Callable[[], float],
    ) -> None:
        self._new: Callable[[], Shift] = lambda: Shift(
            enrollments,
            settings,
            hands=hands(),
            waiter=waiter,
            telling=Telling(observers),
            chance=chance,
        )
        self._listening = listening
        self._current: Shift | None = None
        self._stops_next = False
        self._lock = threading.Lock()

    @contextmanager
    def begun(self) -> Generator[Shift]:
        """Give a new run, which signals stop; it is stopped already where a stop came before it."""
        with self._lock:
            if self._current is not None:
                raise ConfigurationError("The worker runs already.")
            shift = self._current = self._new()
        try:
            with _stopped_by_signals(shift.stop), self._listening(shift.wake):
                if self._stops_next:
                    self._stops_next = False
                    shift.stop()
                yield shift
        finally:
            self._current = None

    def stop(self) -> None:
        # Noted before it is looked who runs, so that a run which begins meanwhile finds it. Without
        # the lock: a signal handler may come while this thread has it.
        self._stops_next = True
        shift = self._current
        if shift is not None:
            self._stops_next = False
            shift.stop()

    def wake(self) -> None:
        shift = self._current
        if shift is not None:
            shift.wake()


class Worker:
    """Works on Enrollments, over a synchronous storage: claims them, runs handlers, finishes them.

    A handler that returns completes its Enrollment. One that raises fails: the Enrollment is given
    back with the failure in words, and handed over again after a delay that grows. While a handler
    runs, its lease is extended. When an extension is refused, what the handler does is not
    completed. Handlers run in threads of their own, which do not keep the process alive.

    Work is done at least once. A worker may die between doing it and completing it, so a
    handler passes `Assignment.idempotency_key` on.

    Args:
        storage: where the Enrollments are.
        handlers: functions by Journey id, plain or asynchronous; no other Journeys are claimed.
        default: handles every Journey that `handlers` does not name.
        organization_id: whose Enrollments; None takes those of every Organization.
        concurrency: how many handlers run at once, and so how many Enrollments it holds.
        lease: how long others wait for a worker that died.
        max_attempts: an Enrollment handed over this often is dead when it fails.
        retry_after: how long an Enrollment rests after its first failure; it doubles with each.
        longest_retry: the longest it rests.
        poll: how soon it asks again when nothing was available; it doubles with each.
        longest_poll: the longest it waits.
        grace: how long a stop waits for handlers; then it gives back what they have.
        measure: how often observers are told how much waits; None never asks the store. It takes
            an `organization_id`, and a storage that finds.
        listen: whether to be woken by other processes where the storage can, as on PostgreSQL; say
            False behind a pooler that shares sessions.
        observers: are told what it does.
        clock: tells the time of leases; as of `Enrollments`.
        ids: makes tokens; as of `Enrollments`.
        waiter: waits; default blocks the thread.
        chance: gives numbers from 0 up to 1, for the jitter of delays.

    Raises:
        ConfigurationError: an argument breaks its rule, a handler is a generator function, or the
            storage is asynchronous.
    """

    def __init__(
        self,
        storage: Storage,
        handlers: Mapping[str, Handler],
        *,
        default: Handler | None = None,
        organization_id: str | None = "default",
        concurrency: int = 8,
        lease: timedelta = _LEASE,
        max_attempts: int = 10,
        retry_after: timedelta = _RETRY_AFTER,
        longest_retry: timedelta = _LONGEST_RETRY,
        poll: timedelta = _POLL,
        longest_poll: timedelta = _LONGEST_POLL,
        grace: timedelta = _GRACE,
        measure: timedelta | None = None,
        listen: bool = True,
        observers: Sequence[WorkerObserver] = (),
        clock: Clock | None = None,
        ids: IdFactory | None = None,
        waiter: Waiter | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        settings = Settings(
            handlers,
            default,
            organization_id,
            concurrency,
            lease,
            max_attempts,
            retry_after,
            longest_retry,
            poll,
            longest_poll,
            grace,
            measure,
        )
        self._shifts = _Shifts(
            Enrollments(storage, clock=clock, ids=ids),
            settings,
            hands=ThreadHands,
            waiter=waiter or ThreadWaiter(),
            listening=_listening_of(storage, listen=listen),
            observers=observers,
            chance=chance,
        )

    def run(self) -> int:
        """Work until `stop` is called, or SIGTERM or SIGINT comes; return how many it completed.

        The signals are taken in the main thread alone, and put back afterwards. A second one
        waits for no handler. For a store that does not answer it waits all the same.

        Raises:
            SegmentflowError: the store refuses in a way that trying again would not help; what
                was claimed is given back.
        """
        with self._shifts.begun() as shift:
            return drive(shift.run(until_idle=False))

    def drain(self) -> int:
        """Work until nothing is available and every handler has ended; return how many completed.

        What becomes available later, such as after a failure's delay, is left.
        """
        with self._shifts.begun() as shift:
            return drive(shift.run(until_idle=True))

    def stop(self) -> None:
        """Let `run` end: claim no more, let handlers end within the grace, give back the rest.

        Called again, it waits for no handler. From any thread, and from a signal handler.

        Where no run is under way, it ends the `run` or `drain` that begins next, before that claims
        anything. The one after that works.
        """
        self._shifts.stop()

    def wake(self) -> None:
        """Let it claim now, whenever it would have asked next. From any thread."""
        self._shifts.wake()


class AsyncWorker:
    """As `Worker`, over an asynchronous storage; `run` and `drain` are awaited.

    Asynchronous handlers run in the event loop, and are cancelled when a stop gives back what
    they have. Plain ones run in threads beside it.
    """

    def __init__(
        self,
        storage: AsyncStorage,
        handlers: Mapping[str, Handler],
        *,
        default: Handler | None = None,
        organization_id: str | None = "default",
        concurrency: int = 8,
        lease: timedelta = _LEASE,
        max_attempts: int = 10,
        retry_after: timedelta = _RETRY_AFTER,
        longest_retry: timedelta = _LONGEST_RETRY,
        poll: timedelta = _POLL,
        longest_poll: timedelta = _LONGEST_POLL,
        grace: timedelta = _GRACE,
        measure: timedelta | None = None,
        listen: bool = True,
        observers: Sequence[WorkerObserver] = (),
        clock: Clock | None = None,
        ids: IdFactory | None = None,
        waiter: Waiter | None = None,
        chance: Callable[[], float] = random.random,
    ) -> None:
        settings = Settings(
            handlers,
            default,
            organization_id,
            concurrency,
            lease,
            max_attempts,
            retry_after,
            longest_retry,
            poll,
            longest_poll,
            grace,
            measure,
        )
        self._shifts = _Shifts(
            AsyncEnrollments(storage, clock=clock, ids=ids),
            settings,
            hands=LoopHands,
            waiter=waiter or LoopWaiter(),
            listening=_listening_of(storage, listen=listen),
            observers=observers,
            chance=chance,
        )

    async def run(self) -> int:
        """Work until `stop` is called, or SIGTERM or SIGINT comes; as `Worker.run`.

        A cancelled run gives back what it holds.
        """
        with self._shifts.begun() as shift:
            return await shift.run(until_idle=False)

    async def drain(self) -> int:
        """Work until nothing is available and every handler has ended; as `Worker.drain`."""
        with self._shifts.begun() as shift:
            return await shift.run(until_idle=True)

    def stop(self) -> None:
        """Let `run` end; as `Worker.stop`."""
        self._shifts.stop()

    def wake(self) -> None:
        """Let it claim now; as `Worker.wake`."""
        self._shifts.wake()


@contextmanager
def _stopped_by_signals(stop: Callable[[], None]) -> Generator[None]:
    """Let signals stop the worker; only the main thread can take them."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def stopped(_number: int, _frame: FrameType | None) -> None:
        stop()

    before: dict[int, Any] = {number: signal.signal(number, stopped) for number in _SIGNALS}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)

"""Time that passes only while a worker waits, step by step as a test says; both colours."""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Callable, Iterator
from datetime import timedelta
from enum import Enum, auto
from typing import Any

from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock, a_journey, a_request
from segmentflow_memory import AsyncMemoryStorage, MemoryStorage
from segmentflow_worker import AsyncWorker, LoopWaiter, Worker

__all__ = ["CALL", "PASS", "Shop", "Told"]

_LONG = 60.0


class _Step(Enum):
    CALL = auto()
    """Wait until somebody calls."""
    PASS = auto()
    """Let the time pass that the worker would wait."""


CALL, PASS = _Step


class Told:
    """An observer that keeps what it was told, as pairs of the hook's name and its details."""

    def __init__(self) -> None:
        self.all: list[tuple[str, Any]] = []

    def __getattr__(self, name: str) -> Callable[[Any], None]:
        return lambda details: self.all.append((name, details))

    def of(self, name: str) -> list[Any]:
        return [details for each, details in self.all if each == name]

    @property
    def running(self) -> int:
        ends = ("completed", "failed", "lease_lost", "given_back")
        return len(self.of("started")) - sum(len(self.of(end)) for end in ends)


class _Time:
    def __init__(self, clock: FixedClock) -> None:
        self.waits: list[float | None] = []
        self.script: Iterator[_Step] = iter(())
        self._clock = clock
        self._seconds = 0.0

    def now(self) -> float:
        return self._seconds

    def has_passed(self, seconds: float | None) -> bool:
        """Do the next step: let the time pass, unless it is to wait for a call."""
        self.waits.append(seconds)
        if next(self.script) is CALL:
            return False
        assert seconds is not None, "nothing is due"
        self._seconds += seconds
        self._clock.advance(seconds=seconds)
        return True


class _ThreadTime(_Time):
    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock)
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()

    def call(self) -> None:
        self._calls.put(None)

    def wait(self, seconds: float | None) -> None:
        if not self._calls.empty() or not self.has_passed(seconds):
            self._calls.get(timeout=_LONG)


class _LoopTime(_Time):
    def __init__(self, clock: FixedClock) -> None:
        super().__init__(clock)
        self._calls: queue.SimpleQueue[None] = queue.SimpleQueue()
        self._inner = LoopWaiter()

    def call(self) -> None:
        self._calls.put(None)
        self._inner.call()

    async def wait(self, seconds: float | None) -> None:
        await asyncio.sleep(0)  # what was started begins
        if not self._calls.empty() or not self.has_passed(seconds):
            while self._calls.empty():
                await self._inner.wait(_LONG)
            self._calls.get_nowait()


class Shop:
    """A store in memory with Profiles that entered a Journey, and workers of one colour."""

    def __init__(self, *, in_loop: bool) -> None:
        self.clock = FixedClock()
        self.storage = MemoryStorage()
        self.tracker = Tracker(self.storage, fingerprint_key=FINGERPRINT_SECRET, clock=self.clock)
        self.enrollments = self.tracker.enrollments
        self.told = Told()
        self._in_loop = in_loop
        self._began = threading.Event()
        self.time: Any = (_LoopTime if in_loop else _ThreadTime)(self.clock)

    def enrol(self, count: int, *journeys: str) -> list[str]:
        """Let so many Profiles enter each Journey; return the Enrollments' ids, oldest first."""
        self.tracker.journeys.publish([a_journey(each) for each in journeys or ("welcome",)])
        before = len(self.enrollments.list(limit=1000))
        for number in range(count):
            profile = {"email": f"p{before}.{number}@example.com"}
            self.tracker.track(a_request(profile=profile), f"{before}.{number}")
        listed = self.enrollments.list(limit=1000)
        return [each.enrollment_id for each in reversed(listed[: len(listed) - before])]

    def gated(self, before: Callable[[Any], None] = lambda _: None) -> tuple[Any, Any]:
        """Return a gate, and a handler that waits for it."""
        if self._in_loop:
            opened = asyncio.Event()

            async def handle_in_loop(assignment: Any) -> None:
                before(assignment)
                await opened.wait()

            return opened, handle_in_loop
        gate = threading.Event()

        def handle(assignment: Any) -> None:
            before(assignment)
            self._began.set()
            assert gate.wait(_LONG)

        return gate, handle

    def wait_until_begun(self) -> None:
        """Return once a gated handler runs; in a loop it does before the worker waits."""
        assert self._in_loop or self._began.wait(_LONG)

    def worker(self, handlers: Any, *, storage: Any = None, **options: Any) -> Any:
        """Make a worker whose time the test tells, without jitter."""
        over = self.storage if storage is None else storage
        kind: Any = AsyncWorker if self._in_loop else Worker
        given = {
            "observers": [self.told],
            "clock": self.clock,
            "waiter": self.time,
            "chance": lambda: 0.0,
            "lease": timedelta(minutes=1),
        }
        return kind(
            AsyncMemoryStorage(over) if self._in_loop else over, handlers, **given | options
        )

    def drain(self, worker: Any) -> int:
        """Work until nothing is available: wait while handlers run, else let time pass."""

        def steps() -> Iterator[_Step]:
            while True:
                yield CALL if self.told.running else PASS

        self.time.script = steps()
        return asyncio.run(worker.drain()) if self._in_loop else worker.drain()

    def again(self, worker: Any) -> None:
        """Let a worker run that runs already."""
        if self._in_loop:
            worker.run().send(None)
        else:
            worker.run()

    def run(self, worker: Any, script: Iterator[_Step]) -> int:
        """Work as a script says, which has to stop the worker."""
        self.time.script = script
        return asyncio.run(worker.run()) if self._in_loop else worker.run()

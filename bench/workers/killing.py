"""Killing workers while they work, at moments that their own progress and a seed choose."""

from __future__ import annotations

import multiprocessing
import random
import time
from collections.abc import Callable, Generator
from contextlib import contextmanager
from datetime import timedelta
from multiprocessing.process import BaseProcess
from typing import Final

from attrs import define, field, frozen
from sqlalchemy import Engine, create_engine

from bench.workers.handling import JOURNEY, Hand, work
from bench.workers.ledger import broken_promises, completions, prepare, runs_again
from segmentflow_core import Tracker
from segmentflow_core.testing import FINGERPRINT_SECRET, a_journey, a_request
from segmentflow_sql import SqlStorage

__all__ = ["Figures", "WorkFailed", "kill_workers", "processes"]

_BATCH: Final = 500
_LOOK: Final = 0.01
_WITHIN: Final = 0.05
_NO_PROGRESS: Final = 120.0
_AHEAD: Final = timedelta(minutes=2)

# Forks come from a server without threads, which has imported what takes long.
processes = multiprocessing.get_context("forkserver")
processes.set_forkserver_preload(["bench.workers.handling", "segmentflow_sql.postgresql"])


class WorkFailed(Exception):
    """A worker ended by itself, or none gets anywhere."""


@frozen
class Figures:
    """What happened, and how often each promise was broken.

    Attributes:
        enrollments: how many there were.
        workers: how many worked at any time.
        kills: how many were killed, each followed by another.
        ahead: how many seconds the first one's clock was ahead, and its followers'.
        handed_again: how many hand-overs followed an earlier one of the same Enrollment.
        made_again: how many times a handler made an effect that was there already.
        seconds: from the first worker's start until all was completed.
        broken: by the names of `PROMISES`.
    """

    seed: int
    enrollments: int
    workers: int
    kills: int
    ahead: int
    handed_again: int
    made_again: int
    seconds: float
    broken: dict[str, int]

    @property
    def kept(self) -> bool:
        """Whether every promise was kept."""
        return not any(self.broken.values())


def kill_workers(
    url: str,
    *,
    enrollments: int,
    kills: int,
    seed: int,
    workers: int = 2,
    lease: timedelta = timedelta(seconds=5),
    on_progress: Callable[[int], object] = lambda _: None,
) -> Figures:
    """Let workers complete Enrollments, and kill one of them every so many completions.

    Args:
        url: of an empty store, its tables created.
        enrollments: how many there are.
        kills: how many times a worker is killed.
        seed: of the moments and of who is killed.
        workers: how many there are at any time.
        lease: how long what a killed one held waits.
        on_progress: called with how many are completed.

    Raises:
        WorkFailed: a worker ended by itself, or none gets anywhere.
    """
    engine = create_engine(url)
    prepare(engine)
    _enrol(engine, enrollments)
    ahead = timedelta() if engine.dialect.name == "sqlite" else _AHEAD
    chance = random.Random(seed)
    moments = sorted(chance.sample(range(enrollments), kills))
    started = time.monotonic()
    with _staff([Hand(url, lease, ahead), *[Hand(url, lease)] * (workers - 1)]) as staff:
        for moment in moments:
            _wait(engine, staff, moment, on_progress)
            # Somewhere within what is being done, not just where it was seen.
            time.sleep(chance.uniform(0, _WITHIN))
            staff.kill(chance.randrange(workers))
        _wait(engine, staff, enrollments, on_progress)
        taken = time.monotonic() - started
    made_again, handed_again = runs_again(engine)
    figures = Figures(
        seed,
        enrollments,
        workers,
        kills,
        int(ahead.total_seconds()),
        handed_again,
        made_again,
        taken,
        broken_promises(engine),
    )
    engine.dispose()
    return figures


def _enrol(engine: Engine, count: int) -> None:
    tracker = Tracker(SqlStorage(engine), fingerprint_key=FINGERPRINT_SECRET)
    tracker.journeys.publish([a_journey(JOURNEY)])
    for start in range(0, count, _BATCH):
        numbers = range(start, min(start + _BATCH, count))
        emails = [f"p{number}@example.com" for number in numbers]
        tracker.track_many([(a_request(profile={"email": each}), each) for each in emails])


@define
class _Staff:
    """Processes that work, each followed by another where it is killed."""

    hands: list[Hand]
    processes: list[BaseProcess] = field(factory=list[BaseProcess])

    def start(self, hand: Hand) -> BaseProcess:
        process = processes.Process(target=work, args=(hand,), daemon=True)
        process.start()
        return process

    def kill(self, number: int) -> None:
        process = self.processes[number]
        process.kill()
        process.join()
        self.processes[number] = self.start(self.hands[number])

    def check(self) -> None:
        if not all(process.is_alive() for process in self.processes):
            raise WorkFailed("a worker ended by itself")


@contextmanager
def _staff(hands: list[Hand]) -> Generator[_Staff]:
    staff = _Staff(hands)
    try:
        staff.processes.extend(map(staff.start, hands))
        yield staff
    finally:
        for process in staff.processes:
            process.terminate()
        for process in staff.processes:
            process.join()


def _wait(engine: Engine, staff: _Staff, count: int, on_progress: Callable[[int], object]) -> None:
    """Wait until so many are completed."""
    before, moved = -1, time.monotonic()
    while (done := completions(engine)) < count:
        if done != before:
            before, moved = done, time.monotonic()
            on_progress(done)
        if time.monotonic() - moved > _NO_PROGRESS:
            raise WorkFailed("no worker gets on")
        staff.check()
        time.sleep(_LOOK)
    on_progress(done)

"""Workers in processes of their own, for the tests to kill while they work."""

from __future__ import annotations

import multiprocessing
import random
from collections.abc import Callable
from datetime import datetime, timedelta
from multiprocessing.connection import Connection, wait

from sqlalchemy import create_engine

from segmentflow_core import SegmentflowError, Tracker
from segmentflow_core.errors import LeaseLost
from segmentflow_core.testing import FINGERPRINT_SECRET, FixedClock
from segmentflow_sql import SqlStorage
from segmentflow_worker import Assignment, Completed, LoggingObserver, LostLease, Worker

__all__ = ["KilledWorkers", "work_by_handlers"]

_LEASE = timedelta(minutes=1)
_BATCH = 20
_PER_CALL = 10
_LATE = b"late"
_DID = b"did "

# Forks come from a server without threads, which has imported what takes long.
_processes = multiprocessing.get_context("forkserver")
_processes.set_forkserver_preload(["segmentflow_core.testing", "segmentflow_sql.postgresql"])


def _work(url: str, now: datetime, teller: Connection) -> None:
    """Complete whatever is available at an instant, and tell the id of each after its commit."""
    storage = SqlStorage(create_engine(url), wait=60)
    tracker = Tracker(storage, fingerprint_key=FINGERPRINT_SECRET, clock=FixedClock(now))
    while claimed := tracker.enrollments.claim(
        limit=_BATCH, lease=_LEASE, max_attempts=1_000_000, organization_id=None
    ):
        leases = [item.lease for item in claimed]
        for start in range(0, len(leases), _PER_CALL):
            some = leases[start : start + _PER_CALL]
            answers = tracker.enrollments.complete_many(some)
            for lease, answer in zip(some, answers, strict=True):
                if isinstance(answer, SegmentflowError) and not isinstance(answer, LeaseLost):
                    raise answer
                late = isinstance(answer, LeaseLost)
                teller.send_bytes(_LATE if late else lease.enrollment_id.encode())
    storage.close()


def work_by_handlers(url: str, now: datetime, teller: Connection) -> None:
    """Let a `Worker` handle whatever is available at an instant, and tell what it completed.

    What each handler does stands before its Enrollment's id: its effect outside of the store.
    """
    worker = Worker(
        SqlStorage(create_engine(url), wait=60),
        {"welcome": lambda assignment: teller.send_bytes(_DID + _id_of(assignment))},
        organization_id=None,
        # One at a time, since a pipe takes one writer at a time.
        concurrency=1,
        lease=_LEASE,
        max_attempts=1_000_000,
        clock=FixedClock(now),
        observers=[_Telling(teller)],
    )
    worker.drain()


def _id_of(assignment: Assignment) -> bytes:
    return assignment.idempotency_key.encode()


class _Telling(LoggingObserver):
    def __init__(self, teller: Connection) -> None:
        self._teller = teller

    def completed(self, details: Completed) -> None:
        self._teller.send_bytes(details.enrollment_id.encode())

    def lease_lost(self, details: LostLease) -> None:
        del details
        self._teller.send_bytes(_LATE)


class KilledWorkers:
    """Workers on one store, some of which are killed; each dead one has a successor.

    A successor's clock is so much later that every lease has run out which was there
    before it, those of the living as well: they finish too late, and are refused.

    Args:
        url: of the store.
        start: the first ones' clock.
        seed: decides which are killed, and when.
        work: what each does, until nothing is available.

    Attributes:
        done: the ids that a handler acted on, each as often as one did.
        completed: the ids whose completion a worker was told of.
        refused: how many were told that they were too late.
        killed: how many were killed.
    """

    def __init__(
        self,
        url: str,
        start: datetime,
        seed: int,
        work: Callable[[str, datetime, Connection], None] = _work,
    ) -> None:
        self._work = work
        self._url = url
        self._now = start
        self._chance = random.Random(seed)
        self._alive: dict[Connection, multiprocessing.process.BaseProcess] = {}
        self.done: list[str] = []
        self.completed: list[str] = []
        self.refused = 0
        self.killed = 0

    def run(self, count: int, kills: int, pause: int) -> None:
        """Let `count` workers work, and kill one after `pause` answers or so, `kills` times."""
        for _ in range(count):
            self._start()
        heard = 0
        until_the_next = self._chance.randrange(1, 2 * pause)
        while self._alive:
            for reader in wait(list(self._alive)):
                heard += self._hear(reader)
            if self.killed < kills and heard >= until_the_next and self._alive:
                self._kill(self._chance.choice(list(self._alive)))
                until_the_next = heard + self._chance.randrange(1, 2 * pause)
        self._later()
        self._start()
        self._until_the_end(next(iter(self._alive)))

    def _start(self) -> None:
        reader, teller = _processes.Pipe(duplex=False)
        process = _processes.Process(target=self._work, args=(self._url, self._now, teller))
        process.start()
        teller.close()
        self._alive[reader] = process

    def _later(self) -> None:
        self._now += 2 * _LEASE

    def _kill(self, reader: Connection) -> None:
        process = self._alive[reader]
        process.kill()
        process.join()
        self._until_the_end(reader)
        self.killed += 1
        self._later()
        self._start()

    def _until_the_end(self, reader: Connection) -> None:
        while self._hear(reader):
            pass

    def _hear(self, reader: Connection) -> bool:
        """Take in one answer; a worker that has no more is gone."""
        try:
            told = reader.recv_bytes()
        except (EOFError, OSError):
            process = self._alive.pop(reader)
            process.join()
            reader.close()
            assert process.exitcode in (0, -9), "a worker failed"
            return False
        if told == _LATE:
            self.refused += 1
        elif told.startswith(_DID):
            self.done.append(told.removeprefix(_DID).decode())
        else:
            self.completed.append(told.decode())
        return True

"""Workers: they claim Enrollments, hand each to its Journey's handler, and finish it.

`Worker` is for a synchronous storage and runs handlers in threads. `AsyncWorker` is for an
asynchronous one and runs them in its event loop. Both take plain and asynchronous handlers.

See docs/how-to/workers.md.
"""

from __future__ import annotations

from segmentflow_worker.assignment import Assignment, GiveUp, Handler, TryAgain
from segmentflow_worker.logged import LoggingObserver
from segmentflow_worker.observing import (
    Claimed,
    Completed,
    Failed,
    GivenBack,
    LostLease,
    Measured,
    Started,
    Unavailable,
    WorkerObserver,
)
from segmentflow_worker.waiting import LoopWaiter, ThreadWaiter, Waiter
from segmentflow_worker.waking import wakes
from segmentflow_worker.worker import AsyncWorker, Worker

__all__ = [
    "Assignment",
    "AsyncWorker",
    "Claimed",
    "Completed",
    "Failed",
    "GiveUp",
    "GivenBack",
    "Handler",
    "LoggingObserver",
    "LoopWaiter",
    "LostLease",
    "Measured",
    "Started",
    "ThreadWaiter",
    "TryAgain",
    "Unavailable",
    "Waiter",
    "Worker",
    "WorkerObserver",
    "wakes",
]

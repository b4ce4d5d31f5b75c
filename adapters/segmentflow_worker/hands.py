"""Running handlers: in threads, or in the event loop. Each tells when it ended, and how.

Knows nothing of leases. A handler that never ends holds its thread, and nothing else.
"""

from __future__ import annotations

import asyncio
import queue
import threading
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, Protocol, TypeAlias

from segmentflow_core.colour import is_asynchronous, settle
from segmentflow_worker.assignment import Assignment, Handler
from segmentflow_worker.bodies import check_result

__all__ = ["Ended", "Hands", "LoopHands", "ThreadHands"]

Ended: TypeAlias = Callable[[BaseException | None], None]
"""Is told what a handler raised; None where it returned. From whatever thread it ran in."""


class Hands(Protocol):
    """Runs handlers."""

    def start(self, handler: Handler, assignment: Assignment, ended: Ended) -> None:
        """Begin to run a handler."""
        ...

    def let_go(self) -> None:
        """Stop what can be stopped, and wait for nothing."""
        ...


_Job: TypeAlias = tuple[Handler, Assignment, Ended]


class ThreadHands:
    """Runs handlers in threads, which are made when needed and used again.

    An asynchronous handler gets the event loop of its thread. The threads do not keep the
    process alive: nothing can end a plain function from outside.
    """

    def __init__(self) -> None:
        self._jobs: queue.SimpleQueue[_Job | None] = queue.SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._threads = 0

    def start(self, handler: Handler, assignment: Assignment, ended: Ended) -> None:
        """Begin to run a handler."""
        with self._lock:
            needed = self._idle == 0
            if needed:
                self._threads += 1
            else:
                self._idle -= 1
        if needed:
            name = f"segmentflow-handler-{self._threads}"
            threading.Thread(target=self._serve, args=(self._jobs,), name=name, daemon=True).start()
        self._jobs.put((handler, assignment, ended))

    def let_go(self) -> None:
        """Let each thread end once its handler has."""
        for _ in range(self._threads):
            self._jobs.put(None)
        self._threads = self._idle = 0
        # What is still running reads the queue that it was started with.
        self._jobs = queue.SimpleQueue()

    def _serve(self, jobs: queue.SimpleQueue[_Job | None]) -> None:
        runner = asyncio.Runner()
        try:
            while (job := jobs.get()) is not None:
                handler, assignment, ended = job
                raised = _run(handler, assignment, runner)
                with self._lock:
                    if jobs is self._jobs:
                        self._idle += 1
                ended(raised)
        finally:
            runner.close()


def _run(handler: Handler, assignment: Assignment, runner: asyncio.Runner) -> BaseException | None:
    try:
        result = handler(assignment)
        if isinstance(result, Awaitable):
            result = runner.run(_awaited(result))
        check_result(result)
    except BaseException as error:  # noqa: BLE001 - it is a stranger's, and may do anything
        return error
    return None


async def _awaited(result: Awaitable[object]) -> object:
    return await result


class LoopHands:
    """Runs asynchronous handlers in the event loop, and plain ones in threads beside it."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()
        self._threads = ThreadHands()

    def start(self, handler: Handler, assignment: Assignment, ended: Ended) -> None:
        """Begin to run a handler."""
        if not is_asynchronous(handler):
            self._threads.start(handler, assignment, ended)
            return
        task = asyncio.create_task(_told(handler, assignment, ended))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def let_go(self) -> None:
        """Cancel the tasks, and let each thread end once its handler has."""
        for task in self._tasks:
            task.cancel()
        self._threads.let_go()


def _told(handler: Handler, assignment: Assignment, ended: Ended) -> Coroutine[Any, Any, None]:
    async def run() -> None:
        try:
            check_result(await settle(handler(assignment)))
        except BaseException as error:  # noqa: BLE001 - it is a stranger's, and may do anything
            ended(error)
        else:
            ended(None)

    return run()

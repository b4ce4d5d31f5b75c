"""Callers of either colour, one after another or at once.

Knows threads and tasks, so that a test is written once: its clients are coroutines that
`settle` what a tracker returns. Must never know what the clients do.
"""

from __future__ import annotations

import asyncio
import threading
from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, TypeAlias

from segmentflow_core import SegmentflowError, colour
from segmentflow_core.colour import drive

__all__ = [
    "AtOnce",
    "Blocking",
    "Client",
    "Gate",
    "is_asynchronous",
    "run_at_once",
]

Client: TypeAlias = Callable[[Any], Coroutine[Any, Any, Any]]
"""A coroutine function that is given a tracker of the storage's own colour."""

AtOnce: TypeAlias = Callable[[Sequence[Client]], list[Any]]
"""Runs clients at once and returns the result or refusal of each."""

_HANGS: Final = 60.0
"""The default for how many seconds callers may wait for each other before it is a deadlock."""


def is_asynchronous(storage: Any) -> bool:
    """Say which colour a storage has, by the rule of the facades."""
    return colour.is_asynchronous(storage.run)


class Blocking:
    """An `AsyncTracker` whose calls are run to their end, so one test serves both colours.

    The facades that it offers, such as `journeys`, are wrapped alike.
    """

    def __init__(self, facade: Any, run_async: Callable[[Any], Any]) -> None:
        self._facade = facade
        self._run_async = run_async

    def __getattr__(self, name: str) -> Any:
        found = getattr(self._facade, name)
        if not callable(found):
            return Blocking(found, self._run_async)
        return lambda *args, **kwargs: self._run_async(found(*args, **kwargs))


def run_at_once(
    calls: Sequence[tuple[Client, Any]],
    run_async: Callable[[Any], Any] | None,
    *,
    bound: float = _HANGS,
) -> list[Any]:
    """Run clients at once, each with its tracker; return the result or the refusal of each.

    Args:
        calls: pairs of a client and its tracker.
        run_async: runs a coroutine, for tasks; None for threads, which start together.
        bound: seconds until unfinished callers count as deadlocked.

    Raises:
        AssertionError: they did not end in time.
    """
    if run_async is None:
        return _on_threads(calls, bound)
    return list(run_async(_as_tasks(calls, bound)))


async def _outcome(client: Client, tracker: Any) -> Any:
    try:
        return await client(tracker)
    except SegmentflowError as refusal:
        return refusal


async def _as_tasks(calls: Sequence[tuple[Client, Any]], bound: float) -> list[Any]:
    together = asyncio.gather(*(_outcome(client, tracker) for client, tracker in calls))
    try:
        return await asyncio.wait_for(together, bound)
    except TimeoutError:
        raise AssertionError("The callers wait for each other and for nothing else.") from None


def _on_threads(calls: Sequence[tuple[Client, Any]], bound: float) -> list[Any]:
    start = threading.Barrier(len(calls))
    outcomes: dict[int, Any] = {}
    failures: list[BaseException] = []

    def run(number: int) -> None:
        start.wait()
        try:
            outcomes[number] = drive(_outcome(*calls[number]))
        except BaseException as failure:  # noqa: BLE001 - raised again in the test's thread
            failures.append(failure)

    # Daemons: threads that hang must not keep the run from ending.
    threads = [
        threading.Thread(target=run, args=(number,), daemon=True) for number in range(len(calls))
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(bound)
        assert not thread.is_alive(), "The callers wait for each other and for nothing else."
    if failures:
        raise failures[0]
    return [outcomes[number] for number in range(len(calls))]


class Gate:
    """Something to wait for, in either colour."""

    def __init__(self, *, asynchronous: bool) -> None:
        self._task_event = asyncio.Event() if asynchronous else None
        self._event = threading.Event()

    def open(self) -> None:
        """Let the waiting callers go on."""
        self._event.set()
        if self._task_event is not None:
            self._task_event.set()

    def wait(self, seconds: float = _HANGS) -> Any:
        """Wait, in the gate's colour, until it opens or the time is over; say whether it opened."""
        if self._task_event is None:
            return self._event.wait(seconds)
        return _wait(self._task_event, seconds)


async def _wait(event: asyncio.Event, seconds: float) -> bool:
    try:
        return await asyncio.wait_for(event.wait(), seconds)
    except TimeoutError:
        return event.is_set()

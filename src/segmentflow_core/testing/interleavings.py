"""Every order in which the steps of a few callers can run.

A caller is a coroutine; wherever it awaits `switch`, another may go on. `interleavings` makes
new callers for each order and runs them to their ends, so each finding can be repeated.
Knows nothing of event loops; must never know what the callers do.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Coroutine, Generator, Iterator, Sequence
from typing import Any, TypeAlias

from attrs import frozen

from segmentflow_core import SegmentflowError

__all__ = ["Deadlock", "Interleaving", "interleavings", "switch"]

Callers: TypeAlias = Sequence[Coroutine[Any, Any, Any]]
Ready: TypeAlias = Callable[[], bool]


class Deadlock(AssertionError):
    """Callers wait for each other; the message gives the order of steps that led there."""


@frozen
class Interleaving:
    """One order, and its outcomes.

    Attributes:
        order: for each step, the place of the caller that made it.
        outcomes: what each caller returned, or its refusal.
    """

    order: tuple[int, ...]
    outcomes: tuple[Any, ...]


class switch:  # noqa: N801 - awaited like a function
    """Let another caller go on; return when `ready` allows it, or at any time.

    Args:
        ready: says whether the waiting caller may go on.
    """

    def __init__(self, ready: Ready | None = None) -> None:
        self._ready = ready

    def __await__(self) -> Generator[Ready | None, None, None]:
        """Suspend the caller once."""
        yield self._ready


def interleavings(
    start: Callable[[], Callers], *, count: int | None = None, seed: int = 0
) -> Iterator[Interleaving]:
    """Yield every interleaving of the callers, or a number of them drawn at random.

    Args:
        start: makes new callers with a state of their own each time it is called.
        count: how many to draw; None goes through all of them, in a fixed order.
        seed: decides which are drawn.

    Raises:
        Deadlock: callers are left and none of them may go on.
    """
    if count is not None:
        chance = random.Random(seed)  # noqa: S311 - a test's dice
        for _ in range(count):
            yield _run(start(), lambda options, _: chance.randrange(options))
        return
    # The path to the order that was run last: which choice was made, and among how many.
    path: list[tuple[int, int]] = []
    while True:
        taken: list[tuple[int, int]] = []

        def choose(options: int, depth: int) -> int:
            choice = path[depth][0] if depth < len(path) else 0  # noqa: B023
            taken.append((choice, options))  # noqa: B023
            return choice

        yield _run(start(), choose)
        while taken and taken[-1][0] + 1 == taken[-1][1]:
            taken.pop()
        if not taken:
            return
        choice, options = taken.pop()
        path = [*taken, (choice + 1, options)]


def _run(callers: Callers, choose: Callable[[int, int], int]) -> Interleaving:
    waiting: dict[int, Ready | None] = dict.fromkeys(range(len(callers)))
    outcomes: dict[int, Any] = {}
    order: list[int] = []
    while waiting:
        able = [place for place, ready in waiting.items() if ready is None or ready()]
        if not able:
            for caller in callers:
                caller.close()
            raise Deadlock(f"callers {sorted(waiting)} wait for each other after {order}")
        place = able[choose(len(able), len(order))]
        order.append(place)
        try:
            waiting[place] = callers[place].send(None)
        except StopIteration as finished:
            outcomes[place] = finished.value
        except SegmentflowError as refusal:
            outcomes[place] = refusal
        if place in outcomes:
            del waiting[place]
    return Interleaving(tuple(order), tuple(outcomes[place] for place in range(len(callers))))

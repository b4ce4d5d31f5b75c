"""Who shares a transaction with whom: calls in queues, and batches of them for free writers.

Knows which calls wait, which are being recorded, and what those are about; and which of them wait
aside, for what a transaction elsewhere holds. Must never know how
a call waits or what records a batch, nor be used by two threads at once.

See docs/reference/rules/gathering.md.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Final, Generic, Protocol, TypeAlias, TypeVar

__all__ = ["MAX_ASIDE", "MAX_TOGETHER", "MAX_WRITERS", "Aside", "GatheredCall", "Line"]

MAX_TOGETHER: Final = 128
"""How many calls share a transaction at most."""

MAX_WRITERS: Final = 4
"""How many transactions of one tracker write at the same time at most."""

MAX_ASIDE: Final = 64
"""How many transactions of one tracker wait aside at the same time at most."""

_Group: TypeAlias = tuple[str, bool]
_Name: TypeAlias = tuple[str, str]


class GatheredCall(Protocol):
    """One call that may share a transaction.

    Attributes:
        group: its Organization and whether Journeys are matched: one transaction, one group.
        names: its key and identities. Two transactions with a name in common would wait for
            each other at the store.
        alone: whether it is to be recorded in a transaction of its own.
        left: whether its caller has left.
    """

    group: _Group
    names: tuple[str, ...]
    alone: bool
    left: bool


C = TypeVar("C", bound=GatheredCall)
T = TypeVar("T")


class Line(Generic[C]):
    """Calls that wait for a writer, and those that are being recorded.

    Whatever sets writers or names free returns the batches to be recorded now: nothing waits
    while a writer could take it.

    Args:
        most: how many calls share a transaction.
        writers: how many transactions there are at the same time.
    """

    def __init__(self, most: int, writers: int) -> None:
        self._most = most
        self._free_writers = writers
        self._queues: OrderedDict[_Group, deque[C]] = OrderedDict()
        # What is being recorded by how many calls, and who waits for it.
        self._in_work: dict[_Name, int] = {}
        self._behind: dict[_Name, list[C]] = {}

    def enter(self, call: C) -> list[C] | None:
        """Return the batch of a call that can be recorded at once; None where it waits."""
        if self._free_writers:
            # Then no queue has anybody.
            if self._hindered(call):
                return None
            return self._begun([call])
        self._queue(call).append(call)
        return None

    def leave(self, call: C) -> list[list[C]]:
        """Forget a call whose caller has left, as far as it is not being recorded already."""
        call.left = True
        return self.ended(call) if call.alone else []

    def finish(self, batch: list[C], *, alone: bool) -> list[list[C]]:
        """Set the writer of a batch free.

        Args:
            batch: what was recorded, or failed.
            alone: whether it failed as a whole, so that each call is recorded alone; a call by
                itself fails so where it is to wait aside.
        """
        self._free_writers += 1
        for call in batch:
            call.alone = alone and not call.left
            if not call.alone:
                self._free(call)
        return self._next()

    def ended(self, call: C) -> list[list[C]]:
        """Note that what was recorded alone has ended."""
        self._free(call)
        return self._next()

    def _queue(self, call: C) -> deque[C]:
        return self._queues.setdefault(call.group, deque())

    def _next(self) -> list[list[C]]:
        """Return a batch for each free writer, of groups in turn."""
        batches: list[list[C]] = []
        while self._free_writers and self._queues:
            group, queue = next(iter(self._queues.items()))
            batch: list[C] = []
            while queue and len(batch) < self._most:
                call = queue.popleft()
                if not call.left and not self._hindered(call):
                    batch.append(call)
            if queue:
                self._queues.move_to_end(group)
            else:
                del self._queues[group]
            if batch:
                batches.append(self._begun(batch))
        return batches

    def _begun(self, batch: list[C]) -> list[C]:
        self._free_writers -= 1
        for call in batch:
            for name in _names(call):
                self._in_work[name] = self._in_work.get(name, 0) + 1
        return batch

    def _hindered(self, call: C) -> bool:
        """Let a call wait behind what is being recorded with one of its names, if anything is."""
        if self._in_work:
            for name in _names(call):
                if name in self._in_work:
                    self._behind.setdefault(name, []).append(call)
                    return True
        return False

    def _free(self, call: C) -> None:
        for name in _names(call):
            count = self._in_work.pop(name) - 1
            if count:
                self._in_work[name] = count
            else:
                for waiting in reversed(self._behind.pop(name, ())):
                    self._queue(waiting).appendleft(waiting)


class Aside(Generic[T]):
    """Calls that need what a transaction elsewhere holds: so many wait for it at the same time.

    A writer is for calls that write, so these have none. Each of those that wait has a transaction,
    and so a connection; the others wait for their place, in order. Where one has waited in vain,
    those that came before it began have waited for as long, and are called as well: they look once
    more, and wait no longer.

    Args:
        places: how many wait at the same time.
    """

    def __init__(self, places: int) -> None:
        self._free_places = places
        self._entered = 0
        # How many had entered when a call came, or when it began.
        self._queue: dict[T, int] = {}
        self._began: dict[T, int] = {}

    def enter(self, call: T) -> bool:
        """Return whether a call may wait at once; otherwise it has to wait for its place."""
        self._entered += 1
        if self._free_places:
            self._begin(call)
            return True
        self._queue[call] = self._entered
        return False

    def has_place(self, call: T) -> bool:
        """Return whether a call that was called may wait, or is to look once more."""
        return call in self._began

    def leave(self, call: T) -> list[T]:
        """Forget a call whose caller has left; return who is called."""
        self._queue.pop(call, None)
        return self.ended(call, in_vain=False) if call in self._began else []

    def ended(self, call: T, *, in_vain: bool) -> list[T]:
        """Set the place of a call free; return who is called.

        Args:
            call: had a place.
            in_vain: whether what it waited for is still held.
        """
        began = self._began.pop(call)
        self._free_places += 1
        called: list[T] = []
        if in_vain:
            called = [waiting for waiting, came in self._queue.items() if came <= began]
            for waiting in called:
                del self._queue[waiting]
        if self._queue:
            following = next(iter(self._queue))
            del self._queue[following]
            self._begin(following)
            called.append(following)
        return called

    def _begin(self, call: T) -> None:
        self._free_places -= 1
        self._began[call] = self._entered


def _names(call: GatheredCall) -> Iterable[_Name]:
    organization_id = call.group[0]
    return [(organization_id, name) for name in call.names]

"""A second call that comes while the transaction of a first one is open.

Knows when the first one's transaction is open, and when the second is inside its own or waits
for the first. Must never know what either of them does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, TypeAlias

from attrs import frozen

from segmentflow_core.colour import MaybeAwaitable, settle
from segmentflow_core.testing.callers import AtOnce, Client, Gate, is_asynchronous
from segmentflow_core.testing.faults import InjectedFault
from segmentflow_core.testing.port_calls import TappedStorage, WatchedStorage

__all__ = ["FAILED", "Overtaking", "Patience", "SomebodyWaits"]

SomebodyWaits: TypeAlias = Callable[[], MaybeAwaitable[bool]]
"""Says whether a call waits for another one's transaction; its answer may be awaitable."""

FAILED: Final = object()
"""The outcome of a first call that was told to fail when it goes on."""

_LOOK: Final = 0.001
_SURE: Final = 30.0


@frozen
class Patience:
    """How long a second call is let go on while the transaction of the first is open.

    That it waits for the first is known from `somebody_waits`. Without that, it is taken to wait
    when it has given no sign of life for a while: it has entered a transaction, begun or ended a
    call of a port. That while is counted in looks, each of which takes longer on a busy machine. A
    correct storage passes whatever is taken for waiting.

    Attributes:
        chance: seconds without a sign of life that are taken for waiting.
        somebody_waits: says whether a call waits; None where nobody can tell.
    """

    chance: float
    somebody_waits: SomebodyWaits | None

    async def outlast(
        self, has_ended: Callable[[float], MaybeAwaitable[bool]], signs: Callable[[], int]
    ) -> None:
        """Return when a call has ended, or waits.

        Args:
            has_ended: waits for the call's end for so many seconds at most; says whether it came.
            signs: how many signs of life the call has given; 0 before it is inside.
        """
        looks = (self.chance if self.somebody_waits is None else max(self.chance, _SURE)) / _LOOK
        seen = quiet = 0
        while quiet < looks and not await settle(has_ended(_LOOK)):
            quiet = quiet + 1 if 0 < signs() == seen else 0
            seen = signs()
            if seen and self.somebody_waits and await settle(self.somebody_waits()):
                return


class Overtaking:
    """Holds a first call's transaction open until a second one is done, or waits for it.

    Args:
        storage: the storage of the first call.
        other_storage: the storage of the second.
        at_once: runs both.
        patience: how long the second is let go on.
    """

    def __init__(
        self, storage: Any, other_storage: Any, at_once: AtOnce, patience: Patience
    ) -> None:
        self._storage = storage
        self._other_storage = other_storage
        self._at_once = at_once
        self._patience = patience

    def run(
        self,
        first: Client,
        second: Client,
        new_tracker: Callable[[Any], Any],
        *,
        calls: int,
        fails: bool,
    ) -> list[Any]:
        """Make both calls and return the result or the refusal of each.

        Args:
            first: is stopped after so many calls of a port, and goes on when the second is done
                or waits. Where it never gets there, the second comes after it.
            second: comes when the first has stopped.
            new_tracker: makes a tracker of the storages' colour.
            calls: after how many calls the first stops; after one it has taken its keys and
                read what it needs.
            fails: whether the first fails when it goes on; its outcome is then `FAILED`.
        """
        asynchronous = is_asynchronous(self._storage)
        opened, done, go_on = (Gate(asynchronous=asynchronous) for _ in range(3))
        watched = WatchedStorage(self._other_storage)

        async def stop(number: int) -> None:
            if number == calls:
                opened.open()
                await settle(go_on.wait())
                if fails:
                    raise InjectedFault

        async def holder(_: Any) -> Any:
            try:
                return await first(new_tracker(TappedStorage(self._storage, stop)))
            except InjectedFault:
                return FAILED
            finally:
                opened.open()

        async def overtaker(_: Any) -> Any:
            await settle(opened.wait())
            try:
                return await second(new_tracker(watched))
            finally:
                done.open()

        async def referee(_: Any) -> None:
            await settle(opened.wait())
            await self._patience.outlast(done.wait, lambda: watched.signs)
            go_on.open()

        return self._at_once([holder, overtaker, referee])[:2]

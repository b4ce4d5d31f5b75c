"""A second call that comes while the transaction of a first one is open.

Knows when the first one's transaction is open, and when the second is inside its own or waits
for the first. Must never know what either of them does.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from segmentflow_core.colour import settle
from segmentflow_core.testing.callers import AtOnce, Client, Gate, is_asynchronous
from segmentflow_core.testing.faults import InjectedFault
from segmentflow_core.testing.port_calls import CallCount, TappedStorage, listened_run

__all__ = ["FAILED", "Overtaking", "SomebodyWaits"]

SomebodyWaits = Callable[[], Any]
"""Says whether a call waits for another one's transaction; its answer may be awaitable."""

FAILED: Final = object()
"""The outcome of a first call that was told to fail when it goes on."""

_LOOK: Final = 0.001
_SURE: Final = 30.0


class Overtaking:
    """Holds a first call's transaction open until a second one is done, or waits for it.

    That the second waits is known from `somebody_waits`. Without that, it is taken to wait when it
    has given no sign of life for a while: it has entered a transaction, begun or ended a call of
    a port. That while is counted in looks, each of which takes longer on a busy machine. A
    correct storage passes whatever is taken for waiting.

    Args:
        storage: the storage of the first call.
        other_storage: the storage of the second.
        at_once: runs both.
        chance: seconds without a sign of life that are taken for waiting.
        somebody_waits: says whether a call waits; None where nobody can tell.
    """

    def __init__(
        self,
        storage: Any,
        other_storage: Any,
        at_once: AtOnce,
        *,
        chance: float,
        somebody_waits: SomebodyWaits | None,
    ) -> None:
        self._storage = storage
        self._other_storage = other_storage
        self._at_once = at_once
        self._somebody_waits = somebody_waits
        self._looks = (chance if somebody_waits is None else max(chance, _SURE)) / _LOOK

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
        watched = _Watched(self._other_storage)

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
            seen = quiet = 0
            while quiet < self._looks and not await settle(done.wait(_LOOK)):
                alive = watched.signs != seen
                seen = watched.signs
                quiet = 0 if alive or not seen else quiet + 1
                if seen and self._somebody_waits and await settle(self._somebody_waits()):
                    break
            go_on.open()

        return self._at_once([holder, overtaker, referee])[:2]


class _SignsOfLife(CallCount):
    """A count that also counts the transactions and the runs that begin."""

    signs = 0

    def begin_transaction(self) -> None:
        self.signs += 1
        super().begin_transaction()

    def begin_run(self) -> None:
        self.signs += 1
        super().begin_run()


class _Watched:
    """A storage that counts what its calls do; 0 before they are inside."""

    def __init__(self, storage: Any) -> None:
        self._count = _SignsOfLife()
        self.run = listened_run(storage, self._called, self._count)

    @property
    def signs(self) -> int:
        return self._count.signs

    async def _called(self, method: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
        self._count.signs += 1
        result = await settle(method(*args, **kwargs))
        self._count.signs += 1
        return result

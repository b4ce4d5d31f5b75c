"""What the shared bodies of every facade have: a storage of either colour.

A facade's two classes hold the same body, an `async def` (see `segmentflow_core.colour`).
The synchronous one drives it, the asynchronous one awaits it.
"""

from __future__ import annotations

from collections.abc import Callable, Coroutine
from typing import Any, TypeAlias, TypeVar

from segmentflow_core.arguments import check_colour, check_organization
from segmentflow_core.colour import MaybeAwaitable, driven, settle
from segmentflow_core.ports import AsyncStorage, Storage, Transaction
from segmentflow_core.tracebacks import forget_locals

__all__ = ["StorageCalls", "Work"]

T = TypeVar("T")
Work: TypeAlias = Callable[[Transaction], Coroutine[Any, Any, T]]
"""A use case with all but its transaction given."""


class StorageCalls:
    """Runs the use cases of one facade.

    Args:
        storage: of the colour that the facade has.
        face: the facade's name, for what it refuses.
        asynchronous: the facade's colour.

    Attributes:
        run_in_storage: the storage's own `run`; it takes what `in_colour` gives.
        in_colour: turns a use case into what the storage can run.

    Raises:
        ConfigurationError: `storage` is of the other colour, or none at all.
    """

    def __init__(self, storage: Storage | AsyncStorage, face: str, *, asynchronous: bool) -> None:
        check_colour(storage, face, asynchronous=asynchronous)
        self.run_in_storage: Callable[..., Any] = storage.run
        self._rest: Callable[[], Any] | None = getattr(storage, "rest", None)
        self.in_colour: Callable[[Work[Any]], Callable[[Transaction], Any]] = (
            _as_it_is if asynchronous else driven
        )

    async def run(self, work: Work[T], *, reads_only: bool = False) -> T:
        """Run a use case in a transaction; return its result once that is committed."""
        in_colour = self.in_colour(work)
        try:
            result: T = await settle(self.run_in_storage(in_colour, reads_only=reads_only))
        except BaseException as error:
            # The frames of a store hold rows.
            forget_locals(error)
            raise
        return result

    async def rest(self) -> None:
        """Let others write, where the storage says that they might not get to it."""
        if self._rest is not None:
            await settle(self._rest())

    async def read(
        self, organization_id: str, ask: Callable[[Transaction], MaybeAwaitable[T]]
    ) -> T:
        """Ask one question about an Organization, in a transaction of its own."""
        check_organization(organization_id)
        return await self.run(lambda transaction: settle(ask(transaction)), reads_only=True)


def _as_it_is(work: Work[T]) -> Work[T]:
    return work

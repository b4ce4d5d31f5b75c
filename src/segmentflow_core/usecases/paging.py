"""Reading many records page by page, newest first, a transaction each, and no more than so many."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from segmentflow_core.ports import Transaction

__all__ = ["Ask", "Run", "walk"]

PAGE: Final = 500
"""How many rows one transaction reads."""

T = TypeVar("T")
_Read: TypeAlias = Callable[[Transaction], Coroutine[Any, Any, T]]
Ask: TypeAlias = Callable[[Transaction, int, "str | None"], Coroutine[Any, Any, Sequence[T]]]
"""Asks for a page: of how many rows at most, and below which id."""


class Run(Protocol):
    """Runs a read in a transaction of its own, and returns what it returned."""

    def __call__(self, work: _Read[T], /) -> Coroutine[Any, Any, T]:
        """Run it."""
        ...


async def walk(
    run: Run,
    ask: Ask[T],
    id_of: Callable[[T], str],
    take: Callable[[Sequence[T]], bool],
    at_most: int,
) -> bool:
    """Read page after page until `take` has had enough; say whether that was cut short.

    Args:
        run: runs each read.
        ask: asks for a page.
        id_of: gives a record's id, by which the next page starts.
        take: takes a page, and says whether it has had enough.
        at_most: how many records to look at.
    """
    before: str | None = None
    left = at_most
    while True:
        limit = min(PAGE, left + 1)
        page = await run(_asking(ask, limit, before))
        kept = page[:left]
        if (kept and take(kept)) or len(page) < limit:
            return False
        if len(page) > left:
            return True
        left -= len(page)
        before = id_of(page[-1])


def _asking(ask: Ask[T], limit: int, before: str | None) -> _Read[Sequence[T]]:
    return lambda transaction: ask(transaction, limit, before)

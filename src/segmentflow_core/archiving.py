"""Rows that follow the archiving of their Journey: batch after batch, each a transaction.

The body that `Journeys.finish_archiving` and `People.retain` share, in both colours.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import datetime
from functools import partial
from typing import Final, TypeAlias

from segmentflow_core.calls import StorageCalls
from segmentflow_core.usecases.journeys import withdraw_some

__all__ = ["OnWithdrawn", "finish_archiving"]

OnWithdrawn: TypeAlias = Callable[[int], object]
"""Called after each transaction with how many rows followed so far."""

_AT_ONCE: Final = 500
"""How many rows a transaction changes."""


async def finish_archiving(
    calls: StorageCalls,
    now: datetime,
    at_most: int | None,
    on_progress: OnWithdrawn | None,
    organization_id: str,
    *,
    demanded: bool = True,
) -> int:
    """Let rows follow until none is left, or so many did; return how many that were.

    Args:
        calls: run its transactions.
        now: a lease that ends then or earlier has run out.
        at_most: so many rows; None for all.
        on_progress: told after each transaction.
        organization_id: whose Enrollments.
        demanded: whether a storage that cannot archive is refused. Otherwise it has none.
    """
    total = 0
    while at_most is None or total < at_most:
        limit = _AT_ONCE if at_most is None else min(_AT_ONCE, at_most - total)
        done = await calls.run(
            partial(
                withdraw_some,
                organization_id=organization_id,
                now=now,
                limit=limit,
                demanded=demanded,
            )
        )
        total += done
        if done and on_progress is not None:
            on_progress(total)
        if done < limit:
            break
        await calls.rest()
    return total

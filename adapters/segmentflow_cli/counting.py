"""What commands that count share: how they name a period, and how they say what they left out."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Final

from segmentflow_cli.printing import Printer

__all__ = ["MOST_COUNTED", "told_counts", "told_period"]

MOST_COUNTED: Final = 100_000
"""How many records a command looks at, at most."""


def told_period(counted: Mapping[str, Any]) -> str:
    """Write the period of receipt that counts are of."""
    bounds = [
        f"{word} {counted[name]}"
        for word, name in (("since", "since"), ("before", "until"))
        if counted[name] is not None
    ]
    return " and ".join(bounds) or "so far"


def told_counts(printer: Printer, warnings: Iterable[tuple[object, str]]) -> None:
    """Say what the counts above leave out: each line whose first part is true."""
    for holds, line in warnings:
        if holds:
            printer.say(line, "yellow")

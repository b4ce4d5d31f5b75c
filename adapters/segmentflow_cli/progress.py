"""Telling on a terminal how far a long call is."""

from __future__ import annotations

from collections.abc import Callable, Generator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn

__all__ = ["progress"]


@contextmanager
def progress(doing: str) -> Generator[Callable[[int], object] | None]:
    """Give what to call with how many records are done; None where nobody watches.

    A log must not fill with progress.

    Args:
        doing: what is done to the records, as ``erasing``.
    """
    console = Console(stderr=True)
    if not console.is_terminal:
        yield None
        return
    columns = (TextColumn(doing), BarColumn(), TextColumn("{task.completed:,.0f} records"))
    with Progress(*columns, console=console, transient=True) as shown:
        task = shown.add_task(doing, total=None)
        yield lambda done: shown.update(task, completed=done)

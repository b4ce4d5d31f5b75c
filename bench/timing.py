"""Timing two things in turn, so that what the machine does meanwhile falls on both."""

from __future__ import annotations

import gc
import statistics
import time
from collections.abc import Callable

__all__ = ["alternate", "per_call"]

Step = Callable[[], object]


def per_call(step: Step, calls: int) -> float:
    """Return the seconds one call of `step` takes, over `calls` of them."""
    gc.collect()
    gc.disable()
    started = time.perf_counter()
    for _ in range(calls):
        step()
    taken = time.perf_counter() - started
    gc.enable()
    return taken / calls


def alternate(first: Step, second: Step, calls: int, rounds: int) -> tuple[float, float]:
    """Time both in turn, `rounds` times; return the median seconds per call of each."""
    for step in (first, second):
        per_call(step, max(calls // 10, 1))
    pairs = [(per_call(first, calls), per_call(second, calls)) for _ in range(rounds)]
    return statistics.median(a for a, _ in pairs), statistics.median(b for _, b in pairs)

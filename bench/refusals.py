"""``python -m bench.refusals``: what the worst body found against each rule costs.

Every body is refused. The table shows the processor time of this process, at a quarter of the size
and at the whole size (linear: four times as long), the most memory held meanwhile, and the bytes of
the answer.
"""

from __future__ import annotations

import argparse
import gc
import json
import time
import tracemalloc
from typing import Final

from rich.console import Console
from rich.table import Table

from bench.refused_bodies import BODIES, SIZE, Body, refuse
from segmentflow_core import SegmentflowError
from segmentflow_core.errors import InvalidRequest

MOST_SECONDS: Final = 0.3


def _seconds(body: Body, text: str, rounds: int = 3, most_rounds: int = 12) -> float:
    """Return the shortest processor time of a few: something else held up the others.

    On a busy machine all of a few may be held up, so what takes too long is tried again.
    """
    shortest = float("inf")
    for round_ in range(most_rounds):
        if round_ >= rounds and shortest <= MOST_SECONDS:
            break
        gc.collect()
        started = time.process_time()
        refuse(body, text)
        shortest = min(shortest, time.process_time() - started)
    return shortest


def _memory(body: Body, text: str) -> tuple[int, SegmentflowError]:
    tracemalloc.start()
    error = refuse(body, text)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    return peak, error


def answer_bytes(error: SegmentflowError) -> int:
    """Return how long an error is over HTTP."""
    return len(json.dumps(error.envelope(), ensure_ascii=False, separators=(",", ":")).encode())


def main() -> int:
    """Measure every body and print the table; return 1 where one takes too long."""
    parser = argparse.ArgumentParser(prog="python -m bench.refusals", description=__doc__)
    parser.add_argument("--size", type=int, default=SIZE, help="bytes of the largest body")
    size: int = parser.parse_args().size
    table = Table("rule", "what is wrong", "size", "¼ size", "size", "memory", "answer", "listed")
    slow = 0
    for body in BODIES:
        small, large = body.make(size // 4), body.make(size)
        short, long = _seconds(body, small), _seconds(body, large)
        peak, error = _memory(body, large)
        listed = len(error.violations) if isinstance(error, InvalidRequest) else 0
        missed = long > MOST_SECONDS
        slow += missed
        table.add_row(
            body.rule,
            body.name,
            f"{len(large.encode('utf-8', 'surrogatepass')):,}",
            f"{short * 1e3:.1f} ms",
            f"{'[red]' if missed else ''}{long * 1e3:.1f} ms",
            f"{peak / 1e6:.1f} MB",
            f"{answer_bytes(error):,}",
            f"{listed}" if error.code != "payload_too_large" else error.code,
        )
    Console(width=140, highlight=False).print(table)
    return 1 if slow else 0


if __name__ == "__main__":
    raise SystemExit(main())

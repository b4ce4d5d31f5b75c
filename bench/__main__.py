"""``python -m bench``: prints one table. ``--quick`` for a look, ``--full`` for every size."""

from __future__ import annotations

import argparse
import json
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from attrs import asdict
from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import conditions, core, gathering, growth, hand_over, http, postgresql, sqlite, stored
from bench.machine import Machine
from bench.report import Line, as_json

__all__ = ["document", "measured"]


def measured(*, quick: bool, full: bool) -> Iterator[Line]:
    """Measure everything; yield one line per measurement."""
    yield from core.measure(quick=quick, full=full)
    yield from conditions.measure(quick=quick)
    yield from growth.measure(quick=quick)
    yield from sqlite.measure(quick=quick)
    yield from postgresql.measure(quick=quick)
    yield from stored.measure(quick=quick)
    yield from gathering.measure(quick=quick)
    yield from http.measure(quick=quick)
    yield from hand_over.measure(quick=quick)


def document(machine: Machine, lines: list[Line], command: str) -> dict[str, Any]:
    """Return what ``--json`` prints: where the figures come from, and the lines."""
    return {
        "command": command,
        "date": datetime.now(UTC).date().isoformat(),
        "machine": asdict(machine),
        "title": machine.title,
        "lines": [as_json(line) for line in lines],
    }


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls and smaller sizes")
    parser.add_argument("--full", action="store_true", help="up to 1,000,000 Profiles")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    machine = Machine.here()
    console = Console(stderr=options.json)
    with console.status("measuring"):
        lines = list(measured(quick=options.quick, full=options.full))
    if options.json:
        given = [name for name in ("quick", "full") if getattr(options, name)]
        command = " ".join(["python -m bench", *(f"--{name}" for name in given)])
        print(json.dumps(document(machine, lines, command), ensure_ascii=False))
        return
    table = Table("work", "figure", "times compared", "target", "met", title=machine.title)
    for line in lines:
        met = {True: "yes", False: "[bold red]NO[/]", None: ""}[line.met]
        table.add_row(line.name, line.figure, escape(line.detail), line.target, met)
    console.print(table)


if __name__ == "__main__":
    main()

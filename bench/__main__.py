"""``python -m bench``: prints one table. ``--quick`` for a look, ``--full`` for every size."""

from __future__ import annotations

import argparse
import sqlite3

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from bench import conditions, core, gathering, hand_over, http, postgresql, sqlite, stored
from bench.interpreter import described


def main() -> None:
    """Measure everything and print the table."""
    parser = argparse.ArgumentParser(prog="python -m bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="fewer calls and smaller sizes")
    parser.add_argument("--full", action="store_true", help="up to 1,000,000 Profiles")
    options = parser.parse_args()
    table = Table(
        "work",
        "figure",
        "times compared",
        "target",
        "met",
        title=f"{described()}; SQLite {sqlite3.sqlite_version}",
    )
    console = Console()
    with console.status("measuring"):
        for line in (
            *core.measure(quick=options.quick, full=options.full),
            *conditions.measure(quick=options.quick),
            *sqlite.measure(quick=options.quick),
            *postgresql.measure(quick=options.quick),
            *stored.measure(quick=options.quick),
            *gathering.measure(quick=options.quick),
            *http.measure(quick=options.quick),
            *hand_over.measure(quick=options.quick),
        ):
            met = {True: "yes", False: "[bold red]NO[/]", None: ""}[line.met]
            table.add_row(line.name, line.figure, escape(line.detail), line.target, met)
    console.print(table)


if __name__ == "__main__":
    main()

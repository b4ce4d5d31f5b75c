"""``python -m bench.workers``: workers that are killed, and how soon workers work.

Two workers complete Enrollments, and one of them is killed, again and again; on PostgreSQL the
clock of one is two minutes ahead. Each handler has an effect, by its Enrollment's id. Triggers in
the database note each hand-over and each completion. Then events are tracked at a rate, and the
time from each commit to the handler's first line is printed. Exit status 1 where a promise was
broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from datetime import timedelta
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import asdict
from psycopg.sql import SQL, Identifier
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import create_engine
from tests.servers import Postgres

from bench.workers.killing import Figures, kill_workers
from bench.workers.latency import Latency, measure_latency
from bench.workers.ledger import PROMISES
from segmentflow_sql import SqlStorage


def main() -> int:
    """Kill, measure, print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.workers", description=__doc__)
    parser.add_argument("--enrollments", type=int, default=10_000, help="how many (10000)")
    parser.add_argument("--kills", type=int, default=50, help="how many SIGKILLs (50)")
    parser.add_argument("--workers", type=int, default=2, help="how many at a time (2)")
    parser.add_argument("--lease", type=float, default=5, help="seconds (5)")
    parser.add_argument("--seed", type=int, help="of the moments and of who is killed")
    parser.add_argument("--rate", type=int, default=100, help="events a second (100)")
    parser.add_argument("--seconds", type=float, default=20, help="how long, at that rate (20)")
    parser.add_argument("--sqlite", action="store_true", help="a SQLite file, not PostgreSQL")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    with TemporaryDirectory() as folder:
        server = None if options.sqlite else Postgres()
        try:
            figures = _killed(Path(folder), server, options)
            latency = measure_latency(
                _store(Path(folder), server, "latency"),
                Path(folder),
                rate=options.rate,
                seconds=options.seconds,
            )
        finally:
            if server is not None:
                server.stop()
    if options.json:
        print(json.dumps({"killed": asdict(figures), "latency": asdict(latency)}))
    else:
        Console().print(_killed_table(figures), _latency_table(latency))
    return 0 if figures.kept else 1


def _store(folder: Path, server: Postgres | None, name: str) -> str:
    """Make an empty store, and return its URL."""
    url = f"sqlite:///{folder / name}.db"
    if server is not None:
        with server.connect() as connection:
            connection.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        url = server.url(name)
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    storage.close()
    return url


def _killed(folder: Path, server: Postgres | None, options: argparse.Namespace) -> Figures:
    seed = random.randrange(2**32) if options.seed is None else options.seed
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        done = progress.add_task(f"completed, seed {seed}", total=options.enrollments)
        return kill_workers(
            _store(folder, server, "killed"),
            enrollments=options.enrollments,
            kills=options.kills,
            seed=seed,
            workers=options.workers,
            lease=timedelta(seconds=options.lease),
            on_progress=lambda count: progress.update(done, completed=count),
        )


def _killed_table(figures: Figures) -> Table:
    title = f"{figures.enrollments:,} Enrollments, {figures.kills} SIGKILLs, seed {figures.seed}"
    table = Table("what", "count", "", title=title)
    for name, count in {
        "workers at a time": figures.workers,
        "seconds that one's clock is ahead": figures.ahead,
        "hand-overs after an earlier one": figures.handed_again,
        "effects made again, by a handler that followed": figures.made_again,
        "seconds": round(figures.seconds),
    }.items():
        table.add_row(name, f"{count:,}", "")
    table.add_section()
    for name, counted in PROMISES.items():
        count = figures.broken[name]
        table.add_row(counted, f"{count:,}", "[bold red]BROKEN[/]" if count else "kept")
    return table


def _latency_table(latency: Latency) -> Table:
    title = f"from the commit to the handler's first line, at {latency.rate} events a second"
    table = Table("what", "", title=title)
    table.add_row("events", f"{latency.events:,}")
    table.add_row("events a second", f"{latency.reached:.0f}")
    for name in ("p50", "p95", "longest"):
        table.add_row(name, f"{getattr(latency, name):.1f} ms")
    return table


if __name__ == "__main__":
    sys.exit(main())

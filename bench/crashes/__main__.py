"""``python -m bench.crashes``: faults during load, and what is left of each promise.

Client processes track known requests under known keys. In turn: one of them is killed; the whole
PostgreSQL server is; it fails over, and sessions that begin meanwhile stay read-only; every
session is ended, again and again. Exit status 1 where a promise was broken.
"""

from __future__ import annotations

import argparse
import json
import random
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

from attrs import asdict
from rich.console import Console
from rich.progress import Progress
from rich.table import Table
from sqlalchemy import create_engine
from tests.servers import Postgres

from bench.crashes.findings import PROMISES
from bench.crashes.killing import Figures, kill_during_load
from segmentflow_sql import SqlStorage


def main() -> int:
    """Kill, verify, print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.crashes", description=__doc__)
    parser.add_argument("--rounds", type=int, default=200, help="how many faults (200)")
    parser.add_argument("--seed", type=int, help="of the moments and of who is killed")
    parser.add_argument("--clients", type=int, default=4, help="client processes at a time (4)")
    parser.add_argument("--sqlite", action="store_true", help="kill clients of a SQLite file")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    with TemporaryDirectory() as folder:
        server = None if options.sqlite else Postgres()
        try:
            figures = _run(Path(folder), server, seed, options)
        finally:
            if server is not None:
                server.stop()
    if options.json:
        print(json.dumps(_document(figures)))
    else:
        Console().print(_table(figures))
    return 0 if figures.kept else 1


def _run(folder: Path, server: Postgres | None, seed: int, options: argparse.Namespace) -> Figures:
    url = f"sqlite:///{folder / 'store.db'}" if server is None else server.url()
    storage = SqlStorage(create_engine(url))
    storage.create_all()
    storage.close()
    ledgers = folder / "ledgers"
    ledgers.mkdir()
    console = Console(stderr=True)
    with Progress(console=console, transient=True, disable=not console.is_terminal) as progress:
        kills = progress.add_task(f"faults, seed {seed}", total=options.rounds)
        return kill_during_load(
            url,
            ledgers,
            rounds=options.rounds,
            seed=seed,
            clients=options.clients,
            server=server,
            on_round=lambda: progress.advance(kills),
        )


def _document(figures: Figures) -> dict[str, object]:
    names = {"process_kills": "processKills", "server_kills": "serverKills"}
    return {names.get(name, name): value for name, value in asdict(figures).items()}


def _table(figures: Figures) -> Table:
    table = Table("what", "count", "", title=f"{figures.rounds} faults, seed {figures.seed}")
    for name, count in {
        "kills of a tracking process": figures.process_kills,
        "kills of the server": figures.server_kills,
        "failovers": figures.failovers,
        "times that every session was ended, and again": figures.terminations,
        "events acknowledged": figures.events,
        "acknowledged again, identically": figures.repeated,
        "calls tracked again at the end": figures.recovered,
        "seconds": round(figures.seconds),
    }.items():
        table.add_row(name, f"{count:,}", "")
    table.add_section()
    for name, counted in PROMISES.items():
        count = figures.broken[name]
        table.add_row(counted, f"{count:,}", "[bold red]BROKEN[/]" if count else "kept")
    return table


if __name__ == "__main__":
    sys.exit(main())

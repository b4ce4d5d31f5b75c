"""``python -m bench.idle``: what connections cost `segmentflow serve` on which nothing goes on.

Opens 10,000 that send nothing, then 1,500 that stop in the midst of a body, of callers whom nobody
knows yet. Prints how much memory the server takes, and how long `/livez` takes meanwhile. Exit
status 1 where either is beyond its bound. Linux only.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import resource
import sys
import tempfile
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Final

from attrs import asdict, frozen
from rich.console import Console
from rich.table import Table
from sqlalchemy import create_engine

from bench.clients import KEY
from bench.http import Served, running
from bench.machine import Machine
from segmentflow_sql import SqlStorage

__all__ = ["main"]

_MEGABYTES: Final = 150.0
_MILLISECONDS: Final = 50.0
_BODY: Final = 256 * 1024
_ASKED: Final = 100
_AT_ONCE: Final = 200
_SPARE: Final = 200
"""How many files more than connections a process has open."""

_Stream = tuple[asyncio.StreamReader, asyncio.StreamWriter]


@frozen
class _Seen:
    """What the server was like.

    Attributes:
        what: what was open.
        connections: how many of the connections it has not closed.
        megabytes: its memory.
        most: the most it has had so far.
        median: of what `/livez` took, in milliseconds.
        longest: the longest.
    """

    what: str
    connections: int
    megabytes: float
    most: float
    median: float
    longest: float


def main() -> int:
    """Open connections, look, print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.idle", description=__doc__)
    parser.add_argument("--idle", type=int, default=10_000, help="that send nothing (10,000)")
    parser.add_argument("--half-sent", type=int, default=1500, help="with half a body (1,500)")
    parser.add_argument("--json", action="store_true", help="print one JSON document")
    options = parser.parse_args()
    needed = options.idle + options.half_sent + _SPARE
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard != resource.RLIM_INFINITY and hard < needed:
        sys.exit(f"{needed:,} open files are needed, and {hard:,} allowed: see ulimit -n")
    resource.setrlimit(resource.RLIMIT_NOFILE, (needed, hard))
    machine = Machine.here()
    with tempfile.TemporaryDirectory() as folder:
        url = f"sqlite:///{Path(folder) / 'store.db'}"
        storage = SqlStorage(create_engine(url))
        storage.create_all()
        storage.close()
        command = [sys.executable, "-m", "segmentflow_cli", "serve", "--port", "0", "--store", url]
        with running(command) as server:
            seen = asyncio.run(_looked_at(server, options.idle, options.half_sent))
    kept = all(each.most <= _MEGABYTES and each.longest <= _MILLISECONDS for each in seen)
    if options.json:
        print(json.dumps({"machine": asdict(machine), "seen": [asdict(each) for each in seen]}))
    else:
        Console().print(_table(machine, seen))
    return 0 if kept else 1


async def _looked_at(server: Served, idle: int, half_sent: int) -> list[_Seen]:
    seen = [await _look(server, "nothing", [])]
    silent = await _opened(server, idle)
    seen.append(await _look(server, f"{idle:,} that send nothing", silent))
    halves = await _opened(server, half_sent)
    head = (
        "POST /api/v1/events HTTP/1.1\r\nhost: bench\r\ncontent-type: application/json\r\n"
        f"x-api-key: {KEY[::-1]}\r\nidempotency-key: half\r\ncontent-length: {_BODY}\r\n\r\n"
    )
    await asyncio.gather(*(_sent(stream, head.encode() + b" " * (_BODY // 2)) for stream in halves))
    seen.append(await _look(server, f"and {half_sent:,} with half a body", [*silent, *halves]))
    for _, writer in (*silent, *halves):
        writer.close()
    return seen


async def _opened(server: Served, count: int) -> list[_Stream]:
    """Open connections, not all of them at once: a system lets so many wait to be accepted."""
    room = asyncio.Semaphore(_AT_ONCE)

    async def one() -> _Stream:
        async with room:
            return await asyncio.open_connection(*server.address)

    return list(await asyncio.gather(*(one() for _ in range(count))))


async def _sent(stream: _Stream, message: bytes) -> None:
    """Send as much as the server takes; it may refuse the rest, and need not read what it has."""
    with suppress(OSError, TimeoutError):
        async with asyncio.timeout(1):
            stream[1].write(message)
            await stream[1].drain()


async def _look(server: Served, what: str, streams: Sequence[_Stream]) -> _Seen:
    reader, writer = await asyncio.open_connection(*server.address)
    took: list[float] = []
    for _ in range(_ASKED + 1):
        started = time.perf_counter()
        writer.write(b"GET /livez HTTP/1.1\r\nhost: bench\r\n\r\n")
        head = await reader.readuntil(b"\r\n\r\n")
        took.append((time.perf_counter() - started) * 1000)
        assert head.startswith(b"HTTP/1.1 200"), head
        length = head.lower().partition(b"content-length: ")[2].partition(b"\r\n")[0]
        await reader.readexactly(int(length))
    writer.close()
    # Before its first answer the server still took in what was sent to it.
    took = sorted(took[1:])
    left = sum(not reader.at_eof() for reader, _ in streams)
    now, most = (_megabytes(server.pid, name) for name in ("VmRSS", "VmHWM"))
    return _Seen(what, left, now, most, took[len(took) // 2], took[-1])


def _megabytes(pid: int, name: str) -> float:
    lines = Path(f"/proc/{pid}/status").read_text(encoding="ascii").splitlines()
    (kilobytes,) = (line.split()[1] for line in lines if line.startswith(f"{name}:"))
    return int(kilobytes) / 1000


def _table(machine: Machine, seen: Sequence[_Seen]) -> Table:
    table = Table(
        *("open", "left open", "memory", "at most", "/livez", "at most", "met"),
        title=machine.title,
    )
    for each in seen:
        met = each.most <= _MEGABYTES and each.longest <= _MILLISECONDS
        table.add_row(
            each.what,
            f"{each.connections:,}",
            f"{each.megabytes:.0f} MB",
            f"{each.most:.0f} of {_MEGABYTES:g} MB",
            f"{each.median:.1f} ms",
            f"{each.longest:.1f} of {_MILLISECONDS:g} ms",
            "yes" if met else "[bold red]NO[/]",
        )
    return table


if __name__ == "__main__":
    sys.exit(main())

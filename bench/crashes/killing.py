"""Rounds of faults during load, at moments that the load's own progress and a seed choose.

Knows client processes, the server and when to kill which; what should have come of it,
`findings` says.
"""

from __future__ import annotations

import multiprocessing
import random
import time
from collections import Counter
from collections.abc import Callable, Generator, Iterator
from contextlib import contextmanager
from multiprocessing.connection import wait
from multiprocessing.process import BaseProcess
from pathlib import Path
from typing import Any, Final, Protocol

from attrs import define, frozen
from sqlalchemy import create_engine

from bench.crashes.findings import broken_promises, read_store, track_again
from bench.crashes.load import (
    JOURNEYS,
    Acknowledgement,
    Calls,
    Client,
    acknowledged_in,
    calls_of,
    new_tracker,
    track_until_stopped,
)

__all__ = ["Figures", "LoadFailed", "Server", "kill_during_load"]

_KINDS: Final = ("process", "server", "failover", "termination")
_MESSAGES: Final = (1, 40)
_WITHIN_A_CALL: Final = 0.01
_TASKS_AGAIN: Final = 3
_NO_PROGRESS: Final = 120.0
_READ_ONLY: Final = (0.05, 1.0)
_TERMINATIONS: Final = (1, 10)
_BETWEEN_TERMINATIONS: Final = 0.03


class Server(Protocol):
    """A database server that can be killed, and in other ways fail those who use it."""

    def kill(self) -> None:
        """Kill every process of it at once, and start it again."""
        ...

    def fail_over(self, read_only: float) -> None:
        """End every session, and take no writes for so many seconds."""
        ...

    def terminate(self) -> None:
        """End every client's session."""
        ...


class LoadFailed(Exception):
    """A client ended by itself, or none gets anywhere: the kills cannot go on."""


@frozen
class Figures:
    """What happened, and how often each promise was broken.

    Attributes:
        rounds: how many faults were asked for.
        process_kills: how many client processes were killed.
        server_kills: how many times the server was.
        failovers: how many times the server took no writes for a while, on new sessions.
        terminations: how many times every session was ended, and again.
        seconds: how long it all took.
        events: how many events were acknowledged to somebody.
        repeated: how many more times one of them was, with the same receipt.
        recovered: how many calls were tracked again at the end.
        broken: by the names of `PROMISES`.
    """

    seed: int
    rounds: int
    process_kills: int
    server_kills: int
    failovers: int
    terminations: int
    seconds: float
    events: int
    repeated: int
    recovered: int
    broken: dict[str, int]

    @property
    def kept(self) -> bool:
        """Whether every promise was kept, and every fault made that should have been."""
        faults = self.process_kills + self.server_kills + self.failovers + self.terminations
        return faults == self.rounds and not any(self.broken.values())


def kill_during_load(
    url: str,
    folder: Path,
    *,
    rounds: int,
    seed: int,
    clients: int = 4,
    server: Server | None = None,
    on_round: Callable[[], object] = lambda: None,
) -> Figures:
    """Kill client processes, or make one of three faults of the server; then look what is left.

    Args:
        url: of an empty store, its tables created.
        folder: an empty one, for the ledgers.
        rounds: how many faults; the kinds come in turn.
        seed: of the moments and of who is killed.
        clients: how many client processes there are at any time.
        server: the store's; None where it has none, and only clients are killed.
        on_round: called after each fault.

    Raises:
        LoadFailed: a client ended by itself, or no client gets anywhere.
    """
    started = time.monotonic()
    chance = random.Random(seed)
    engine = create_engine(url)
    new_tracker(engine).journeys.publish(JOURNEYS)
    engine.dispose()
    with _load(url, folder, clients) as load:
        made = Counter(_faults(load, chance, server, rounds, on_round))
        load.wait_for(clients)
    told = load.acknowledged()
    before = broken_promises(told, read_store(engine), 0)
    again, stuck = track_again(engine, load.acknowledged_calls())
    after = broken_promises([*told, *again], read_store(engine), stuck)
    engine.dispose()
    events = {each.event_id for each in told}
    return Figures(
        seed,
        rounds,
        made["process"],
        made["server"],
        made["failover"],
        made["termination"],
        time.monotonic() - started,
        len(events),
        len(told) - len(events),
        len(again),
        # What tracking again has mended was broken all the same.
        {name: max(before[name], after[name]) for name in after},
    )


def _faults(
    load: _Load,
    chance: random.Random,
    server: Server | None,
    rounds: int,
    on_round: Callable[[], object],
) -> Iterator[str]:
    """Make one fault in each round; yield its kind."""
    for number in range(rounds):
        load.wait_for(chance.randint(*_MESSAGES))
        # Somewhere within a call, not just where it was told of.
        time.sleep(chance.uniform(0, _WITHIN_A_CALL))
        kind = _KINDS[number % len(_KINDS)]
        if server is None or kind == "process":
            client = chance.randrange(len(load.processes))
            load.kill(client, chance.randint(0, _TASKS_AGAIN))
            yield "process"
        else:
            _fail(server, kind, chance)
            yield kind
        on_round()


def _fail(server: Server, kind: str, chance: random.Random) -> None:
    if kind == "server":
        server.kill()
    elif kind == "failover":
        server.fail_over(chance.uniform(*_READ_ONLY))
    else:
        for _ in range(chance.randint(*_TERMINATIONS)):
            server.terminate()
            time.sleep(chance.uniform(0, _BETWEEN_TERMINATIONS))


@define
class _Load:
    """Client processes, each followed by another where it is killed."""

    url: str
    folder: Path
    context: Any
    reader: Any
    writer: Any
    processes: list[BaseProcess]
    ledgers: list[list[Path]]

    def start(self, client: int, first: int) -> BaseProcess:
        ledger = self.folder / f"client-{client}-{len(self.ledgers[client])}.ndjson"
        self.ledgers[client].append(ledger)
        process: BaseProcess = self.context.Process(
            target=track_until_stopped,
            args=(Client(self.url, client, first, ledger, self.stop), self.writer),
            daemon=True,
        )
        process.start()
        return process

    @property
    def stop(self) -> Path:
        return self.folder / "stop"

    def wait_for(self, messages: int) -> None:
        """Wait until the clients have told so many times that they get on."""
        for _ in range(messages):
            sentinels = [process.sentinel for process in self.processes]
            ready = wait([self.reader, *sentinels], _NO_PROGRESS)
            if self.reader not in ready or len(ready) > 1:
                raise LoadFailed("a client ended by itself" if ready else "no client gets on")
            self.reader.recv_bytes()

    def kill(self, client: int, tasks_again: int) -> None:
        """Kill a client's process; another goes on where it was, or somewhat before."""
        process = self.processes[client]
        process.kill()
        process.join()
        first = max(self.next_task(client) - tasks_again, 0)
        self.processes[client] = self.start(client, first)

    def next_task(self, client: int) -> int:
        """Say which task of a client is the first that is not acknowledged."""
        tasks = [each.task for each in self._acknowledged(client)]
        return max(tasks, default=-1) + 1

    def acknowledged(self) -> list[Acknowledgement]:
        """Read every ledger."""
        return [each for client in range(len(self.ledgers)) for each in self._acknowledged(client)]

    def acknowledged_calls(self) -> Calls:
        """Return every call that is acknowledged."""
        return [
            call
            for client in range(len(self.ledgers))
            for task in range(self.next_task(client))
            for call in calls_of(client, task)
        ]

    def _acknowledged(self, client: int) -> Iterator[Acknowledgement]:
        for ledger in self.ledgers[client]:
            if ledger.exists():  # not where its client was killed before it had begun
                yield from acknowledged_in(ledger)


@contextmanager
def _load(url: str, folder: Path, clients: int) -> Generator[_Load]:
    # A server of forks: a client costs no import, and inherits neither thread nor connection.
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["segmentflow_core.testing", "segmentflow_sql.postgresql"])
    reader, writer = context.Pipe(duplex=False)
    load = _Load(url, folder, context, reader, writer, [], [[] for _ in range(clients)])
    try:
        load.processes += [load.start(client, 0) for client in range(clients)]
        yield load
        load.stop.touch()
        while not all(process.exitcode == 0 for process in load.processes):
            _ended_or_reading(load)
    finally:
        for process in load.processes:
            process.kill()
            process.join()
            process.close()
        reader.close()
        writer.close()


def _ended_or_reading(load: _Load) -> None:
    """Read what clients still have to tell: a full pipe would keep them from ending."""
    running = [process.sentinel for process in load.processes if process.exitcode is None]
    ready = wait([load.reader, *running], _NO_PROGRESS)
    if load.reader in ready:
        load.reader.recv_bytes()
    failed = [process for process in load.processes if process.exitcode not in (None, 0)]
    if failed or not ready:
        raise LoadFailed("a client failed" if failed else "a client does not end")

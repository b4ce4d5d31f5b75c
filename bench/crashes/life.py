"""``python -m bench.crashes.life``: kill what a host does to people, and compare the ends.

A process migrates a store of 0.1.0, merges, erases and blocks people, and removes what is old. It
is killed with SIGKILL at an exchange with the database or after a delay, both of chance, and
started again until it ends. What the store then holds is compared, row by row, with what it holds
where nobody killed. Only the records of retention may differ, and what is made at random: the ids
of records, and the secret of blocked identities. Exit status 1 where anything else did.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import random
import signal
import sys
import time
from collections import Counter
from collections.abc import Callable, Mapping
from contextlib import ExitStack, suppress
from datetime import UTC, datetime, timedelta
from functools import partial
from itertools import product
from multiprocessing.connection import Connection
from tempfile import TemporaryDirectory
from typing import Any, Final

from attrs import frozen
from tests.servers import Postgres
from tests.stores.plain_rows import Rows, exact

from bench.migration import Stores, on_postgresql, on_sqlite, profile_id
from segmentflow_core import People
from segmentflow_core.errors import NotFound
from segmentflow_core.ports import Alias, IdentityKind
from segmentflow_core.testing import FixedClock
from segmentflow_sql import SqlStorage, open_storage
from segmentflow_sql.exchange import Session
from segmentflow_sql.identities import Leading, hashed
from segmentflow_sql.postgresql import PsycopgConnection
from segmentflow_sql.sqlite import SqliteConnection

__all__ = ["EVENTS", "STAGES", "Figures", "LifeFailed", "differences", "kill_lives"]

STAGES: Final = ("migrate", "merge", "erase", "retain")

EVENTS: Final = 500
"""How many each store has more than the one that is kept."""

_BENCH: Final = "bench"
_PEOPLE: Final = EVENTS // 10
_MERGED: Final = range(0, 12, 4)
"""Into each of them the next three are merged."""
_ERASED: Final = (0, 4)
_NOT_BLOCKED: Final = 4
_ERASED_BY_EMAIL: Final = range(40, 43)
_NOW: Final = datetime(2026, 1, 3, tzinfo=UTC)
_FIRST: Final = datetime(2026, 1, 1, tzinfo=UTC)
_AT_ONCE: Final = 20
_KILLS_OF_A_LIFE: Final = 12


class LifeFailed(Exception):
    """A process ended by itself, and not well."""


@frozen
class Kill:
    """When a process is to be killed: by itself at an exchange, or by its parent after a delay.

    Attributes:
        exchange: its stage, which of the stage it is, and whether its answer was heard.
        delay: seconds after the begin; None where the process kills itself.
    """

    exchange: tuple[str, int, bool]
    delay: float | None = None


@frozen
class Figures:
    """What was done, and what it changed.

    Attributes:
        kills: how many, by stage.
        starts: of processes.
        rounds: how often a fresh store was brought to its end.
        differences: how many rows were not as without kills, or there only with, or only without.
    """

    kills: Mapping[str, int]
    starts: int
    rounds: int
    differences: int
    seconds: float

    def __str__(self) -> str:
        stages = ", ".join(f"{self.kills.get(stage, 0)} in {stage}" for stage in STAGES)
        return (
            f"{sum(self.kills.values())} kills ({stages}), {self.starts} starts, "
            f"{self.rounds} rounds, {self.differences} differences, {self.seconds:.0f} s"
        )


# --- the process that is killed ------------------------------------------------------------------


def _email(who: int) -> str:
    return f"alex-{who}@example.com"


def _migrate(storage: SqlStorage, _: People) -> None:
    storage.migrate()


def _merge(_: SqlStorage, people: People) -> None:
    for stays, more in product(_MERGED, (1, 2, 3)):
        with suppress(NotFound):  # erased already
            people.merge(profile_id(stays), _email(stays + more), organization_id=_BENCH)


def _erase(_: SqlStorage, people: People) -> None:
    for who in _ERASED:
        while not people.erase(
            profile_id(who), block=who != _NOT_BLOCKED, at_most=_AT_ONCE, organization_id=_BENCH
        ).done:
            pass
    for who in _ERASED_BY_EMAIL:
        with suppress(NotFound):  # erased already
            people.erase(_email(who), block=True, organization_id=_BENCH)
    people.finish_erasures(organization_id=_BENCH)


def _retain(_: SqlStorage, people: People) -> None:
    since = _NOW - _FIRST
    events, enrollments = since - timedelta(seconds=250), since - timedelta(seconds=250)
    people.retain(events=events, enrollments=enrollments, limit=_AT_ONCE, organization_id=_BENCH)


_DO: Final = dict(zip(STAGES, (_migrate, _merge, _erase, _retain), strict=True))


def _live(url: str, kill: Kill | None, told: Connection) -> None:
    """Do all there is to do, done before or not; tell each stage, and at last the counts."""
    stage, counts = "", Counter[str]()

    def die_here(heard: bool) -> None:
        here = (stage, counts[stage], heard)
        if kill is not None and kill.delay is None and here == kill.exchange:
            os.kill(os.getpid(), signal.SIGKILL)

    def counted(exchange: Callable[..., Any]) -> Callable[..., Any]:
        async def counting(session: Session, calls: Any) -> Any:
            die_here(heard=False)
            found = await exchange(session, calls)
            die_here(heard=True)
            counts[stage] += 1
            return found

        return counting

    for kind in (SqliteConnection, PsycopgConnection):
        kind.exchange = counted(kind.exchange)  # type: ignore[method-assign]
    storage = open_storage(url)
    people = People(storage, clock=FixedClock(_NOW))
    for stage, do in _DO.items():
        told.send(stage)
        do(storage, people)
    storage.close()
    told.send(counts)


# --- who kills it --------------------------------------------------------------------------------


def _started(context: Any, url: str, kill: Kill | None) -> tuple[str, Counter[str] | None]:
    """Start a process; return its last stage, and its counts unless it was killed."""
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_live, args=(url, kill, writer))
    process.start()
    writer.close()
    heard: list[Any] = []
    with reader:
        try:
            heard.append(reader.recv())
            if kill is not None and kill.delay is not None:
                process.join(kill.delay)
                process.kill()
            while True:
                heard.append(reader.recv())
        except (EOFError, OSError):
            process.join()
    if process.exitcode not in (0, -signal.SIGKILL):
        raise LifeFailed(f"a process ended with {process.exitcode}")
    counts = heard.pop() if process.exitcode == 0 else None
    return (heard[-1] if heard else STAGES[0]), counts


def kill_lives(
    stores: Stores, *, kills: int, seed: int, on_round: Callable[[Figures], object] = str
) -> Figures:
    """Kill so many processes, in as many rounds as that takes; compare each round's end."""
    started = time.monotonic()
    chance = random.Random(seed)
    context = multiprocessing.get_context("forkserver")
    context.set_forkserver_preload(["bench.migration", "segmentflow_sql.postgresql"])
    url = stores.fresh()
    begun = time.monotonic()
    _, counts = _started(context, url, None)
    seconds = time.monotonic() - begun
    assert counts is not None
    expected = stores.rows()
    made: Counter[str] = Counter()
    starts = rounds = different = 0
    figures = Figures({}, 0, 0, 0, 0.0)
    while made.total() < kills:
        url = stores.fresh()
        rounds += 1
        stage, of_this = STAGES[0], chance.randint(1, _KILLS_OF_A_LIFE)
        while True:
            kill = None
            if of_this and made.total() < kills:
                # Of the stages that are left, the one with the fewest kills so far.
                rare = min(STAGES[STAGES.index(stage) :], key=made.__getitem__)
                kill = _kill(chance, rare, counts[rare], seconds)
            of_this = max(of_this - 1, 0)
            starts += 1
            stage, ended = _started(context, url, kill)
            if ended is not None:
                break
            made[stage] += 1
        different += differences(expected, stores.rows())
        figures = Figures(dict(made), starts, rounds, different, time.monotonic() - started)
        on_round(figures)
    return figures


def _kill(chance: random.Random, stage: str, exchanges: int, seconds: float) -> Kill:
    delay = chance.uniform(0, seconds) if chance.randrange(3) == 0 else None
    return Kill((stage, chance.randrange(exchanges), chance.random() < 0.5), delay)


# --- what is compared ----------------------------------------------------------------------------


def differences(one: Rows, other: Rows) -> int:
    """Count the rows that only one of two stores has, but for what each makes at random."""
    ours, theirs = _comparable(one), _comparable(other)
    return (ours - theirs).total() + (theirs - ours).total()


def _comparable(rows: Rows) -> Counter[tuple[str, str]]:
    found = [(table, row) for table, those in rows.items() for row in those]
    secrets = [row["value"] for _, row in found if row.get("kind") == Leading.SECRET]
    people = [
        Alias(kind, value)
        for who in range(_PEOPLE)
        for kind, value in zip(IdentityKind, (_email(who), f"cus_{who}"), strict=True)
    ]
    known = {hashed(secret, _BENCH, each): each.value for secret, each in product(secrets, people)}
    return Counter(
        (table, exact(_without_chance(row, known)))
        for table, row in found
        if row.get("action") != "retained"
    )


def _without_chance(row: dict[str, Any], known: Mapping[str, str]) -> dict[str, Any]:
    if row.get("kind") == Leading.SECRET:
        return {**row, "value": "a secret"}
    if row.get("kind") == Leading.BLOCKED:
        return {**row, "value": known.get(row["value"], "of nobody known")}
    return {name: value for name, value in row.items() if name != "audit_id"}


def main() -> int:
    """Kill, compare, print; return the exit status."""
    parser = argparse.ArgumentParser(prog="python -m bench.crashes.life", description=__doc__)
    parser.add_argument("--kills", type=int, default=200, help="how many on each store (200)")
    parser.add_argument("--seed", type=int, help="of when and where they are killed")
    options = parser.parse_args()
    seed = random.randrange(2**32) if options.seed is None else options.seed
    tell = partial(print, file=sys.stderr, flush=True)
    different = 0
    with TemporaryDirectory() as folder, ExitStack() as stack:
        server = Postgres()
        stack.callback(server.stop)
        for name, stores in (
            ("SQLite", on_sqlite(folder, EVENTS)),
            ("PostgreSQL", on_postgresql(server, EVENTS)),
        ):
            figures = kill_lives(stores, kills=options.kills, seed=seed, on_round=tell)
            print(f"{name}, seed {seed}: {figures}", flush=True)
            different += figures.differences
    return int(different > 0)


if __name__ == "__main__":
    sys.exit(main())

"""A migration as SQL for people to read, and for a database's own tool to run."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from segmentflow_sql.migrations.running import Move
from segmentflow_sql.migrations.way import Way

__all__ = ["script"]


def script(way: Way, moves: Sequence[Move]) -> str:
    """Write what the migrations run, each step under its name.

    A comment says what the SQL alone cannot do: functions of Python's, and batches.

    Args:
        way: of the kind of database.
        moves: in order; without any, a comment says so.
    """
    lines = [] if moves else ["-- Nothing is to be done."]
    for move in moves:
        lines += [f"-- From version {move.found} to {move.version} of the tables, {way.family}."]
        lines += _online(way, move) if move.migration.online else _whole(way, move)
    return "\n".join(lines) + "\n"


def _whole(way: Way, move: Move) -> Iterator[str]:
    """Write a migration that is one transaction."""
    yield "-- Stop every process that writes to the store first, and make a backup."
    if way.family == "sqlite" and move.migration.functions:
        names = ", ".join(sorted(move.migration.functions))
        yield f"-- {names} are functions of Python's: `segmentflow migrate` gives"
        yield "-- them to SQLite, and no other tool has them."
    yield from ("", f"{way.begin};")
    for lock in way.locks(600.0):
        yield f"{lock};"
    for number, step in enumerate(move.steps, 1):
        yield from ("", f"-- {number}. {step.name}")
        yield from (f"{statement};" for statement in step.sql)
    yield from ("", f"{move.version_written};", "COMMIT;")


def _online(way: Way, move: Move) -> Iterator[str]:
    """Write a migration that is a transaction for each step."""
    yield "-- Others may go on writing. What a lock stops, is to be run again."
    for number, step in enumerate(move.steps, 1):
        yield from ("", f"-- {number}. {step.name}")
        if step.batch:
            yield f"-- Run this again while it returns {step.batch} rows."
        if step.done:
            yield f"-- Done already where this gives 1: {step.done}"
        if step.beside:
            yield "-- In no transaction:"
            yield from (f"{statement};" for statement in step.beside)
            continue
        yield f"{way.begin};"
        yield from (f"{patience};" for patience in way.patience(0.2))
        yield from (f"{statement};" for statement in step.sql)
        yield "COMMIT;"
    yield from ("", f"{move.version_written};")

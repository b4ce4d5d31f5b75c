"""Planning a migration and making its steps on a store, within transactions it is given.

Written once for both colours. Must never know how a transaction is begun, nor which way a
store waits for another process that migrates.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen

from segmentflow_core.errors import ConfigurationError, StorageUnavailable
from segmentflow_sql.exchange import Call, Connection, Deadlock, LostRace, plain
from segmentflow_sql.installation import version
from segmentflow_sql.migrations.migration import (
    Migration,
    MigrationReport,
    ReportedStep,
    Step,
    Versions,
)
from segmentflow_sql.migrations.way import Way
from segmentflow_sql.statements import Statement

__all__ = ["Move", "be_brief", "finish", "lock", "make", "make_step", "moves", "plan"]

_FOR_WRITERS: Final = 10.0
"""Seconds that a migration with writers stopped waits for the last of them."""

_MOMENT: Final = 0.2
"""Seconds that a step with traffic waits for a lock, and holds up those who come later."""


@frozen
class Move:
    """One migration, made forward or back.

    Attributes:
        found: the version that it begins at.
        version: the version that it leads to.
        steps: in order, for the kind of database at hand.
        migration: what it is.
    """

    found: int
    version: int
    steps: tuple[Step, ...]
    migration: Migration

    @property
    def begins_with_known_tables(self) -> bool:
        """Whether the tables are to be looked at before: online, a part may be made already."""
        return self.version > self.found and not self.migration.online

    @property
    def version_written(self) -> str:
        """The statement that says of which version the tables are now."""
        return f"UPDATE segmentflow_schema SET version = {self.version:d}"  # noqa: S608 - a number


def moves(way: Way, versions: Versions, found: int, to: int) -> list[Move]:
    """Return what leads from one version of the tables to another.

    Raises:
        ConfigurationError: a way back is asked for, and something would be lost on it.
    """
    name = way.family
    if to >= found:
        return [
            Move(each.version - 1, each.version, each.steps[name], each)
            for each in versions.between(found, to)
        ]
    undone = [each for each in reversed(versions.migrations) if to < each.version <= found]
    for each in undone:
        if not each.back:
            raise ConfigurationError(
                f"There is no way back from version {each.version} of the tables: "
                f"{each.why_not_back}.",
                details={"found": found, "expected": to},
            )
    return [Move(each.version, each.version - 1, each.back[name], each) for each in undone]


async def plan(
    connection: Connection, way: Way, versions: Versions, to: int | None = None
) -> MigrationReport:
    """Say what a migration would do; write nothing.

    Args:
        connection: within a transaction.
        way: of its kind of database.
        versions: that the library knows.
        to: the version to come to; None is the library's own.

    Raises:
        ConfigurationError: the store has no tables, those of a newer version, or such as are
            neither of one version nor of the next.
    """
    target = _target(versions, to)
    known = await version(connection)
    refused = known is None or known > versions.current
    found = versions.check_migratable(known, await connection.place() if refused else "")
    planned = moves(way, versions, found, target)
    steps: list[ReportedStep] = []
    for move in planned:
        if move is planned[0] and move.begins_with_known_tables:
            await _check_tables(connection, way, move.migration)
        for step in move.steps:
            # Of a later migration, the tables are not there yet.
            rows = await _count(connection, step) if move is planned[0] else None
            steps.append(ReportedStep(move.version, step.name, rows, step.sql))
    return MigrationReport(found, target, tuple(steps))


def _target(versions: Versions, to: int | None) -> int:
    target = versions.current if to is None else to
    if not 1 <= target <= versions.current:
        raise ConfigurationError(
            f"The tables can be of the versions 1 to {versions.current}, and not {target}.",
            details={"expected": versions.current},
        )
    return target


async def make(connection: Connection, way: Way, versions: Versions, move: Move) -> None:
    """Make a whole migration in one transaction, unless another process has made it.

    Args:
        connection: in a transaction that keeps other migrations out.
        way: of its kind of database.
        versions: that the library knows.
        move: the migration.
    """
    if not await _begin(connection, way, versions, move):
        return
    await _exchange(connection, way.patience(_FOR_WRITERS))
    for step in move.steps:
        while await _run(connection, step.sql, step, first=step is move.steps[0]):
            pass
    await connection.exchange([plain(move.version_written)])


async def make_step(
    connection: Connection, way: Way, versions: Versions, move: Move, step: Step, *, beside: bool
) -> bool:
    """Make one step of a migration that runs with traffic; say whether it is to run again.

    Args:
        connection: in a transaction that keeps other migrations out, or beside one.
        way: of its kind of database.
        versions: that the library knows.
        move: the migration.
        step: of it.
        beside: whether the connection is in no transaction.
    """
    if not await _begin(connection, way, versions, move):
        return False
    return await _run(connection, step.beside if beside else step.sql, step)


async def finish(connection: Connection, way: Way, versions: Versions, move: Move) -> None:
    """Say that a migration is made, once each of its steps is.

    Args:
        connection: in a transaction that keeps other migrations out.
        way: of its kind of database.
        versions: that the library knows.
        move: the migration.
    """
    if await _begin(connection, way, versions, move):
        await connection.exchange([plain(move.version_written)])


async def _begin(connection: Connection, way: Way, versions: Versions, move: Move) -> bool:
    """Say whether the store is still of the version to move from, and of no other one."""
    known = await version(connection)
    if known == move.version:
        return False
    if known != move.found:
        found = versions.check_migratable(known, await connection.place())
        raise ConfigurationError(
            f"The store's tables are of version {found} by now: another process migrates them "
            f"the other way, or further: {await connection.place()}.",
            details={"found": found, "expected": move.version},
        )
    if move.begins_with_known_tables:
        await _check_tables(connection, way, move.migration)
    if way.family == "sqlite":
        for name, function in move.migration.functions.items():
            await connection.define(name, function)
    return True


async def lock(connection: Connection, way: Way, wait: float | None) -> None:
    """Keep every other migration out until the transaction ends.

    Args:
        connection: within a transaction.
        way: of its kind of database.
        wait: seconds to wait for another process that migrates; None is not at all.

    Raises:
        LostRace: another process migrates for longer than that.
    """
    await _exchange(connection, way.locks(wait))


async def be_brief(connection: Connection, way: Way) -> None:
    """Wait only a moment for a lock from now on, since whoever comes later waits behind."""
    await _exchange(connection, way.patience(_MOMENT))


async def _exchange(connection: Connection, statements: tuple[str, ...]) -> None:
    if statements:
        await connection.exchange([plain(statement) for statement in statements])


async def _run(
    connection: Connection, statements: tuple[str, ...], step: Step, *, first: bool = False
) -> bool:
    """Run the statements of a step, unless it is done; say whether they are to run again."""
    if step.done and await _number(connection, step.done):
        return False
    if step.batch:
        (statement,) = statements
        call = Call(Statement("", statement, readers=(bytes.decode,)), ())
        (touched,) = await connection.exchange([call])
        return len(touched) >= step.batch
    for statement in statements:
        try:
            await connection.exchange([plain(statement)])
        except LostRace as lost:
            # Another migration that looks at the tables may meet this one; both run again.
            if not first or isinstance(lost, Deadlock):
                raise
            break
    else:
        return False
    # Outside the handler, so that nothing internal becomes the context.
    raise StorageUnavailable(
        "Another transaction uses the tables. Stop every process that uses the store, and then "
        "migrate it.",
        details={"error": "tables_in_use"},
    )


async def _number(connection: Connection, query: str) -> int:
    (((number,),),) = await connection.exchange([Call(Statement("", query, readers=(int,)), ())])
    return int(number)


async def _count(connection: Connection, step: Step) -> int | None:
    return await _number(connection, step.rows) if step.rows else None


# --- whether the tables are whole ---------------------------------------------------------------

_TEXT: Final = (bytes.decode, bytes.decode)


async def _check_tables(connection: Connection, way: Way, migration: Migration) -> None:
    """Refuse tables that are not exactly those of the version before, or have views on them.

    Raises:
        ConfigurationError: it says what is wrong.
    """
    listing: Any = Statement("", way.columns, readers=_TEXT)
    (rows,) = await connection.exchange([Call(listing, ())])
    found: dict[str, set[str]] = {}
    for table, name in rows:
        found.setdefault(table, set()).add(name)
    faults = []
    for table, names in migration.tables.items():
        has = found.pop(table, set())
        faults += [f"{table}.{name} is missing" for name in names if name not in has]
        faults += [f"{table}.{name} is too many" for name in sorted(has.difference(names))]
    faults += [f"{table} is too many" for table in sorted(found)]
    if faults:
        before = migration.version - 1
        raise ConfigurationError(
            f"The store says that its tables are of version {before}, and they are not: "
            f"{'; '.join(faults[:3])}{' …' if len(faults) > 3 else ''}. They were changed by "
            f"hand, or half migrated by another tool: {await connection.place()}. Put back what "
            "was there before, from a backup if need be. Nothing was changed.",
            details={"found": before, "expected": migration.version},
        )
    await _check_dependents(connection, way)


async def _check_dependents(connection: Connection, way: Way) -> None:
    """Refuse tables that a host's own views stand on.

    Raises:
        ConfigurationError: they are named.
    """
    asked = Call(Statement("", way.dependents, readers=_TEXT[:1]), ())
    (rows,) = await connection.exchange([asked])
    found = [name for (name,) in rows]
    if found:
        raise ConfigurationError(
            f"Views or triggers stand on the store's tables: {', '.join(found)}. Drop them, "
            f"migrate, and create them again: {await connection.place()}. Nothing was changed.",
            details={"dependents": found},
        )

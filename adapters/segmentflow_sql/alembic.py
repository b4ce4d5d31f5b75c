"""The steps of `migrate`, for a migration of a host's own Alembic.

Knows Alembic's `op` and SQLAlchemy's connection, of either colour. The transaction is Alembic's
to end. On SQLite, where Alembic may have none, a migration is a savepoint, so that it is made
whole or not at all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final, Protocol

from attrs import define, field
from sqlalchemy import Connection as SqlalchemyConnection
from sqlalchemy import text

from segmentflow_core.colour import drive
from segmentflow_core.errors import ConfigurationError
from segmentflow_sql import codecs
from segmentflow_sql.connecting import place_of_url
from segmentflow_sql.exchange import Call, DatabaseKind, Rows
from segmentflow_sql.installation import VERSIONS
from segmentflow_sql.migrations.running import Move, lock, make, moves, plan
from segmentflow_sql.migrations.way import WAYS, Way
from segmentflow_sql.statements import statements_for

__all__ = ["downgrade", "upgrade"]


class Op(Protocol):
    """What is used of Alembic's `op`, the module or an `Operations`."""

    def get_context(self) -> Any:
        """Return Alembic's context."""

    def get_bind(self) -> Any:
        """Return SQLAlchemy's connection."""

    def execute(self, sqltext: Any) -> None:
        """Run a statement, or print it."""


_WAIT: Final = 600.0
"""Seconds to wait for another process that migrates."""


def upgrade(op: Op, to: int) -> None:
    """Bring the tables up to a version, within a migration of Alembic's.

    Args:
        op: Alembic's operations.
        to: the version. Write it out: a migration always leads to the same tables.

    Raises:
        ConfigurationError: the store has no tables, those of a newer version, or such as are
            of no version; or SQL is to be printed (`--sql`) that takes Python on SQLite.
        StorageUnavailable: another transaction uses the tables.
    """
    _migrate(op, to, found=to - 1)


def downgrade(op: Op, to: int) -> None:
    """Bring the tables back to a version, within a migration of Alembic's.

    Args:
        op: Alembic's operations.
        to: the version.

    Raises:
        ConfigurationError: something would be lost on the way back.
    """
    _migrate(op, to, found=to + 1)


def _migrate(op: Op, to: int, *, found: int) -> None:
    context = op.get_context()
    way = WAYS["sqlite" if context.dialect.name == "sqlite" else "postgresql"]
    if context.as_sql:
        for move in moves(way, VERSIONS, found, to):
            _print(op, way, move)
        return
    connection = op.get_bind()
    codec = codecs.SQLITE if way.family == "sqlite" else codecs.POSTGRESQL
    kind = DatabaseKind(statements_for(way.family), codec)
    drive(_made(_Connection(connection, kind), way, to))


def _print(op: Op, way: Way, move: Move) -> None:
    if way.family == "sqlite" and move.migration.functions:
        raise ConfigurationError(
            f"The way to version {move.version} takes functions of Python's on SQLite: no SQL can "
            "be printed that does without."
        )
    for step in move.steps:
        for statement in step.sql:
            op.execute(text(statement.replace(":", r"\:")))
    op.execute(move.version_written)


async def _made(connection: _Connection, way: Way, to: int) -> None:
    if way.family == "sqlite":
        connection.run("SAVEPOINT segmentflow")
    try:
        planned = await plan(connection, way, VERSIONS, to)
        for move in moves(way, VERSIONS, planned.found, planned.version):
            await lock(connection, way, _WAIT)
            await make(connection, way, VERSIONS, move)
    except BaseException:
        if way.family == "sqlite":
            connection.run("ROLLBACK TO SAVEPOINT segmentflow")
            connection.run("RELEASE SAVEPOINT segmentflow")
        raise
    if way.family == "sqlite":
        connection.run("RELEASE SAVEPOINT segmentflow")


@define(eq=False)
class _Connection:
    """A connection of SQLAlchemy's, as what makes the steps wants it."""

    host: SqlalchemyConnection
    kind: DatabaseKind
    pending: list[Call] = field(factory=list)
    after_loss: bool = False

    def run(self, statement: str) -> None:
        self.host.exec_driver_sql(statement)

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        found: list[Rows] = []
        for call in calls:
            result = self.host.exec_driver_sql(call.statement.text)
            found.append([tuple(row) for row in result] if call.statement.readers else [])
        return found

    async def commit(self) -> None:
        """Leave it to Alembic."""

    async def rollback(self) -> None:
        """Leave it to Alembic."""

    def leave(self) -> None:
        """Leave it as it is."""

    async def place(self) -> str:
        return place_of_url(self.host.engine.url)

    async def define(self, name: str, function: Callable[..., Any]) -> None:
        driver: Any = self.host.connection.dbapi_connection
        count = function.__code__.co_argcount
        driver.create_function(name, count, function, deterministic=True)

    def hurry(self, seconds: float) -> None:
        raise NotImplementedError(seconds)

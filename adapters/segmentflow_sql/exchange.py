"""What travels between a transaction and its database: calls one way, rows the other.

A repository's method is a *script*: a generator that yields the calls it needs answered
together, is sent their rows, and returns its result. It never waits; whoever performs it
does, in the colour of the connection. That is all the two sides know of each other:

    script  -> yields   list[Call]          independent of each other, one exchange
    driver  -> sends    list[list[Row]]     one list of rows for each call, in order
    script  -> returns  the method's result

Calls whose rows nobody needs are not yielded but left in `pending`; they travel ahead of
the next exchange, at the latest of the commit.
"""

from __future__ import annotations

from collections.abc import Generator, Sequence
from typing import Any, Final, Protocol, TypeAlias, TypeVar

from attrs import frozen

from segmentflow_core.ports import encode_json
from segmentflow_sql.rows import Codec, Row
from segmentflow_sql.statements import RowStatement, Statement, Statements

__all__ = [
    "AsyncConnection",
    "Call",
    "Connection",
    "ConnectionLost",
    "DatabaseKind",
    "LostRace",
    "PreparedElsewhere",
    "Rows",
    "Script",
    "calls_for_rows",
    "perform",
    "perform_async",
]

T = TypeVar("T")
Rows: TypeAlias = list[Row]


@frozen(repr=False)
class Call:
    """One statement with the values for its places, in order."""

    statement: Statement
    arguments: Sequence[Any]


Script: TypeAlias = Generator[list[Call], list[Rows], T]


class LostRace(Exception):
    """Another transaction was first: everything is to be run again."""


class PreparedElsewhere(LostRace):
    """Nobody was first: a prepared statement is not known where the connection now leads."""


class ConnectionLost(Exception):
    """The connection broke; whether a commit under way went through is not known."""


@frozen
class DatabaseKind:
    """What scripts need to know of a kind of database."""

    statements: Statements
    codec: Codec


class Connection(Protocol):
    """A driver's connection within one transaction, for a synchronous host.

    Attributes:
        pending: calls that travel ahead of the next exchange.
        again: whether a connection was lost before, and all of this may have been done already.
    """

    pending: list[Call]
    again: bool

    def exchange(self, calls: list[Call]) -> list[Rows]:
        """Send what is pending and `calls` together; return the rows of `calls`.

        Raises:
            LostRace: another transaction was first.
            ConnectionLost: the connection broke.
            SegmentflowError: anything else that went wrong, told without the driver's words.
        """
        ...


class AsyncConnection(Protocol):
    """As `Connection`, awaited."""

    pending: list[Call]
    again: bool

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        """Send what is pending and `calls` together; return the rows of `calls`."""
        ...


def perform(connection: Connection, script: Script[T]) -> T:
    """Run a script to its end over a synchronous connection."""
    try:
        calls = next(script)
        while True:
            calls = script.send(connection.exchange(calls))
    except StopIteration as finished:
        result: T = finished.value
        return result


async def perform_async(connection: AsyncConnection, script: Script[T]) -> T:
    """Run a script to its end over an asynchronous connection."""
    try:
        calls = next(script)
        while True:
            calls = script.send(await connection.exchange(calls))
    except StopIteration as finished:
        result: T = finished.value
        return result


_MAX_LIST: Final = 32 * 1024 * 1024
"""Characters of one parameter; JSONB holds 256 MiB, and every character may take four bytes."""


def calls_for_rows(statement: RowStatement, rows: Sequence[Row], *more: Any) -> list[Call]:
    """Write rows: one as it is, many as one parameter, none without a call.

    Only where so much is written that a parameter could not hold it, there are several.
    """
    if not rows:
        return []
    if len(rows) == 1:
        return [Call(statement.one, (*rows[0], *more))]
    listed = encode_json(rows)
    if len(listed) > _MAX_LIST:
        half = len(rows) // 2
        return [
            *calls_for_rows(statement, rows[:half], *more),
            *calls_for_rows(statement, rows[half:], *more),
        ]
    return [Call(statement.many, (listed, *more))]

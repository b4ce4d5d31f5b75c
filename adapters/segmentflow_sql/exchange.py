"""What travels between a repository and its database: calls one way, rows the other.

A repository asks with `Connection.exchange`: calls that do not depend on each other go out
together, and each is answered with a list of rows, in order. That is all the two sides know
of each other. Calls whose rows are not needed are left in `pending`; they travel ahead of the
next exchange, at the latest with the commit.

Every connection is written once for both colours: over a synchronous driver its methods
never suspend.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from datetime import datetime
from itertools import groupby
from operator import itemgetter
from typing import Any, Final, Protocol, TypeAlias

from attrs import define, frozen

from segmentflow_core.errors import StorageUnavailable
from segmentflow_core.ports import to_microseconds
from segmentflow_sql.codecs import Codec
from segmentflow_sql.rows import Row
from segmentflow_sql.statements import RowStatement, Statement, Statements

__all__ = [
    "Call",
    "Connection",
    "ConnectionLost",
    "DatabaseKind",
    "Deadlock",
    "LostRace",
    "Rows",
    "Session",
    "StalePlans",
    "ask",
    "calls_for_rows",
    "plain",
]

Rows: TypeAlias = list[Row]


@define(repr=False)
class Call:
    """One statement with the values for its places, in order.

    Attributes:
        statement: what is run.
        arguments: the values; the rows of them where it is run `for_each`.
        for_each: whether the driver runs it once for each row.
    """

    statement: Statement
    arguments: Sequence[Any]
    for_each: bool = False


def plain(text: str) -> Call:
    """Return the call of a statement that takes nothing and returns nothing."""
    return Call(Statement("", text), ())


class LostRace(Exception):
    """Another transaction was first: everything is to be run again."""


class Deadlock(LostRace):
    """The database ended this transaction for another one's sake: waiting longer cannot help."""


class StalePlans(LostRace):
    """What this connection had prepared is of no use to the server any more.

    No other transaction was first, but all the same everything is to be run again: at once,
    since the connection has forgotten what it had prepared.
    """


class ConnectionLost(Exception):
    """The connection broke, or is of no more use; whether a commit succeeded is not known.

    Args:
        reason: what to tell the caller where no other connection is had in time.
    """

    def __init__(self, reason: StorageUnavailable | None = None) -> None:
        super().__init__()
        self.reason = reason or StorageUnavailable()


@frozen
class DatabaseKind:
    """What repositories need to know of a kind of database."""

    statements: Statements
    codec: Codec


class Connection(Protocol):
    """A driver's connection within one transaction: ours, or a part of a host's.

    Attributes:
        kind: of the database.
        pending: calls that travel ahead of the next exchange.
        after_loss: whether an earlier run of the same work lost its connection, so that all
            of it may be committed already.
    """

    kind: DatabaseKind
    pending: list[Call]
    after_loss: bool

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        """Send what is pending and `calls` together; return the rows of `calls`.

        Raises:
            LostRace: another transaction was first.
            ConnectionLost: the connection broke.
            SegmentflowError: anything else that went wrong, told without the driver's words.
        """
        ...

    async def commit(self) -> None:
        """End the transaction, or our part of it; what failed before, fails here again."""
        ...

    async def rollback(self) -> None:
        """Undo the transaction, or our part of it."""
        ...

    def leave(self) -> None:
        """Give the driver's connection back as it was found."""
        ...

    async def place(self) -> str:
        """Say which store this is, for a message: never a password."""
        ...

    async def define(self, name: str, function: Callable[..., Any]) -> None:
        """Let SQL call a function of Python's; only SQLite can."""
        ...

    def hurry(self, seconds: float) -> None:
        """Wait no longer for what another transaction holds, nor run again because of it."""
        ...


async def ask(connection: Connection, statement: Statement, **values: Any) -> Rows:
    """Exchange one statement with its values by name; return its rows."""
    (found,) = await connection.exchange([Call(statement, statement.arguments(**values))])
    return found


class Session:
    """The life of a transaction, or of our part of one, on a driver's connection.

    Args:
        kind: of the database.
        driver: the driver's connection.
        opening: calls that travel ahead of the first exchange.
        closing: calls that commit.
        undoing: calls that roll back.
    """

    def __init__(
        self,
        kind: DatabaseKind,
        driver: Any,
        opening: list[Call],
        closing: list[Call],
        undoing: list[Call],
    ) -> None:
        self.kind = kind
        self.pending = opening
        self.after_loss = False
        self._driver = driver
        self._closing = closing
        self._undoing = undoing
        self._failure: Exception | None = None
        self._ended = False

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        """Send what is pending and `calls` together; as `Connection.exchange`."""
        raise NotImplementedError

    @property
    def _is_open(self) -> bool:
        """Whether there is anything to undo."""
        raise NotImplementedError

    @property
    def is_whole(self) -> bool:
        """Whether the driver's connection can be used again, now that the transaction ended."""
        return True

    async def define(self, name: str, function: Callable[..., Any]) -> None:
        """Let SQL call a function of Python's; no server can."""
        raise NotImplementedError(name, function)

    def hurry(self, seconds: float) -> None:
        """Wait no longer for what others hold: here, nobody holds anything beside a writer."""

    def without_transaction(self) -> None:
        """Let every exchange be committed by itself."""
        self.pending.clear()
        self._closing, self._undoing = [], []

    def end_turn(self) -> None:
        """Let the next transaction of this process write, where they take turns."""

    async def commit(self) -> None:
        """End the transaction, or our part of it; what failed before, fails here again."""
        if self._failure is not None:
            raise self._failure
        await self.exchange(self._closing)
        self._ended = True

    async def rollback(self) -> None:
        """Undo the transaction, or our part of it, unless it has ended."""
        self.pending.clear()
        if not self._ended and self._is_open:
            await self.exchange(self._undoing)


_MAX_LIST: Final = 32 * 1024 * 1024
"""Characters of one parameter; JSONB holds 256 MiB, and every character may take four bytes."""


def _microseconds(value: Any) -> int:
    if isinstance(value, datetime):
        return to_microseconds(value)
    raise TypeError


_encode: Final = json.JSONEncoder(
    ensure_ascii=False, check_circular=False, separators=(",", ":"), default=_microseconds
).encode
"""Rows hold texts, numbers and instants."""


def calls_for_rows(statement: RowStatement, rows: Sequence[Row], *more: Any) -> list[Call]:
    """Write rows: one as it is, many with one call, none without any.

    There are several only where so much is written that one parameter could not hold it, or
    where a statement names one Organization and the rows are of more.
    """
    if not rows:
        return []
    at = statement.organization_at
    if at is not None and any(row[at] != rows[0][at] for row in rows):
        groups = (list(group) for _, group in groupby(rows, key=itemgetter(at)))
        return [call for group in groups for call in calls_for_rows(statement, group, *more)]
    if len(rows) == 1:
        return [Call(statement.one, (*rows[0], *more))]
    if statement.many is None:
        return [Call(statement.one, [(*row, *more) for row in rows] if more else rows, True)]
    listed = _encode(rows)
    if len(listed) > _MAX_LIST:
        half = len(rows) // 2
        return [
            *calls_for_rows(statement, rows[:half], *more),
            *calls_for_rows(statement, rows[half:], *more),
        ]
    named = {"rows": listed}
    if at is not None:
        named["organization_id"] = rows[0][at]
    following = iter(more)
    many = statement.many
    return [Call(many, [named[n] if n in named else next(following) for n in many.parameters])]

"""What is to be called once a host's transaction is committed, and never if it is not.

Knows SQLAlchemy's events. It says `commit` before the database has committed; only what follows
tells whether that succeeded: an error, or the connection's next transaction or its return to the
pool. Of savepoints it tells neither the name nor those that a host sets as SQL, so they are read
from the statements that ran. Of a driver's own connection only its host can say.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, TypeAlias

from attrs import define, field
from sqlalchemy import Connection, event
from sqlalchemy.engine import ExceptionContext

from segmentflow_sql.listening import listen_once

__all__ = ["AfterCommit", "after_commit_of"]

Tell: TypeAlias = Callable[[], object]

_KEY: Final = "segmentflow: after the commit"

_OF_A_SAVEPOINT: Final = re.compile(
    r"""(?: \s | /\*.*?\*/ | --[^\n]*\n )*+
    (?: (?P<set> SAVEPOINT )
      | (?P<release> RELEASE (?: \s+ SAVEPOINT )? )
      | ROLLBACK (?: \s+ (?: WORK | TRANSACTION ) )? \s+ TO (?: \s+ SAVEPOINT )?
    ) \s+ (?P<name> "(?: [^"] | "" )+" | [^\s;]+ )""",
    re.IGNORECASE | re.DOTALL | re.VERBOSE,
)


@define
class AfterCommit:
    """Calls that wait for the commit of one host's connection.

    Attributes:
        waiting: of the transaction that is open.
        committing: of the one whose commit has begun.
        savepoints: each one that is open, in order: its name, and how many waited when it was set.
    """

    waiting: list[Tell] = field(factory=list)
    committing: list[Tell] = field(factory=list)
    savepoints: list[tuple[str, int]] = field(factory=list)

    def add(self, tell: Tell) -> None:
        """Call this once the open transaction is committed."""
        self.waiting.append(tell)

    def commit(self) -> None:
        """Note that the commit begins."""
        self.committing += self.waiting
        self._forget_waiting()

    def committed(self) -> None:
        """Call what waited for a commit that has begun, in order; what it raises is dropped."""
        told, self.committing = self.committing, []
        for tell in told:
            with suppress(Exception):
                tell()

    def rolled_back(self) -> None:
        """Forget what waited for the transaction."""
        self.committing.clear()
        self._forget_waiting()

    def heard(self, statement: str) -> None:
        """Note what a statement that has run did to a savepoint; most do nothing to any."""
        found = _OF_A_SAVEPOINT.match(statement)
        if found is None:
            return
        name = found["name"].strip('"').casefold()
        if found["set"]:
            self.savepoints.append((name, len(self.waiting)))
        elif found["release"]:
            del self.savepoints[max(self._latest(name), 0) :]
        else:
            self._roll_back_to(self._latest(name))

    def _latest(self, name: str) -> int:
        """Return where the latest savepoint of a name stands; -1 for one older than the first."""
        back = range(len(self.savepoints) - 1, -1, -1)
        return next((at for at in back if self.savepoints[at][0] == name), -1)

    def _roll_back_to(self, at: int) -> None:
        """Forget what waited since a savepoint, and those within it; it stays open itself."""
        since = self.savepoints[at][1] if at >= 0 else 0
        del self.waiting[since:]
        del self.savepoints[at + 1 :]

    def _forget_waiting(self) -> None:
        self.waiting.clear()
        self.savepoints.clear()


def after_commit_of(connection: Any) -> AfterCommit | None:
    """Return what waits for the commits of a connection of SQLAlchemy; None for a driver's."""
    inner = getattr(connection, "sync_connection", None) or connection
    if not isinstance(inner, Connection):
        return None
    found: AfterCommit | None = inner.info.get(_KEY)
    if found is None:
        inner.info[_KEY] = found = AfterCommit()
        _listen(inner, found)
    return found


def _listen(connection: Connection, to: AfterCommit) -> None:
    def call(what: Callable[[], None]) -> Callable[..., None]:
        return lambda *_: what()

    for name, what in {
        "begin": to.committed,
        "commit": to.commit,
        "commit_twophase": to.commit,
        "rollback": to.rolled_back,
        "rollback_twophase": to.rolled_back,
    }.items():
        event.listen(connection, name, call(what))
    event.listen(connection, "after_cursor_execute", _heard_statement)
    listen_once(connection.dialect, "handle_error", _heard_error)
    listen_once(connection.engine.pool, "checkin", _heard_checkin)


def _heard_statement(connection: Connection, _cursor: Any, statement: str, *_: Any) -> None:
    """Note what a statement did to a savepoint."""
    found: AfterCommit | None = connection.info.get(_KEY)
    if found is not None:
        found.heard(statement)


def _heard_error(context: ExceptionContext) -> None:
    """Forget a commit that failed."""
    if context.connection is not None and not context.connection.closed:
        found: AfterCommit | None = context.connection.info.get(_KEY)
        if found is not None:
            found.committing.clear()


def _heard_checkin(_driver: Any, record: Any) -> None:
    """Tell what was committed: the connection is given back, and nothing of it has failed."""
    found: AfterCommit | None = record.info.pop(_KEY, None)
    if found is not None:
        found.committed()

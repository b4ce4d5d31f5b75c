"""What is to be called once a host's transaction is committed, and never if it is not.

Knows SQLAlchemy's events. It says `commit` before the database has committed; only what follows
tells whether that succeeded: an error, or the connection's next transaction or its return to the
pool. Of a driver's own connection only its host can say.
"""

from __future__ import annotations

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


@define
class AfterCommit:
    """Calls that wait for the commit of one host's connection.

    Attributes:
        waiting: of the transaction that is open.
        committing: of the one whose commit has begun.
        savepoints: how many waited when each savepoint that is open was set.
    """

    waiting: list[Tell] = field(factory=list)
    committing: list[Tell] = field(factory=list)
    savepoints: list[int] = field(factory=list)

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

    def set_savepoint(self) -> None:
        """Note that a savepoint was set."""
        self.savepoints.append(len(self.waiting))

    def release_savepoint(self) -> None:
        """Note that the latest savepoint was released."""
        if self.savepoints:
            self.savepoints.pop()

    def roll_back_savepoint(self) -> None:
        """Forget what waited since the latest savepoint; all, where it is older than the first."""
        since = self.savepoints.pop() if self.savepoints else 0
        del self.waiting[since:]

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
        "savepoint": to.set_savepoint,
        "release_savepoint": to.release_savepoint,
        "rollback_savepoint": to.roll_back_savepoint,
    }.items():
        event.listen(connection, name, call(what))
    listen_once(connection.dialect, "handle_error", _heard_error)
    listen_once(connection.engine.pool, "checkin", _heard_checkin)


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

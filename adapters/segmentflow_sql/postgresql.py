"""PostgreSQL through psycopg: calls go out together, in libpq's pipeline mode.

A cursor of psycopg costs more than the work of a small statement, so this speaks to
`psycopg.pq`, its documented wrapper of libpq, and lets the connection's own `wait` do the
waiting: the same steps serve both colours. Everything travels as text, which needs none of
the connection's adapters, whatever a host has registered there. A server's message is
never read: it may quote what was being written. Only its SQLSTATE is, whether it is fatal,
and whether it came while the server dealt with a row.
"""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Generator, Sequence
from datetime import datetime
from enum import Enum, auto
from functools import lru_cache
from typing import Any, Final, TypeAlias
from weakref import WeakKeyDictionary

import psycopg
from attrs import define
from psycopg import IsolationLevel, pq
from psycopg.waiting import Ready, Wait

from segmentflow_core.colour import settle
from segmentflow_core.errors import ConfigurationError, StorageRefused
from segmentflow_sql.exchange import (
    Call,
    ConnectionLost,
    DatabaseKind,
    Rows,
    Session,
    StalePlans,
    plain,
)
from segmentflow_sql.kin import kind_of
from segmentflow_sql.migrations.way import WAYS
from segmentflow_sql.server import Driver, check_encoding, place_of
from segmentflow_sql.sqlstates import PREPARED_ELSEWHERE, Refused, meaning
from segmentflow_sql.statements import DatabaseName, Reader, Statement

__all__ = ["Postgresql", "PsycopgConnection"]

_Answers: TypeAlias = "list[tuple[Statement, pq.abc.PGresult]]"
_Texts: TypeAlias = "list[bytes | None]"
_Steps: TypeAlias = "Generator[Wait, Ready, _Answers]"

_ISOLATION_LEVELS: Final = {
    None: "",
    IsolationLevel.READ_UNCOMMITTED: " ISOLATION LEVEL READ UNCOMMITTED",
    IsolationLevel.READ_COMMITTED: " ISOLATION LEVEL READ COMMITTED",
    IsolationLevel.REPEATABLE_READ: " ISOLATION LEVEL REPEATABLE READ",
    IsolationLevel.SERIALIZABLE: " ISOLATION LEVEL SERIALIZABLE",
}

_MAX_PLAN_USES: Final = 500
_MAX_PLAN_AGE: Final = 5.0
"""How often, and for how many seconds, a plan is used before another one is made."""
_ACCESS: Final = {None: "", True: " READ ONLY", False: " READ WRITE"}
_DEFERRABLE: Final = {None: "", True: " DEFERRABLE", False: " NOT DEFERRABLE"}


def _begun(driver: Driver, level: IsolationLevel | None = None) -> Call:
    """Begin a transaction as psycopg itself would, with all that is set on the connection."""
    isolation = _ISOLATION_LEVELS[level or driver.isolation_level]
    return plain(f"BEGIN{isolation}{_ACCESS[driver.read_only]}{_DEFERRABLE[driver.deferrable]}")


_COMMIT: Final = [plain("COMMIT")]
_ROLLBACK: Final = [plain("ROLLBACK")]

# The host's own setting is kept in a variable of ours until our part of its transaction ends.
_KEEP_LOCK_TIMEOUT: Final = plain(
    "SELECT set_config('segmentflow.lock_timeout', current_setting('lock_timeout'), true)"
)
_RELEASE: Final = [
    plain("SELECT set_config('lock_timeout', current_setting('segmentflow.lock_timeout'), true)"),
    plain("RELEASE SAVEPOINT segmentflow"),
]
_ROLLBACK_TO: Final = [
    plain("ROLLBACK TO SAVEPOINT segmentflow"),
    plain("RELEASE SAVEPOINT segmentflow"),
]


_SET_LOCK_TIMEOUT: Final = "SET LOCAL lock_timeout = "


@lru_cache
def _lock_timeout(seconds: float) -> Call:
    return plain(f"{_SET_LOCK_TIMEOUT}{max(round(seconds * 1000), 1)}")


class Postgresql:
    """How transactions run on PostgreSQL.

    Args:
        wait: seconds a statement waits for a lock.
        level: the isolation level that an engine's execution options ask for, as SQLAlchemy
            spells it; otherwise the connection's own is used.
        database: which one of its kin it is.
    """

    driver_errors: Final = (psycopg.Error, OSError)
    one_creator: Final = [plain("SELECT pg_advisory_xact_lock(7306930741)")]
    """Lets one transaction at a time create tables: IF NOT EXISTS alone may fail."""
    way: Final = WAYS["postgresql"]
    rest: Final = 0.01
    """Seconds. Transactions write side by side, and the server is left some of its time."""

    def __init__(
        self, wait: float, level: str | None = None, database: DatabaseName = "postgresql"
    ) -> None:
        name = "" if level is None else level.replace(" ", "_").upper()
        # AUTOCOMMIT is none of these: a transaction of our own begins and ends all the same.
        self._level = IsolationLevel.__members__.get(name)
        self._kind = kind_of(database, serializable=name == "SERIALIZABLE")
        self._lock_timeout = _lock_timeout(wait)

    async def prepare(self, _driver: Any) -> bool:
        """Set up a new pooled connection: nothing is kept in a session here."""
        return True

    def owned(self, driver: Any, _prepared: bool, _reads_only: bool) -> PsycopgConnection:
        """Start a transaction of our own on a pooled connection."""
        return PsycopgConnection(self._kind, driver, self._begin(driver), _COMMIT, _ROLLBACK)

    async def bound(self, driver: Any) -> PsycopgConnection:
        """Take part in a host's transaction, up to a savepoint.

        Raises:
            ConfigurationError: the connection is in no state for it.
        """
        return PsycopgConnection(
            self._kind, driver, self._savepoint(driver), _RELEASE, _ROLLBACK_TO
        )

    def _begin(self, driver: Driver) -> list[Call]:
        return [_begun(driver, self._level), self._lock_timeout]

    def _savepoint(self, driver: Driver) -> list[Call]:
        opening: list[Call] = []
        status = driver.pgconn.transaction_status
        if driver.pgconn.pipeline_status != pq.PipelineStatus.OFF:
            raise ConfigurationError("The host's connection is in pipeline mode.")
        if status == pq.TransactionStatus.IDLE:
            if driver.autocommit:
                raise ConfigurationError("Bound storage needs an open transaction.")
            opening.append(_begun(driver))
        elif status != pq.TransactionStatus.INTRANS:
            raise ConfigurationError("The host's transaction has failed, or is in use.")
        return [
            *opening,
            plain("SAVEPOINT segmentflow"),
            _KEEP_LOCK_TIMEOUT,
            self._lock_timeout,
        ]


@define
class _Prepared:
    """What one connection keeps prepared at its server.

    Attributes:
        plans: by the statement's prepared name; None where nothing may be kept.
    """

    plans: dict[str, _Plan] | None


@define
class _Plan:
    """A statement that a server keeps prepared: until when, and for how many more uses."""

    until: float
    uses_left: int


_known: WeakKeyDictionary[Driver, _Prepared] = WeakKeyDictionary()


def _prepared_on(driver: Driver) -> _Prepared:
    known = _known.get(driver)
    if known is None:
        check_encoding(driver)
        if driver.info.encoding != "utf-8":
            raise ConfigurationError(
                f"The connection's client_encoding must be UTF8: {place_of(driver)}.",
                details={"found": driver.info.encoding, "expected": "utf-8"},
            )
        # A host that turns preparing off, for a pooler such as PgBouncer, turns ours off too.
        known = _Prepared(None if driver.prepare_threshold is None else {})
        _known[driver] = known
    return known


class _Step(Enum):
    """What was asked of the server about a statement."""

    PREPARE = auto()
    FORGET = auto()
    RUN = auto()


class PsycopgConnection(Session):
    """One transaction on a connection of either colour, as steps that psycopg can wait for."""

    def __init__(self, kind: DatabaseKind, driver: Any, *calls: list[Call]) -> None:
        super().__init__(kind, driver, *calls)
        self._pgconn: pq.abc.PGconn = driver.pgconn
        # What the server owes an answer to; None is the end of an exchange.
        self._awaited: deque[tuple[Statement, _Step] | None] = deque()
        self._fresh: set[str] = set()
        self._prepared = _prepared_on(driver)
        self._hurries = False

    @property
    def _is_open(self) -> bool:
        """Whether anything has been sent."""
        return self._pgconn.pipeline_status != pq.PipelineStatus.OFF

    @property
    def is_whole(self) -> bool:
        """Whether the connection still stands, and no transaction is open on it."""
        return self._pgconn.transaction_status == pq.TransactionStatus.IDLE

    def hurry(self, seconds: float) -> None:
        """Wait no longer for what another transaction holds, nor run again because of it."""
        if self.pending and self.pending[-1].statement.text.startswith(_SET_LOCK_TIMEOUT):
            self.pending.pop()  # how long it would wait otherwise
        self.pending.append(_lock_timeout(seconds))
        self._hurries = True

    async def place(self) -> str:
        """Say which database this is, and which schemas a name is looked for in."""
        ((path,),) = (await self.exchange([Call(_SEARCHED, ())]))[0]
        return f"{place_of(self._driver)}, schemas {path}"

    def leave(self) -> None:
        """Give the connection back as it was found, not in pipeline mode."""
        if self._is_open and self._pgconn.status == pq.ConnStatus.OK:
            try:
                self._pgconn.exit_pipeline_mode()
            except psycopg.Error:
                self._pgconn.finish()  # what the server still does is unknown

    async def abandon(self) -> None:
        """Do nothing: the server undoes what was open when the connection goes."""

    async def exchange(self, calls: list[Call]) -> list[Rows]:
        """Send what is pending and `calls` together; return the rows of `calls`."""
        failure: Exception
        try:
            # All of it before any is sent: the server answers nothing until an exchange is whole.
            sent = [(call.statement, _texts(call)) for call in (*self.pending, *calls)]
            return self._read(calls, await settle(self._driver.wait(self.steps(sent))))
        except UnicodeEncodeError as error:
            failure = self._failure = StorageRefused(details={"error": type(error).__name__})
        except (psycopg.Error, OSError, Refused) as error:
            failure = self._translated(error)
        # Outside the handler, so that the driver's error does not become the context.
        raise failure

    def steps(self, sent: list[tuple[Statement, _Texts]]) -> _Steps:
        """Send statements with their arguments, then gather every answer.

        A refusal is an answer like another here: an exception would tell psycopg, which may
        have interrupted a call and be waiting for it to end, that the connection is broken.
        """
        pgconn = self._pgconn
        if not self._is_open:
            pgconn.enter_pipeline_mode()
        if self._awaited:
            # An earlier exchange was interrupted: what it asked is still to be read.
            yield from self._answers()
        self.pending.clear()
        self._fresh = set()
        for statement, arguments in sent:
            self._send(statement, arguments, self._fresh)
        pgconn.pipeline_sync()
        self._awaited.append(None)
        return (yield from self._answers())

    def _answers(self) -> _Steps:
        """Read until the server has answered all that was sent."""
        pgconn = self._pgconn
        while pgconn.flush():
            ready = yield Wait.RW
            # None after an interruption, when psycopg waits for the same steps once more.
            if ready and ready & Ready.R:
                pgconn.consume_input()
        answers: _Answers = []
        while self._awaited:
            while pgconn.is_busy():
                while not (yield Wait.R):
                    pass
                pgconn.consume_input()
            result = pgconn.get_result()
            if result is None:
                continue
            asked = self._awaited.popleft()
            if asked is None:
                continue  # the end of an exchange
            statement, step = asked
            if step is _Step.RUN or result.status != pq.ExecStatus.COMMAND_OK:
                answers.append((statement, result))
            elif self._prepared.plans is None:
                continue
            elif step is _Step.FORGET:
                self._prepared.plans.pop(statement.prepared_name, None)
            else:
                until = time.monotonic() + _MAX_PLAN_AGE
                self._prepared.plans[statement.prepared_name] = _Plan(until, _MAX_PLAN_USES)
        return answers

    def _send(self, statement: Statement, arguments: _Texts, preparing: set[str]) -> None:
        kept = self._prepared.plans
        if kept is None or not statement.prepared_name:
            self._pgconn.send_query_params(statement.text.encode(), arguments)
        else:
            name = b"segmentflow_%b" % statement.prepared_name.encode()
            if statement.prepared_name not in preparing:
                self._prepare(statement, name, kept, preparing)
            self._pgconn.send_query_prepared(name, arguments)
        self._awaited.append((statement, _Step.RUN))

    def _prepare(
        self, statement: Statement, name: bytes, kept: dict[str, _Plan], preparing: set[str]
    ) -> None:
        """See to it that the server has the statement, with a plan that is not too old.

        A plan is made for the tables as they are. While they are small, any index that leads
        with the Organization seems as good as the right one. Such a plan would be kept until
        the server analyzes the tables, and a store would be slow when it first grows.
        """
        plan = kept.get(statement.prepared_name)
        if plan is not None and plan.uses_left and time.monotonic() < plan.until:
            plan.uses_left -= 1
            return
        preparing.add(statement.prepared_name)
        if plan is not None:
            self._pgconn.send_query_params(b"DEALLOCATE %b" % name, None)
            self._awaited.append((statement, _Step.FORGET))
        self._pgconn.send_prepare(name, statement.text.encode())
        self._awaited.append((statement, _Step.PREPARE))

    def _read(self, calls: list[Call], answers: _Answers) -> list[Rows]:
        """Take the rows of `calls`, or raise what the first refused one was refused for."""
        for statement, result in answers:
            if result.status not in _GRANTED:
                raise self._refused(result, statement)
        own = answers[len(answers) - len(calls) :]
        return [_rows(result, statement.readers) for statement, result in own]

    def _refused(self, result: pq.abc.PGresult, statement: Statement) -> Refused:
        name = statement.prepared_name
        return Refused(
            (result.error_field(pq.DiagnosticField.SQLSTATE) or b"").decode(),
            fatal=result.error_field(pq.DiagnosticField.SEVERITY_NONLOCALIZED) in _FATAL,
            # A wait for a row has a context, whatever its language; one for a table has none.
            takes_keys=statement.takes_keys
            and bool(result.error_field(pq.DiagnosticField.CONTEXT)),
            prepared=bool(self._prepared.plans and name in self._prepared.plans)
            and name not in self._fresh,
        )

    def _translated(self, error: Exception) -> Exception:
        """Say what an error of the driver means, without the driver's words."""
        failure: Exception
        if isinstance(error, Refused):
            failure = meaning(error, self._driver, hurries=self._hurries)
            if isinstance(failure, StalePlans):
                self._forget_stale_plans(error.sqlstate)
        else:
            failure = ConnectionLost()
        self._failure = failure
        return failure

    def _forget_stale_plans(self, sqlstate: str) -> None:
        if sqlstate in PREPARED_ELSEWHERE:
            # A pooler gave this connection's statements to another server process.
            self._prepared.plans = None
        else:
            # A table has changed: whatever was planned before is planned anew.
            for plan in (self._prepared.plans or {}).values():
                plan.uses_left = 0


_FATAL: Final = (b"FATAL", b"PANIC")
_GRANTED: Final = (pq.ExecStatus.COMMAND_OK, pq.ExecStatus.TUPLES_OK)


_SEARCHED: Final = Statement(
    "",
    "SELECT coalesce(nullif(current_setting('search_path'), ''), '(none)')",
    readers=(bytes.decode,),
)


def _rows(result: pq.abc.PGresult, readers: Sequence[Reader]) -> Rows:
    value = result.get_value
    places = list(enumerate(readers))
    return [
        tuple(
            [
                None if (text := value(row, column)) is None else read(text)
                for column, read in places
            ]
        )
        for row in range(result.ntuples if readers else 0)
    ]


def _texts(call: Call) -> _Texts:
    return [_text(value) for value in call.arguments]


def _text(value: Any) -> bytes | None:
    if value is None:
        return None
    if isinstance(value, str):
        return value.encode()
    return value.isoformat().encode() if isinstance(value, datetime) else b"%d" % value

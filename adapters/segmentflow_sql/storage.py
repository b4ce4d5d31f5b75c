"""Storage in SQLite, through SQLAlchemy's pool and the driver's own cursors.

One transaction at a time writes: it starts with BEGIN IMMEDIATE, so that a concurrent
duplicate waits at the door, for no longer than `wait`, and then finds the claim.
Statements were compiled when they were imported; here they are only run. An error of
the driver never leaves this module, because it may hold what was being written.
"""

from __future__ import annotations

import random
import sqlite3
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import Any, Final, TypeVar

from sqlalchemy import Engine, create_engine, make_url
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.exc import ArgumentError, SQLAlchemyError
from sqlalchemy.schema import CreateIndex, CreateTable

from segmentflow_core.errors import ConfigurationError, IdempotencyInProgress, StorageUnavailable
from segmentflow_core.ports import (
    Changes,
    Enrollment,
    HeldClaim,
    Intent,
    Journey,
    JourneyStatus,
    Known,
    PriorEntries,
    Probe,
    Profile,
    Receipt,
    Transaction,
    UserEvent,
    from_microseconds,
    to_microseconds,
)
from segmentflow_sql import rows, statements
from segmentflow_sql.schema import SCHEMA_VERSION, metadata

__all__ = ["SqlStorage", "open_storage"]

T = TypeVar("T")
_OPERATION: Final = "events.track"
_MAX_RUNS: Final = 5
_MAX_CACHED_JOURNEYS: Final = 10_000
_PREPARED: Final = "segmentflow_prepared"


class _LostRace(Exception):
    """Another transaction was first; everything is to be run again."""


class _Connection:
    """A driver connection within a transaction: runs compiled statements."""

    def __init__(self, driver: sqlite3.Connection) -> None:
        self._driver = driver

    def run(self, statement: str, parameters: Mapping[str, Any]) -> sqlite3.Cursor:
        return self._driver.execute(statement, parameters)

    def run_many(self, statement: str, parameters: Sequence[Mapping[str, Any]]) -> None:
        if len(parameters) == 1:
            self._driver.execute(statement, parameters[0])
        elif parameters:
            self._driver.executemany(statement, parameters)


class _JourneyCache:
    """Definitions parsed once. A version never changes, and its digest says which it is."""

    def __init__(self) -> None:
        self._journeys: dict[tuple[str, ...], Journey] = {}

    def journey(self, organization_id: str, row: Sequence[Any]) -> Journey:
        journey_id, status, version, digest, definition, published_at = row
        at = (organization_id, journey_id, status, str(version), digest, str(published_at))
        journey = self._journeys.get(at)
        if journey is None:
            journey = Journey(
                rows.definition_from(definition, status),
                version,
                digest,
                from_microseconds(published_at),
            )
            if len(self._journeys) >= _MAX_CACHED_JOURNEYS:
                self._journeys.clear()
            self._journeys[at] = journey
        return journey


class _Tracking:
    def __init__(self, connection: _Connection, cache: _JourneyCache) -> None:
        self._connection = connection
        self._cache = cache

    def load(self, organization_id: str, intent: Intent) -> Known:
        run = self._connection.run
        now = to_microseconds(intent.now)
        refused: list[str] = []
        for claim in intent.claims:
            row = rows.claim_row(organization_id, _OPERATION, claim)
            row["now"] = now
            if run(statements.TAKE_CLAIM, row).rowcount == 0:
                refused.append(claim.key)
        organization = {"organization_id": organization_id}
        held = self._held(organization_id, refused) if refused else {}
        profiles: dict[str, Profile] = {}
        journeys: list[Journey] = []
        if len(refused) < len(intent.claims):
            identities = {
                **organization,
                "emails": rows.json_list(intent.emails),
                "external_ids": rows.json_list(intent.external_ids),
            }
            for row in run(statements.FIND_PROFILES, identities):
                profile_id = row[1]
                if profile_id is not None and profile_id not in profiles:
                    profiles[profile_id] = rows.profile_from(row)
            if intent.events:
                listening = {
                    **organization,
                    "events": rows.json_list(intent.events),
                    "status": str(JourneyStatus.ACTIVE),
                }
                journeys = [
                    self._cache.journey(organization_id, row)
                    for row in run(statements.LISTENING_JOURNEYS, listening)
                    if row[0] is not None
                ]
        return Known(held, tuple(profiles.values()), tuple(journeys))

    def _held(self, organization_id: str, keys: list[str]) -> dict[str, HeldClaim]:
        held: dict[str, HeldClaim] = {}
        parameters = {
            "organization_id": organization_id,
            "operation": _OPERATION,
            "keys": rows.json_list(keys),
        }
        for *columns, profile_id, outcomes in self._connection.run(
            statements.HELD_CLAIMS, parameters
        ):
            claim = rows.claim_from(columns)
            outcome = rows.outcomes_from(outcomes)
            enrolled = sum(o.outcome == "enrolled" for o in outcome)
            held[claim.key] = HeldClaim(
                claim,
                Receipt(
                    claim.event_id,
                    profile_id,
                    len(outcome),
                    enrolled,
                    len(outcome) - enrolled,
                ),
            )
        return held

    def prior_entries(
        self, organization_id: str, probes: Sequence[Probe]
    ) -> Mapping[Probe, PriorEntries]:
        answers: dict[Probe, PriorEntries] = {}
        for probe in probes:
            parameters = {
                "organization_id": organization_id,
                "journey_id": probe.journey_id,
                "profile_id": probe.profile_id,
                "entry_key": probe.entry_key,
            }
            last, taken = self._connection.run(statements.LAST_ENTRY, parameters).fetchone()
            answers[probe] = PriorEntries(
                None if last is None else from_microseconds(last), bool(taken)
            )
        return answers

    def write(self, organization_id: str, changes: Changes) -> None:
        many = self._connection.run_many
        many(
            statements.RELEASE_CLAIM,
            [
                {"organization_id": organization_id, "operation": _OPERATION, "key": key}
                for key in changes.released
            ],
        )
        many(
            statements.WRITE_CLAIM,
            [rows.claim_row(organization_id, _OPERATION, claim) for claim in changes.reclaimed],
        )
        changed = changes.changed_profiles
        if len(changed) > 1:
            # Within a batch one Profile may take an identity another one gives up.
            self._connection.run(
                statements.FREE_IDENTITIES,
                {
                    "organization_id": organization_id,
                    "profile_ids": rows.json_list(profile.profile_id for profile in changed),
                },
            )
        many(statements.CHANGE_PROFILE, [rows.profile_row(organization_id, p) for p in changed])
        many(
            statements.CREATE_PROFILE,
            [rows.profile_row(organization_id, p) for p in changes.created_profiles],
        )
        many(statements.WRITE_EVENT, [rows.event_row(organization_id, e) for e in changes.events])
        many(
            statements.WRITE_ENROLLMENT,
            [rows.enrollment_row(organization_id, e) for e in changes.enrollments],
        )


class _Idempotency:
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def purge(self, now: datetime, limit: int) -> int:
        parameters = {"now": to_microseconds(now), "limit": limit}
        return self._connection.run(statements.PURGE_CLAIMS, parameters).rowcount


class _Profiles:
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def get(self, organization_id: str, profile_id: str) -> Profile | None:
        parameters = {"organization_id": organization_id, "profile_id": profile_id}
        row = self._connection.run(statements.GET_PROFILE, parameters).fetchone()
        return None if row is None else rows.profile_from(row)


class _Events:
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def get(self, organization_id: str, event_id: str) -> UserEvent | None:
        parameters = {"organization_id": organization_id, "event_id": event_id}
        row = self._connection.run(statements.GET_EVENT, parameters).fetchone()
        return None if row is None else rows.event_from(row)

    def list(self, organization_id: str, limit: int, before: str | None = None) -> list[UserEvent]:
        parameters = {"organization_id": organization_id, "limit": limit, "before": before}
        return [
            rows.event_from(row) for row in self._connection.run(statements.LIST_EVENTS, parameters)
        ]


class _Journeys:
    def __init__(self, connection: _Connection, cache: _JourneyCache) -> None:
        self._connection = connection
        self._cache = cache

    def list(self, organization_id: str) -> list[Journey]:
        found = self._connection.run(statements.LIST_JOURNEYS, {"organization_id": organization_id})
        return [self._cache.journey(organization_id, row) for row in found]

    def get(
        self, organization_id: str, journey_id: str, version: int | None = None
    ) -> Journey | None:
        parameters = {
            "organization_id": organization_id,
            "journey_id": journey_id,
            "version": version,
        }
        row = self._connection.run(statements.GET_JOURNEY, parameters).fetchone()
        return None if row is None else self._cache.journey(organization_id, row)

    def publish(self, organization_id: str, journeys: Sequence[Journey]) -> None:
        self._connection.run_many(
            statements.WRITE_VERSION, [rows.version_row(organization_id, j) for j in journeys]
        )
        self._connection.run_many(
            statements.PUBLISH_JOURNEY,
            [
                {
                    "organization_id": organization_id,
                    "journey_id": journey.journey_id,
                    "event": journey.definition.trigger.event,
                    "status": str(journey.definition.status),
                    "version": journey.version,
                }
                for journey in journeys
            ],
        )


class _Enrollments:
    def __init__(self, connection: _Connection) -> None:
        self._connection = connection

    def list(
        self,
        organization_id: str,
        limit: int,
        before: str | None = None,
        journey_id: str | None = None,
    ) -> list[Enrollment]:
        parameters = {
            "organization_id": organization_id,
            "limit": limit,
            "before": before,
            "journey_id": journey_id,
        }
        found = self._connection.run(statements.LIST_ENROLLMENTS, parameters)
        return [rows.enrollment_from(row) for row in found]


class _Transaction:
    def __init__(self, connection: _Connection, cache: _JourneyCache) -> None:
        self.tracking = _Tracking(connection, cache)
        self.idempotency = _Idempotency(connection)
        self.profiles = _Profiles(connection)
        self.events = _Events(connection)
        self.journeys = _Journeys(connection, cache)
        self.enrollments = _Enrollments(connection)


class SqlStorage:
    """Storage behind a SQLAlchemy engine; shared by threads.

    What was acknowledged survives a crash of the process and of the machine: the
    database is kept in WAL mode with synchronous=FULL.

    Args:
        engine: an engine for SQLite, on the driver of the standard library.
        wait: seconds a call waits for a concurrent writer.

    Raises:
        ConfigurationError: the engine is for something else.
    """

    def __init__(self, engine: Engine, *, wait: float = 2.0) -> None:
        if (engine.dialect.name, engine.dialect.driver) != ("sqlite", "pysqlite"):
            raise ConfigurationError("SqlStorage needs an engine for sqlite (pysqlite).")
        self._engine = engine
        self._wait = wait
        self._cache = _JourneyCache()
        self._schema_checked = False
        self._check_lock = threading.Lock()

    def create_all(self) -> None:
        """Create what is missing; safe to call at any time, from any number of processes.

        Raises:
            ConfigurationError: the database has a schema of another version.
        """
        version = {"version": SCHEMA_VERSION}

        def work(connection: _Connection) -> None:
            found = _schema_version(connection)
            if found not in (None, SCHEMA_VERSION):
                raise _wrong_version(found)
            for statement in _DEFINITIONS:
                connection.run(statement, {})
            connection.run(statements.WRITE_SCHEMA_VERSION, version)

        try:
            self._attempts(work)
        except IdempotencyInProgress:
            raise StorageUnavailable(details={"error": "SQLITE_BUSY"}) from None
        self._schema_checked = True

    def run(self, work: Callable[[Transaction], T]) -> T:
        """Run `work` in a transaction, commit, and return what it returned.

        Raises:
            ConfigurationError: the database has no tables of ours, or of another version.
            IdempotencyInProgress: a concurrent writer did not finish in time.
            StorageUnavailable: the database cannot be reached, or gave an error.
        """
        if not self._schema_checked:
            self._check_schema()
        cache = self._cache
        return self._attempts(lambda connection: work(_Transaction(connection, cache)))

    def close(self) -> None:
        """Close the engine's pooled connections."""
        self._engine.dispose()

    def _check_schema(self) -> None:
        with self._check_lock:
            if self._schema_checked:
                return
            path = self._engine.url.database
            missing = path and not path.startswith((":", "file:")) and not Path(path).exists()
            found = None if missing else self._attempts(_schema_version)
            if found is None:
                raise ConfigurationError(
                    "The store has no tables yet. Run `segmentflow init`, or create_all()."
                )
            if found != SCHEMA_VERSION:
                raise _wrong_version(found)
            self._schema_checked = True

    def _attempts(self, work: Callable[[_Connection], T]) -> T:
        for attempt in range(_MAX_RUNS):
            if attempt:
                time.sleep(random.uniform(0, 0.01 * 2**attempt))  # noqa: S311 - jitter
            try:
                return self._once(work)
            except _LostRace:
                continue
        raise StorageUnavailable

    def _once(self, work: Callable[[_Connection], T]) -> T:
        failure: Exception
        try:
            pooled = self._engine.raw_connection()
        except (sqlite3.Error, SQLAlchemyError):
            pooled = None
        if pooled is None:
            raise StorageUnavailable
        try:
            driver = pooled.driver_connection
            assert isinstance(driver, sqlite3.Connection)
            if _PREPARED not in pooled.info:
                self._prepare(driver)
                pooled.info[_PREPARED] = True
            driver.execute("BEGIN IMMEDIATE")
            try:
                result = work(_Connection(driver))
                driver.commit()
            except BaseException:
                driver.rollback()
                raise
            return result
        except sqlite3.Error as error:
            failure = _translated(error)
        finally:
            pooled.close()
        # Outside the handler: the driver's error must not ride along as the context.
        raise failure

    def _prepare(self, driver: sqlite3.Connection) -> None:
        driver.execute(f"PRAGMA busy_timeout = {int(self._wait * 1000)}")
        deadline = time.monotonic() + self._wait
        while driver.execute("PRAGMA journal_mode").fetchone() != ("wal",):
            try:
                # Two that change a new file's mode at once are told "busy" without any wait.
                driver.execute("PRAGMA journal_mode = WAL")
                break
            except sqlite3.OperationalError as error:
                if not _is_busy(error) or time.monotonic() > deadline:
                    raise
            time.sleep(random.uniform(0.001, 0.02))  # noqa: S311 - jitter
        driver.execute("PRAGMA synchronous = FULL")


def _translated(error: sqlite3.Error) -> Exception:
    if isinstance(error, sqlite3.IntegrityError):
        return _LostRace()
    if _is_busy(error):
        return IdempotencyInProgress()
    # The name of the code, such as SQLITE_FULL, holds nothing of what was written.
    name = getattr(error, "sqlite_errorname", type(error).__name__)
    return StorageUnavailable(details={"error": name})


def _is_busy(error: sqlite3.Error) -> bool:
    code: int = getattr(error, "sqlite_errorcode", 0)
    return code & 0xFF in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED)


def _schema_version(connection: _Connection) -> int | None:
    known = connection.run(
        "SELECT 1 FROM sqlite_master WHERE type = 'table' AND name = 'segmentflow_schema'", {}
    ).fetchone()
    if known is None:
        return None
    found: int | None = connection.run(statements.SCHEMA_VERSION_FOUND, {}).fetchone()[0]
    return found


def _wrong_version(found: int | None) -> ConfigurationError:
    return ConfigurationError(
        "The store's tables are of another version than this library's.",
        details={"found": found, "expected": SCHEMA_VERSION},
    )


def _definitions() -> Iterator[str]:
    dialect = sqlite_dialect()
    for table in metadata.sorted_tables:
        yield str(CreateTable(table, if_not_exists=True).compile(dialect=dialect))
        for index in sorted(table.indexes, key=lambda index: str(index.name)):
            yield str(CreateIndex(index, if_not_exists=True).compile(dialect=dialect))


_DEFINITIONS: Final = tuple(_definitions())


def open_storage(url: str) -> SqlStorage:
    """Open the store at a SQLAlchemy URL, such as ``sqlite:///segmentflow.db``.

    Raises:
        ConfigurationError: the URL cannot be used.
    """
    try:
        engine = create_engine(make_url(url))
    except (ArgumentError, ImportError, SQLAlchemyError):
        engine = None
    if engine is None:
        raise ConfigurationError("The store's URL cannot be used.")
    return SqlStorage(engine)

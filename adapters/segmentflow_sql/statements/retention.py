"""How retention finds what is old, removes it, and leaves what is needed.

Nothing that tracking writes is locked, but what goes: old events, finished Enrollments, versions
of Profiles that are not the latest.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    String,
    Table,
    and_,
    bindparam,
    case,
    cast,
    delete,
    exists,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_core.ports import EnrollmentStatus
from segmentflow_sql.schema import (
    FINISHED,
    enrollments,
    events,
    gone_events,
    gone_versions,
    is_listed,
    is_open,
    profile_versions,
)
from segmentflow_sql.statements.building import (
    NO_OFFSET,
    Values,
    columns,
    compiled,
    equal_to_given,
    for_rows,
    inserting,
    removing,
)
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.statement import RowStatement, Statement

__all__ = ["ENTRY", "RetentionStatements", "retention_statements"]

_ONE: Final[ColumnElement[Any]] = literal_column("1", Integer)
_ZERO: Final[ColumnElement[Any]] = literal_column("0", Integer)

ENTRY: Final = (
    "organization_id",
    "enrollment_id",
    "journey_id",
    "profile_id",
    "event_number",
    "entry_key",
    "entered_at",
)
"""The columns that the entry of a removed Enrollment keeps; its id is needed as a key only."""

_NO_ID: Final[ColumnElement[Any]] = literal_column("'00000000-0000-0000-0000-000000000000'")


@frozen
class RetentionStatements:
    """The statements of retention, in about the order a batch runs them; planned anew each time."""

    old_events: Statement
    held_events: Statement
    """Takes a list of entries; says of each position whether that Enrollment is open."""
    leave_events: RowStatement
    count_versions: RowStatement
    remove_events: RowStatement
    remove_versions: RowStatement
    """Takes a version, and removes it and earlier ones that no event refers to any more."""
    forget_versions: RowStatement
    gone_events: Statement
    finished_enrollments: Mapping[str, Statement]
    """By the column that says when they finished."""
    superseded_entries: Statement
    """Takes a list of entries; says of each position whether there is a later entry, and which
    earlier one is an entry without a key that was left."""
    remove_enrollments: RowStatement
    leave_entries: RowStatement


def retention_statements(dialect: Dialect) -> RetentionStatements:
    """Build and compile the statements of retention."""
    return RetentionStatements(
        old_events=compiled(dialect, "old_events", _old_events(dialect), prepared=False),
        held_events=compiled(dialect, "held_events", _held_events(dialect), prepared=False),
        leave_events=inserting(dialect, "leave_events", gone_events, _joined),
        count_versions=inserting(dialect, "count_versions", gone_versions, _counted),
        remove_events=removing(dialect, "remove_old_events", events),
        remove_versions=_up_to_version(
            dialect, "remove_versions", profile_versions, _no_event_refers_to_it()
        ),
        forget_versions=_up_to_version(
            dialect, "forget_versions", gone_versions, ~exists(_same_version(profile_versions))
        ),
        gone_events=compiled(
            dialect,
            "gone_events",
            select(*columns(dialect, gone_events)).where(
                equal_to_given(gone_events, "organization_id"),
                dialect.among(gone_events.c.profile_id, "profile_ids"),
            ),
            prepared=False,
        ),
        finished_enrollments={
            name: compiled(
                dialect,
                f"old_enrollments_{name}",
                _finished(dialect, enrollments.c[name]),
                prepared=False,
            )
            for name in FINISHED
        },
        superseded_entries=compiled(
            dialect, "superseded_entries", _superseded(dialect), prepared=False
        ),
        remove_enrollments=removing(dialect, "remove_old_enrollments", enrollments),
        leave_entries=for_rows(
            dialect,
            "leave_entries",
            list(enrollments.primary_key.columns),
            _left,
            prepared=False,
        ),
    )


# --- events ------------------------------------------------------------------------------


def _locked(dialect: Dialect, found: Select[Any]) -> Select[Any]:
    """Lock what is found, and pass over what another transaction has locked."""
    if dialect.one_writer:
        return found
    return found.with_for_update(skip_locked=dialect.skips_locked)


def _old_events(dialect: Dialect) -> Select[Any]:
    """Read the next old events behind a place, the ones received longest ago first."""
    received_at, event_id = events.c.received_at, events.c.event_id
    since = bindparam("since", type_=received_at.type)
    after = bindparam("after", type_=event_id.type)
    found = (
        select(
            *(
                dialect.read(events.c[name])
                for name in (
                    "event_id",
                    "profile_id",
                    "number",
                    "profile_version",
                    "event",
                    "occurred_at",
                    "received_at",
                    "outcomes",
                )
            )
        )
        .where(
            equal_to_given(events, "organization_id"),
            received_at < bindparam("before", type_=received_at.type),
            received_at >= since,
            or_(received_at > since, event_id > after),
        )
        .order_by(received_at, event_id)
        .limit(bindparam("limit", type_=Integer))
        .offset(NO_OFFSET)
    )
    return _locked(dialect, found)


def _given(dialect: Dialect, each: Any, index: int, like: Column[Any]) -> ColumnElement[Any]:
    return dialect.typed(dialect.item(each.c.value, index), like)


def _of_pair(dialect: Dialect, each: Any, table: FromClause) -> ColumnElement[bool]:
    """Say that an entry is of the Journey and the Profile that a row names."""
    return and_(
        equal_to_given(table, "organization_id"),
        table.c.journey_id == _given(dialect, each, 1, enrollments.c.journey_id),
        table.c.profile_id == _given(dialect, each, 2, enrollments.c.profile_id),
    )


def _position(dialect: Dialect, each: Any) -> ColumnElement[Any]:
    return cast(dialect.item(each.c.value, 0), Integer)


def _held_events(dialect: Dialect) -> Select[Any]:
    """Find the Enrollment that an event caused, by the index of the entries of a pair."""
    each = dialect.each("rows")
    caused = and_(
        _of_pair(dialect, each, enrollments),
        enrollments.c.entered_at == _given(dialect, each, 3, enrollments.c.entered_at),
        enrollments.c.event_id == _given(dialect, each, 4, enrollments.c.event_id),
        is_open(enrollments),
    )
    is_held = select(func.count()).select_from(enrollments).where(caused).scalar_subquery()
    return select(_position(dialect, each), is_held).select_from(each)


def _joined(insert: Any) -> ClauseElement:
    """Add to what is left of the same events already."""
    count, latest, highest = (
        gone_events.c[name] for name in ("count", "last_occurred_at", "highest_number")
    )
    new = insert.excluded
    joined: ClauseElement = insert.on_conflict_do_update(
        index_elements=list(gone_events.primary_key.columns),
        set_={
            count.name: count + new[count.name],
            **{
                each.name: case((new[each.name] > each, new[each.name]), else_=each)
                for each in (latest, highest)
            },
        },
    )
    return joined


def _counted(insert: Any) -> ClauseElement:
    counted: ClauseElement = insert.on_conflict_do_update(
        index_elements=list(gone_versions.primary_key.columns),
        set_={"events": gone_versions.c.events + insert.excluded["events"]},
    )
    return counted


_VERSION: Final = ("organization_id", "profile_id", "version")


def _same_version(table: Table) -> Select[Any]:
    """Select a version of the one table that is the same in the other."""
    tables = {profile_versions: gone_versions, gone_versions: profile_versions}
    other = tables[table]
    return select(_ONE).select_from(table).where(*(table.c[n] == other.c[n] for n in _VERSION))


def _no_event_refers_to_it() -> ColumnElement[bool]:
    """Say of a version that retention has removed as many events as have referred to it."""
    last, first = profile_versions.c.last_number, profile_versions.c.first_number
    counted = _same_version(gone_versions).where(gone_versions.c.events > last - first)
    return and_(last.is_not(None), exists(counted))


def _up_to_version(
    dialect: Dialect, name: str, table: Table, which: ColumnElement[bool]
) -> RowStatement:
    """Build the DELETE of such versions of Profiles as are not above a given one."""

    def statement(source: FromClause | None, values: Values) -> ClauseElement:
        del source  # the values say where they come from
        *whose, version = values
        keys = zip(("organization_id", "profile_id"), whose, strict=True)
        return delete(table).where(
            *(table.c[name] == value for name, value in keys), table.c.version <= version, which
        )

    like = [table.c[name] for name in _VERSION]
    return for_rows(dialect, name, like, statement, prepared=False)


# --- Enrollments -------------------------------------------------------------------------


def _finished(dialect: Dialect, at: Column[Any]) -> Select[Any]:
    """Read Enrollments that finished before an instant, the ones longest ago first."""
    found = (
        select(
            *(
                dialect.read(enrollments.c[name])
                for name in (
                    "enrollment_id",
                    "journey_id",
                    "profile_id",
                    "entered_at",
                    "event_number",
                    "entry_key",
                )
            )
        )
        .where(
            equal_to_given(enrollments, "organization_id"),
            at < bindparam("before", type_=at.type),
        )
        .order_by(at)
        .limit(bindparam("limit", type_=Integer))
        .offset(NO_OFFSET)
    )
    return _locked(dialect, found)


def _superseded(dialect: Dialect) -> Select[Any]:
    each = dialect.each("rows")
    at = _given(dialect, each, 3, enrollments.c.entered_at)
    number = _given(dialect, each, 4, enrollments.c.event_number)
    later, left = enrollments.alias("later"), enrollments.alias("earlier")
    has_later = exists(
        select(_ONE)
        .select_from(later)
        .where(
            _of_pair(dialect, each, later),
            later.c.entered_at >= at,
            or_(later.c.entered_at > at, later.c.event_number > number),
        )
    )
    earlier = (
        select(left.c.enrollment_id)
        .where(
            _of_pair(dialect, each, left),
            left.c.entered_at <= at,
            or_(left.c.entered_at < at, left.c.event_number < number),
            left.c.entry_key.is_(None),
            ~is_listed(left),
        )
        .limit(_ONE)
        .offset(NO_OFFSET)
        .scalar_subquery()
    )
    return select(
        _position(dialect, each), case((has_later, _ONE), else_=_ZERO), earlier
    ).select_from(each)


def _left(source: FromClause | None, values: Values) -> ClauseElement:
    """Take from Enrollments all that re-entry does not need."""
    del source  # the values say where they come from
    keys = zip(enrollments.primary_key.columns, values, strict=True)
    return (
        update(enrollments)
        .where(*(key == value for key, value in keys))
        .values({each.name: _nothing(each) for each in enrollments.c if each.name not in ENTRY})
    )


def _nothing(column: Column[Any]) -> ColumnElement[Any]:
    """Return what a column holds where only the entry is left."""
    if column.name == "status":
        return literal_column(f"'{EnrollmentStatus.COMPLETED}'")
    if column.nullable:
        return null()
    return _NO_ID if isinstance(column.type, String) else _ZERO

"""How retention finds what is old, removes it, and leaves what is needed.

Nothing that tracking writes is locked, but what goes: old events, finished Enrollments, versions
of Profiles that are not the latest.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    Column,
    ColumnElement,
    Delete,
    FromClause,
    Integer,
    Select,
    String,
    Table,
    Update,
    and_,
    bindparam,
    case,
    cast,
    delete,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    update,
)
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_core.ports import EnrollmentStatus
from segmentflow_sql.schema import (
    FINISH_TIMES,
    enrollments,
    events,
    gone_events,
    gone_versions,
    is_listed,
    key_claims,
    profile_versions,
)
from segmentflow_sql.statements.building import (
    NO_OFFSET,
    Values,
    claim_of_event,
    columns,
    compiled,
    equal_to_given,
    for_rows,
    inserting,
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
    caused_enrollments: Statement
    """Takes a list of entries; says of each position the status of the Enrollment."""
    leave_events: RowStatement
    count_versions: RowStatement
    remove_events: Statement
    leave_key_claim: Statement
    """Of one event; takes its Profile, by which an erasure finds the claim from then on."""
    remove_versions: RowStatement
    """Takes a version, and removes it and earlier ones that no event refers to any more."""
    forget_versions: RowStatement
    gone_events: Statement
    finished_enrollments: Mapping[str, Statement]
    """By the column that says when they finished."""
    superseded_entries: Statement
    """Takes a list of entries; says of each position whether there is a later entry, and which
    earlier one is an entry without a key that was left."""
    remove_enrollments: Statement
    leave_entries: Statement


def retention_statements(dialect: Dialect) -> RetentionStatements:
    """Build and compile the statements of retention."""
    return RetentionStatements(
        old_events=compiled(dialect, "old_events", _old_events(dialect), prepared=False),
        caused_enrollments=compiled(
            dialect, "caused_enrollments", _caused(dialect), prepared=False
        ),
        leave_events=inserting(dialect, "leave_events", gone_events, _joined),
        count_versions=inserting(dialect, "count_versions", gone_versions, _counted),
        remove_events=_listed(dialect, "remove_old_events", delete(events), events.c.event_id),
        leave_key_claim=compiled(dialect, "leave_key_claim", _leave_key_claim(), prepared=False),
        remove_versions=_up_to_version(
            dialect, "remove_versions", profile_versions, _no_event_refers_to_it
        ),
        forget_versions=_up_to_version(dialect, "forget_versions", gone_versions, _is_gone),
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
            for name in FINISH_TIMES
        },
        superseded_entries=compiled(
            dialect, "superseded_entries", _superseded(dialect), prepared=False
        ),
        remove_enrollments=_listed(
            dialect, "remove_old_enrollments", delete(enrollments), enrollments.c.enrollment_id
        ),
        leave_entries=_listed(
            dialect, "leave_entries", _entry_alone(), enrollments.c.enrollment_id
        ),
    )


def _listed(dialect: Dialect, name: str, change: Delete | Update, key: Column[Any]) -> Statement:
    """Build a change of an Organization's rows whose ids are listed."""
    listed = change.where(equal_to_given(key.table, "organization_id"), dialect.among(key, "ids"))
    return compiled(dialect, name, listed, prepared=False)


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
                    "key_start",
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


def _caused(dialect: Dialect) -> Select[Any, Any]:
    """Find the Enrollment that an event caused, by the index of the entries of a pair.

    It was entered when the event was received. Asked for as a range, since SQLite uses no index
    for an equality with what it takes out of JSON.
    """
    each = dialect.each("rows")
    at = _given(dialect, each, 3, enrollments.c.entered_at)
    status = (
        select(enrollments.c.status)
        .where(
            _of_pair(dialect, each, enrollments),
            enrollments.c.entered_at >= at,
            enrollments.c.entered_at <= at,
            enrollments.c.event_id == _given(dialect, each, 4, enrollments.c.event_id),
        )
        .limit(_ONE)
        .offset(NO_OFFSET)
        .scalar_subquery()
    )
    return select(_position(dialect, each), status).select_from(each)


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


def _leave_key_claim() -> Update:
    """Take from the key claim of an event what only a comparison with the event needs."""
    return (
        update(key_claims)
        .where(claim_of_event(), key_claims.c.digest.is_not(None))
        .values(
            paths=literal_column("'{}'"),
            gone_profile_id=bindparam("profile_id", type_=key_claims.c.gone_profile_id.type),
        )
    )


_VERSION: Final = ("organization_id", "profile_id", "version")


def _same_version(column: Column[Any], version: FromClause) -> ColumnElement[Any]:
    """Read a column of the row that another table has of a version; NULL where it has none."""
    same = (column.table.c[name] == version.c[name] for name in _VERSION)
    return select(column).where(*same).scalar_subquery()


def _no_event_refers_to_it(version: FromClause) -> ColumnElement[bool]:
    """Say of a version that retention has removed as many events as have referred to it."""
    length = version.c.last_number - version.c.first_number
    return length < _same_version(gone_versions.c.events, version)


def _is_gone(version: FromClause) -> ColumnElement[bool]:
    return _same_version(profile_versions.c.version, version).is_(None)


def _up_to_version(
    dialect: Dialect,
    name: str,
    table: Table,
    which: Callable[[FromClause], ColumnElement[bool]],
) -> RowStatement:
    """Build the DELETE of such versions of Profiles as are not above a given one."""

    def statement(source: FromClause | None, values: Values) -> ClauseElement:
        organization_id, profile_id, version = values
        found = table if source is None else table.alias("found")
        conditions = (
            found.c.organization_id == organization_id,
            found.c.profile_id == profile_id,
            found.c.version <= version,
            which(found),
        )
        if source is None:
            return delete(table).where(*conditions)
        keys = [table.c[each] for each in _VERSION]
        listed = select(*(found.c[each] for each in _VERSION)).select_from(source, found)
        # Named once more where that tells the database which machine the rows are on.
        of_one = [keys[0] == organization_id] if dialect.one_organization else []
        return delete(table).where(tuple_(*keys).in_(listed.where(*conditions)), *of_one)

    like = [table.c[each] for each in _VERSION]
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


def _superseded(dialect: Dialect) -> Select[Any, Any, Any]:
    each = dialect.each("rows")
    at = _given(dialect, each, 3, enrollments.c.entered_at)
    number = _given(dialect, each, 4, enrollments.c.event_number)
    later, left = enrollments.alias("later"), enrollments.alias("earlier")
    has_later = (
        select(_ONE)
        .select_from(later)
        .where(
            _of_pair(dialect, each, later),
            later.c.entered_at >= at,
            or_(later.c.entered_at > at, later.c.event_number > number),
        )
        .limit(_ONE)
        .offset(NO_OFFSET)
        .scalar_subquery()
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
    return select(_position(dialect, each), has_later, earlier).select_from(each)


def _entry_alone() -> Update:
    """Take from Enrollments all that re-entry does not need."""
    return update(enrollments).values(
        {each.name: _nothing(each) for each in enrollments.c if each.name not in ENTRY}
    )


def _nothing(column: Column[Any]) -> ColumnElement[Any]:
    """Return what a column holds where only the entry is left."""
    if column.name == "status":
        return literal_column(f"'{EnrollmentStatus.COMPLETED}'")
    if column.nullable:
        return null()
    return _NO_ID if isinstance(column.type, String) else _ZERO

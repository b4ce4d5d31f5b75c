"""The lines in which Enrollments wait: one for each era of each Journey of an Organization.

An index keeps each line by itself, in the order of claims, and holds nothing that is finished. So
whatever waits in a line that does not move costs a claim one look, however much it is.

A walk leads from Journey to Journey, one look into that index for each that has anything open. A
kind of database that keeps Organizations on different machines goes by the Organization's active
Journeys instead.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    CTE,
    BindParameter,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    and_,
    bindparam,
    case,
    lateral,
    literal_column,
    select,
    true,
    tuple_,
)
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_core.ports import EnrollmentStatus, JourneyStatus
from segmentflow_sql.schema import enrollments, is_available, journeys
from segmentflow_sql.statements.building import NO_OFFSET
from segmentflow_sql.statements.dialects import Dialect

__all__ = [
    "AS_READ",
    "archived_at",
    "count_of",
    "given",
    "is_of_this_era",
    "materialized",
    "moving_lines",
    "now",
    "of_line",
    "organization_of",
    "queue_of",
    "same",
]

_PLACE: Final = ("journey_id", "era", "available_at", "enrollment_id")
"""What the index of the lines is sorted by, behind the Organization."""

_SEEN: Final = {"first_era": "era", "first_since": "available_at"}
"""What a walk tells of the first Enrollment of a Journey, and where it stands."""


def given(name: str) -> ColumnElement[Any]:
    """Return the parameter for a column of Enrollments."""
    return bindparam(name, type_=enrollments.c[name].type)


def count_of(name: str) -> BindParameter[Any]:
    """Return a parameter that is a number."""
    return bindparam(name, type_=Integer)


def now() -> BindParameter[Any]:
    """Return the instant by which an Enrollment must be available."""
    return bindparam("now", type_=enrollments.c.available_at.type)


def same(table: FromClause, other: FromClause, *names: str) -> ColumnElement[bool]:
    """Say that two rows agree in some columns."""
    return and_(*(table.c[name] == other.c[name] for name in names))


def materialized(statement: Any, name: str) -> CTE:
    """Return a step that PostgreSQL takes by itself, before what follows."""
    found: CTE = statement.cte(name)
    return found.prefix_with("MATERIALIZED", dialect="postgresql")


# --- what a Journey makes of an Enrollment --------------------------------------------------


def _of_journey(column: ColumnElement[Any], *more: ColumnElement[bool]) -> ColumnElement[Any]:
    """Read a column of the Journey of an Enrollment."""
    return (
        select(column)
        .where(same(journeys, enrollments, "organization_id", "journey_id"), *more)
        .correlate(enrollments)
        .scalar_subquery()
    )


def archived_at(dialect: Dialect) -> ColumnElement[Any]:
    """Read when the Journey was archived after the Enrollment entered; NULL where it was not."""
    archiving = dialect.read(journeys.c.archived_at)
    return _of_journey(archiving, journeys.c.era > enrollments.c.era).label("archived_at")


def is_of_this_era() -> ColumnElement[bool]:
    """Say of Enrollments that their Journey was not archived after they entered."""
    return enrollments.c.era >= _of_journey(journeys.c.era)


def _literal(status: EnrollmentStatus | JourneyStatus) -> ColumnElement[Any]:
    return literal_column(f"'{status}'")


_IS_PENDING: Final = enrollments.c.status == _literal(EnrollmentStatus.PENDING)
_WAITS_NO_MORE: Final[ColumnElement[bool]] = and_(
    _IS_PENDING, enrollments.c.era < _of_journey(journeys.c.era)
)
"""Says of Enrollments that they wait in an archived Journey: they are read as withdrawn."""

AS_READ: Final[ColumnElement[Any]] = case(
    (_WAITS_NO_MORE, _literal(EnrollmentStatus.WITHDRAWN)), else_=enrollments.c.status
)
"""The status of Enrollments, as everybody reads it."""


# --- lines -----------------------------------------------------------------------------------


def organization_of(table: FromClause, *, organization: bool) -> ColumnElement[Any]:
    """Return the Organization that a claim names, or else the one that a row has."""
    return given("organization_id") if organization else table.c.organization_id


def of_line(
    table: FromClause, line: FromClause, organization_id: ColumnElement[Any]
) -> ColumnElement[bool]:
    """Say of Enrollments that they wait in a line, now or later."""
    since = [table.c.available_at >= line.c.since] if "since" in line.c else []
    return and_(
        table.c.organization_id == organization_id,
        same(table, line, "journey_id", "era"),
        is_available(table),
        *since,
    )


def queue_of(
    table: FromClause,
    line: FromClause,
    organization_id: ColumnElement[Any],
    *columns: ColumnElement[Any],
) -> Select[Any]:
    """Read what a line has to hand over: available longest first, then the lower id."""
    return (
        select(*columns)
        .where(of_line(table, line, organization_id), table.c.available_at <= now())
        .order_by(table.c.available_at, table.c.enrollment_id)
    )


def moving_lines(dialect: Dialect, *, organization: bool, journey: bool) -> CTE:
    """List the lines that have something to hand over, and whose Journeys are active.

    Columns: organization_id, journey_id and era; where many write at a time, also since when the
    first one waits. What was completed stands in an index, before all that waits, for as long
    as any session may still see it as it was. One look passes over that, and no other look.

    Args:
        dialect: for which database.
        organization: whether one Organization is named; otherwise it is of all of them.
        journey: whether one Journey is named.
    """
    standing = materialized(
        _standing(dialect, organization=organization, journey=journey), "standing"
    )
    front = enrollments.alias("front")
    # Not EXISTS, which PostgreSQL may answer for all at once, by reading every queue.
    earliest = (
        select(front.c.available_at)
        .where(of_line(front, standing, standing.c.organization_id))
        .order_by(front.c.available_at, front.c.enrollment_id)
        .limit(literal_column("1"))
        .offset(NO_OFFSET)
        .scalar_subquery()
    )
    line = [standing.c[name] for name in ("organization_id", "journey_id", "era")]
    if dialect.one_writer:
        return materialized(
            select(*line).where(standing.c.era.is_not(None), earliest <= now()), "lines"
        )
    since: ColumnElement[Any] = earliest
    if "first_era" in standing.c:
        # The walk has seen it, unless it came upon what was left of an era that is over.
        since = case(
            (standing.c.first_era == standing.c.era, standing.c.first_since), else_=earliest
        )
    seen = materialized(
        select(*line, since.label("since")).where(standing.c.era.is_not(None)), "seen"
    )
    return materialized(select(seen).where(seen.c.since <= now()), "lines")


def _standing(dialect: Dialect, *, organization: bool, journey: bool) -> ClauseElement:
    """List Journeys that may have work, each with its era if it is active, otherwise with NULL.

    A look-up for each: a join may read every Journey that there is.
    """
    active = journeys.c.status == _literal(JourneyStatus.ACTIVE)
    if dialect.one_organization:
        named = (("organization_id", organization), ("journey_id", journey))
        return select(journeys.c.organization_id, journeys.c.journey_id, journeys.c.era).where(
            active, *(journeys.c[name] == given(name) for name, is_given in named if is_given)
        )
    known: FromClause
    if journey:
        known = _organizations(dialect)
        journey_id = given("journey_id")
    else:
        known = _journeys_with_work(dialect, organization=organization)
        journey_id = known.c.journey_id
    of = organization_of(known, organization=organization)
    # By the key alone: an index with the status in it holds all of the Organization's Journeys.
    era = (
        select(case((active, journeys.c.era)))
        .where(journeys.c.organization_id == of, journeys.c.journey_id == journey_id)
        .scalar_subquery()
    )
    # A walk from Organization to Organization comes upon any Journey's.
    seen = [known.c[name] for name in _SEEN if name in known.c and not journey]
    return select(
        of.label("organization_id"), journey_id.label("journey_id"), era.label("era"), *seen
    ).select_from(known)


def _first(table: FromClause, name: str, *which: ColumnElement[bool]) -> ColumnElement[Any]:
    """Find the next Organization or Journey that has work."""
    return _in_order(select(table.c[name]), table, *which).scalar_subquery()


def _in_order(found: Select[Any], table: FromClause, *which: ColumnElement[bool]) -> Select[Any]:
    """Read the first row that has work, in the order of the index.

    Not the least of all of them: to find that, PostgreSQL may take an index that holds history.
    """
    return (
        found.where(is_available(table), *which)
        .order_by(table.c.organization_id, *(table.c[each] for each in _PLACE))
        .limit(literal_column("1"))
        .offset(NO_OFFSET)
    )


def _walk(name: str, *columns: str, organization: bool) -> CTE:
    """Walk from one row's columns to the next that are behind them, where a join may do that.

    Each step tells as well of which era the row is that it came upon, and since when that waits.
    A planner takes one row to lead to one other, and so knows how few they are.
    """
    lowest, higher = enrollments.alias("lowest"), enrollments.alias("higher")

    def first(table: FromClause, *which: ColumnElement[bool]) -> Select[Any]:
        if organization:
            which = (table.c.organization_id == given("organization_id"), *which)
        seen = (table.c[of].label(name) for name, of in _SEEN.items())
        return _in_order(select(*(table.c[each] for each in columns), *seen), table, *which)

    known = select(first(lowest).subquery("first_one")).cte(name, recursive=True)
    behind = tuple_(*(higher.c[each] for each in columns)) > tuple_(
        *(known.c[each] for each in columns)
    )
    following = lateral(first(higher, behind), name="next_one")
    return known.union_all(select(following).select_from(known.join(following, true())))


def _organizations(dialect: Dialect) -> CTE:
    """Walk from Organization to Organization; may end with a row of NULL."""
    if dialect.has_lateral:
        return _walk("organizations", "organization_id", organization=False)
    lowest, higher = enrollments.alias("lowest"), enrollments.alias("higher")
    known = select(_first(lowest, "organization_id").label("organization_id")).cte(
        "organizations", recursive=True
    )
    following = _first(
        higher, "organization_id", higher.c.organization_id > known.c.organization_id
    )
    return known.union_all(select(following).where(known.c.organization_id.is_not(None)))


def _journeys_with_work(dialect: Dialect, *, organization: bool) -> CTE:
    """Walk from Journey to Journey, of one Organization or of each; may end with rows of NULL."""
    if dialect.has_lateral:
        named = () if organization else ("organization_id",)
        return _walk("known", *named, "journey_id", organization=organization)
    lowest, higher = enrollments.alias("lowest_journey"), enrollments.alias("higher_journey")
    if organization:
        of = given("organization_id")
        begin = select(
            of.label("organization_id"),
            _first(lowest, "journey_id", lowest.c.organization_id == of).label("journey_id"),
        )
    else:
        each = _organizations(dialect)
        begin = select(
            each.c.organization_id,
            _first(lowest, "journey_id", lowest.c.organization_id == each.c.organization_id).label(
                "journey_id"
            ),
        ).where(each.c.organization_id.is_not(None))
    known = begin.cte("known", recursive=True)
    of = organization_of(known, organization=organization)
    following = _first(
        higher,
        "journey_id",
        higher.c.organization_id == of,
        higher.c.journey_id > known.c.journey_id,
    )
    return known.union_all(
        select(known.c.organization_id, following).where(known.c.journey_id.is_not(None))
    )

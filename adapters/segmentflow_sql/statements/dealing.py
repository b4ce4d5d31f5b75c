"""Which Enrollments a claim takes: the front of one queue, or a share of every Organization's.

Must never read what is completed: it looks at what is available, by an index of that alone,
however long the history is.

A claim for one Organization reads the front of its queue. A claim for all of them first
walks from Organization to Organization, one look into the index for each that has anything
open, and then deals: each gives its first, then each its second, and so on. Where Organizations
are on different machines, `waiting_organizations` only lists them, and `repositories.dealing`
deals: no lock and no recursion goes across machines.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    and_,
    bindparam,
    func,
    lateral,
    literal_column,
    select,
    text,
    true,
    tuple_,
    union_all,
)

from segmentflow_sql.schema import enrollments, is_available
from segmentflow_sql.statements.building import NO_OFFSET
from segmentflow_sql.statements.dialects import Dialect

__all__ = [
    "KEY",
    "choose",
    "count_of",
    "given",
    "materialized",
    "now",
    "same",
    "waiting_organizations",
]

KEY: Final = ("organization_id", "enrollment_id")
_CHOSEN: Final = (*KEY, "event_id")


def given(name: str) -> ColumnElement[Any]:
    """Return the parameter for a column of Enrollments."""
    return bindparam(name, type_=enrollments.c[name].type)


def count_of(name: str) -> BindParameter[Any]:
    """Return a parameter that is a number."""
    return bindparam(name, type_=Integer)


def same(table: FromClause, other: FromClause, *names: str) -> ColumnElement[bool]:
    """Say that two rows agree in some columns."""
    return and_(*(table.c[name] == other.c[name] for name in names))


def materialized(statement: Any, name: str) -> CTE:
    """Return a step that PostgreSQL takes by itself, before what follows."""
    found: CTE = statement.cte(name)
    return found.prefix_with("MATERIALIZED", dialect="postgresql")


def choose(dialect: Dialect, *, organization: bool, journey: bool) -> CTE:
    """Choose what a claim takes: for one Organization or all, for one Journey or any."""
    if organization:
        return _front(dialect, journey=journey)
    return (_deal_by_merging if dialect.one_writer else _deal_by_locking)(journey=journey)


def now() -> BindParameter[Any]:
    """Return the parameter that is the instant of the call."""
    return bindparam("now", type_=enrollments.c.available_at.type)


def _waits(
    table: FromClause, organization_id: ColumnElement[Any], *, journey: bool
) -> ColumnElement[bool]:
    """Say of Enrollments that they are, now or later, for such a claim."""
    named = [table.c.journey_id == given("journey_id")] if journey else []
    return and_(table.c.organization_id == organization_id, is_available(table), *named)


def _queue(
    table: FromClause,
    organization_id: ColumnElement[Any],
    *columns: ColumnElement[Any],
    journey: bool,
) -> Select[Any]:
    """Read what an Organization has to hand over: available longest first, then the lower id."""
    return (
        select(*columns)
        .where(_waits(table, organization_id, journey=journey), table.c.available_at <= now())
        .order_by(table.c.available_at, table.c.enrollment_id)
    )


def _front(dialect: Dialect, *, journey: bool) -> CTE:
    """Take the front of one Organization's queue, past whatever others hold locked."""
    columns = [enrollments.c[name] for name in _CHOSEN]
    queue = _queue(enrollments, given("organization_id"), *columns, journey=journey)
    return materialized(
        queue.limit(count_of("limit"))
        .offset(NO_OFFSET)
        .with_for_update(skip_locked=dialect.skips_locked),
        "taken",
    )


def waiting_organizations(*, journey: bool) -> Select[Any]:
    """List the Organizations that have something to hand over; locks nothing."""
    named = [enrollments.c.journey_id == given("journey_id")] if journey else []
    return (
        select(enrollments.c.organization_id)
        .where(is_available(enrollments), enrollments.c.available_at <= now(), *named)
        .distinct()
    )


def _circle(*, journey: bool) -> CTE:
    """List the Organizations that have something to hand over, from the one whose turn it is.

    Columns: organization_id and place, counted from zero.
    """
    lowest, higher, waiting = (enrollments.alias(name) for name in ("lowest", "higher", "waiting"))
    known = (
        select(func.min(lowest.c.organization_id).label("organization_id"))
        .where(is_available(lowest))
        .cte("organizations", recursive=True)
    )
    step = (
        select(func.min(higher.c.organization_id))
        .where(is_available(higher), higher.c.organization_id > known.c.organization_id)
        .scalar_subquery()
    )
    known = known.union_all(select(step).where(known.c.organization_id.is_not(None)))
    total = func.count().over()
    number = func.row_number().over(order_by=known.c.organization_id) - literal_column("1")
    place = (number - bindparam("turn", type_=BigInteger) % total + total) % total
    # Not EXISTS, which PostgreSQL may answer for all at once, by reading every queue.
    earliest = (
        select(func.min(waiting.c.available_at))
        .where(_waits(waiting, known.c.organization_id, journey=journey))
        .scalar_subquery()
    )
    return materialized(
        select(known.c.organization_id, place.label("place"))
        .where(earliest <= now())
        .order_by(literal_column("place")),
        "circle",
    )


def _deal_by_merging(*, journey: bool) -> CTE:
    """Deal where one transaction writes at a time: by a recursion.

    Its queue holds each Organization's next Enrollment.

    SQLite takes from it in the order asked for and stops at the limit, so it reads no
    more of any Organization's Enrollments than it takes, and one.
    """
    circle = _circle(journey=journey)
    taken, waiting = enrollments.alias("taken_one"), enrollments.alias("waiting_one")

    def dealt(
        round_: ColumnElement[Any], before: FromClause, *more: ColumnElement[bool]
    ) -> Select[Any]:
        following = (
            _queue(waiting, before.c.organization_id, waiting.c.enrollment_id, journey=journey)
            .where(*more)
            .limit(literal_column("1"))
            .offset(NO_OFFSET)
            .scalar_subquery()
        )
        source = before.join(
            taken,
            and_(same(taken, before, "organization_id"), taken.c.enrollment_id == following),
        )
        columns = [taken.c[name] for name in (*_CHOSEN, "available_at")]
        return select(round_.label("round"), before.c.place, *columns).select_from(source)

    dealing = dealt(literal_column("0"), circle).cte("taken", recursive=True)
    behind = tuple_(waiting.c.available_at, waiting.c.enrollment_id) > tuple_(
        dealing.c.available_at, dealing.c.enrollment_id
    )
    step = dealt(dealing.c.round + literal_column("1"), dealing, behind)
    return dealing.union_all(
        step.suffix_with(text("ORDER BY 1, 2 LIMIT :limit").bindparams(count_of("limit")))
    )


def _deal_by_locking(*, journey: bool) -> CTE:
    """Deal where others take at the same time: count each share, then lock that many of each.

    A lock is taken only on what is handed over, since LIMIT stops what it reads from, and
    what others hold locked is passed over. Where they hold so much that a share stays
    short, the Organizations that have more give the rest.
    """
    circle = _circle(journey=journey)
    shares = _shares(circle, journey=journey)
    shared, spare = (enrollments.alias(name) for name in ("shared", "spare"))
    their_own = lateral(
        _queue_of(shares, shared, *(shared.c[name] for name in _CHOSEN), journey=journey)
        .limit(shares.c.share)
        .with_for_update(skip_locked=True),
        name="their_own",
    )
    own = materialized(select(their_own).select_from(shares.join(their_own, true())), "own")
    not_yet = tuple_(*(spare.c[name] for name in KEY)).not_in(
        select(*(own.c[name] for name in KEY))
    )
    left = lateral(
        _queue_of(circle, spare, *(spare.c[name] for name in _CHOSEN), journey=journey)
        .where(not_yet)
        .with_for_update(skip_locked=True),
        name="left_over",
    )
    short = count_of("limit") - select(func.count()).select_from(own).scalar_subquery()
    more = materialized(select(left).select_from(circle.join(left, true())).limit(short), "more")
    everything = union_all(select(own), select(more)).subquery("everything")
    # The limit is reached already; it tells the planner how few these are.
    return materialized(select(everything).limit(count_of("limit")), "taken")


def _shares(circle: CTE, *, journey: bool) -> CTE:
    """Count how many Enrollments each Organization gives, were none of them locked.

    Columns: organization_id and share.
    """
    counted = enrollments.alias("counted")
    # No Organization behind the first `limit` gets a turn.
    first = select(circle).order_by(circle.c.place).limit(count_of("limit")).subquery("first_ones")
    ranked = _queue_of(
        first,
        counted,
        func.row_number()
        .over(order_by=(counted.c.available_at, counted.c.enrollment_id))
        .label("round"),
        journey=journey,
    )
    rounds = lateral(ranked.limit(count_of("limit")), name="rounds")
    dealt: Subquery = (
        select(first.c.organization_id, first.c.place)
        .select_from(first.join(rounds, true()))
        .order_by(rounds.c.round, first.c.place)
        .limit(count_of("limit"))
        .subquery("dealt")
    )
    return materialized(
        select(dealt.c.organization_id, func.count().label("share")).group_by(
            dealt.c.organization_id
        ),
        "shares",
    )


def _queue_of(
    of: FromClause, table: FromClause, *columns: ColumnElement[Any], journey: bool
) -> Select[Any]:
    return _queue(table, of.c.organization_id, *columns, journey=journey)

"""Which Enrollments a claim takes: the front of the lines that move, of one Organization or all.

Must never read what is completed, nor what waits in a Journey that is not active: it looks at the
lines of those that are, by an index of what is available alone, however long the history is.

A claim for one Journey reads the front of its line. One for an Organization merges the fronts of
its lines, and one for all of them deals: each Organization gives its first, then each its second,
and so on. Where one statement does not do that, `waiting_organizations` only lists them, and
`repositories.dealing` deals.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    CTE,
    BigInteger,
    ColumnElement,
    FromClause,
    Select,
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

from segmentflow_core.ports import JourneyStatus
from segmentflow_sql.schema import enrollments, is_available, journeys
from segmentflow_sql.statements.building import NO_OFFSET
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.lines import (
    count_of,
    given,
    materialized,
    moving_lines,
    now,
    organization_of,
    queue_of,
    same,
)

__all__ = ["KEY", "choose", "waiting_organizations"]

KEY: Final = ("organization_id", "enrollment_id")
_CHOSEN: Final = (*KEY, "event_id")
_LINE: Final = ("journey_id", "era", "since")


def choose(dialect: Dialect, *, organization: bool, journey: bool) -> CTE:
    """Choose what a claim takes: for one Organization or all, for one Journey or any."""
    if organization and journey:
        return _front(dialect)
    if dialect.one_writer:
        return _merge(dialect)
    return _deal(dialect, organization=organization, journey=journey)


def _front(dialect: Dialect) -> CTE:
    """Take the front of one Journey's line, past whatever others hold locked."""
    era = (
        select(journeys.c.era)
        .where(
            journeys.c.organization_id == given("organization_id"),
            journeys.c.journey_id == given("journey_id"),
            journeys.c.status == literal_column(f"'{JourneyStatus.ACTIVE}'"),
        )
        .scalar_subquery()
    )
    return materialized(
        select(*(enrollments.c[name] for name in _CHOSEN))
        .where(
            enrollments.c.organization_id == given("organization_id"),
            enrollments.c.journey_id == given("journey_id"),
            enrollments.c.era == era,
            is_available(enrollments),
            enrollments.c.available_at <= now(),
        )
        .order_by(enrollments.c.available_at, enrollments.c.enrollment_id)
        .limit(count_of("limit"))
        .offset(NO_OFFSET)
        .with_for_update(skip_locked=dialect.skips_locked),
        "taken",
    )


def waiting_organizations(dialect: Dialect, *, journey: bool) -> Select[Any]:
    """List the Organizations that have something to hand over; locks nothing."""
    lines = moving_lines(dialect, organization=False, journey=journey)
    return select(lines.c.organization_id).distinct()


def _merge(dialect: Dialect) -> CTE:
    """Merge the lines of an Organization, where one transaction writes at a time: by a recursion.

    Its queue holds each line's next Enrollment. SQLite takes from it in the order asked for and
    stops at the limit, so it reads no more of any line than it takes, and one.
    """
    lines = moving_lines(dialect, organization=True, journey=False)
    taken, waiting = enrollments.alias("taken_one"), enrollments.alias("waiting_one")
    of = given("organization_id")

    def merged(line: FromClause, *more: Any) -> Select[Any]:
        following = (
            queue_of(waiting, line, of, waiting.c.enrollment_id)
            .where(*more)
            .limit(literal_column("1"))
            .offset(NO_OFFSET)
            .scalar_subquery()
        )
        source = line.join(
            taken, and_(taken.c.organization_id == of, taken.c.enrollment_id == following)
        )
        columns = [taken.c[name] for name in ("available_at", "enrollment_id")]
        columns += [taken.c[name] for name in ("organization_id", "event_id", "journey_id", "era")]
        return select(*columns).select_from(source)

    merging = merged(lines).cte("taken", recursive=True)
    behind = tuple_(waiting.c.available_at, waiting.c.enrollment_id) > tuple_(
        merging.c.available_at, merging.c.enrollment_id
    )
    return merging.union_all(
        merged(merging, behind).suffix_with(
            text("ORDER BY 1, 2 LIMIT :limit").bindparams(count_of("limit"))
        )
    )


def _deal(dialect: Dialect, *, organization: bool, journey: bool) -> CTE:
    """Deal where others take at the same time: count each line's share, then lock that many.

    A lock is taken only on what is handed over, since LIMIT stops what it reads from, and
    what others hold locked is passed over. Where they hold so much that a share stays
    short, the lines that have more give the rest.
    """
    lines = moving_lines(dialect, organization=organization, journey=journey)
    shares = (_share_of_one if organization else _share_of_all)(lines)
    shared, spare = (enrollments.alias(name) for name in ("shared", "spare"))

    def locked(name: str, table: Any, line: FromClause, *which: ColumnElement[bool]) -> Select[Any]:
        """Lock a line's front: of the limit, no more rows than are taken from here."""
        of = organization_of(line, organization=organization)
        front = queue_of(table, line, of, *(table.c[name] for name in _CHOSEN)).where(*which)
        locking = front.limit(count_of("limit")).with_for_update(skip_locked=dialect.skips_locked)
        front_rows: Any = lateral(locking.correlate(line), name=name)
        return select(front_rows)

    # Each limit that is a parameter cuts nothing off: it tells the planner how few these are.
    their_own = lateral(
        locked("shared_front", shared, shares).limit(shares.c.share), name="their_own"
    )
    own = materialized(
        select(their_own).select_from(shares.join(their_own, true())).limit(count_of("limit")),
        "own",
    )
    not_yet = tuple_(*(spare.c[name] for name in KEY)).not_in(
        select(*(own.c[name] for name in KEY))
    )
    left = lateral(locked("spare_front", spare, lines, not_yet), name="left_over")
    short = count_of("limit") - select(func.count()).select_from(own).scalar_subquery()
    more = materialized(select(left).select_from(lines.join(left, true())).limit(short), "more")
    everything = union_all(select(own), select(more)).subquery("everything")
    return materialized(select(everything).limit(count_of("limit")), "taken")


def _fronts(lines: FromClause, *, organization: bool) -> Any:
    """Read the front of each line, as far as a claim may go; locks nothing."""
    counted = enrollments.alias("counted")
    of = organization_of(lines, organization=organization)
    place = [counted.c[name] for name in ("available_at", "enrollment_id")]
    return lateral(queue_of(counted, lines, of, *place).limit(count_of("limit")), name="fronts")


def _counted(dealt: Any, *of: str) -> CTE:
    taken = dealt.limit(count_of("limit")).subquery("dealt")
    line = [taken.c[name] for name in (*of, *_LINE)]
    return materialized(select(*line, func.count().label("share")).group_by(*line), "shares")


def _share_of_one(lines: CTE) -> CTE:
    """Count how many Enrollments each line of an Organization gives, were none of them locked.

    Columns: journey_id, era, since and share.
    """
    fronts = _fronts(lines, organization=True)
    return _counted(
        select(*(lines.c[name] for name in _LINE))
        .select_from(lines.join(fronts, true()))
        .order_by(fronts.c.available_at, fronts.c.enrollment_id)
    )


def _share_of_all(lines: CTE) -> CTE:
    """Count how many Enrollments each line of every Organization gives, were none of them locked.

    Columns: organization_id, journey_id, era, since and share.
    """
    circle = _circle(lines)
    # No Organization behind the first `limit` gets a turn.
    first = (
        select(lines.c.organization_id, *(lines.c[name] for name in _LINE), circle.c.place)
        .select_from(lines.join(circle, same(circle, lines, "organization_id")))
        .where(circle.c.place < count_of("limit"))
        .subquery("first_ones")
    )
    fronts = _fronts(first, organization=False)
    rank = func.row_number().over(
        partition_by=first.c.organization_id,
        order_by=(fronts.c.available_at, fronts.c.enrollment_id),
    )
    ranked = (
        select(
            *(first.c[name] for name in ("organization_id", *_LINE, "place")), rank.label("round")
        )
        .select_from(first.join(fronts, true()))
        .subquery("ranked")
    )
    return _counted(
        select(*(ranked.c[name] for name in ("organization_id", *_LINE))).order_by(
            ranked.c.round, ranked.c.place
        ),
        "organization_id",
    )


def _circle(lines: CTE) -> CTE:
    """List the Organizations that have something to hand over, from the one whose turn it is.

    Columns: organization_id and place, counted from zero.
    """
    names = select(lines.c.organization_id).distinct().subquery("names")
    total = func.count().over()
    number = func.row_number().over(order_by=names.c.organization_id) - literal_column("1")
    place = (number - bindparam("turn", type_=BigInteger) % total + total) % total
    return materialized(select(names.c.organization_id, place.label("place")), "circle")

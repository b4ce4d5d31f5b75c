"""The SQL of the hand-over: which Enrollments a claim takes, and what each call makes of them.

Says in one statement what `handed_over`, `completed`, `released`, `extended` and `revived`
of the ports say of one Enrollment. Must never read what is completed: a claim looks at what
is available, by an index of that alone, however long the history is.

A claim for one Organization reads the front of its queue. A claim for all of them first
walks from Organization to Organization, one look into the index for each that has anything
open, and then deals: each gives its first, then each its second, and so on.
"""

from __future__ import annotations

from typing import Any, Final, Protocol

from sqlalchemy import (
    CTE,
    BigInteger,
    BindParameter,
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Subquery,
    and_,
    bindparam,
    case,
    func,
    lateral,
    literal_column,
    null,
    or_,
    select,
    text,
    true,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_core.ports import EnrollmentStatus
from segmentflow_sql.schema import enrollments, events, is_available

__all__ = [
    "COMPLETED",
    "EXTENDED",
    "LEASE",
    "RELEASED",
    "Builder",
    "Change",
    "claim",
    "claimed_already",
    "claimed_events",
    "deal_by_locking",
    "deal_by_merging",
    "finish",
    "revive",
]

_Values = list[ColumnElement[Any]]
Change = tuple[ColumnElement[bool], dict[str, Any]]
"""Which Enrollments a call changes, among those it names, and into what."""

_KEY: Final = ("organization_id", "enrollment_id")
_TAKEN: Final = (*_KEY, "event_id")
LEASE: Final = (*_KEY, "token")
"""The columns that a `Lease` names an Enrollment by."""

# SQLite's compiler writes an OFFSET beside every LIMIT; a literal one needs no parameter.
_NO_OFFSET: Final[ColumnElement[Any]] = literal_column("0")


class Builder(Protocol):
    """How a database's own statements are written, as far as the hand-over needs to know."""

    def each(self, name: str) -> Any:
        """Return a FROM item with the items of a JSON array as its column ``value``."""
        ...

    def item(self, row: ColumnElement[Any], index: int) -> ColumnElement[Any]:
        """Return one value of a row that came as a JSON array."""
        ...

    def typed(self, value: ColumnElement[Any], like: Column[Any]) -> ColumnElement[Any]:
        """Give a value the type of a column."""
        ...

    def among(self, column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
        """Say that a column has one of the values of a list."""
        ...

    def read(self, column: ColumnElement[Any]) -> ColumnElement[Any]:
        """Return what to select so that every database answers alike."""
        ...

    def deal(self, *, journey: bool) -> CTE:
        """Take Enrollments of every Organization in turn."""
        ...

    @property
    def has_lateral(self) -> bool:
        """Whether a join may look each row up, and an UPDATE return what it is joined to."""
        ...


def _given(name: str) -> ColumnElement[Any]:
    return bindparam(name, type_=enrollments.c[name].type)


def _count(name: str) -> BindParameter[Any]:
    return bindparam(name, type_=Integer)


def _now() -> BindParameter[Any]:
    return bindparam("now", type_=enrollments.c.available_at.type)


def _status(status: EnrollmentStatus) -> ColumnElement[Any]:
    return literal_column(f"'{status}'")


def _same(table: FromClause, other: FromClause, *names: str) -> ColumnElement[bool]:
    return and_(*(table.c[name] == other.c[name] for name in names))


def _materialized(statement: Any, name: str) -> CTE:
    found: CTE = statement.cte(name)
    return found.prefix_with("MATERIALIZED", dialect="postgresql")


# --- what a claim takes ----------------------------------------------------------------------


def _waits(
    table: FromClause, organization_id: ColumnElement[Any], *, journey: bool
) -> ColumnElement[bool]:
    """Say of Enrollments that they are, now or later, for such a claim."""
    named = [table.c.journey_id == _given("journey_id")] if journey else []
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
        .where(_waits(table, organization_id, journey=journey), table.c.available_at <= _now())
        .order_by(table.c.available_at, table.c.enrollment_id)
    )


def _front(*, journey: bool) -> CTE:
    """Take the front of one Organization's queue, past whatever others hold locked."""
    columns = [enrollments.c[name] for name in _TAKEN]
    queue = _queue(enrollments, _given("organization_id"), *columns, journey=journey)
    return _materialized(
        queue.limit(_count("limit")).offset(_NO_OFFSET).with_for_update(skip_locked=True), "taken"
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
    return _materialized(
        select(known.c.organization_id, place.label("place"))
        .where(earliest <= _now())
        .order_by(literal_column("place")),
        "circle",
    )


def deal_by_merging(*, journey: bool) -> CTE:
    """Deal where nobody else writes: a recursion whose queue holds each Organization's next.

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
            .offset(_NO_OFFSET)
            .scalar_subquery()
        )
        source = before.join(
            taken,
            and_(_same(taken, before, "organization_id"), taken.c.enrollment_id == following),
        )
        columns = [taken.c[name] for name in (*_TAKEN, "available_at")]
        return select(round_.label("round"), before.c.place, *columns).select_from(source)

    dealing = dealt(literal_column("0"), circle).cte("taken", recursive=True)
    behind = tuple_(waiting.c.available_at, waiting.c.enrollment_id) > tuple_(
        dealing.c.available_at, dealing.c.enrollment_id
    )
    step = dealt(dealing.c.round + literal_column("1"), dealing, behind)
    return dealing.union_all(
        step.suffix_with(text("ORDER BY 1, 2 LIMIT :limit").bindparams(_count("limit")))
    )


def deal_by_locking(*, journey: bool) -> CTE:
    """Deal where others take at the same time: count each share, then lock that many of each.

    A lock is taken only on what is handed over, since LIMIT stops what it reads from, and
    what others hold locked is passed over. Where they hold so much that a share stays
    short, the rest comes from whoever has more.
    """
    circle = _circle(journey=journey)
    counted, shared, spare = (enrollments.alias(name) for name in ("counted", "shared", "spare"))

    def queue(table: FromClause, of: FromClause, *columns: ColumnElement[Any]) -> Select[Any]:
        return _queue(table, of.c.organization_id, *columns, journey=journey)

    # Nobody behind the first `limit` Organizations gets a turn.
    first = select(circle).order_by(circle.c.place).limit(_count("limit")).subquery("first_ones")
    ranked = queue(
        counted,
        first,
        func.row_number()
        .over(order_by=(counted.c.available_at, counted.c.enrollment_id))
        .label("round"),
    )
    rounds = lateral(ranked.limit(_count("limit")), name="rounds")
    dealt: Subquery = (
        select(first.c.organization_id, first.c.place)
        .select_from(first.join(rounds, true()))
        .order_by(rounds.c.round, first.c.place)
        .limit(_count("limit"))
        .subquery("dealt")
    )
    shares = _materialized(
        select(dealt.c.organization_id, func.count().label("share")).group_by(
            dealt.c.organization_id
        ),
        "shares",
    )
    their_own = lateral(
        queue(shared, shares, *(shared.c[name] for name in _TAKEN))
        .limit(shares.c.share)
        .with_for_update(skip_locked=True),
        name="their_own",
    )
    own = _materialized(select(their_own).select_from(shares.join(their_own, true())), "own")
    not_yet = tuple_(*(spare.c[name] for name in _KEY)).not_in(
        select(*(own.c[name] for name in _KEY))
    )
    left = lateral(
        queue(spare, circle, *(spare.c[name] for name in _TAKEN))
        .where(not_yet)
        .with_for_update(skip_locked=True),
        name="left_over",
    )
    short = _count("limit") - select(func.count()).select_from(own).scalar_subquery()
    more = _materialized(select(left).select_from(circle.join(left, true())).limit(short), "more")
    everything = union_all(select(own), select(more)).subquery("everything")
    # The limit is reached already; it tells the planner how few these are.
    return _materialized(select(everything).limit(_count("limit")), "taken")


# --- what becomes of it ----------------------------------------------------------------------


def claim(builder: Builder, *, organization: bool, journey: bool) -> ClauseElement:
    """Build the claim for one Organization or all, for one Journey or any."""
    taken = _front(journey=journey) if organization else builder.deal(journey=journey)
    used_up = enrollments.c.attempts >= _count("max_attempts")
    lease_until = _given("lease_until")
    after = {
        "status": (_status(EnrollmentStatus.DEAD), _status(EnrollmentStatus.CLAIMED)),
        "available_at": (enrollments.c.available_at, lease_until),
        "attempts": (enrollments.c.attempts, enrollments.c.attempts + literal_column("1")),
        "lease_until": (enrollments.c.lease_until, lease_until),
        "token": (enrollments.c.token, _given("token")),
    }
    statement = update(enrollments).values(
        {name: case((used_up, dead), else_=alive) for name, (dead, alive) in after.items()}
    )
    columns = [builder.read(each) for each in enrollments.c]
    if not builder.has_lateral:
        keys = tuple_(*(enrollments.c[name] for name in _KEY))
        chosen = keys.in_(select(*(taken.c[name] for name in _KEY)))
        return statement.where(chosen).returning(*columns)
    caused = _caused(builder, taken)
    joined = [caused.c[f"of_{each.name}"] for each in events.c]
    return statement.where(_same(enrollments, caused, *_KEY)).returning(*columns, *joined)


def _caused(builder: Builder, taken: CTE) -> CTE:
    """Put its event beside each Enrollment that was taken.

    A step of its own: where PostgreSQL knows nothing of the tables yet, it would rather join
    Enrollments to events by their Organization, and read all of them.
    """
    keys = [taken.c[name] for name in _KEY]
    columns = [builder.read(each).label(f"of_{each.name}") for each in events.c]
    source = taken.join(events, _same(events, taken, "organization_id", "event_id"))
    return _materialized(select(*keys, *columns).select_from(source), "caused")


def claimed_already(builder: Builder) -> ClauseElement:
    """Read what carries a claim's token: the claim was committed before, and nobody heard of it.

    The end of the lease is where the queue has them.
    """
    own_event = and_(
        events.c.organization_id == enrollments.c.organization_id,
        events.c.event_id == enrollments.c.event_id,
    )
    columns = [builder.read(column) for column in (*enrollments.c, *events.c)]
    return (
        select(*columns)
        .join(events, own_event)
        .where(
            is_available(enrollments),
            enrollments.c.available_at == _given("lease_until"),
            enrollments.c.token == _given("token"),
        )
    )


def claimed_events(builder: Builder) -> ClauseElement:
    """Read chosen events: each row of the list is an Organization and an event's id."""
    each = builder.each("rows")
    organization_id, event_id = (
        builder.typed(builder.item(each.c.value, index), events.c[name])
        for index, name in enumerate(("organization_id", "event_id"))
    )
    source = each.outerjoin(
        events,
        and_(events.c.organization_id == organization_id, events.c.event_id == event_id),
    )
    return select(*(builder.read(column) for column in events.c)).select_from(source)


_HELD: Final = enrollments.c.lease_until.is_not(None)
_IS_COMPLETED: Final = enrollments.c.status == _status(EnrollmentStatus.COMPLETED)
_NO_MORE: Final = and_(
    _count("uncounted") < literal_column("1"),
    enrollments.c.attempts >= _count("max_attempts"),
)

COMPLETED: Final[Change] = (
    or_(_HELD, _IS_COMPLETED),
    {
        "status": _status(EnrollmentStatus.COMPLETED),
        "lease_until": null(),
        "completed_at": func.coalesce(enrollments.c.completed_at, _given("completed_at")),
    },
)
RELEASED: Final[Change] = (
    ~_IS_COMPLETED,
    {
        "status": case(
            (~_HELD, enrollments.c.status),
            (_NO_MORE, _status(EnrollmentStatus.DEAD)),
            else_=_status(EnrollmentStatus.PENDING),
        ),
        "available_at": case((_HELD, _given("available_at")), else_=enrollments.c.available_at),
        "attempts": case(
            (_HELD, enrollments.c.attempts - _count("uncounted")), else_=enrollments.c.attempts
        ),
        "lease_until": null(),
    },
)
EXTENDED: Final[Change] = (
    _HELD,
    {
        "status": _status(EnrollmentStatus.CLAIMED),
        "available_at": _given("lease_until"),
        "lease_until": _given("lease_until"),
    },
)
_REVIVED: Final[Change] = (
    enrollments.c.status == _status(EnrollmentStatus.DEAD),
    {
        "status": _status(EnrollmentStatus.PENDING),
        "available_at": _given("available_at"),
        "attempts": literal_column("0"),
        "lease_until": null(),
        "token": null(),
    },
)


def finish(
    builder: Builder, change: Change, source: FromClause | None, lease: _Values
) -> ClauseElement:
    """Build what changes Enrollments that leases hold: of one lease, or of each row of a source."""
    where, values = change
    given = dict(zip(LEASE, lease, strict=True))
    fits = and_(*(enrollments.c[name] == value for name, value in given.items()), where)
    if source is None:
        return _changed(builder, values, fits)
    if not builder.has_lateral:
        # Nobody else writes: what is found need not be locked, in whatever order.
        keys = [enrollments.c[each] for each in _KEY]
        found = select(*keys).select_from(source.join(enrollments, fits))
        return _changed_among(builder, values, _materialized(found, "held"))
    # One look-up for each lease, in the order given, which is the order to lock in. LIMIT
    # cuts nothing off; it tells the planner how few there are.
    one = lateral(_locked(fits), name="one")
    found = select(one).select_from(source.join(one, true())).limit(_count("count"))
    return _changed_among(builder, values, _materialized(found, "held"))


def revive(builder: Builder) -> ClauseElement:
    """Build what makes dead Enrollments of one Organization available."""
    where, values = _REVIVED
    named = and_(
        enrollments.c.organization_id == _given("organization_id"),
        builder.among(enrollments.c.enrollment_id, "enrollment_ids"),
        where,
    )
    in_order = _locked(named).order_by(enrollments.c.enrollment_id)
    return _changed_among(builder, values, _materialized(in_order, "dead"))


def _locked(where: ColumnElement[bool]) -> Select[Any]:
    """Lock before changing: an UPDATE by itself would lock in whatever order it finds."""
    keys: _Values = [enrollments.c[each] for each in _KEY]
    return select(*keys).where(where).with_for_update()


def _changed_among(builder: Builder, values: dict[str, Any], chosen: CTE) -> ClauseElement:
    keys = tuple_(*(enrollments.c[each] for each in _KEY))
    return _changed(builder, values, keys.in_(select(*(chosen.c[each] for each in _KEY))))


def _changed(builder: Builder, values: dict[str, Any], where: ColumnElement[bool]) -> ClauseElement:
    columns = [builder.read(each) for each in enrollments.c]
    return update(enrollments).where(where).values(values).returning(*columns)

"""The SQL of the hand-over: what each call makes of Enrollments.

Says in one statement what `handed_over`, `completed`, `released`, `extended` and `revived`
of the ports say of one Enrollment. Which ones a claim takes is in `dealing`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final, TypeAlias

from attrs import frozen
from sqlalchemy import (
    CTE,
    ColumnElement,
    FromClause,
    Select,
    and_,
    case,
    func,
    lateral,
    literal_column,
    null,
    or_,
    select,
    true,
    tuple_,
    update,
)
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_core.ports import EnrollmentStatus
from segmentflow_sql.schema import (
    INSTANT,
    enrollments,
    events,
    is_available,
    profile_versions,
)
from segmentflow_sql.statements.building import Values, columns, compiled, for_rows
from segmentflow_sql.statements.dealing import KEY, choose, waiting_organizations
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.lines import (
    count_of,
    given,
    is_of_this_era,
    materialized,
    now,
    same,
)
from segmentflow_sql.statements.statement import RowStatement, Statement
from segmentflow_sql.statements.versions import AS_IT_LEFT_IT, event_columns

__all__ = ["HandOverStatements", "hand_over_statements"]

_Change: TypeAlias = tuple[ColumnElement[bool], dict[str, Any]]
"""Which Enrollments a call changes, among those it names, and into what."""

_LEASE: Final = (*KEY, "token")
"""The columns that a `Lease` names an Enrollment by."""


_CANCELLED: Final = enrollments.c.cancelled_by.is_not(None)


@frozen
class HandOverStatements:
    """The statements of the hand-over; all but one are planned anew each time."""

    claim_enrollments: Mapping[tuple[bool, bool], Statement]
    """By whether an Organization is named, and a Journey."""
    waiting_organizations: Mapping[bool, Statement] | None
    """By whether a Journey is named; None where a claim need not name an Organization."""
    claimed_already: Statement | None
    """None where no connection is lost while it commits."""
    claimed_events: Statement | None
    """None where a claim returns the events itself."""
    complete_enrollments: RowStatement
    release_enrollments: RowStatement
    extend_enrollments: RowStatement
    revive_enrollments: Statement
    read_clock: Statement | None
    """None where every process that shares the store has the machine's clock anyway."""


def hand_over_statements(dialect: Dialect) -> HandOverStatements:
    """Build and compile the statements of the hand-over."""

    def finishing(name: str, change: _Change) -> RowStatement:
        return for_rows(
            dialect,
            name,
            [enrollments.c[each] for each in _LEASE],
            lambda source, lease: _finish(dialect, change, source, lease),
            prepared=False,
        )

    return HandOverStatements(
        claim_enrollments={
            (organization, journey): compiled(
                dialect,
                "claim_enrollments" + _of(organization=organization, journey=journey),
                _claim(dialect, organization=organization, journey=journey),
                prepared=False,
            )
            for organization in (False, True)
            if organization or dialect.claims_together
            for journey in (False, True)
        },
        waiting_organizations={
            journey: compiled(
                dialect,
                "waiting_organizations" + _of(organization=False, journey=journey),
                waiting_organizations(dialect, journey=journey),
                prepared=False,
            )
            for journey in (False, True)
        }
        if not dialect.claims_together
        else None,
        claimed_already=compiled(
            dialect, "claimed_already", _claimed_already(dialect), prepared=False
        )
        if dialect.is_remote
        else None,
        claimed_events=None
        if dialect.has_lateral
        else compiled(dialect, "claimed_events", _claimed_events(dialect)),
        complete_enrollments=finishing("complete_enrollments", _COMPLETED),
        release_enrollments=finishing("release_enrollments", _RELEASED),
        extend_enrollments=finishing("extend_enrollments", _EXTENDED),
        revive_enrollments=compiled(
            dialect, "revive_enrollments", _revive(dialect), prepared=False
        ),
        read_clock=compiled(dialect, "read_clock", _read_clock(dialect))
        if dialect.is_remote
        else None,
    )


def _of(*, organization: bool, journey: bool) -> str:
    named = {"organization": organization, "journey": journey}
    listed = [name for name, given in named.items() if given]
    return f"_of_{'_and_'.join(listed)}" if listed else ""


def _status(status: EnrollmentStatus) -> ColumnElement[Any]:
    return literal_column(f"'{status}'")


def _read_clock(dialect: Dialect) -> ClauseElement:
    """Read the clock once, in a step of its own, whatever is then made of it."""
    clock = select(func.clock_timestamp(type_=INSTANT).label("now")).subquery("clock")
    return select(dialect.read(clock.c.now))


# --- claims ------------------------------------------------------------------------------


def _claim(dialect: Dialect, *, organization: bool, journey: bool) -> ClauseElement:
    """Build the claim for one Organization or all, for one Journey or any."""
    taken = choose(dialect, organization=organization, journey=journey)
    column = enrollments.c
    used_up = column.attempts >= count_of("max_attempts")
    lease_until = given("lease_until")
    # Withdrawn, dead, claimed.
    after = {
        "status": (
            _status(EnrollmentStatus.WITHDRAWN),
            _status(EnrollmentStatus.DEAD),
            _status(EnrollmentStatus.CLAIMED),
        ),
        "available_at": (column.available_at, column.available_at, lease_until),
        "attempts": (column.attempts, column.attempts, column.attempts + literal_column("1")),
        "lease_until": (null(), column.lease_until, lease_until),
        "token": (null(), column.token, given("token")),
        "withdrawn_at": (now(), column.withdrawn_at, column.withdrawn_at),
        "cancellers": (null(), column.cancellers, column.cancellers),
    }
    statement = update(enrollments).values(
        {
            name: case((_CANCELLED, gone), (used_up, dead), else_=alive)
            for name, (gone, dead, alive) in after.items()
        }
    )
    changed = columns(dialect, enrollments)
    if not dialect.has_lateral:
        keys = tuple_(*(enrollments.c[name] for name in KEY))
        chosen = keys.in_(select(*(taken.c[name] for name in KEY)))
        return statement.where(chosen).returning(*changed)
    caused = _caused(dialect, taken)
    joined = list(caused.c)[len(KEY) :]
    found = and_(same(enrollments, caused, *KEY), *_of_one(dialect, enrollments))
    return statement.where(found).returning(*changed, *joined)


def _of_one(dialect: Dialect, table: FromClause) -> list[ColumnElement[bool]]:
    """Name the Organization once more, where that tells the database which machine it is on.

    Elsewhere it would only tempt a planner to read all of the Organization's rows.
    """
    if not dialect.one_organization:
        return []
    return [table.c.organization_id == given("organization_id")]


def _caused(dialect: Dialect, taken: CTE) -> CTE:
    """Put its event beside each Enrollment that was taken.

    A step of its own: where PostgreSQL knows nothing of the tables yet, it would rather join
    Enrollments to events by their Organization, and read all of them.
    """
    keys = [taken.c[name] for name in KEY]
    labelled = [each.label(f"of_event_{n}") for n, each in enumerate(event_columns(dialect))]
    cause = and_(same(events, taken, "organization_id", "event_id"), *_of_one(dialect, events))
    source = taken.join(events, cause).outerjoin(profile_versions, AS_IT_LEFT_IT)
    return materialized(select(*keys, *labelled).select_from(source), "caused")


def _claimed_already(dialect: Dialect) -> ClauseElement:
    """Read what carries a claim's token: its commit succeeded, but the answer was lost.

    They stand in the queue at the end of their lease.
    """
    own_event = and_(
        events.c.organization_id == enrollments.c.organization_id,
        events.c.event_id == enrollments.c.event_id,
    )
    return (
        select(*columns(dialect, enrollments), *event_columns(dialect))
        .select_from(enrollments.join(events, own_event).outerjoin(profile_versions, AS_IT_LEFT_IT))
        .where(
            is_available(enrollments),
            enrollments.c.available_at == given("lease_until"),
            enrollments.c.token == given("token"),
        )
    )


def _claimed_events(dialect: Dialect) -> ClauseElement:
    """Read chosen events: each row of the list is an Organization and an event's id."""
    each = dialect.each("rows")
    organization_id, event_id = (
        dialect.typed(dialect.item(each.c.value, index), events.c[name])
        for index, name in enumerate(("organization_id", "event_id"))
    )
    source = each.outerjoin(
        events,
        and_(events.c.organization_id == organization_id, events.c.event_id == event_id),
    ).outerjoin(profile_versions, AS_IT_LEFT_IT)
    return select(*event_columns(dialect)).select_from(source)


# --- what becomes of what was claimed ------------------------------------------------------


_HELD: Final = enrollments.c.lease_until.is_not(None)
_ENDS: Final = and_(_HELD, _CANCELLED)
_IS_COMPLETED: Final = enrollments.c.status == _status(EnrollmentStatus.COMPLETED)
_NO_MORE: Final = and_(
    count_of("uncounted") < literal_column("1"),
    enrollments.c.attempts >= count_of("max_attempts"),
)

_COMPLETED: Final[_Change] = (
    or_(_HELD, _IS_COMPLETED),
    {
        "status": _status(EnrollmentStatus.COMPLETED),
        "lease_until": null(),
        "completed_at": func.coalesce(enrollments.c.completed_at, given("completed_at")),
        "last_failure": null(),
        "cancellers": null(),
    },
)
_RELEASED: Final[_Change] = (
    ~_IS_COMPLETED,
    {
        "status": case(
            (~_HELD, enrollments.c.status),
            (_CANCELLED, _status(EnrollmentStatus.WITHDRAWN)),
            (_NO_MORE, _status(EnrollmentStatus.DEAD)),
            else_=_status(EnrollmentStatus.PENDING),
        ),
        "available_at": case((_HELD, given("available_at")), else_=enrollments.c.available_at),
        "attempts": case(
            (_HELD, enrollments.c.attempts - count_of("uncounted")), else_=enrollments.c.attempts
        ),
        "lease_until": null(),
        "last_failure": case(
            (_HELD, func.coalesce(given("last_failure"), enrollments.c.last_failure)),
            else_=enrollments.c.last_failure,
        ),
        "withdrawn_at": case((_ENDS, now()), else_=enrollments.c.withdrawn_at),
        "cancellers": case((_ENDS, null()), else_=enrollments.c.cancellers),
    },
)
_EXTENDED: Final[_Change] = (
    _HELD,
    {
        "status": _status(EnrollmentStatus.CLAIMED),
        "available_at": given("lease_until"),
        "lease_until": given("lease_until"),
    },
)
_REVIVED: Final[_Change] = (
    enrollments.c.status == _status(EnrollmentStatus.DEAD),
    {
        "status": _status(EnrollmentStatus.PENDING),
        "available_at": given("available_at"),
        "attempts": literal_column("0"),
        "lease_until": null(),
        "token": null(),
        "last_failure": null(),
    },
)


def _finish(
    dialect: Dialect, change: _Change, source: FromClause | None, lease: Values
) -> ClauseElement:
    """Build what changes Enrollments that leases hold: of one lease, or of each row of a source."""
    where, values = change
    named = dict(zip(_LEASE, lease, strict=True))
    fits = and_(*(enrollments.c[name] == value for name, value in named.items()), where)
    if source is None:
        return _changed(dialect, values, fits)
    if not dialect.has_lateral:
        # One transaction writes at a time, so nothing needs a lock, and no order matters.
        keys = [enrollments.c[each] for each in KEY]
        found = select(*keys).select_from(source.join(enrollments, fits))
        return _changed_among(dialect, values, materialized(found, "held"))
    if dialect.one_organization:
        # The list of ids leads to the key's index, whatever the planner makes of the pairs.
        pair = tuple_(enrollments.c.enrollment_id, enrollments.c.token)
        held = and_(
            enrollments.c.organization_id == named["organization_id"],
            dialect.among(enrollments.c.enrollment_id, "enrollment_ids"),
            pair.in_(select(named["enrollment_id"], named["token"]).select_from(source)),
            where,
        )
        in_order = _locked(held).order_by(enrollments.c.enrollment_id)
        return _changed_among(dialect, values, materialized(in_order, "held"))
    # One look-up for each lease, in the order given, which is the order to lock in. LIMIT
    # cuts nothing off; it tells the planner how few there are.
    one = lateral(_locked(fits), name="one")
    found = select(one).select_from(source.join(one, true())).limit(count_of("count"))
    return _changed_among(dialect, values, materialized(found, "held"))


def _revive(dialect: Dialect) -> ClauseElement:
    """Build what makes dead Enrollments of one Organization available."""
    where, values = _REVIVED
    named = and_(
        enrollments.c.organization_id == given("organization_id"),
        dialect.among(enrollments.c.enrollment_id, "enrollment_ids"),
        where,
        is_of_this_era(),
    )
    in_order = _locked(named).order_by(enrollments.c.enrollment_id)
    return _changed_among(dialect, values, materialized(in_order, "dead"))


def _locked(where: ColumnElement[bool]) -> Select[Any]:
    """Lock before changing: an UPDATE by itself would lock in whatever order it finds."""
    keys: Values = [enrollments.c[each] for each in KEY]
    return select(*keys).where(where).with_for_update()


def _changed_among(dialect: Dialect, values: dict[str, Any], chosen: CTE) -> ClauseElement:
    keys = tuple_(*(enrollments.c[each] for each in KEY))
    among = keys.in_(select(*(chosen.c[each] for each in KEY)))
    return _changed(dialect, values, and_(among, *_of_one(dialect, enrollments)))


def _changed(dialect: Dialect, values: dict[str, Any], where: ColumnElement[bool]) -> ClauseElement:
    return update(enrollments).where(where).values(values).returning(*columns(dialect, enrollments))

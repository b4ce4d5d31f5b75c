"""What events cancel: Enrollments that wait for them, and events that were recorded already."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from sqlalchemy import (
    BigInteger,
    ColumnElement,
    Integer,
    Select,
    bindparam,
    func,
    literal_column,
    select,
)

from segmentflow_core.ports import LOOKED_AT
from segmentflow_sql.schema import enrollments, events
from segmentflow_sql.statements.building import NO_OFFSET, columns, compiled, equal_to_given
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.lines import archived_at
from segmentflow_sql.statements.statement import Statement
from segmentflow_sql.statements.versions import EVENTS, event_columns

__all__ = ["CancellingStatements", "cancelling_statements"]


@frozen
class CancellingStatements:
    """The statements of cancelling; planned anew each time."""

    cancellable_enrollments: Statement
    """Those that one of some digests is of."""
    other_cancellable: Statement
    """Some of those that none of them is of."""
    recorded_since: Statement


def cancelling_statements(dialect: Dialect) -> CancellingStatements:
    """Build and compile the statements of cancelling."""
    return CancellingStatements(
        cancellable_enrollments=compiled(
            dialect, "cancellable_enrollments", _cancellable(dialect, met=True), prepared=False
        ),
        other_cancellable=compiled(
            dialect,
            "other_cancellable",
            _cancellable(dialect, met=False)
            .limit(bindparam("limit", type_=Integer))
            .offset(NO_OFFSET),
            prepared=False,
        ),
        recorded_since=compiled(
            dialect, "recorded_since", _recorded_since(dialect), prepared=False
        ),
    )


def _cancellable(dialect: Dialect, *, met: bool) -> Select[Any]:
    """Read what waits for events of Profiles, where one of some digests is in it, or none.

    What none is in is passed over in the database: it is many times as much.
    """
    theirs = dialect.each_of(enrollments.c.cancellers, "cancellers")
    asked = dialect.each("digests")
    met_digests = (
        select(func.count())
        .select_from(theirs)
        .where(theirs.c.value.in_(select(asked.c.value)))
        .scalar_subquery()
    )
    none: ColumnElement[Any] = literal_column("0")
    return (
        select(*columns(dialect, enrollments), archived_at(dialect))
        .where(
            equal_to_given(enrollments, "organization_id"),
            dialect.among(enrollments.c.profile_id, "profile_ids"),
            enrollments.c.cancellers.is_not(None),
            met_digests > none if met else met_digests == none,
        )
        # Without statistics SQLite would rather read all Enrollments of the Organization.
        .with_hint(enrollments, "INDEXED BY segmentflow_enrollments_cancellable", "sqlite")
    )


def _recorded_since(dialect: Dialect) -> Select[Any]:
    """Read the latest events of a Profile and name that happened after an instant."""
    later = events.alias("later")
    since = bindparam("since", type_=events.c.occurred_at.type)
    before = func.coalesce(
        bindparam("before", type_=BigInteger), literal_column(str(2**63 - 1), BigInteger)
    )
    ids = (
        select(later.c.event_id)
        .where(
            equal_to_given(later, "organization_id", "profile_id", "event"),
            later.c.occurred_at > since,
            later.c.received_at > since,
            later.c.number < before,
        )
        .order_by(later.c.occurred_at.desc(), later.c.number.desc())
        .limit(literal_column(str(LOOKED_AT)))
        .offset(NO_OFFSET)
    )
    return (
        select(*event_columns(dialect))
        .select_from(EVENTS)
        .where(equal_to_given(events, "organization_id"), dialect.one_of(events.c.event_id, ids))
    )

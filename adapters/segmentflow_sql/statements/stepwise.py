"""The SQL of the hand-over in steps: choose what waits, lock it, save what became of it.

For calls that the core decides. The statements that decide by themselves are in `hand_over`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen
from sqlalchemy import FromClause, and_, lateral, select, true
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_sql.schema import enrollments
from segmentflow_sql.statements.building import Values, changing, columns, compiled
from segmentflow_sql.statements.dealing import KEY, choose
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.statement import RowStatement, Statement

__all__ = ["DECIDED", "StepwiseStatements", "stepwise_statements"]

DECIDED: Final = (
    "status",
    "available_at",
    "attempts",
    "lease_until",
    "token",
    "completed_at",
)
"""What the hand-over decides of an Enrollment, in the order of the table's columns."""


@frozen
class StepwiseStatements:
    """The statements of the hand-over in steps."""

    choose_enrollments: Mapping[tuple[bool, bool], Statement]
    """By whether an Organization is named, and a Journey."""
    lock_enrollments: Statement
    save_enrollments: RowStatement


def stepwise_statements(dialect: Dialect) -> StepwiseStatements:
    """Build and compile the statements of the hand-over in steps."""
    return StepwiseStatements(
        choose_enrollments={
            (organization, journey): compiled(
                dialect,
                "choose_enrollments" + "_of_organization" * organization + "_of_journey" * journey,
                _choose(dialect, organization=organization, journey=journey),
                prepared=False,
            )
            for organization in (False, True)
            for journey in (False, True)
        },
        lock_enrollments=compiled(dialect, "lock_enrollments", _lock(dialect), prepared=False),
        save_enrollments=changing(dialect, "save_enrollments", enrollments, DECIDED),
    )


def _choose(dialect: Dialect, *, organization: bool, journey: bool) -> ClauseElement:
    """Choose what a claim takes, and lock it: only its keys, which are what they were."""
    taken = choose(dialect, organization=organization, journey=journey)
    return select(*(taken.c[name] for name in KEY))


def _lock(dialect: Dialect) -> ClauseElement:
    """Lock Enrollments in the order given: each row is an Organization and an Enrollment's id."""
    each = dialect.each("rows")
    named = [
        dialect.typed(dialect.item(each.c.value, index), enrollments.c[name])
        for index, name in enumerate(KEY)
    ]
    fits = and_(*(enrollments.c[name] == value for name, value in zip(KEY, named, strict=True)))
    if not dialect.has_lateral:
        # One transaction writes at a time, so nothing needs a lock, and no order matters.
        return _read(columns(dialect, enrollments), each.join(enrollments, fits))
    one = lateral(select(*enrollments.c).where(fits).with_for_update(), name="one")
    return _read([dialect.read(column) for column in one.c], each.join(one, true()))


def _read(selected: Values, source: FromClause) -> ClauseElement:
    return select(*selected).select_from(source)

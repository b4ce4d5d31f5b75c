"""The SQL of the hand-over in steps: choose what waits, lock it, save what became of it.

For calls that the core decides. The statements that decide by themselves are in `hand_over`.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from attrs import frozen
from sqlalchemy import select
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_sql.schema import enrollments, is_listed
from segmentflow_sql.statements.building import changing, columns, compiled, looked_up
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
    "last_failure",
    "withdrawn_at",
    "cancellers",
    "cancelled_by",
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
            if organization or dialect.claims_together
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
    """Lock Enrollments of one Organization in the order of their ids, and read them as they are."""
    column = enrollments.c.enrollment_id
    named = looked_up(
        dialect,
        "enrollment_ids",
        columns(dialect, enrollments),
        column,
        more=is_listed(enrollments),
    )
    return named.order_by(column).with_for_update()

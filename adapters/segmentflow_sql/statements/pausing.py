"""The SQL of archived Journeys: what an archiving withdrew, and which rows have yet to say so.

A Journey and each era before its own have a line, see `lines`.
"""

from __future__ import annotations

from typing import Any

from attrs import frozen
from sqlalchemy import Column, Integer, bindparam, literal_column, or_, select
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_sql.schema import enrollments, is_available, journeys
from segmentflow_sql.statements.building import NO_OFFSET, columns, compiled, equal_to_given
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.lines import archived_at, given, is_of_this_era, now
from segmentflow_sql.statements.statement import Statement

__all__ = ["PausingStatements", "pausing_statements"]


@frozen
class PausingStatements:
    """The statements about Journeys that were archived."""

    archivings: Statement
    """By the ids of Enrollments: those that their Journey was archived after, and when."""
    archivings_of_profiles: Statement
    """By the ids of Profiles."""
    journeys_left: Statement
    """The Journeys with lines of an earlier era; gives their id, era and last archiving."""
    overdue_enrollments: Statement
    """Of one Journey."""


def pausing_statements(dialect: Dialect) -> PausingStatements:
    """Build and compile the statements about Journeys that were archived."""
    return PausingStatements(
        archivings=compiled(
            dialect,
            "archivings",
            _archivings(dialect, enrollments.c.enrollment_id, "enrollment_ids"),
            prepared=False,
        ),
        archivings_of_profiles=compiled(
            dialect,
            "archivings_of_profiles",
            _archivings(dialect, enrollments.c.profile_id, "profile_ids"),
            prepared=False,
        ),
        journeys_left=compiled(dialect, "journeys_left", _journeys_left(dialect), prepared=False),
        overdue_enrollments=compiled(
            dialect, "overdue_enrollments", _overdue(dialect), prepared=False
        ),
    )


def _archivings(dialect: Dialect, column: Column[Any], name: str) -> ClauseElement:
    """Read it after a lock was waited for, in a statement that sees what was waited for."""
    by_profile = [enrollments.c.profile_id] if name == "profile_ids" and dialect.one_writer else []
    return (
        select(enrollments.c.enrollment_id, archived_at(dialect))
        .where(
            equal_to_given(enrollments, "organization_id"),
            dialect.among(column, name),
            ~is_of_this_era(),
        )
        .order_by(*by_profile, enrollments.c.enrollment_id)
    )


def _journeys_left(dialect: Dialect) -> ClauseElement:
    left = enrollments.alias("left_over")
    first = (
        select(left.c.enrollment_id)
        .where(
            left.c.organization_id == given("organization_id"),
            left.c.journey_id == journeys.c.journey_id,
            left.c.era < journeys.c.era,
            is_available(left),
        )
        .order_by(left.c.era, left.c.available_at, left.c.enrollment_id)
        .limit(literal_column("1"))
        .offset(NO_OFFSET)
        .scalar_subquery()
    )
    return (
        select(journeys.c.journey_id, journeys.c.era, dialect.read(journeys.c.archived_at))
        .where(
            equal_to_given(journeys, "organization_id"),
            journeys.c.era > literal_column("0"),
            first.is_not(None),
        )
        .order_by(journeys.c.journey_id)
    )


def _overdue(dialect: Dialect) -> ClauseElement:
    """Lock what is left of the lines of a Journey's earlier eras, in their order."""
    return (
        select(*columns(dialect, enrollments))
        .where(
            equal_to_given(enrollments, "organization_id", "journey_id"),
            enrollments.c.era < given("era"),
            is_available(enrollments),
            or_(enrollments.c.lease_until.is_(None), enrollments.c.lease_until <= now()),
        )
        .order_by(enrollments.c.era, enrollments.c.available_at, enrollments.c.enrollment_id)
        .limit(bindparam("limit", type_=Integer))
        .offset(NO_OFFSET)
        .with_for_update(skip_locked=dialect.skips_locked)
    )

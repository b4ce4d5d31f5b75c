"""How Profiles, events and Enrollments are read, one at a time and page by page."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from sqlalchemy import Column, ColumnElement, FromClause, bindparam, or_, select

from segmentflow_sql.schema import (
    enrollments,
    events,
    is_listed,
    is_open,
    profile_versions,
    profiles,
)
from segmentflow_sql.statements.building import (
    Values,
    columns,
    compiled,
    equal_to_given,
    looked_up,
    page,
)
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.lines import AS_READ, archived_at
from segmentflow_sql.statements.statement import Statement
from segmentflow_sql.statements.versions import (
    AS_IT_LEFT_IT,
    EVENTS,
    PROFILES,
    event_columns,
    profile_columns,
)

__all__ = ["RecordStatements", "record_statements"]


@frozen
class RecordStatements:
    """The statements that read what was recorded."""

    get_profile: Statement
    get_event: Statement
    get_events: Statement
    """Takes a list of ids; one that is not there may give a row of NULLs."""
    list_events: Statement
    get_enrollment: Statement
    list_enrollments: Statement
    list_open_enrollments: Statement
    """By an index of those that are not finished; takes a status."""


def record_statements(dialect: Dialect) -> RecordStatements:
    """Build and compile the statements that read what was recorded."""

    def get(
        name: str,
        selected: Values,
        source: FromClause,
        key: Column[Any],
        *more: ColumnElement[bool],
    ) -> Statement:
        one = equal_to_given(key.table, "organization_id", key.name)
        return compiled(dialect, name, select(*selected).select_from(source).where(one, *more))

    journey_id = bindparam("journey_id", type_=enrollments.c.journey_id.type)
    status = bindparam("status", type_=enrollments.c.status.type)
    of_journey = or_(journey_id.is_(None), enrollments.c.journey_id == journey_id)
    of_enrollments = [*columns(dialect, enrollments), archived_at(dialect)]
    return RecordStatements(
        get_profile=get("get_profile", profile_columns(dialect), PROFILES, profiles.c.profile_id),
        get_event=get("get_event", event_columns(dialect), EVENTS, events.c.event_id),
        get_events=compiled(
            dialect,
            "get_events",
            looked_up(
                dialect,
                "event_ids",
                event_columns(dialect),
                events.c.event_id,
                (profile_versions, AS_IT_LEFT_IT),
            ),
            prepared=False,
        ),
        list_events=compiled(
            dialect, "list_events", page(event_columns(dialect), EVENTS, events.c.event_id)
        ),
        get_enrollment=get(
            "get_enrollment",
            of_enrollments,
            enrollments,
            enrollments.c.enrollment_id,
            is_listed(enrollments),
        ),
        list_enrollments=compiled(
            dialect,
            "list_enrollments",
            page(
                of_enrollments,
                enrollments,
                enrollments.c.enrollment_id,
                is_listed(enrollments),
                of_journey,
                or_(status.is_(None), status == AS_READ),
            ),
        ),
        list_open_enrollments=compiled(
            dialect,
            "list_open_enrollments",
            page(
                of_enrollments,
                enrollments,
                enrollments.c.enrollment_id,
                of_journey,
                is_open(enrollments),
                enrollments.c.status == status,
                status == AS_READ,
            ),
        ),
    )

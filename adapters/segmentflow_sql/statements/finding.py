"""How Profiles, events and Enrollments are found by what they say, each by the index meant for it.

A look-up is written for the value that leads to its index; what else is asked for, the rows
found must satisfy.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Integer,
    bindparam,
    func,
    literal_column,
    or_,
    select,
    union_all,
)

from segmentflow_core.ports import IdentityKind
from segmentflow_sql.identities import ALIASES
from segmentflow_sql.schema import (
    enrollments,
    events,
    identities,
    is_available,
    is_listed,
    journeys,
    profiles,
)
from segmentflow_sql.statements.building import (
    NO_OFFSET,
    before,
    columns,
    compiled,
    equal_to_given,
    leading,
    page,
)
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.lines import AS_READ, archived_at
from segmentflow_sql.statements.statement import Statement
from segmentflow_sql.statements.versions import (
    EVENTS,
    PROFILES,
    event_columns,
    profile_columns,
)

__all__ = ["FindingStatements", "finding_statements"]


@frozen
class FindingStatements:
    """The statements that find what was recorded.

    Attributes:
        profile: by the kind of identity.
        profiles: a page of them.
        events: by the column that leads to their index.
        events_received: by the period in which they were received.
        enrollments: by their Profile; an event leads to its own.
        entries: those that events of one Profile caused. It is a page like the others, because
            without an order of ids SQLite reads the whole Organization instead.
        backlog: of one Journey, from the front of its queue.
    """

    profile: dict[IdentityKind, Statement]
    profiles: Statement
    events: dict[str, Statement]
    events_received: Statement
    enrollments: Statement
    entries: Statement
    backlog: Statement


_EVENT_COLUMNS: Final = ("reference_id", "profile_id", "event")


def finding_statements(dialect: Dialect) -> FindingStatements:
    """Build and compile the statements that find what was recorded."""
    return FindingStatements(
        profile={
            IdentityKind.EMAIL: _profile(dialect, profiles.c.email, IdentityKind.EMAIL),
            IdentityKind.EXTERNAL_ID: _profile(
                dialect, profiles.c.external_id, IdentityKind.EXTERNAL_ID
            ),
        },
        profiles=compiled(
            dialect,
            "list_profiles",
            page(profile_columns(dialect), PROFILES, profiles.c.profile_id),
        ),
        events={name: _events(dialect, name) for name in _EVENT_COLUMNS},
        events_received=_events_received(dialect),
        enrollments=_enrollments(dialect),
        entries=compiled(
            dialect,
            "find_entries",
            page(
                [*columns(dialect, enrollments), archived_at(dialect)],
                enrollments,
                enrollments.c.enrollment_id,
                equal_to_given(enrollments, "profile_id"),
                dialect.among(enrollments.c.event_id, "event_ids"),
            ),
            prepared=False,
        ),
        backlog=_backlog(dialect),
    )


def _backlog(dialect: Dialect) -> Statement:
    available_at = enrollments.c.available_at
    era = (
        select(journeys.c.era)
        .where(equal_to_given(journeys, "organization_id", "journey_id"))
        .scalar_subquery()
    )
    queue = (
        select(available_at)
        .where(
            equal_to_given(enrollments, "organization_id", "journey_id"),
            enrollments.c.era == era,
            is_available(enrollments),
            available_at <= bindparam("now", type_=available_at.type),
        )
        .order_by(available_at, enrollments.c.enrollment_id)
    )
    counted = (
        queue.limit(bindparam("limit", type_=Integer)).offset(NO_OFFSET).subquery("each_counted")
    )
    count = select(func.count()).select_from(counted).scalar_subquery()
    first = queue.limit(literal_column("1")).offset(NO_OFFSET).subquery("each_first")
    return compiled(
        dialect,
        "count_backlog",
        select(count.label("count"), dialect.read(first.c.available_at).label("earliest")),
        prepared=False,
    )


def _profile(dialect: Dialect, column: Column[Any], kind: IdentityKind) -> Statement:
    """Find a Profile by its own identity or an alias."""
    own = select(profiles.c.profile_id).where(
        equal_to_given(profiles, "organization_id", column.name)
    )
    alias = select(identities.c.profile_id).where(
        equal_to_given(identities, "organization_id"),
        identities.c.kind == leading(ALIASES[kind]),
        identities.c.value == bindparam(column.name, type_=identities.c.value.type),
    )
    found = select(*profile_columns(dialect)).select_from(PROFILES)
    return compiled(
        dialect,
        f"find_profile_by_{column.name}",
        found.where(
            equal_to_given(profiles, "organization_id"),
            dialect.one_of(profiles.c.profile_id, union_all(own, alias)),
        ),
    )


def _events(dialect: Dialect, leads: str) -> Statement:
    others = (_if_given(events.c[name]) for name in _EVENT_COLUMNS if name != leads)
    return compiled(
        dialect,
        f"find_events_by_{leads}",
        page(
            event_columns(dialect),
            EVENTS,
            events.c.event_id,
            equal_to_given(events, leads),
            *others,
            *_received(events),
        ),
        prepared=False,
    )


def _events_received(dialect: Dialect) -> Statement:
    """Find the ids of a page in the index of the period, then read those events.

    SQLite knows nothing of how long the period is: the order of the ids is hidden from it, or
    it would read the whole Organization in that order.
    """
    within = events.alias("within")
    event_id: ColumnElement[Any] = within.c.event_id
    if dialect.needs_outer_join:
        event_id = func.coalesce(event_id, literal_column("''"))
    ids = (
        select(within.c.event_id)
        .where(
            equal_to_given(within, "organization_id"),
            *_received(within),
            _if_given(within.c.event),
            before(event_id, events.c.event_id.type),
        )
        .order_by(event_id.desc())
        .limit(bindparam("limit", type_=Integer))
        .offset(NO_OFFSET)
    )
    return compiled(
        dialect,
        "find_events_received",
        page(
            event_columns(dialect),
            EVENTS,
            events.c.event_id,
            dialect.one_of(events.c.event_id, ids),
        ),
        prepared=False,
    )


def _received(table: FromClause) -> tuple[ColumnElement[bool], ...]:
    received_at = table.c.received_at
    return (
        received_at >= bindparam("since", type_=received_at.type),
        received_at < bindparam("until", type_=received_at.type),
    )


def _if_given(column: ColumnElement[Any]) -> ColumnElement[bool]:
    """Say that a column equals the parameter of its name, unless that is NULL."""
    given: ColumnElement[Any] = bindparam(column.key, type_=column.type)
    return or_(given.is_(None), column == given)


def _of_profile() -> ColumnElement[bool]:
    """Say whose Enrollments they are: the Profile's, or those of the Profile of an event."""
    of_event = select(events.c.profile_id).where(
        equal_to_given(events, "organization_id", "event_id")
    )
    profile_id = enrollments.c.profile_id
    given = bindparam("profile_id", type_=profile_id.type)
    return profile_id == func.coalesce(given, of_event.scalar_subquery())


def _enrollments(dialect: Dialect) -> Statement:
    others = ("journey_id", "event_id")
    status: ColumnElement[Any] = bindparam("status", type_=enrollments.c.status.type)
    return compiled(
        dialect,
        "find_enrollments",
        page(
            [*columns(dialect, enrollments), archived_at(dialect)],
            enrollments,
            enrollments.c.enrollment_id,
            _of_profile(),
            is_listed(enrollments),
            *(_if_given(enrollments.c[name]) for name in others),
            or_(status.is_(None), status == AS_READ),
        ),
        prepared=False,
    )

"""How Journeys and their versions are read and published."""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen
from sqlalchemy import ColumnElement, Select, and_, bindparam, func, literal_column, or_, select
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_core.ports import JourneyStatus
from segmentflow_sql.schema import journey_versions, journeys
from segmentflow_sql.statements.building import (
    Values,
    compiled,
    equal_to_given,
    inserting,
    replacing,
)
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.statement import RowStatement, Statement

__all__ = ["CURRENT_VERSION", "JourneyStatements", "journey_statements"]

_SAME_JOURNEY: Final = and_(
    journey_versions.c.organization_id == journeys.c.organization_id,
    journey_versions.c.journey_id == journeys.c.journey_id,
)
CURRENT_VERSION: Final = and_(_SAME_JOURNEY, journey_versions.c.version == journeys.c.version)
"""Joins each Journey to its current version."""


@frozen
class JourneyStatements:
    """The statements about Journeys."""

    list_journeys: Statement
    get_journey: Statement
    read_versions: Statement
    write_versions: RowStatement
    publish_journeys: RowStatement


def journey_statements(dialect: Dialect) -> JourneyStatements:
    """Build and compile the statements about Journeys."""
    listed = (
        select(*_journey(dialect))
        .join(journey_versions, CURRENT_VERSION)
        .where(equal_to_given(journeys, "organization_id"))
        .order_by(journeys.c.journey_id)
    )
    wanted = func.coalesce(bindparam("version", type_=journeys.c.version.type), journeys.c.version)
    one = (
        select(*_journey(dialect))
        .join(journey_versions, _SAME_JOURNEY)
        .where(
            equal_to_given(journeys, "organization_id", "journey_id"),
            journey_versions.c.version == wanted,
        )
    )
    return JourneyStatements(
        list_journeys=compiled(dialect, "list_journeys", listed),
        get_journey=compiled(dialect, "get_journey", one),
        read_versions=compiled(dialect, "read_versions", _versions(dialect), prepared=False),
        write_versions=inserting(
            dialect,
            "write_versions",
            journey_versions,
            lambda insert: insert.on_conflict_do_nothing(),
        ),
        publish_journeys=inserting(dialect, "publish_journeys", journeys, _unless_newer),
    )


def _journey(dialect: Dialect) -> Values:
    return [
        journeys.c.journey_id,
        journeys.c.status,
        journey_versions.c.version,
        journey_versions.c.digest,
        dialect.read(journey_versions.c.published_at),
        journeys.c.era,
        dialect.read(journeys.c.archived_at),
        journey_versions.c.definition,
    ]


def _unless_newer(insert: Any) -> ClauseElement:
    """Make versions current; where what is there is newer, leave it, and give no row.

    An archiving that another one has overtaken would begin no era of its own, and what entered
    since then would wait for ever.
    """
    new = insert.excluded
    archived: ColumnElement[Any] = literal_column(f"'{JourneyStatus.ARCHIVED}'")
    same_era = and_(
        new.era == journeys.c.era,
        or_(new.status != archived, journeys.c.status == archived),
    )
    published: ClauseElement = replacing(
        journeys,
        insert,
        and_(journeys.c.version <= new.version, or_(new.era > journeys.c.era, same_era)),
    ).returning(journeys.c.journey_id)
    return published


def _versions(dialect: Dialect) -> Select[Any]:
    """Read chosen versions: each row of the list is a Journey's id and a version."""
    each = dialect.each("rows")
    journey_id, version = (
        dialect.typed(dialect.item(each.c.value, index), journey_versions.c[name])
        for index, name in enumerate(("journey_id", "version"))
    )
    source = each.outerjoin(
        journey_versions,
        and_(
            equal_to_given(journey_versions, "organization_id"),
            journey_versions.c.journey_id == journey_id,
            journey_versions.c.version == version,
        ),
    )
    names = ("journey_id", "version", "digest", "definition")
    return select(*(journey_versions.c[name] for name in names)).select_from(source)

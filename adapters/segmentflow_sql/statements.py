"""Every statement, built with SQLAlchemy Core and compiled once, when this module is imported.

A list of any length is one parameter, a JSON array, so a batch costs no new statement.
"""

from __future__ import annotations

from typing import Any, Final

from sqlalchemy import (
    BindParameter,
    Join,
    Select,
    Table,
    Text,
    and_,
    bindparam,
    delete,
    func,
    literal_column,
    null,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.dialects.sqlite import dialect as sqlite_dialect
from sqlalchemy.dialects.sqlite import insert
from sqlalchemy.sql.elements import ClauseElement, ColumnElement

from segmentflow_sql.schema import (
    claims,
    enrollments,
    events,
    journey_versions,
    journeys,
    profiles,
    schema,
)

_DIALECT: Final = sqlite_dialect(paramstyle="named")


# SQLite's compiler writes an OFFSET beside every LIMIT; a literal one needs no parameter.
_NO_OFFSET: Final[ColumnElement[Any]] = literal_column("0")


def _compiled(statement: ClauseElement) -> str:
    return str(statement.compile(dialect=_DIALECT))


def _in(column: ColumnElement[Any], name: str) -> ColumnElement[bool]:
    each = func.json_each(bindparam(name, type_=Text)).table_valued("value")
    return column.in_(select(each.c.value))


def _each(name: str, table: Table, column: ColumnElement[Any], *also: ColumnElement[bool]) -> Join:
    """Look rows of `table` up by `column`, once for each item of a list.

    An outer join, because SQLite keeps its order: from the list to the index. Without
    statistics it would take an IN, or an inner join, as a reason to read the whole
    Organization. An item that finds nothing gives a row of NULLs.
    """
    each = func.json_each(bindparam(name, type_=Text)).table_valued("value", name=f"each_{name}")
    return each.outerjoin(table, and_(_is(table, "organization_id"), column == each.c.value, *also))


def _is(table: Table, *names: str) -> ColumnElement[bool]:
    return and_(*(table.c[name] == bindparam(name) for name in names))


def _insert(table: Table) -> Any:
    return insert(table).values({c.name: bindparam(c.name, type_=c.type) for c in table.c})


def _page(table: Table, identifier: str, *more: ColumnElement[bool]) -> Select[Any]:
    before: BindParameter[str | None] = bindparam("before", type_=Text)
    column = table.c[identifier]
    return (
        select(table)
        # Ids are hexadecimal: "~" sorts after every one of them.
        .where(
            _is(table, "organization_id"),
            column < func.coalesce(before, literal_column("'~'")),
            *more,
        )
        .order_by(column.desc())
        .limit(bindparam("limit"))
        .offset(_NO_OFFSET)
    )


_claim = _insert(claims)
TAKE_CLAIM: Final = _compiled(
    _claim.on_conflict_do_update(
        index_elements=list(claims.primary_key.columns),
        set_={c.name: _claim.excluded[c.name] for c in claims.c if not c.primary_key},
        where=claims.c.expires_at <= bindparam("now"),
    )
)
RELEASE_CLAIM: Final = _compiled(
    delete(claims).where(_is(claims, "organization_id", "operation", "key"))
)
WRITE_CLAIM: Final = _compiled(_insert(claims))
HELD_CLAIMS: Final = _compiled(
    select(claims, events.c.profile_id, events.c.outcomes)
    .join(
        events,
        and_(
            events.c.organization_id == claims.c.organization_id,
            events.c.event_id == claims.c.event_id,
        ),
    )
    .where(_is(claims, "organization_id", "operation"), _in(claims.c.key, "keys"))
)
_expired = (
    select(claims.c.organization_id, claims.c.operation, claims.c.key)
    .where(claims.c.expires_at <= bindparam("now"))
    .limit(bindparam("limit"))
    .offset(_NO_OFFSET)
)
PURGE_CLAIMS: Final = _compiled(
    delete(claims).where(
        tuple_(claims.c.organization_id, claims.c.operation, claims.c.key).in_(_expired)
    )
)

FIND_PROFILES: Final = _compiled(
    union_all(
        select(profiles).select_from(_each("emails", profiles, profiles.c.email)),
        select(profiles).select_from(_each("external_ids", profiles, profiles.c.external_id)),
    )
)
"""A Profile found by both its email and its external id is listed twice."""

GET_PROFILE: Final = _compiled(
    select(profiles).where(_is(profiles, "organization_id", "profile_id"))
)
CREATE_PROFILE: Final = _compiled(_insert(profiles))
CHANGE_PROFILE: Final = _compiled(
    update(profiles)
    .where(_is(profiles, "organization_id", "profile_id"))
    .values(
        {
            name: bindparam(name)
            for name in ("email", "external_id", "properties", "property_times", "updated_at")
        }
    )
)
FREE_IDENTITIES: Final = _compiled(
    update(profiles)
    .where(_is(profiles, "organization_id"), _in(profiles.c.profile_id, "profile_ids"))
    .values(email=null(), external_id=null())
)

WRITE_EVENT: Final = _compiled(_insert(events))
GET_EVENT: Final = _compiled(select(events).where(_is(events, "organization_id", "event_id")))
LIST_EVENTS: Final = _compiled(_page(events, "event_id"))

_journey = select(
    journeys.c.journey_id,
    journeys.c.status,
    journey_versions.c.version,
    journey_versions.c.digest,
    journey_versions.c.definition,
    journey_versions.c.published_at,
)
_same_journey = and_(
    journey_versions.c.organization_id == journeys.c.organization_id,
    journey_versions.c.journey_id == journeys.c.journey_id,
)
_current = _journey.join(
    journey_versions, and_(_same_journey, journey_versions.c.version == journeys.c.version)
).where(_is(journeys, "organization_id"))
LISTENING_JOURNEYS: Final = _compiled(
    _journey.select_from(
        _each(
            "events", journeys, journeys.c.event, journeys.c.status == bindparam("status")
        ).outerjoin(
            journey_versions,
            and_(_same_journey, journey_versions.c.version == journeys.c.version),
        )
    )
)
LIST_JOURNEYS: Final = _compiled(_current.order_by(journeys.c.journey_id))
GET_JOURNEY: Final = _compiled(
    _journey.join(journey_versions, _same_journey).where(
        _is(journeys, "organization_id", "journey_id"),
        journey_versions.c.version
        == func.coalesce(bindparam("version", type_=journeys.c.version.type), journeys.c.version),
    )
)
_publish = _insert(journeys)
PUBLISH_JOURNEY: Final = _compiled(
    _publish.on_conflict_do_update(
        index_elements=list(journeys.primary_key.columns),
        set_={c.name: _publish.excluded[c.name] for c in journeys.c if not c.primary_key},
    )
)
WRITE_VERSION: Final = _compiled(_insert(journey_versions).on_conflict_do_nothing())

WRITE_ENROLLMENT: Final = _compiled(_insert(enrollments))
_entries = _is(enrollments, "organization_id", "journey_id", "profile_id")
LAST_ENTRY: Final = _compiled(
    select(
        select(func.max(enrollments.c.entered_at)).where(_entries).scalar_subquery(),
        select(func.count())
        .select_from(enrollments)
        .where(_entries, enrollments.c.entry_key == bindparam("entry_key", type_=Text))
        .scalar_subquery(),
    )
)
_journey_id: BindParameter[str | None] = bindparam("journey_id", type_=Text)
LIST_ENROLLMENTS: Final = _compiled(
    _page(
        enrollments,
        "enrollment_id",
        or_(_journey_id.is_(None), enrollments.c.journey_id == _journey_id),
    )
)

SCHEMA_VERSION_FOUND: Final = _compiled(select(func.max(schema.c.version)))
WRITE_SCHEMA_VERSION: Final = _compiled(_insert(schema).on_conflict_do_nothing())

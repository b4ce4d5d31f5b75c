"""What a tracked batch asks and writes, and how expired keys are purged."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from attrs import frozen
from sqlalchemy import (
    Column,
    ColumnElement,
    FromClause,
    Integer,
    Select,
    Table,
    and_,
    bindparam,
    cast,
    delete,
    func,
    null,
    or_,
    select,
    tuple_,
    union_all,
    update,
)
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_sql.schema import (
    enrollments,
    events,
    journey_versions,
    journeys,
    key_claims,
    profile_versions,
    profiles,
)
from segmentflow_sql.statements.building import (
    NO_OFFSET,
    Values,
    columns,
    compiled,
    equal_to_given,
    for_rows,
    inserting,
    looked_up,
)
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.journeys import CURRENT_VERSION
from segmentflow_sql.statements.statement import FoundBy, ProfilesFoundBy, RowStatement, Statement
from segmentflow_sql.statements.versions import CURRENT, PROFILES, profile_columns

__all__ = ["TrackingStatements", "tracking_statements"]

_COUNTED = ("number", "version", "updated_at")
"""What every event changes of its Profile's row."""

_CLAIM = tuple(each.name for each in key_claims.c if each.nullable and each.name != "expires_at")
"""What a key claim says: all that is not known yet while the key is only taken."""


@frozen
class TrackingStatements:
    """The statements of tracking, in about the order a call runs them."""

    take_keys: RowStatement | None
    """None where one transaction writes at a time: a key that is looked for is taken."""
    taken_keys: FoundBy
    look_for_profiles: ProfilesFoundBy
    lock_profiles: ProfilesFoundBy
    reread_profiles: Statement | None
    """By ids; None where no statement reads another version than the one it locks."""
    listening_journeys: FoundBy
    last_entries: Statement
    free_keys: Statement
    write_key_claims: RowStatement
    free_identities: Statement
    change_identities: RowStatement
    count_events: RowStatement
    change_times: RowStatement
    create_profiles: RowStatement
    create_versions: RowStatement
    write_events: RowStatement
    write_enrollments: RowStatement
    purge_keys: Statement


def tracking_statements(dialect: Dialect) -> TrackingStatements:
    """Build and compile the statements of tracking."""
    return TrackingStatements(
        take_keys=None if dialect.one_writer else _take_keys(dialect),
        taken_keys=FoundBy(
            compiled(
                dialect,
                "taken_key",
                select(*columns(dialect, key_claims)).where(
                    equal_to_given(key_claims, "organization_id", "key_digest")
                ),
                takes_keys=dialect.one_writer,
            ),
            compiled(
                dialect,
                "taken_keys",
                looked_up(dialect, "keys", columns(dialect, key_claims), key_claims.c.key_digest),
                prepared=False,
                takes_keys=dialect.one_writer,
            ),
        ),
        look_for_profiles=_profiles_found(dialect, "look_for", lock=False),
        lock_profiles=_profiles_found(dialect, "lock", lock=True),
        reread_profiles=None
        if dialect.one_writer
        else compiled(dialect, "reread_profiles", _reread(dialect), prepared=False),
        listening_journeys=FoundBy(
            compiled(
                dialect,
                "listening_to_event",
                _listening_to(dialect, equal_to_given(journeys, "event")),
            ),
            compiled(dialect, "listening_journeys", _listening_to_events(dialect), prepared=False),
        ),
        last_entries=compiled(dialect, "last_entries", _last_entries(dialect)),
        free_keys=compiled(
            dialect,
            "free_keys",
            delete(key_claims).where(
                equal_to_given(key_claims, "organization_id"),
                dialect.among(key_claims.c.key_digest, "keys"),
            ),
            prepared=False,
        ),
        write_key_claims=inserting(dialect, "write_key_claims", key_claims)
        if dialect.one_writer
        else _changed(dialect, "write_key_claims", key_claims, _CLAIM),
        free_identities=compiled(
            dialect,
            "free_identities",
            update(profiles)
            .where(
                equal_to_given(profiles, "organization_id"),
                dialect.among(profiles.c.profile_id, "profile_ids"),
            )
            .values(email=null(), external_id=null()),
            prepared=False,
        ),
        change_identities=_changed(
            dialect, "change_identities", profiles, ("email", "external_id", *_COUNTED)
        ),
        count_events=_changed(dialect, "count_events", profiles, _COUNTED),
        change_times=_changed(dialect, "change_times", profile_versions, ("property_times",)),
        create_profiles=inserting(dialect, "create_profiles", profiles),
        create_versions=inserting(dialect, "create_versions", profile_versions),
        write_events=inserting(dialect, "write_events", events),
        write_enrollments=inserting(dialect, "write_enrollments", enrollments),
        purge_keys=_purge_keys(dialect),
    )


def _now() -> ColumnElement[Any]:
    return bindparam("now", type_=key_claims.c.expires_at.type)


# --- keys --------------------------------------------------------------------------------


def _take_keys(dialect: Dialect) -> RowStatement:
    """Take keys that are new or expired; a key that is held gives no row."""
    keys = list(key_claims.primary_key.columns)
    expires_at = key_claims.c.expires_at

    def finish(insert: Any) -> ClauseElement:
        taken: ClauseElement = insert.on_conflict_do_update(
            index_elements=keys,
            set_={expires_at.name: insert.excluded[expires_at.name]},
            where=expires_at <= _now(),
        ).returning(key_claims.c.key_digest)
        return taken

    return inserting(
        dialect, "take_keys", key_claims, finish, of=[*keys, expires_at], takes_keys=True
    )


def _purge_keys(dialect: Dialect) -> Statement:
    keys = tuple(key_claims.primary_key.columns)
    expired: Select[Any, Any, Any] = (
        select(*keys)
        .where(key_claims.c.expires_at <= _now())
        .limit(bindparam("limit", type_=Integer))
        .offset(NO_OFFSET)
    )
    if not dialect.one_writer:
        # Pass over keys in use. A CTE that locks runs only once.
        expired = select(expired.with_for_update(skip_locked=True).cte("expired"))
    purge = delete(key_claims).where(tuple_(*keys).in_(expired)).returning(key_claims.c.key_digest)
    return compiled(dialect, "purge_keys", purge)


# --- Profiles ----------------------------------------------------------------------------


def _profiles_found(dialect: Dialect, verb: str, *, lock: bool) -> ProfilesFoundBy:
    def by(name: str) -> Statement:
        found = _selected(dialect).where(equal_to_given(profiles, "organization_id", name))
        return compiled(dialect, f"{verb}_profile_by_{name}", _locked(found) if lock else found)

    if dialect.needs_outer_join:
        both, many = None, _looked_up_from_lists(dialect)
    else:
        both = compiled(
            dialect,
            f"{verb}_profile_by_either",
            _found(
                dialect,
                equal_to_given(profiles, "email"),
                equal_to_given(profiles, "external_id"),
                lock=lock,
            ),
        )
        many = _found(
            dialect,
            dialect.among(profiles.c.email, "emails"),
            dialect.among(profiles.c.external_id, "external_ids"),
            lock=lock,
        )
    return ProfilesFoundBy(
        by("email"),
        by("external_id"),
        both,
        compiled(dialect, f"{verb}_profiles", many, prepared=False),
    )


def _selected(dialect: Dialect) -> Select[Any]:
    return select(*profile_columns(dialect)).select_from(PROFILES)


def _locked(found: Select[Any]) -> Select[Any]:
    """Lock the Profiles' own rows, which every event of theirs writes.

    A statement that waited for a lock reads the locked row anew, but not what it is joined
    to: where another version followed meanwhile, the row comes without one.
    """
    return found.with_for_update(of=profiles)


def _found(dialect: Dialect, *either: ColumnElement[bool], lock: bool) -> Select[Any]:
    """Find Profiles by email or external id; locks are taken in the order of their ids."""
    found = _selected(dialect).where(equal_to_given(profiles, "organization_id"), or_(*either))
    return _locked(found.order_by(profiles.c.profile_id)) if lock else found


def _reread(dialect: Dialect) -> Select[Any]:
    """Read Profiles that are locked already."""
    return _selected(dialect).where(
        equal_to_given(profiles, "organization_id"),
        dialect.among(profiles.c.profile_id, "profile_ids"),
    )


def _looked_up_from_lists(dialect: Dialect) -> ClauseElement:
    """Find Profiles by email or external id; one found by both is listed twice.

    An item that finds nothing gives a row of NULLs.
    """
    return union_all(
        *(
            looked_up(
                dialect,
                name,
                profile_columns(dialect),
                profiles.c[of],
                (profile_versions, CURRENT),
            )
            for name, of in (("emails", "email"), ("external_ids", "external_id"))
        )
    )


def _changed(dialect: Dialect, name: str, table: Table, changed: Sequence[str]) -> RowStatement:
    """Build the UPDATE of some columns of rows, in the order of the table's columns.

    The key they are found by comes last.
    """
    keys = [each.name for each in table.primary_key.columns]
    changed = [each.name for each in table.c if each.name in changed]

    def statement(source: FromClause | None, values: Values) -> ClauseElement:
        del source  # the values say where they come from
        by_name = dict(zip((*changed, *keys), values, strict=True))
        return (
            update(table)
            .where(*(table.c[key] == by_name[key] for key in keys))
            .values({column: by_name[column] for column in changed})
        )

    return for_rows(dialect, name, [table.c[each] for each in (*changed, *keys)], statement)


# --- Journeys and entries ----------------------------------------------------------------


def _listening(dialect: Dialect) -> Values:
    return [
        journeys.c.journey_id,
        journeys.c.status,
        journeys.c.version,
        journey_versions.c.digest,
        dialect.read(journey_versions.c.published_at),
    ]


def _listening_to(dialect: Dialect, which: ColumnElement[bool]) -> Select[Any]:
    return (
        select(*_listening(dialect))
        .select_from(journeys.join(journey_versions, CURRENT_VERSION))
        .where(equal_to_given(journeys, "organization_id", "status"), which)
    )


def _listening_to_events(dialect: Dialect) -> Select[Any]:
    """Find what listens for events; a name without listeners may give a row of NULLs."""
    if not dialect.needs_outer_join:
        return _listening_to(dialect, dialect.among(journeys.c.event, "events"))
    each = dialect.each("events")
    source = each.outerjoin(
        journeys,
        and_(
            equal_to_given(journeys, "organization_id", "status"),
            journeys.c.event == each.c.value,
        ),
    ).outerjoin(journey_versions, CURRENT_VERSION)
    return select(*_listening(dialect)).select_from(source)


def _last_entries(dialect: Dialect) -> Select[Any, Any, Any]:
    """Answer probes: each row of the list is a position, then what a probe holds."""
    each = dialect.each("rows")

    def given(index: int, like: Column[Any]) -> ColumnElement[Any]:
        return dialect.typed(dialect.item(each.c.value, index), like)

    key, before = given(3, enrollments.c.entry_key), given(4, enrollments.c.event_number)
    entries = and_(
        equal_to_given(enrollments, "organization_id"),
        enrollments.c.journey_id == given(1, enrollments.c.journey_id),
        enrollments.c.profile_id == given(2, enrollments.c.profile_id),
        or_(before.is_(None), enrollments.c.event_number < before),
    )
    last = select(func.max(enrollments.c.entered_at)).where(entries).scalar_subquery()
    taken = (
        select(func.count())
        .select_from(enrollments)
        .where(entries, enrollments.c.entry_key == key)
        .scalar_subquery()
    )
    position = cast(dialect.item(each.c.value, 0), Integer)
    return select(position, dialect.read(last), taken).select_from(each)

"""What a tracked batch asks and writes, and how expired keys are purged."""

from __future__ import annotations

from typing import Any

from attrs import frozen
from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    Select,
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
    profiles,
)
from segmentflow_sql.statements.building import (
    NO_OFFSET,
    Values,
    columns,
    compiled,
    equal_to_given,
    inserting,
    looked_up,
    updating,
)
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.journeys import CURRENT_VERSION
from segmentflow_sql.statements.statement import FoundBy, ProfilesFoundBy, RowStatement, Statement

__all__ = ["TrackingStatements", "tracking_statements"]

_PROFILE = ("organization_id", "profile_id")
_PROPERTIES = ("properties", "property_times", "updated_at")

_CLAIM = tuple(each.name for each in key_claims.c if each.nullable and each.name != "expires_at")
"""What a key claim says: all that is not known yet while the key is only taken."""


@frozen
class TrackingStatements:
    """The statements of tracking, in about the order a call runs them."""

    take_keys: RowStatement
    taken_keys: FoundBy
    look_for_profiles: ProfilesFoundBy
    lock_profiles: ProfilesFoundBy
    listening_journeys: FoundBy
    last_entries: Statement
    free_keys: Statement
    write_key_claims: RowStatement
    free_identities: Statement
    change_profiles: RowStatement
    change_properties: RowStatement
    mark_profiles: Statement | None
    """None where no transaction reads an older state than it writes to."""
    create_profiles: RowStatement
    write_events: RowStatement
    write_enrollments: RowStatement
    purge_keys: Statement


def tracking_statements(dialect: Dialect) -> TrackingStatements:
    """Build and compile the statements of tracking."""
    return TrackingStatements(
        take_keys=_take_keys(dialect),
        taken_keys=FoundBy(
            compiled(
                dialect,
                "taken_key",
                select(*columns(dialect, key_claims)).where(
                    equal_to_given(key_claims, "organization_id", "key_digest")
                ),
            ),
            compiled(
                dialect,
                "taken_keys",
                looked_up(dialect, "keys", key_claims, key_claims.c.key_digest),
                prepared=False,
            ),
        ),
        look_for_profiles=_profiles_found(dialect, "look_for", lock=False),
        lock_profiles=_profiles_found(dialect, "lock", lock=True),
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
        write_key_claims=updating(
            dialect, "write_key_claims", key_claims, _CLAIM, ("organization_id", "key_digest")
        ),
        free_identities=compiled(
            dialect,
            "free_identities",
            _among_given(dialect).values(email=null(), external_id=null()),
            prepared=False,
        ),
        change_profiles=updating(
            dialect, "change_profiles", profiles, ("email", "external_id", *_PROPERTIES), _PROFILE
        ),
        change_properties=updating(dialect, "change_properties", profiles, _PROPERTIES, _PROFILE),
        mark_profiles=None if dialect.one_writer else _mark_profiles(dialect),
        create_profiles=inserting(dialect, "create_profiles", profiles),
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
        found = select(*columns(dialect, profiles)).where(
            equal_to_given(profiles, "organization_id", name)
        )
        return compiled(
            dialect, f"{verb}_profile_by_{name}", found.with_for_update() if lock else found
        )

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


def _found(dialect: Dialect, *either: ColumnElement[bool], lock: bool) -> Select[Any]:
    """Find Profiles by email or external id; locks are taken in the order of their ids."""
    found = select(*columns(dialect, profiles)).where(
        equal_to_given(profiles, "organization_id"), or_(*either)
    )
    return found.order_by(profiles.c.profile_id).with_for_update() if lock else found


def _looked_up_from_lists(dialect: Dialect) -> ClauseElement:
    """Find Profiles by email or external id; one found by both is listed twice.

    An item that finds nothing gives a row of NULLs.
    """
    return union_all(
        *(
            looked_up(dialect, name, profiles, profiles.c[of])
            for name, of in (("emails", "email"), ("external_ids", "external_id"))
        )
    )


def _among_given(dialect: Dialect) -> Any:
    return update(profiles).where(
        equal_to_given(profiles, "organization_id"),
        dialect.among(profiles.c.profile_id, "profile_ids"),
    )


def _mark_profiles(dialect: Dialect) -> Statement:
    """Write rows as they are, so that no older snapshot can lock them any more."""
    marking = _among_given(dialect).values(updated_at=profiles.c.updated_at)
    return compiled(dialect, "mark_profiles", marking, prepared=False)


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

    key, before = given(3, enrollments.c.entry_key), given(4, enrollments.c.event_id)
    entries = and_(
        equal_to_given(enrollments, "organization_id"),
        enrollments.c.journey_id == given(1, enrollments.c.journey_id),
        enrollments.c.profile_id == given(2, enrollments.c.profile_id),
        or_(before.is_(None), enrollments.c.event_id < before),
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

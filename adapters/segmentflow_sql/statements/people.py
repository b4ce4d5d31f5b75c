"""What suppressing, erasing and merging ask and write, beside what tracking writes.

An erased Profile is scrubbed in steps. A step goes on from where the one before stopped, in the
order of the ids of its events and Enrollments: it reads nothing twice.
"""

from __future__ import annotations

from typing import Any, Final

from attrs import frozen
from sqlalchemy import (
    Column,
    ColumnElement,
    Integer,
    Select,
    Table,
    bindparam,
    func,
    literal_column,
    null,
    or_,
    select,
    update,
)
from sqlalchemy.sql.elements import ClauseElement

from segmentflow_sql.schema import (
    FINISHED,
    audit,
    enrollments,
    events,
    identities,
    is_unscrubbed,
    key_claims,
    profile_versions,
    profiles,
)
from segmentflow_sql.statements.building import (
    NO_OFFSET,
    claim_of_event,
    columns,
    compiled,
    equal_to_given,
    inserting,
    page,
)
from segmentflow_sql.statements.dialects import Dialect
from segmentflow_sql.statements.statement import RowStatement, Statement

__all__ = ["PeopleStatements", "people_statements"]

_FIRST_ID: Final[ColumnElement[Any]] = literal_column("'00000000-0000-0000-0000-000000000000'")
_NOTHING: Final[ColumnElement[Any]] = literal_column("'{}'")


@frozen
class PeopleStatements:
    """The statements about people that no event asks for, and of the record of what was done."""

    lock_people: Statement
    """By ids, in their order; what they say is read by `reread_profiles`."""
    unfinished_enrollments: Statement
    block_identities: RowStatement
    unscrubbed_events: Statement
    unscrubbed_enrollments: Statement
    scrub_events: Statement
    scrub_key_claim: Statement
    """Of one event; gives a row where there was something to scrub."""
    claims_of_gone_events: Statement
    scrub_key_claims: Statement
    """By their digests."""
    scrub_enrollments: Statement
    scrub_versions: Statement
    unscrubbed_versions: Statement
    note_scrubbed: Statement
    unscrubbed_profiles: Statement
    add_audit: RowStatement
    list_audit: Statement


def people_statements(dialect: Dialect) -> PeopleStatements:
    """Build and compile the statements about people."""

    def scrubbing(name: str, key: Column[Any], ids: str, **values: Any) -> Statement:
        table: Any = key.table
        return compiled(
            dialect,
            name,
            update(table)
            .where(equal_to_given(table, "organization_id"), dialect.among(key, ids))
            .values(values),
            prepared=False,
        )

    return PeopleStatements(
        lock_people=compiled(dialect, "lock_people", _lock(dialect), prepared=False),
        unfinished_enrollments=compiled(
            dialect, "unfinished_enrollments", _unfinished(dialect), prepared=False
        ),
        block_identities=inserting(
            dialect,
            "block_identities",
            identities,
            lambda insert: insert.on_conflict_do_nothing(),
        ),
        unscrubbed_events=compiled(
            dialect,
            "unscrubbed_events",
            _unscrubbed(
                events.c.event_id, events.c.event_id, events.c.key_start, events.c.profile_version
            ),
        ),
        unscrubbed_enrollments=compiled(
            dialect,
            "unscrubbed_enrollments",
            _unscrubbed(
                enrollments.c.enrollment_id,
                enrollments.c.enrollment_id,
                *(enrollments.c[name] for name in TOLD),
            ),
        ),
        scrub_events=scrubbing(
            "scrub_events",
            events.c.event_id,
            "event_ids",
            data=_NOTHING,
            reference_id=null(),
            key_start=null(),
        ),
        scrub_key_claim=compiled(dialect, "scrub_key_claim", _scrub_key_claim()),
        claims_of_gone_events=compiled(
            dialect, "claims_of_gone_events", _claims_of_gone_events(), prepared=False
        ),
        scrub_key_claims=scrubbing(
            "scrub_key_claims", key_claims.c.key_digest, "digests", **_NO_DIGESTS
        ),
        scrub_enrollments=scrubbing(
            "scrub_enrollments",
            enrollments.c.enrollment_id,
            "enrollment_ids",
            **dict.fromkeys(TOLD, null()),
        ),
        scrub_versions=compiled(
            dialect, "scrub_versions", _scrub_versions(dialect), prepared=False
        ),
        unscrubbed_versions=compiled(dialect, "unscrubbed_versions", _telling_versions()),
        note_scrubbed=compiled(
            dialect,
            "note_scrubbed",
            update(profiles)
            .where(equal_to_given(profiles, "organization_id", "profile_id"))
            .values(scrubbed_to=bindparam("scrubbed_to", type_=profiles.c.scrubbed_to.type)),
        ),
        unscrubbed_profiles=compiled(
            dialect,
            "unscrubbed_profiles",
            select(profiles.c.profile_id)
            .where(equal_to_given(profiles, "organization_id"), is_unscrubbed(profiles))
            .order_by(profiles.c.erased_at)
            .limit(bindparam("limit", type_=Integer))
            .offset(NO_OFFSET),
        ),
        # A second run finds its own record when the commit succeeded but its answer was lost.
        add_audit=inserting(
            dialect, "add_audit", audit, lambda insert: insert.on_conflict_do_nothing()
        ),
        list_audit=compiled(
            dialect, "list_audit", page(columns(dialect, audit), audit, audit.c.audit_id)
        ),
    )


TOLD: Final = ("entry_key", "last_failure", "cancellers")
"""What of an Enrollment may say something of the person."""


def _lock(dialect: Dialect) -> ClauseElement:
    """Lock Profiles in the order of their ids."""
    return (
        select(profiles.c.profile_id)
        .where(
            equal_to_given(profiles, "organization_id"),
            dialect.among(profiles.c.profile_id, "profile_ids"),
        )
        .order_by(profiles.c.profile_id)
        .with_for_update()
    )


def _unfinished(dialect: Dialect) -> ClauseElement:
    """Lock the Enrollments of Profiles that are not finished, in the order of their ids.

    Where nothing is locked, in the order of the index: SQLite reads it for that order alone. The
    status is hidden from PostgreSQL, which may know of no open Enrollments yet, and would read
    all of the Organization's.
    """
    by_profile = [enrollments.c.profile_id] if dialect.one_writer else []
    status = func.coalesce(enrollments.c.status, _NOTHING)
    return (
        select(*columns(dialect, enrollments))
        .where(
            equal_to_given(enrollments, "organization_id"),
            dialect.among(enrollments.c.profile_id, "profile_ids"),
            *(status != literal_column(f"'{each}'") for each in FINISHED),
        )
        .order_by(*by_profile, enrollments.c.enrollment_id)
        .with_for_update()
    )


def _unscrubbed(key: Column[Any], *selected: ColumnElement[Any]) -> Select[Any]:
    """Read a step of what a Profile left: by id, from where the step before stopped."""
    table: Table = key.table
    stopped = (
        select(profiles.c.scrubbed_to)
        .where(equal_to_given(profiles, "organization_id", "profile_id"))
        .scalar_subquery()
    )
    return (
        select(*selected)
        .where(
            equal_to_given(table, "organization_id", "profile_id"),
            key > func.coalesce(stopped, _FIRST_ID),
        )
        .order_by(key)
        .limit(bindparam("limit", type_=Integer))
        .offset(NO_OFFSET)
    )


_NO_DIGESTS: Final[dict[str, Any]] = {
    **dict.fromkeys(("scheme", "key_id", "digest", "gone_profile_id"), null()),
    "paths": _NOTHING,
}


def _scrub_key_claim() -> ClauseElement:
    """Scrub the key claim of an event, if it is not yet."""
    return (
        update(key_claims)
        .where(claim_of_event(), key_claims.c.digest.is_not(None))
        .values(_NO_DIGESTS)
        .returning(key_claims.c.key_digest)
    )


def _claims_of_gone_events() -> ClauseElement:
    """Read the key claims that the events of a Profile left which retention removed."""
    return (
        select(key_claims.c.key_digest)
        .where(
            equal_to_given(key_claims, "organization_id"),
            key_claims.c.gone_profile_id
            == bindparam("profile_id", type_=key_claims.c.gone_profile_id.type),
        )
        .order_by(key_claims.c.key_digest)
        .limit(bindparam("limit", type_=Integer))
        .offset(NO_OFFSET)
    )


def _telling() -> ColumnElement[bool]:
    version = profile_versions.c
    return or_(
        version.email.is_not(None),
        version.external_id.is_not(None),
        version.properties != _NOTHING,
    )


def _scrub_versions(dialect: Dialect) -> ClauseElement:
    return (
        update(profile_versions)
        .where(
            equal_to_given(profile_versions, "organization_id", "profile_id"),
            dialect.among(profile_versions.c.version, "versions"),
        )
        .values(
            email=null(),
            external_id=null(),
            properties=_NOTHING,
            former_emails=_NOTHING,
            property_times=_NOTHING,
        )
    )


def _telling_versions() -> ClauseElement:
    """Read which versions of a Profile still say something: those that no event refers to."""
    return (
        select(profile_versions.c.version)
        .where(equal_to_given(profile_versions, "organization_id", "profile_id"), _telling())
        .order_by(profile_versions.c.version)
        .limit(bindparam("limit", type_=Integer))
        .offset(NO_OFFSET)
    )
